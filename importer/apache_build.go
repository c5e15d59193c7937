package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An apacheBuilder makes the Document of a model.
type apacheBuilder struct {
	o      *Options
	r      *report
	config *apacheConfig

	upstreams map[string]*Upstream
	order     []*Upstream

	response, dial time.Duration // the longest of all routes
	drafts         int           // of all servers
}

// document decides which servers are reached and in which order their routes
// stand.
func (b *apacheBuilder) document(name string) *Document {
	d := &Document{Source: name, Global: b.config.global, Trusted: b.config.trusted}
	plan := b.plan()
	d.Listeners = plan.listeners
	d.Global = append(d.Global, plan.notes...)
	if at := b.config.remote; at != nil && !b.config.trusts {
		d.Global = append(d.Global, Note{Pos: at.Pos, Text: "RemoteIPHeader: Apache believes the header from everybody, " +
			"because no proxy is named; write the addresses of the proxies before wsplice as trusted_networks"})
	}
	for _, served := range plan.order {
		d.Items = append(d.Items, served.items()...)
	}
	if len(b.config.hosts) > 0 {
		d.Global = append(d.Global, b.config.main.notes...)
	}
	for _, u := range b.order {
		d.Upstreams = append(d.Upstreams, *u)
	}
	d.Timeouts = Timeouts{Dial: b.dial, Upgrade: b.response}
	hoist(d)
	unique(d)
	return d
}

// routesOf returns the routes of a server in the order in which Apache tries
// them: what is denied, rules, sections (the last one wins), then ProxyPass.
func (b *apacheBuilder) routesOf(server *apacheServer) []*apacheDraft {
	main := b.config.main
	base, sections, proxies := server.settings, server.sections, server.proxies
	if server != main {
		base = main.settings.over(server.settings)
		sections = append(append([]*apacheSection(nil), main.sections...), sections...)
		proxies = append(append([]*apacheMapping(nil), main.proxies...), proxies...)
	}
	settings := func(path, regex string) apacheSettings { return settingsFor(base, sections, path, regex) }
	b.drafts += len(server.rules) + len(sections) + len(proxies)
	if b.drafts > routesMax {
		at := Pos{File: b.r.main, Line: 1, Column: 1}
		if server.at != nil {
			at = server.at.Pos
		}
		b.r.errorAt(at, "more than %d routes in all, those of the main server for each virtual host; split it", routesMax)
		return nil
	}
	drafts := b.rules(server, settings)
	for _, s := range slices.Backward(sections) {
		if s.proxy != nil {
			drafts = append(drafts, b.mapping(s.proxy, settings(s.proxy.path, s.proxy.regex).over(s.settings), plainHere))
		}
	}
	for i, m := range proxies {
		plain := plainHere
		if slices.ContainsFunc(proxies[i+1:], func(later *apacheMapping) bool { return plainAfter(m, later) }) {
			plain = plainBelow
		}
		drafts = append(drafts, b.mapping(m, settings(m.path, m.regex), plain))
	}
	drafts = slices.DeleteFunc(drafts, func(d *apacheDraft) bool { return d == nil })
	denied := b.sections(sections, drafts)
	return append(denied, drafts...)
}

// plainAfter reports whether later is the http:// half of the documented pair
// ProxyPass /x ws://… and ProxyPass /x http://….
func plainAfter(m, later *apacheMapping) bool {
	return strings.HasPrefix(strings.ToLower(m.target), "ws") && strings.HasPrefix(strings.ToLower(later.target), "http") &&
		m.path == later.path && m.regex == later.regex
}

// settingsFor returns what holds for a path: what the server says, and on top
// the sections around it, in their order.
func settingsFor(base apacheSettings, sections []*apacheSection, path, regex string) apacheSettings {
	literal := path
	if regex != "" {
		literal = literalPrefix(regex)
	}
	for _, s := range sections {
		if s.path != "" && coversPath(s.path, literal) {
			base = base.over(s.settings)
		}
	}
	return base
}

// literalPrefix returns what every path begins with that an anchored regular
// expression matches.
func literalPrefix(regex string) string {
	rest, anchored := strings.CutPrefix(regex, "^")
	if !anchored || strings.Contains(regex, "|") {
		return "/"
	}
	compiled, err := regexp.Compile(rest)
	if err != nil {
		return "/"
	}
	text, _ := compiled.LiteralPrefix()
	if i := strings.LastIndexByte(text, '/'); i > 0 {
		return text[:i]
	}
	return "/"
}

// coversPath reports whether every path below path is below outer, too.
func coversPath(outer, path string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(outer, "/"))
}

