package configs

import (
	"log/slog"
	"slices"
	"time"
)

// config reads the whole file. Tunnel defaults are read before the routes
// that inherit them, and upstreams before the routes that name them, wherever
// they stand in the file.
func (d *decoder) config(n *node, c *Config) {
	wait := func(*node) {}
	d.mapping(n, map[string]decode{
		"loops":            d.loops(&c.Loops),
		"engine":           d.enum(&c.Engine, []string{"auto", "io_uring", "epoll"}),
		"pin_cpus":         d.boolean(&c.PinCPUs),
		"log":              func(n *node) { d.log(n, &c.Log) },
		"admin":            func(n *node) { d.admin(n, &c.Admin) },
		"limits":           func(n *node) { d.limits(n, &c.Limits) },
		"timeouts":         func(n *node) { d.timeouts(n, &c.Timeouts) },
		"tunnel":           func(n *node) { d.tunnel(n, &c.Tunnel) },
		"tcp":              func(n *node) { d.tcp(n, &c.TCP) },
		"trusted_networks": func(n *node) { d.networks(n, &c.TrustedNetworks) },
		"listeners":        func(n *node) { d.listeners(n, c) },
		"upstreams":        func(n *node) { d.upstreams(n, c) },
		"routes":           wait,
	})
	if routes := n.get("routes"); routes != nil && routes.kind != brokenNode {
		d.routes(routes, c)
	}
	endpoint := func(r Route) bool { return r.Mode == endpointMode }
	if tunnel := n.get("tunnel"); tunnel != nil && !slices.ContainsFunc(c.Routes, endpoint) {
		d.messageBounds(tunnel)
	}
	d.whole(n, c)
}

// loops takes auto or a number.
func (d *decoder) loops(to *int) decode {
	number := d.number(to, 1, loopsMax)
	return func(n *node) {
		switch {
		case isText("auto")(n):
			*to = 0
		case n.kind == numberNode:
			number(n)
		default:
			d.wrong(n, "must be auto or a number from 1 to %d, but this is %s", loopsMax, show(n))
		}
	}
}

func (d *decoder) log(n *node, l *Log) {
	level := "info"
	d.mapping(n, map[string]decode{
		"level":   d.enum(&level, []string{"debug", "info", "warn", "error"}),
		"format":  d.enum(&l.Format, []string{"text", "json"}),
		"tunnels": d.enum(&l.Tunnels, []string{"both", "close", "off"}),
	})
	l.Level = map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[level]
}

func (d *decoder) limits(n *node, l *Limits) {
	d.mapping(n, map[string]decode{
		"tunnels":               d.number(&l.Tunnels, 0, tunnelsMax),
		"tunnels_per_ip":        d.number(&l.TunnelsPerIP, 0, tunnelsMax),
		"handshakes_per_second": d.number(&l.HandshakesPerSecond, 0, handshakesMax),
		"head_bytes":            d.size(&l.HeadBytes, headBytesMin, headBytesMax, 0),
		"pipes":                 d.number(&l.Pipes, 0, pipesMax),
		"parked_bytes":          d.size(&l.ParkedBytes, parkedBytesMin, parkedBytesMax, parkedBytesMax),
	})
	if at := n.get("tunnels_per_ip"); at != nil && l.Tunnels > 0 && l.TunnelsPerIP > l.Tunnels {
		d.warn(at.Pos, "%s: %d has no effect: limits.tunnels allows %d in all", at.path(), l.TunnelsPerIP, l.Tunnels)
	}
}

func (d *decoder) timeouts(n *node, t *Timeouts) {
	positive := func(to *time.Duration) decode { return d.duration(to, time.Millisecond, durationMax, 1) }
	d.mapping(n, map[string]decode{
		"head":    positive(&t.Head),
		"dial":    positive(&t.Dial),
		"upgrade": positive(&t.Upgrade),
		"drain":   d.duration(&t.Drain, 0, durationMax, 1),
	})
}

func (d *decoder) tcp(n *node, t *TCP) {
	d.mapping(n, map[string]decode{
		"keepalive":    d.duration(&t.Keepalive, 0, keepaliveMax, time.Second),
		"user_timeout": d.duration(&t.UserTimeout, 0, userTimeoutMax, time.Millisecond),
	})
}
