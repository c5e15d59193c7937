package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An apacheDraft is a route with what is still to be decided about it.
type apacheDraft struct {
	notes []Note
	route *Route // nil: only notes

	response time.Duration // Apache's limit for the answer
	dial     time.Duration // 0 = not given
}

// draft begins a route that came from d.
func (b *apacheBuilder) draft(d *directive) *apacheDraft {
	return &apacheDraft{route: &Route{Comments: []string{d.comment(b.r)}}}
}

// secret is what must not be shown: the parameter, which may have spaces in
// quotes, and a password in a URL.
var secret = regexp.MustCompile(`(?i)(\bsecret=).+|(://)[^/@\s]+@`)

// redact hides the secrets of a line.
func redact(text string) string { return secret.ReplaceAllString(text, "${1}${2}…") }

// refuse turns the draft into a note: what the line says is not carried over.
func (r *apacheDraft) refuse(d *directive, why, instead string) *apacheDraft {
	r.route = nil
	r.notes = append(r.notes, Note{Pos: d.Pos, Text: fmt.Sprintf("%s: %s; %s", redact(oneLine(d.source)), why, instead)})
	return r
}

func (r *apacheDraft) note(pos Pos, format string, args ...any) {
	r.notes = append(r.notes, Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

func (r *apacheDraft) say(format string, args ...any) {
	r.route.Comments = append(r.route.Comments, fmt.Sprintf(format, args...))
}

// deny is the counterpart of ProxyPass /path ! and of Require all denied.
func (b *apacheBuilder) deny(d *directive, path, regex, why string) *apacheDraft {
	r := b.draft(d)
	r.route.Path, r.route.Regex, r.route.Mode = path, regex, "deny"
	r.say("%s", why)
	return r
}

// plainRequests says where the requests go that match a ws:// target and are no
// upgrades.
type plainRequests int

const (
	plainHere      plainRequests = iota // here, unless the fallback is off
	plainBelow                          // to a later ProxyPass of the same path
	plainElsewhere                      // past: the route's own conditions are for upgrades
)

// mapping makes a route of one ProxyPass.
func (b *apacheBuilder) mapping(m *apacheMapping, s apacheSettings, plain plainRequests) *apacheDraft {
	if m.target == "!" {
		if wrong := portable(m.regex); wrong != "" {
			return b.draft(m.at).refuse(m.at, wrong, "write a route with mode: deny for the paths that are meant")
		}
		return b.deny(m.at, m.path, m.regex, "Apache serves this from its own files; wsplice has none and answers 403")
	}
	r := b.draft(m.at)
	t, wrong := parseApacheTarget(m.target)
	if wrong != "" {
		b.r.errorAt(m.where, "%s: %q %s", m.at.name, m.target, wrong)
		return nil
	}
	params := b.params(m)
	if name, ok := balancerName(m.target); ok {
		return b.balanced(r, m, t, name, params, s, plain)
	}
	if !b.direct(r, m.at, t, params, s, plain) {
		return r
	}
	if strings.ContainsAny(t.path, "?#") {
		return r.refuse(m.at, "its target has a query", "the client's query is appended to the path; have the backend do the rest")
	}
	if m.regex != "" {
		found, wrong := matchFor(m.regex, false, t.path, true)
		if wrong != "" {
			return r.refuse(m.at, "it "+wrong, "write a path or a simpler regex by hand")
		}
		r.route.Path, r.route.Regex, t.path = found.path, found.regex, found.to
	} else {
		r.route.Path = m.path
		if strings.HasSuffix(m.path, "/") && t.path == "" {
			r.note(m.where, "%s: the target has no path, so that Apache would run host and path together; a slash is added", m.target)
			t.path = "/"
		}
	}
	r.route.To = t.url(r.scheme(t), t.path)
	b.leave(r, m, params, directParams)
	b.finish(r, params, s)
	return r
}

// direct decides mode and upgrade of a route to one backend. It reports
// whether wsplice can speak to it.
func (b *apacheBuilder) direct(r *apacheDraft, d *directive, t apacheTarget, params []apacheParam,
	s apacheSettings, plain plainRequests,
) bool {
	switch t.scheme {
	case "ws", "http":
	case "wss", "https":
		if !b.o.supports(FeatureTLSBackends) {
			r.refuse(d, "this version of wsplice has no TLS to backends", "put a server with TLS between, or wait for it")
			return false
		}
	default:
		r.refuse(d, "wsplice does not speak "+t.scheme+" to backends", "have the backend speak HTTP or WebSocket")
		return false
	}
	return b.mode(r, d, strings.HasPrefix(t.scheme, "ws"), params, s, plain)
}

// mode decides whether plain requests go to the backend too, and what may be
// upgraded to.
//
//	target   upgrade=     plainHere and fallback On      otherwise
//	ws://    none given   http, websocket                tunnel, websocket
//	ws://    NONE         tunnel, upgrade: none          tunnel, upgrade: none
//	ws://    ANY or list  http, that                     tunnel, that
//	http://  none given   http, no upgrade               the same
//	http://  ANY or list  http, that                     the same
func (b *apacheBuilder) mode(r *apacheDraft, d *directive, ws bool, params []apacheParam,
	s apacheSettings, plain plainRequests,
) bool {
	upgrade, given := lastParam(params, "upgrade")
	r.route.Mode = "http"
	switch {
	case !ws && (!given || strings.EqualFold(upgrade.value, "none")):
		r.route.Upgrade = []string{}
		if given {
			const why = "upgrade=%s: with it, Apache upgrades nothing for an http:// backend; write upgrade: websocket if it shall"
			r.note(upgrade.Pos, why, upgrade.value)
		}
		return true
	case ws && given && strings.EqualFold(upgrade.value, "none"):
		r.route.Mode, r.route.Upgrade = "tunnel", []string{"none"}
		r.say("upgrade=NONE: a request without Upgrade gets a tunnel too, as Apache documents it (2.4.47 and later answer 426)")
		return true
	}
	if given && !b.upgrades(r, d, upgrade) {
		return false
	}
	if !ws {
		return true
	}
	switch {
	case plain == plainElsewhere:
		r.route.Mode = "tunnel"
	case plain == plainBelow:
		r.route.Mode = "tunnel"
		r.say("ws:// before http:// on the same path: upgrades go here, all else to the route below")
	case !is(s.fallback, true):
		r.route.Mode = "tunnel"
	default:
		r.say("plain requests go to this backend too: ProxyWebsocketFallbackToProxyHttp is On")
	}
	return true
}

// upgrades reads the value of upgrade=.
func (b *apacheBuilder) upgrades(r *apacheDraft, d *directive, p apacheParam) bool {
	if strings.EqualFold(p.value, "any") || p.value == "*" {
		r.route.Upgrade = []string{"any"}
		return true
	}
	var protocols []string
	for name := range strings.SplitSeq(p.value, ",") {
		name = strings.TrimSpace(name)
		if !token(strings.Replace(name, "/", "", 1)) {
			b.r.errorAt(p.Pos, "%s: upgrade=%q is not a protocol, a list of them, ANY or NONE", d.name, p.value)
			return false
		}
		if !contains(protocols, name) {
			protocols = append(protocols, strings.ToLower(name))
		}
	}
	if !slices.Equal(protocols, []string{"websocket"}) {
		r.route.Upgrade = protocols
	}
	return true
}

// scheme returns the scheme of to: for the mode that was decided.
func (r *apacheDraft) scheme(t apacheTarget) string {
	scheme := "http"
	if r.route.Mode == "tunnel" {
		scheme = "ws"
	}
	if strings.HasSuffix(t.scheme, "s") && t.scheme != "ws" {
		scheme += "s"
	}
	return scheme
}

// finish gives the route what its surroundings say.
func (b *apacheBuilder) finish(r *apacheDraft, params []apacheParam, s apacheSettings) {
	if r.route == nil {
		return
	}
	r.route.PreserveHost = is(s.preserveHost, false)
	r.route.Set, r.route.Remove = s.set, s.remove
	base := apacheTimeout
	if s.timeout != nil {
		base = *s.timeout
	}
	worker := s.proxyTimeout
	if p, ok := lastParam(params, "timeout"); ok {
		worker = b.paramTime(r, p, worker)
	}
	r.response = base
	if worker != nil {
		r.response = *worker
	}
	if p, ok := lastParam(params, "connectiontimeout"); ok {
		if d := b.paramTime(r, p, nil); d != nil {
			r.dial = *d
		}
	}
	if r.route.Upgrade != nil && len(r.route.Upgrade) == 0 {
		return
	}
	r.route.Tunnel = Tunnel{Async: s.async, AsyncDelay: s.delay, IdleTimeout: s.idle}
	if s.idle == nil && (worker != nil || s.timeout != nil) {
		idle := base
		if worker != nil {
			idle = max(base, *worker)
		}
		r.route.Tunnel.IdleTimeout = &idle
	}
}

// apacheTimeout is the default of Timeout.
const apacheTimeout = 60 * time.Second

// paramTime reads a time from a parameter, or returns otherwise.
func (b *apacheBuilder) paramTime(r *apacheDraft, p apacheParam, otherwise *time.Duration) *time.Duration {
	d, wrong := parseApacheTime(p.value)
	if wrong == "" && d == 0 {
		wrong = "must be more than 0"
	}
	if wrong != "" {
		b.r.errorAt(p.Pos, "%s=%s %s", p.key, p.value, wrong)
		return otherwise
	}
	return &d
}

func lastParam(params []apacheParam, key string) (apacheParam, bool) {
	for _, p := range slices.Backward(params) {
		if p.key == key {
			return p, true
		}
	}
	return apacheParam{}, false
}
