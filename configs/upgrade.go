package configs

import (
	"slices"
	"strings"
)

// websocket is the protocol of RFC 6455, and the default of every route.
const websocket = "websocket"

// upgrade takes websocket, any, none or a list of protocols. Case does not
// matter (RFC 9110 section 7.8); Apache's documents write ANY and NONE.
func (d *decoder) upgrade(n *node, to *Upgrade) {
	if n.kind == listNode {
		d.protocols(n, to)
		return
	}
	switch word := strings.ToLower(n.text); {
	case n.scalar() && word == websocket:
		*to = Upgrade{Protocols: []string{websocket}}
	case n.scalar() && word == "any":
		*to = Upgrade{Any: true}
	case n.scalar() && word == "none":
		*to = Upgrade{None: true}
	default:
		hint, names := "", strings.Fields(strings.ReplaceAll(n.text, ",", " "))
		if len(names) > 0 && !slices.ContainsFunc(names, notProtocol) {
			hint = "; write [" + strings.Join(names, ", ") + "]"
		}
		d.wrong(n, "must be websocket, any, none or a list of protocols, but this is %s%s", show(n), hint)
	}
}

// protocols reads a list of name or name/version.
func (d *decoder) protocols(n *node, to *Upgrade) {
	var names []string
	ok := d.list(n, protocolsMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		name := strings.ToLower(s)
		switch {
		case name == "any" || name == "none":
			d.wrong(n, "%s is not a protocol; write upgrade: %s, without a list", quote(s), name)
		case notProtocol(name):
			d.wrong(n, "must be a protocol such as websocket or name/version, but this is %s", quote(s))
		case slices.Contains(names, name):
			d.wrong(n, "%s stands twice; remove one", quote(s))
		default:
			names = append(names, name)
		}
	})
	if ok && (len(names) > 0 || len(n.items) == 0) {
		*to = Upgrade{Protocols: names}
	}
}

// notProtocol reports that s is not protocol-name ["/" protocol-version] of
// RFC 9110 section 7.8.
func notProtocol(s string) bool {
	name, version, versioned := strings.Cut(s, "/")
	return len(s) > protocolBytesMax || !isToken(name) || versioned && !isToken(version)
}

// modes are the values of mode. What each does with an upgrade:
//
//	tunnel    takes only upgrades that it accepts
//	endpoint  takes only upgrades to websocket, and answers them itself
//	http      takes every request, and opens tunnels for the upgrades it accepts
//	deny      takes every request and answers 403
var modes = []string{"tunnel", endpointMode, "http", "deny"}

// routeMode settles the mode of a route and what it means for the other keys.
//
// ws:// and http:// name the same thing on the wire, a plain TCP server that
// speaks HTTP/1.1, and Apache's users write both for a WebSocket server. So
// either scheme goes with either mode. The scheme decides only where mode is
// absent, which is how Apache's pair of / to ws:// and / to http:// works. A
// contradiction is an error: ws:// on a route that never opens a WebSocket.
func (d *decoder) routeMode(n *node, r *Route, c *Config) {
	to := n.get("to")
	if r.Mode == "" {
		r.Mode = "tunnel"
		if to != nil && strings.HasPrefix(schemeOf(to.text), "http") {
			r.Mode = "http"
		}
		d.modeOfUpstream(n, r, c)
	}
	switch r.Mode {
	case "deny":
		d.denies(n, r)
		return
	case endpointMode:
		d.endpointShape(n, r, c)
		return
	}
	d.noEndpoint(n, r, c)
	upgrade := n.get("upgrade")
	switch {
	case upgrade == nil || upgrade.kind == brokenNode:
	case r.Mode == "tunnel" && r.Upgrade.empty():
		d.wrong(upgrade, "a tunnel route without a protocol takes nothing; name one, or write mode: http")
	case r.Mode == "http" && r.Upgrade.None:
		d.wrong(upgrade, "none would make a WebSocket of every GET, and this route serves HTTP; "+
			"write mode: tunnel, or upgrade: websocket")
	case r.Mode == "http" && r.Upgrade.empty():
		d.neverUpgrades(n)
	case r.Upgrade.None:
		d.warn(upgrade.Pos, "%s: none asks the backend for a WebSocket although the client did not; "+
			"only a client that expects this can use the route", upgrade.path())
	}
}

// modeOfUpstream warns where servers of http:// suggest a mode that only to
// decides: servers may be written in both schemes.
func (d *decoder) modeOfUpstream(n *node, r *Route, c *Config) {
	i := slices.IndexFunc(c.Upstreams, func(u Upstream) bool { return u.Name == r.Upstream })
	if i < 0 || len(c.Upstreams[i].Servers) == 0 {
		return
	}
	notHTTP := func(s Server) bool { return !strings.HasPrefix(s.Target.Scheme, "http") }
	if !slices.ContainsFunc(c.Upstreams[i].Servers, notHTTP) {
		d.warn(n.get("upstream").Pos, "%s: the servers of %s are http://, but a route without mode takes upgrades only; "+
			"write mode: http or mode: tunnel", n.get("upstream").path(), r.Upstream)
	}
}

// denies reports what has no meaning on a route that answers 403. These are
// errors: `upgrade: websocket` there may have been meant as a condition.
func (d *decoder) denies(n *node, r *Route) {
	for _, key := range []string{
		"to", "upstream", "rewrite", "upgrade", "origins", "handshake", "preserve_host", "request_headers", "tunnel",
		"frame_type", "subprotocols",
	} {
		if value := n.get(key); value != nil {
			d.wrong(value, "means nothing with mode: deny, which answers 403 to all that the route matches; remove the key")
		}
	}
	if value := n.get("deflate"); value != nil && r.Deflate {
		d.wrong(value, "means nothing with mode: deny, which answers 403 to all that the route matches; remove the key")
	}
	r.Upgrade = Upgrade{}
}

// neverUpgrades reports what has no meaning on an http route with upgrade: [].
func (d *decoder) neverUpgrades(n *node) {
	if to := n.get("to"); to != nil && schemeOf(to.text) == "ws" {
		d.wrong(to, "ws:// names a WebSocket server, but upgrade: [] never opens a WebSocket; write http://, or remove upgrade")
	}
	for _, key := range []string{"origins", "handshake", "tunnel"} {
		if value := n.get(key); value != nil {
			d.warn(value.Pos, "%s: has no effect with upgrade: [], since it concerns upgrades only", value.path())
		}
	}
}

// schemeOf returns the scheme of a target, in lower case, also where the rest
// of it is broken.
func schemeOf(target string) string {
	if strings.HasPrefix(target, "unix:") {
		_, target, _ = strings.Cut(target, "|")
	}
	scheme, _, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}
	return strings.ToLower(scheme)
}