// sections says what the sections hold besides routes: it returns the routes
// for Require all denied, and adds the notes of the others to the first route
// that they concern.
func (b *apacheBuilder) sections(sections []*apacheSection, drafts []*apacheDraft) []*apacheDraft {
	var denied []*apacheDraft
	for i, s := range sections {
		first := slices.IndexFunc(drafts, func(d *apacheDraft) bool { return d.route != nil && s.own(d.route) })
		if first < 0 {
			first = slices.IndexFunc(drafts, func(d *apacheDraft) bool { return d.route != nil && concerns(s, d.route) })
		}
		narrow := slices.ContainsFunc(drafts, func(d *apacheDraft) bool {
			return d.route != nil && concerns(s, d.route) && (s.path == "" || !coversPath(s.path, d.route.literal()))
		})
		notes := slices.Clone(s.notes)
		if s.denied != nil && first >= 0 {
			opened := slices.ContainsFunc(sections[i+1:], func(later *apacheSection) bool { return later.granted })
			guarded := slices.ContainsFunc(s.notes, func(n Note) bool { return n.Warning })
			if !opened && !guarded && portable(s.regex) == "" {
				denied = append(denied, b.deny(s.denied, s.path, s.regex, "in "+s.at.comment(b.r)))
			} else {
				notes = append(notes, Note{Pos: s.denied.Pos, Text: oneLine(s.denied.source) + ": " + unprotected, Warning: true})
			}
		}
		if narrow && s.changes() && s.proxy == nil {
			notes = append(notes, Note{Pos: s.at.Pos, Text: fmt.Sprintf(
				"<%s %s>: what it sets is for a part of a route only; write a route of its own for that path, with the same target",
				s.at.name, s.at.args)})
		}
		if first < 0 {
			notes = slices.DeleteFunc(notes, func(n Note) bool { return n.Warning })
			if len(notes) > 0 {
				denied = append(denied, &apacheDraft{notes: notes})
			}
			continue
		}
		drafts[first].notes = append(drafts[first].notes, notes...)
	}
	return denied
}

// changes reports whether the section sets anything for the routes below it.
func (s *apacheSection) changes() bool {
	v := s.settings
	return v.preserveHost != nil || v.idle != nil || v.timeout != nil || v.proxyTimeout != nil || len(v.set)+len(v.remove) > 0
}

// own reports whether the route is for just what the section is for.
func (s *apacheSection) own(r *Route) bool {
	return s.path != "" && s.path == r.Path || s.regex != "" && s.regex == r.Regex
}

// concerns reports whether a request can belong to the section and the route.
func concerns(s *apacheSection, r *Route) bool {
	if s.regex != "" || r.Regex != "" {
		a, b := s.path, r.literal()
		if s.regex != "" {
			a = literalPrefix(s.regex)
		}
		return coversPath(a, b) || coversPath(b, a)
	}
	return coversPath(s.path, r.Path) || coversPath(r.Path, s.path)
}

// literal returns what every path of the route begins with.
func (r *Route) literal() string {
	if r.Regex != "" {
		return literalPrefix(r.Regex)
	}
	return r.Path
}

// hoist moves settings that all tunnels share to the top of the file.
func hoist(d *Document) {
	var tunnels []*Tunnel
	for _, item := range d.Items {
		if r := item.Route; r != nil && r.Mode != "deny" && (r.Upgrade == nil || len(r.Upgrade) > 0) {
			tunnels = append(tunnels, &r.Tunnel)
		}
	}
	hoistOne(tunnels, func(t *Tunnel) **bool { return &t.Async }, &d.Tunnel.Async)
	hoistOne(tunnels, func(t *Tunnel) **time.Duration { return &t.AsyncDelay }, &d.Tunnel.AsyncDelay)
	hoistOne(tunnels, func(t *Tunnel) **time.Duration { return &t.IdleTimeout }, &d.Tunnel.IdleTimeout)
}

func hoistOne[T comparable](tunnels []*Tunnel, field func(*Tunnel) **T, to **T) {
	if len(tunnels) == 0 || *field(tunnels[0]) == nil {
		return
	}
	common := **field(tunnels[0])
	for _, t := range tunnels {
		if v := *field(t); v == nil || *v != common {
			return
		}
	}
	*to = &common
	for _, t := range tunnels {
		*field(t) = nil
	}
}

// unique removes notes that say the same, as servers do that inherit.
func unique(d *Document) {
	seen := map[Note]bool{}
	keep := func(notes []Note) []Note {
		return slices.DeleteFunc(notes, func(n Note) bool {
			n.Column = 0
			was := seen[n]
			seen[n] = true
			return was
		})
	}
	d.Global = keep(d.Global)
	for i := range d.Items {
		d.Items[i].Notes = keep(slices.Clone(d.Items[i].Notes))
	}
	d.Items = slices.DeleteFunc(d.Items, func(i Item) bool { return i.Route == nil && i.Heading == "" && len(i.Notes) == 0 })
}
