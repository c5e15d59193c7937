package configs

import (
	"cmp"
	"slices"
	"strings"
)

// upstreams reads the named groups of backends.
func (d *decoder) upstreams(n *node, c *Config) {
	if !d.named(n, "names to upstreams", upstreamsMax) {
		return
	}
	for _, e := range n.entries {
		if !validUpstream(e.key) {
			d.errorAt(e.pos, "upstreams: the name %s must be 1 to 64 letters, digits, -, _ or .", quote(e.key))
			continue
		}
		u := Upstream{Name: e.key, Balance: "least_connection", Pos: e.pos}
		d.upstream(e.value, &u)
		c.Upstreams = append(c.Upstreams, u)
	}
	slices.SortFunc(c.Upstreams, func(a, b Upstream) int { return cmp.Compare(a.Name, b.Name) })
}

// validUpstream reports whether name can be a metric's label and a log's
// value without quotes.
func validUpstream(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r >= 0x80 || !alphanumeric(byte(r)) && !strings.ContainsRune("-_.", r)
	})
}

func (d *decoder) upstream(n *node, u *Upstream) {
	ok := d.mapping(n, map[string]decode{
		"balance":          d.balance(&u.Balance),
		"sticky_cookie":    d.later(isNoCookie, ""),
		"servers":          func(n *node) { d.servers(n, u) },
		"disable_time":     d.later(isZero, ""),
		"retries":          d.later(nil, ""),
		"slow_start":       d.later(isZero, " or write 0s"),
		"resolve_interval": d.later(nil, ""),
		"source":           d.later(isEmpty, " or write []"),
		"warm":             d.later(isText("0"), " or write 0"),
		"health":           d.later(nil, ""),
		"tls":              d.later(nil, ""),
	})
	if ok && n.get("servers") == nil {
		d.errorAt(u.Pos, "%s: has no servers; add `servers: [{url: ws://host:port}]`", n.path())
	}
}

// balance also takes lighttpd's name of the default.
func (d *decoder) balance(to *string) decode {
	read := d.enum(to, []string{"least_connection", "round_robin"}, "hash", "sticky", "by_traffic", "random_two")
	return func(n *node) {
		if isText("fair")(n) {
			*to = "least_connection"
			return
		}
		read(n)
	}
}

// isNoCookie reports a sticky_cookie that does nothing.
func isNoCookie(n *node) bool {
	return n.kind == mappingNode && !slices.ContainsFunc(n.entries, func(e entry) bool {
		nothing := e.key == "name" && isText("")(e.value) || e.key == "insert" && isOff(e.value)
		return !nothing
	})
}

func (d *decoder) servers(n *node, u *Upstream) {
	ok := d.list(n, serversMax, func(n *node) { u.Servers = append(u.Servers, d.server(n)) })
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; add at least one, such as `- {url: ws://host:port}`")
	}
	for i, s := range u.Servers {
		same := func(t Server) bool {
			return t.Target.Network == s.Target.Network && t.Target.Address == s.Target.Address
		}
		if j := slices.IndexFunc(u.Servers[:i], same); j >= 0 && s.Target.Address != "" {
			d.warn(s.Pos, "%s[%d]: %s stands twice, first in line %d",
				n.path(), i, s.Target, u.Servers[j].Pos.Line)
		}
	}
}

func (d *decoder) server(n *node) Server {
	s := Server{Weight: 1, Pos: n.Pos}
	keys := map[string]decode{
		"url":    func(n *node) { d.serverURL(n, &s.Target) },
		"socket": func(n *node) { d.serverSocket(n, &s.Target) },
		"weight": d.later(isText("1"), " or write 1"),
		"route":  d.later(isText(""), ` or write ""`),
		"set":    d.later(isText("0"), " or write 0"),
		"status": d.later(isText(""), ` or write ""`),
	}
	for _, key := range spawnKeys {
		keys[key] = d.later(nil, "; start the backend yourself and name it with url or socket")
	}
	if !d.mapping(n, keys) {
		return s
	}
	url, socket := n.get("url"), n.get("socket")
	switch {
	case url == nil && socket == nil && n.get("command") == nil:
		d.wrong(n, "names no backend; add `url: ws://host:port` or `socket: /path`")
	case url != nil && socket != nil:
		d.wrong(socket, "a server has either url or socket; remove one")
	}
	return s
}

// spawnKeys belong to backends that wsplice starts itself.
var spawnKeys = []string{
	"command", "min_procs", "max_procs", "max_load_per_proc", "idle_timeout", "environment",
	"copy_environment", "listen_backlog", "kill_signal", "socket_activation",
}

// serverURL takes ws://host:port or http://host:port. The path comes from the route's rewrite.
func (d *decoder) serverURL(n *node, to *Target) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if strings.HasPrefix(s, "unix:") {
		d.wrong(n, "must be ws://host:port; for a unix socket write `socket: %s`", strings.TrimPrefix(s, "unix:"))
		return
	}
	t, err := parseTarget(s, noGroups)
	switch {
	case err != nil:
		d.wrong(n, "%v", err)
	case t.Path != "" && t.Path != "/":
		d.wrong(n, "must not have a path; remove %s and write it as rewrite in the route", t.Path)
	default:
		t.Path = ""
		*to = t
	}
}

func (d *decoder) serverSocket(n *node, to *Target) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if path, unix := strings.CutPrefix(s, "unix:"); unix {
		d.wrong(n, "write the path alone: %s", path)
		return
	}
	if path, ok := d.socketPath(n, s); ok {
		*to = Target{Network: "unix", Address: path}
	}
}
