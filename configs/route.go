package configs

import (
	"slices"
	"strings"
)

// routes reads the routes, after everything they refer to.
func (d *decoder) routes(n *node, c *Config) {
	used := map[string]bool{}
	ok := d.list(n, routesMax, func(n *node) {
		r := Route{Pos: n.Pos, Tunnel: c.Tunnel}
		d.route(n, &r, c)
		c.Routes = append(c.Routes, r)
		used[r.Upstream] = true
	})
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; add at least one, such as `- {path: /, to: \"ws://127.0.0.1:9000\"}`")
	}
	for _, u := range c.Upstreams {
		if ok && !used[u.Name] {
			d.warn(u.Pos, "upstreams.%s: no route uses it", u.Name)
		}
	}
	d.unreachable(c.Routes)
}

func (d *decoder) route(n *node, r *Route, c *Config) {
	handshake := "strict"
	ok := d.mapping(n, map[string]decode{
		"path":            func(n *node) { d.routePath(n, &r.Path) },
		"regex":           d.later(nil, " and write a path"),
		"suffix":          d.later(nil, " and write a path"),
		"hosts":           func(n *node) { d.hosts(n, &r.Hosts) },
		"headers":         d.later(isEmpty, ""),
		"upgrade":         d.upgrade,
		"mode":            d.enum(new(string), []string{"tunnel"}, "endpoint", "http", "deny"),
		"to":              func(n *node) { r.To = d.target(n) },
		"upstream":        func(n *node) { d.upstreamName(n, &r.Upstream, c) },
		"rewrite":         func(n *node) { d.rewrite(n, &r.Rewrite) },
		"origins":         func(n *node) { d.origins(n, &r.Origins) },
		"frame_type":      d.later(nil, ""),
		"subprotocols":    d.later(isEmpty, ""),
		"deflate":         d.later(isOff, " or write off"),
		"handshake":       d.enum(&handshake, []string{"strict", "lenient"}),
		"preserve_host":   d.boolean(&r.PreserveHost),
		"request_headers": d.later(isNoHeaders, ""),
		"tunnel":          func(n *node) { d.tunnel(n, &r.Tunnel) },
	})
	r.Lenient = handshake == "lenient"
	if ok {
		d.routeShape(n)
		d.slashes(n, r)
	}
}

// routeShape reports what one route cannot be without, or have together.
func (d *decoder) routeShape(n *node) {
	to, upstream, rewrite := n.get("to"), n.get("upstream"), n.get("rewrite")
	switch {
	case to == nil && upstream == nil:
		d.wrong(n, "leads nowhere; add `to: ws://host:port/` or `upstream: name`")
	case to != nil && upstream != nil:
		d.wrong(upstream, "a route has either to or upstream; remove one")
	case to != nil && rewrite != nil:
		d.wrong(rewrite, "goes with upstream only; write the path at the end of to, and remove rewrite")
	}
	if n.get("path") == nil && n.get("regex") == nil && n.get("suffix") == nil {
		d.wrong(n, "matches nothing; add a path, such as `path: /` for every request")
	}
}

// slashes warns where appending the rest of the request's path to the base
// path runs two names together or doubles a slash.
func (d *decoder) slashes(n *node, r *Route) {
	base, at := r.Rewrite, n.get("rewrite")
	if r.To != nil {
		base, at = r.To.Path, n.get("to")
	}
	if base == "" || r.Path == "" || at == nil {
		return
	}
	const advice = "%s: %s ends in a slash and %s does not: a request for %s becomes %s; end both in a slash, or neither"
	switch path, to := strings.HasSuffix(r.Path, "/"), strings.HasSuffix(base, "/"); {
	case path && !to:
		d.warn(at.Pos, advice, at.path(), r.Path, base, r.Path+"c", base+"c")
	case to && !path:
		d.warn(at.Pos, advice, at.path(), base, r.Path, r.Path+"/c", base+"/c")
	}
}

// upgrade takes websocket, alone or as the only one of a list.
func (d *decoder) upgrade(n *node) {
	only := n
	if n.kind == listNode && len(n.items) == 1 {
		only = n.items[0]
	}
	switch {
	case only.scalar() && strings.EqualFold(only.text, "websocket"):
	case n.scalar() && n.text != "any" && n.text != "none":
		d.wrong(n, "must be websocket, any, none or a list of protocols, but this is %s", show(n))
	case n.scalar() || n.kind == listNode:
		d.wrong(n, "%s is not supported yet; remove the key or write websocket", show(n))
	default:
		d.wrong(n, "must be websocket, any, none or a list of protocols, but this is %v", n.kind)
	}
}

// isNoHeaders reports request_headers that change nothing.
func isNoHeaders(n *node) bool {
	return n.kind == mappingNode && !slices.ContainsFunc(n.entries, func(e entry) bool {
		return e.key != "set" && e.key != "remove" || !isEmpty(e.value)
	})
}

func (d *decoder) upstreamName(n *node, to *string, c *Config) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	*to = s
	if slices.ContainsFunc(c.Upstreams, func(u Upstream) bool { return u.Name == s }) {
		return
	}
	known := make(map[string]decode, len(c.Upstreams))
	for _, u := range c.Upstreams {
		known[u.Name] = nil
	}
	if len(known) == 0 {
		d.wrong(n, "there is no upstream %s: the file has no upstreams; add it under upstreams", quote(s))
		return
	}
	d.wrong(n, "there is no upstream %s%s", quote(s), suggest(s, known))
}

// rewrite takes a base path. Groups of a regex come with regex.
func (d *decoder) rewrite(n *node, to *string) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if strings.Contains(s, "$") {
		d.wrong(n, "$ is not supported yet; write a plain path, to which the rest of the request's path is appended")
		return
	}
	d.path(n, s, to)
}

func (d *decoder) routePath(n *node, to *string) {
	if s, ok := d.text(n); ok {
		d.path(n, s, to)
	}
}

// path stores s in normal form or says why it has none.
func (d *decoder) path(n *node, s string, to *string) {
	normal, err := normalPath(s)
	if err != nil {
		d.wrong(n, "%v", err)
		return
	}
	*to = normal
}

// unreachable warns of routes behind one that takes all they could match.
func (d *decoder) unreachable(routes []Route) {
	for i, later := range routes {
		if later.Path == "" {
			continue
		}
		for j, earlier := range routes[:i] {
			if covers(earlier.Path, later.Path) && coversHosts(earlier.Hosts, later.Hosts) {
				d.warn(later.Pos, "routes[%d]: never reached: routes[%d] in line %d takes %s first; put it below",
					i, j, earlier.Pos.Line, later.Path)
				break
			}
		}
	}
}

// covers reports whether every path that begins with later, by whole
// segments, begins with earlier.
func covers(earlier, later string) bool {
	rest, ok := strings.CutPrefix(later, earlier)
	return ok && earlier != "" && (rest == "" || rest[0] == '/' || strings.HasSuffix(earlier, "/"))
}

func coversHosts(earlier, later []string) bool {
	if len(earlier) == 0 {
		return true
	}
	return len(later) > 0 && !slices.ContainsFunc(later, func(host string) bool {
		return !slices.ContainsFunc(earlier, func(pattern string) bool {
			suffix, wild := strings.CutPrefix(pattern, "*")
			return host == pattern || wild && strings.HasSuffix(host, suffix)
		})
	})
}
