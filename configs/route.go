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
	handshake, wait := "strict", func(*node) {}
	r.Upgrade = Upgrade{Protocols: []string{websocket}}
	ok := d.mapping(n, map[string]decode{
		"path":            func(n *node) { d.routePath(n, &r.Path) },
		"regex":           func(n *node) { d.regex(n, &r.Regex) },
		"suffix":          func(n *node) { d.suffix(n, &r.Suffix) },
		"hosts":           func(n *node) { d.hosts(n, &r.Hosts) },
		"headers":         func(n *node) { d.headers(n, &r.Headers) },
		"upgrade":         func(n *node) { d.upgrade(n, &r.Upgrade) },
		"mode":            d.enum(&r.Mode, modes),
		"to":              wait,
		"upstream":        func(n *node) { d.upstreamName(n, &r.Upstream, c) },
		"rewrite":         wait,
		"origins":         func(n *node) { d.origins(n, &r.Origins) },
		"frame_type":      d.enum(&r.FrameType, []string{"text", "binary"}),
		"subprotocols":    func(n *node) { d.subprotocols(n, &r.Subprotocols) },
		"deflate":         d.boolean(&r.Deflate),
		"handshake":       d.enum(&handshake, []string{"strict", "lenient"}),
		"preserve_host":   d.boolean(&r.PreserveHost),
		"request_headers": func(n *node) { d.requestHeaders(n, &r.RequestHeaders) },
		"tunnel":          func(n *node) { d.tunnel(n, &r.Tunnel) },
	})
	r.Lenient = handshake == "lenient"
	if !ok {
		return
	}
	// What to and rewrite may hold depends on the regex, wherever it stands.
	g := noGroups
	switch {
	case r.Regex != nil:
		g = min(allGroups, groups(r.Regex.NumSubexp()))
	case n.get("regex") != nil:
		g = allGroups
	}
	if to := n.get("to"); to != nil && to.kind != brokenNode {
		r.To = d.target(to, r, g)
	}
	if rewrite := n.get("rewrite"); rewrite != nil && rewrite.kind != brokenNode {
		d.rewrite(rewrite, r, g)
	}
	d.routeMode(n, r, c)
	d.routeShape(n, r)
	d.slashes(n, r)
}

// routeShape reports what one route cannot be without, or have together.
func (d *decoder) routeShape(n *node, r *Route) {
	to, upstream, rewrite := n.get("to"), n.get("upstream"), n.get("rewrite")
	switch {
	case r.Mode == "deny":
	case to == nil && upstream == nil:
		d.wrong(n, "leads nowhere; add `to: ws://host:port/` or `upstream: name`")
	case to != nil && upstream != nil:
		d.wrong(upstream, "a route has either to or upstream; remove one")
	case to != nil && rewrite != nil:
		d.wrong(rewrite, "goes with upstream only; write the path at the end of to, and remove rewrite")
	}
	var match *node
	for _, e := range n.entries {
		switch {
		case e.key != "path" && e.key != "regex" && e.key != "suffix":
		case match == nil:
			match = e.value
		default:
			d.wrong(e.value, "a route has one of path, regex and suffix; remove %s or %s", match.label, e.key)
		}
	}
	if match == nil {
		d.wrong(n, "matches nothing; add a path, such as `path: /` for every request")
	}
}

// slashes warns where appending the rest of the request's path, or all of it,
// to the base path runs two names together or doubles a slash.
func (d *decoder) slashes(n *node, r *Route) {
	base, at := r.Rewrite, n.get("rewrite")
	if r.To != nil {
		base, at = r.To.Path, n.get("to")
	}
	if base == "" || at == nil {
		return
	}
	const advice = "%s: %s ends in a slash and %s does not: a request for %s becomes %s; end both in a slash, or neither"
	switch path, to := strings.HasSuffix(r.Path, "/"), strings.HasSuffix(base, "/"); {
	case r.Regex != nil && to && !hasGroups(r):
		d.warn(at.Pos, "%s: %s ends in a slash: a request for /c becomes %s; remove the slash", at.path(), base, base+"/c")
	case r.Path == "":
	case path && !to:
		d.warn(at.Pos, advice, at.path(), r.Path, base, r.Path+"c", base+"c")
	case to && !path:
		d.warn(at.Pos, advice, at.path(), base, r.Path, r.Path+"/c", base+"/c")
	}
}

// hasGroups reports whether a regex route's target is a template.
func hasGroups(r *Route) bool {
	return strings.Contains(r.Rewrite, "$") || r.To != nil && strings.Contains(r.To.Path+r.To.Query, "$")
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

// rewrite takes a base path, which is a template on a regex route.
func (d *decoder) rewrite(n *node, r *Route, g groups) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if err := g.check(s); err != nil {
		d.wrong(n, "%v", err)
		return
	}
	if r.Suffix != "" && s != "/" {
		d.wrong(n, "a suffix route passes the request's path on unchanged; remove rewrite")
		return
	}
	d.path(n, s, &r.Rewrite)
	r.Rewrite = wholePath(r, r.Rewrite, "")
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
