package configs

import (
	"errors"
	"slices"
	"strings"
)

// endpointMode is for routes that end the WebSocket: their backends get what is in
// the messages.
const endpointMode = "endpoint"

// subprotocolsDefault is what endpoint routes accept: what lighttpd's mod_wstunnel
// and websockify do.
var subprotocolsDefault = []string{"binary", "base64"}

// subprotocols reads what an endpoint accepts. Case matters (RFC 6455 section
// 4.1).
func (d *decoder) subprotocols(n *node, to *[]string) {
	names := []string{}
	d.list(n, subprotocolsMax, func(n *node) {
		s, ok := d.text(n)
		switch {
		case !ok:
		case !isToken(s) || len(s) > subprotocolBytesMax:
			d.wrong(n, "must be a name such as binary or v12.stomp, but this is %s", quote(s))
		case slices.Contains(names, s):
			d.wrong(n, "%s stands twice; remove one", quote(s))
		default:
			names = append(names, s)
		}
	})
	*to = names
}

// endpointShape settles an endpoint route, and reports what means nothing there.
func (d *decoder) endpointShape(n *node, r *Route, c *Config) {
	if r.FrameType == "" {
		r.FrameType = "text"
	}
	if n.get("subprotocols") == nil {
		r.Subprotocols = subprotocolsDefault
	}
	if to := n.get("to"); to != nil && r.To != nil && r.To.Scheme != "tcp" && r.To.Scheme != "" {
		d.wrong(to, "the backend of an endpoint gets the bytes of the messages and no request; "+
			"write tcp://host:port or unix:/path, or mode: tunnel")
	}
	for _, key := range []string{"rewrite", "preserve_host", "request_headers"} {
		if value := n.get(key); value != nil {
			d.wrong(value, "means nothing with mode: endpoint, whose backend gets no request; remove the key")
		}
	}
	plain := !r.Upgrade.Any && !r.Upgrade.None && slices.Equal(r.Upgrade.Protocols, []string{websocket})
	if value := n.get("upgrade"); value != nil && !plain {
		d.wrong(value, "an endpoint speaks websocket and nothing else; remove the key")
	}
	for _, s := range serversOf(r, c) {
		if s.Target.Scheme != "tcp" && s.Target.Scheme != "" {
			d.warn(n.get("upstream").Pos, "%s: %s in line %d is to get the bytes of the messages and no request; "+
				"if it speaks no WebSocket, write tcp://", n.get("upstream").path(), s.Target, s.Pos.Line)
		}
	}
	if !r.Tunnel.Async || r.Tunnel.AsyncDelay > 0 {
		d.warn(n.Pos, "%s: async has no effect with mode: endpoint: event loops serve it", n.path())
	}
}

// noEndpoint reports what only an endpoint route can have.
func (d *decoder) noEndpoint(n *node, r *Route, c *Config) {
	for _, key := range []string{"frame_type", "subprotocols"} {
		if value := n.get(key); value != nil && !isEmpty(value) {
			d.wrong(value, "goes with mode: endpoint only; remove the key, or write mode: endpoint")
		}
	}
	if value := n.get("deflate"); value != nil && r.Deflate {
		d.wrong(value, "goes with mode: endpoint only, since a tunnel passes on what client and backend agree on; "+
			"remove the key, or write mode: endpoint")
	}
	if to := n.get("to"); to != nil && r.To != nil && r.To.Scheme == "tcp" {
		d.wrong(to, "tcp:// names a backend that speaks no HTTP; write ws:// or http://, or add mode: endpoint")
	}
	for _, s := range serversOf(r, c) {
		if s.Target.Scheme == "tcp" {
			d.wrong(n.get("upstream"), "%s in line %d speaks no HTTP; write ws:// or http:// there, or mode: endpoint here",
				s.Target, s.Pos.Line)
		}
	}
	if tunnel := n.get("tunnel"); tunnel != nil {
		d.messageBounds(tunnel)
	}
	r.Subprotocols = nil
}

// messageBounds warns of bounds where nothing is bounded.
func (d *decoder) messageBounds(tunnel *node) {
	for _, key := range []string{"message_bytes", "frame_bytes"} {
		if value := tunnel.get(key); value != nil && !isZeroSize(value) {
			d.warn(value.Pos, "%s: has no effect without mode: endpoint: what passes through a tunnel is not bounded", value.path())
		}
	}
}

// serversOf returns the servers of the route's upstream.
func serversOf(r *Route, c *Config) []Server {
	i := slices.IndexFunc(c.Upstreams, func(u Upstream) bool { return u.Name == r.Upstream })
	if i < 0 {
		return nil
	}
	return c.Upstreams[i].Servers
}

var (
	errTCPPath = errors.New("must not have a path: the backend gets no request; write tcp://host:port")
	errTCPPort = errors.New("has no port; write tcp://host:port")
)

// parseTCP reads what follows tcp://.
func parseTCP(authority, path string) (Target, error) {
	t := Target{Scheme: "tcp", Network: "tcp"}
	switch {
	case strings.Trim(path, "/") != "":
		return t, errTCPPath
	case !strings.Contains(authority[strings.LastIndexByte(authority, ']')+1:], ":"):
		return t, errTCPPort
	}
	var err error
	t.Address, _, err = parseAuthority(authority, "")
	t.Host = t.Address
	return t, err
}
