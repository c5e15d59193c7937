package importer

import (
	"fmt"
	"slices"
	"strings"
)

// sameRoutes removes servers that repeat another one, as one does for port 80
// and one for 443.
func (b *apacheBuilder) sameRoutes(p *apachePlan, kept []*keptListen) {
	first := map[string]*servedHost{}
	p.order = slices.DeleteFunc(p.order, func(h *servedHost) bool {
		if !h.routed() {
			return false
		}
		key := h.signature()
		other := first[key]
		if other == nil {
			first[key] = h
			return false
		}
		other.title += "; the same routes: " + h.title
		other.server.notes = append(other.server.notes, h.server.notes...)
		for _, k := range kept {
			for i := range k.servers {
				if k.servers[i] == h {
					k.servers[i] = other
				}
			}
		}
		return true
	})
}

// signature is equal for servers with equal names and routes.
func (h *servedHost) signature() string {
	w := &writer{}
	w.line(0, "%s", strings.Join(h.server.names(), " "))
	for _, d := range h.drafts {
		if d.route == nil {
			continue
		}
		bare := *d.route
		bare.Comments = nil
		bare.write(w)
	}
	return w.String()
}

// names returns ServerName and ServerAlias.
func (s *apacheServer) names() []string {
	var names []string
	if s.name != "" {
		names = append(names, s.name)
	}
	for _, alias := range s.aliases {
		if !slices.Contains(names, alias) {
			names = append(names, alias)
		}
	}
	return names
}

// assignHosts gives every server its hosts. The first one of an address
// answers to every name that no other one has; where all addresses agree on
// which that is, its routes stand last, for any host.
func (b *apacheBuilder) assignHosts(p *apachePlan, kept []*keptListen) {
	var defaults []*servedHost
	for _, k := range kept {
		if len(k.servers) > 0 && !slices.Contains(defaults, k.servers[0]) {
			defaults = append(defaults, k.servers[0])
		}
	}
	var fallback *servedHost
	if len(defaults) == 1 && defaults[0].routed() {
		fallback = defaults[0]
	}
	for _, h := range p.order {
		if h == fallback || !h.routed() {
			continue
		}
		h.hosts = h.server.names()
		if slices.Contains(h.hosts, "*") {
			h.hosts = nil
		} else if len(h.hosts) == 0 && len(p.order) > 1 {
			b.nameless(p, h)
		}
		if slices.Contains(defaults, h) && len(defaults) > 1 {
			p.notes = append(p.notes, Note{Pos: h.pos(), Text: "this is the default host of its port only, " +
				"but routes do not know the port: it answers to its own names; " +
				"run a second wsplice for the other port if that is not enough"})
		}
	}
	if fallback != nil {
		p.order = slices.DeleteFunc(p.order, func(h *servedHost) bool { return h == fallback })
		p.order = append(p.order, fallback)
		if names := fallback.server.names(); len(names) > 0 && !slices.Contains(names, "*") {
			fallback.title = strings.TrimPrefix(fallback.title+"; the default host: it answers to any name", "; ")
			fallback.title += fmt.Sprintf(" (add hosts: %s to narrow it)", list(names[:min(len(names), 3)]))
		}
	}
	fences(p)
}

// nameless drops the routes of a server that no name leads to.
func (b *apacheBuilder) nameless(p *apachePlan, h *servedHost) {
	p.notes = append(p.notes, Note{Pos: h.pos(), Text: "this virtual host has no ServerName, so that no name leads to it; " +
		"its routes are left out: add a ServerName and import again"})
	for _, d := range h.drafts {
		d.route = nil
	}
}

func (h *servedHost) pos() Pos {
	if h.server.at != nil {
		return h.server.at.Pos
	}
	for _, d := range h.drafts {
		for _, n := range d.notes {
			return n.Pos
		}
	}
	return Pos{Line: 1}
}

// fences marks the servers whose hosts later routes would take, too.
func fences(p *apachePlan) {
	for i, h := range p.order {
		if !h.routed() || len(h.hosts) == 0 || h.catchesAll() {
			continue
		}
		h.fence = slices.ContainsFunc(p.order[i+1:], func(later *servedHost) bool {
			return later.routed() && (len(later.hosts) == 0 || slices.ContainsFunc(later.hosts, func(name string) bool {
				return strings.HasPrefix(name, "*.") || slices.Contains(h.hosts, name)
			}))
		})
	}
}

// catchesAll reports whether no request of its hosts gets past the server.
func (h *servedHost) catchesAll() bool {
	return slices.ContainsFunc(h.drafts, func(d *apacheDraft) bool {
		return d.route != nil && d.route.Path == "/" && d.route.Mode != "tunnel" && len(d.route.Headers) == 0
	})
}
