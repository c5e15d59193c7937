package configs

import (
	"maps"
	"strings"
)

func (d *decoder) server(n *node) Server {
	s := Server{Weight: 1, Pos: n.Pos}
	spawn := defaultSpawn()
	keys := map[string]decode{
		"url":    func(n *node) { d.serverURL(n, &s.Target) },
		"socket": func(n *node) { d.serverSocket(n, &s.Target) },
		"weight": d.number(&s.Weight, 1, weightMax),
		"route":  func(n *node) { d.serverRoute(n, &s.Route) },
		"set":    d.number(&s.Set, 0, setMax),
		"status": d.status(&s.Status),
	}
	spawnKeys := d.spawn(&spawn)
	maps.Copy(keys, spawnKeys)
	if !d.mapping(n, keys) {
		return s
	}
	url, socket := n.get("url"), n.get("socket")
	switch {
	case url == nil && socket == nil && n.get("command") == nil:
		d.wrong(n, "names no backend; add `url: ws://host:port`, `socket: /path` or `command: [/path/of/program]`")
	case url != nil && socket != nil:
		d.wrong(socket, "a server has either url or socket; remove one")
	}
	if n.get("command") != nil {
		s.Spawn = &spawn
		d.checkSpawn(n, &s)
		return s
	}
	for _, e := range n.entries {
		if _, ours := spawnKeys[e.key]; ours {
			d.errorAt(e.pos, "%s: %s is for a backend that wsplice starts; add `command`, or remove it", n.path(), e.key)
		}
	}
	return s
}

// serverURL takes ws://host:port, http://host:port or tcp://host:port. The path comes from the route's rewrite.
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

// serverRoute takes what can stand in a cookie (RFC 6265 section 4.1.1); "" is
// no route.
func (d *decoder) serverRoute(n *node, to *string) {
	if isText("")(n) {
		return
	}
	s, ok := d.text(n)
	if !ok {
		return
	}
	if len(s) > serverRouteBytesMax || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\",;\\", r)
	}) {
		d.wrong(n, "stands in a cookie, so it must be 1 to %d ASCII characters without blanks, "+
			"quotes, commas, semicolons and backslashes, but this is %s", serverRouteBytesMax, quote(s))
		return
	}
	*to = s
}

// status takes "" for a server that is used whenever it can be.
func (d *decoder) status(to *string) decode {
	read := d.enum(to, []string{"standby", "spare", "drain", "disabled"})
	return func(n *node) {
		if !isText("")(n) {
			read(n)
		}
	}
}
