package configs

import (
	"cmp"
	"slices"
	"strings"
	"time"
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
		u := Upstream{
			Name: e.key, Balance: "least_connection", DisableTime: time.Second, Retries: 5,
			ResolveInterval: 30 * time.Second, Pos: e.pos,
		}
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
		"sticky_cookie":    func(n *node) { d.stickyCookie(n, &u.Cookie) },
		"servers":          func(n *node) { d.servers(n, u) },
		"disable_time":     d.duration(&u.DisableTime, 0, durationMax, 1),
		"retries":          d.number(&u.Retries, 0, retriesMax),
		"slow_start":       d.duration(&u.SlowStart, 0, slowStartMax, 1),
		"resolve_interval": d.resolveInterval(&u.ResolveInterval),
		"source":           func(n *node) { d.source(n, &u.Source) },
		"warm":             d.number(&u.Warm, 0, warmMax),
		"health":           func(n *node) { u.Health = d.health(n) },
		"tls":              func(n *node) { u.TLS = d.backendTLS(n) },
	})
	if ok && n.get("servers") == nil {
		d.errorAt(u.Pos, "%s: has no servers; add `servers: [{url: ws://host:port}]`", n.path())
	}
	if ok {
		d.upstreamShape(n, u)
	}
}

func (d *decoder) servers(n *node, u *Upstream) {
	ok := d.list(n, serversMax, func(n *node) { u.Servers = append(u.Servers, d.server(n)) })
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; add at least one, such as `- {url: ws://host:port}`")
	}
	d.checkProcesses(n, u.Servers)
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
