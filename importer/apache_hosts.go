package importer

import (
	"fmt"
	"slices"
	"strings"
)

// A plan says which addresses are listened on, and which servers answer there
// in which order.
type apachePlan struct {
	listeners []Listener
	order     []*servedHost
	notes     []Note
}

// A servedHost is a server with its routes.
type servedHost struct {
	server *apacheServer
	drafts []*apacheDraft
	hosts  []string // nil = any
	fence  bool     // what it does not proxy must not reach later routes
	title  string
}

// routed reports whether the server proxies anything.
func (h *servedHost) routed() bool {
	return slices.ContainsFunc(h.drafts, func(d *apacheDraft) bool { return d.route != nil })
}

// items returns the routes of the server, for its hosts.
func (h *servedHost) items() []Item {
	if len(h.drafts)+len(h.server.notes) == 0 {
		return nil
	}
	items := []Item{{Heading: h.title, Notes: h.server.notes}}
	for _, d := range h.drafts {
		item := Item{Notes: d.notes, Route: d.route}
		if d.route != nil {
			d.route.Hosts = h.hosts
		}
		items = append(items, item)
	}
	if h.fence {
		items = append(items, Item{Route: &Route{
			Comments: []string{"all else of these hosts: Apache would not proxy it, so that the routes below must not take it"},
			Path:     "/", Hosts: h.hosts, Mode: "deny",
		}})
	}
	return items
}

// plan puts servers and addresses together.
func (b *apacheBuilder) plan() *apachePlan {
	p := &apachePlan{}
	served := map[*apacheServer]*servedHost{}
	for _, server := range append([]*apacheServer{b.config.main}, b.config.hosts...) {
		served[server] = &servedHost{server: server}
	}
	listens := b.listens()
	groups := make([][]*apacheServer, len(listens))
	reached := map[*apacheServer]bool{}
	for i, l := range listens {
		groups[i] = b.members(l)
		for _, server := range groups[i] {
			reached[server] = true
		}
	}
	for _, server := range append([]*apacheServer{b.config.main}, b.config.hosts...) {
		h := served[server]
		if !reached[server] {
			continue
		}
		h.drafts = b.routesOf(server)
		if server.at != nil {
			h.title = server.at.comment(b.r)
		}
		p.order = append(p.order, h)
	}
	kept := b.keptListens(p, listens, groups, served)
	b.sameRoutes(p, kept)
	b.assignHosts(p, kept)
	b.limits(p)
	return p
}

// listens returns the addresses that Apache listens on; where only a part of a
// configuration is read, those of its virtual hosts.
func (b *apacheBuilder) listens() []apacheListen {
	if len(b.config.listens) > 0 {
		return b.config.listens
	}
	var all []apacheListen
	for _, server := range b.config.hosts {
		for address := range strings.FieldsSeq(server.at.args) {
			host, port := splitVhost(address)
			if port == "*" || slices.ContainsFunc(all, func(l apacheListen) bool { return l.port == port }) {
				continue
			}
			if host == "*" {
				host = ""
			}
			all = append(all, apacheListen{server.at, host + ":" + port, port})
		}
	}
	if len(all) == 0 {
		all = append(all, apacheListen{nil, ":80", "80"})
	}
	return all
}

// splitVhost takes the address of a <VirtualHost> apart; * is any.
func splitVhost(address string) (host, port string) {
	address = strings.Trim(address, `"'`)
	host, port = address, "*"
	if i := strings.LastIndexByte(address, ':'); i > strings.LastIndexByte(address, ']') {
		host, port = address[:i], address[i+1:]
	}
	if strings.EqualFold(host, "_default_") || host == "" || strings.Trim(host, "[]0123456789abcdefABCDEF:.") != "" {
		host = "*" // a name stands for this machine's addresses
	}
	return host, port
}

// members returns the servers that answer at an address, the default first.
func (b *apacheBuilder) members(l apacheListen) []*apacheServer {
	var all []*apacheServer
	for _, server := range b.config.hosts {
		for address := range strings.FieldsSeq(server.at.args) {
			host, port := splitVhost(address)
			local := strings.TrimSuffix(l.address, ":"+l.port)
			if (port == "*" || port == l.port) && (host == "*" || local == "" || host == local) && !slices.Contains(all, server) {
				all = append(all, server)
			}
		}
	}
	if len(all) == 0 {
		return []*apacheServer{b.config.main}
	}
	return all
}

// A keptListen is an address where something is proxied.
type keptListen struct {
	servers []*servedHost
}

// keptListens makes listeners of the addresses where something is proxied.
func (b *apacheBuilder) keptListens(p *apachePlan, listens []apacheListen, groups [][]*apacheServer,
	served map[*apacheServer]*servedHost,
) []*keptListen {
	var kept []*keptListen
	seen := map[string]bool{}
	for i, l := range listens {
		k := &keptListen{}
		for _, server := range groups[i] {
			k.servers = append(k.servers, served[server])
		}
		switch {
		case seen[l.address]:
			continue
		case l.at != nil && !slices.ContainsFunc(k.servers, (*servedHost).routed) && b.anyRouted(p):
			p.notes = append(p.notes, Note{Pos: l.at.Pos, Text: fmt.Sprintf(
				"port %s: nothing is proxied there, so wsplice does not listen on it", l.port)})
			continue
		}
		seen[l.address] = true
		kept = append(kept, k)
		p.listeners = append(p.listeners, b.listener(l, groups[i]))
	}
	return kept
}

func (b *apacheBuilder) anyRouted(p *apachePlan) bool {
	return slices.ContainsFunc(p.order, (*servedHost).routed)
}

// listener returns the listener for an address and what its servers say about
// connections.
func (b *apacheBuilder) listener(l apacheListen, servers []*apacheServer) Listener {
	out := Listener{Address: l.address, Comment: "no Listen was read; this is Apache's usual port"}
	at := Pos{File: b.r.main, Line: 1}
	if l.at != nil {
		out.Comment, at = l.at.comment(b.r), l.at.Pos
	}
	for _, s := range servers {
		settings := s.settings
		if s.at != nil {
			settings = b.config.main.settings.over(s.settings)
		}
		if is(settings.proxied, false) && !out.ProxyProtocol {
			if b.o.supports(FeatureProxyProtocol) {
				out.ProxyProtocol = true
			} else {
				out.Notes = append(out.Notes, Note{
					Pos:  l.at.Pos,
					Text: "RemoteIPProxyProtocol: this version of wsplice has no proxy_protocol yet; clients behind that proxy are refused",
				})
			}
		}
		if s.tls && !slices.ContainsFunc(out.Notes, func(n Note) bool { return n.Warning }) {
			out.Notes = append(out.Notes, Note{Pos: at, Warning: true, Text: fmt.Sprintf(
				"port %s: SSLEngine is on, but wsplice serves it without TLS; let a server with TLS stand before it", l.port)})
		}
		if s.tls && s.cert != "" {
			key := s.key
			if key == "" {
				key = s.cert
			}
			out.After = append(out.After, fmt.Sprintf("tls: {certificates: [{cert: %s, key: %s}]}   # not supported by this version yet",
				scalar(s.cert), scalar(key)))
		}
	}
	return out
}

// limits keeps the longest times that any route asks for.
func (b *apacheBuilder) limits(p *apachePlan) {
	for _, h := range p.order {
		for _, d := range h.drafts {
			b.response, b.dial = max(b.response, d.response), max(b.dial, d.dial)
		}
	}
}
