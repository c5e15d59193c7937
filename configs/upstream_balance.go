package configs

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// balances are the names of the ways to choose a server; fair is lighttpd's
// name of the first.
var balances = []string{
	"least_connection", "round_robin", "hash", "sticky", "by_traffic", "random_two", "lighttpd_hash", "lighttpd_sticky",
}

// balance also takes lighttpd's name of the default.
func (d *decoder) balance(to *string) decode {
	read := d.enum(to, balances)
	return func(n *node) {
		if isText("fair")(n) {
			*to = "least_connection"
			return
		}
		read(n)
	}
}

func (d *decoder) stickyCookie(n *node, to *StickyCookie) {
	ok := d.mapping(n, map[string]decode{
		"name": func(n *node) {
			if isText("")(n) {
				return
			}
			switch s, ok := d.text(n); {
			case !ok:
			case !isToken(s) || len(s) > nameBytesMax:
				d.wrong(n, "must be the name of a cookie, but this is %s", quote(s))
			default:
				to.Name = s
			}
		},
		"insert": d.boolean(&to.Insert),
	})
	if insert := n.get("insert"); ok && to.Insert && (n.get("name") == nil || isText("")(n.get("name"))) {
		d.wrong(insert, "the cookie needs a name; add `name: wsplice_route`")
	}
}

func (d *decoder) resolveInterval(to *time.Duration) decode {
	return func(n *node) {
		value := *to
		d.duration(&value, 0, durationMax, 1)(n)
		if value != 0 && value < resolveIntervalMin {
			d.wrong(n, "must be at least %v, or 0 for only at the start, but this is %s", resolveIntervalMin, n.text)
			return
		}
		*to = value
	}
}

func (d *decoder) source(n *node, to *[]netip.Addr) {
	d.list(n, sourcesMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		addr, err := netip.ParseAddr(s)
		addr = addr.Unmap()
		switch {
		case err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast():
			d.wrong(n, "must be an IP address of this machine, but this is %s", quote(s))
		case slices.Contains(*to, addr):
			d.wrong(n, "%v stands twice; remove one", addr)
		default:
			*to = append(*to, addr)
		}
	})
}

// upstreamShape reports settings that cannot work together.
func (d *decoder) upstreamShape(n *node, u *Upstream) {
	routed, used := 0, 0
	for _, s := range u.Servers {
		if s.Route != "" {
			routed++
		}
		if s.Status != "disabled" && s.Status != "drain" {
			used++
		}
		if s.Weight != 1 && strings.HasPrefix(u.Balance, "lighttpd_") {
			d.warn(s.Pos, "%s: %s has a weight, which means nothing with balance: %s", n.path(), s.Target, u.Balance)
		}
	}
	d.upstreamTLS(n, u)
	cookie := n.get("sticky_cookie")
	switch {
	case len(u.Servers) == 0 || u.Cookie.Name == "":
	case u.Cookie.Insert && routed < len(u.Servers):
		d.wrong(cookie, "insert sets the cookie to the server's route, so every server needs one; add `route: a` and so on")
	case routed == 0:
		d.warn(cookie.Pos, "%s: names a server by its route, but no server has one; add `route: a` and so on", cookie.path())
	}
	if len(u.Servers) > 0 && used == 0 {
		d.warn(u.Pos, "%s: every server is disabled or drains: new clients get 503", n.path())
	}
}
