package configs

import (
	"strings"
	"time"
)

// health reads how servers are checked, or returns nil.
func (d *decoder) health(n *node) *Health {
	h := &Health{Path: "/", Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 1, Fall: 2}
	ok := d.mapping(n, map[string]decode{
		"type":     d.enum(&h.Type, []string{"tcp", "http", "websocket"}),
		"path":     func(n *node) { d.healthPath(n, &h.Path) },
		"interval": d.duration(&h.Interval, healthIntervalMin, durationMax, 1),
		"timeout":  d.duration(&h.Timeout, time.Millisecond, durationMax, 1),
		"rise":     d.number(&h.Rise, 1, healthStreakMax),
		"fall":     d.number(&h.Fall, 1, healthStreakMax),
	})
	if !ok {
		return nil
	}
	if n.get("type") == nil {
		d.wrong(n, "does not say how to check; add `type: tcp`, `type: http` or `type: websocket`")
	}
	if path := n.get("path"); path != nil && h.Type == "tcp" {
		d.wrong(path, "means nothing with type: tcp, which only connects; remove it, or write type: http")
	}
	return h
}

// healthPath takes a path and perhaps a query, and makes both what is sent.
func (d *decoder) healthPath(n *node, to *string) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	path, query, asks := strings.Cut(s, "?")
	switch {
	case len(s) > pathBytesMax:
		d.wrong(n, "has %d bytes; at most %d are allowed", len(s), pathBytesMax)
		return
	case strings.Contains(s, "#"):
		d.wrong(n, "a fragment is never sent; remove it from the #, or write %%23")
		return
	case strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		d.wrong(n, "the query must be percent-encoded: no spaces, and ASCII only")
		return
	}
	normal, err := normalPath(path)
	if err != nil {
		d.wrong(n, "%v", err)
		return
	}
	if *to = normal; asks {
		*to += "?" + query
	}
}
