package configs

import (
	"slices"
	"testing"
)

func TestEndpointRoutes(t *testing.T) {
	c := mustParse(t, `
listeners: [{address: ":80"}]
tunnel: {message_bytes: 16MiB}
routes:
  - {path: /vnc, mode: endpoint, to: "tcp://[::1]:5900"}
  - {path: /mqtt, mode: endpoint, to: "TCP://broker:1883/", frame_type: binary, subprotocols: [mqtt], tunnel: {frame_bytes: 1KiB}}
  - {suffix: .ws3, mode: endpoint, upstream: u, subprotocols: []}
  - {path: /, to: "ws://b"}
upstreams: {u: {servers: [{url: "tcp://h:1"}, {socket: /s}]}}
`)
	for i, want := range []struct {
		frameType    string
		subprotocols []string
		target       string
		message      int
		frame        int
	}{
		{"text", []string{"binary", "base64"}, "tcp://[::1]:5900", 16 << 20, 0},
		{"binary", []string{"mqtt"}, "tcp://broker:1883", 16 << 20, 1 << 10},
		{"text", nil, "", 16 << 20, 0},
		{"", nil, "ws://b", 16 << 20, 0},
	} {
		r := c.Routes[i]
		target := ""
		if r.To != nil {
			target = r.To.String()
		}
		if r.FrameType != want.frameType || !slices.Equal(r.Subprotocols, want.subprotocols) || target != want.target ||
			r.Tunnel.MessageBytes != want.message || r.Tunnel.FrameBytes != want.frame {
			t.Errorf("route %d: %+v to %s, want %+v", i, r, target, want)
		}
	}
	if server := c.Upstreams[0].Servers[0].Target; server.Scheme != "tcp" || server.Address != "h:1" {
		t.Errorf("server %+v", server)
	}
}

func TestEndpointWarnings(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"async": {
			`routes: [{path: /, mode: endpoint, to: "tcp://b:1", tunnel: {async: off}}]`,
			"10: warning: routes[0]: async has no effect with mode: endpoint: event loops serve it",
		},
		"warm": {
			"routes: [{path: /, mode: endpoint, upstream: u}]\nupstreams: {u: {warm: 2, servers: [{url: \"tcp://b:1\"}]}}",
			"",
		},
		"bounds of a tunnel": {
			`routes: [{path: /, to: "ws://b", tunnel: {frame_bytes: 1}}]`,
			"56: warning: routes[0].tunnel.frame_bytes: has no effect without mode: endpoint: " +
				"what passes through a tunnel is not bounded",
		},
		"no bounds of a tunnel": {`routes: [{path: /, to: "ws://b", tunnel: {frame_bytes: 0}}]`, ""},
		"bounds of all tunnels": {
			"routes: [{path: /, to: \"ws://b\"}]\ntunnel: {message_bytes: 1}",
			"3:25: warning: tunnel.message_bytes: has no effect without mode: endpoint: " +
				"what passes through a tunnel is not bounded",
		},
		"servers of WebSocket": {
			"routes: [{path: /, mode: endpoint, upstream: u}]\nupstreams: {u: {servers: [{url: \"ws://b\"}, {socket: /s}]}}",
			"46: warning: routes[0].upstream: ws://b in line 3 is to get the bytes of the messages and no request; " +
				"if it speaks no WebSocket, write tcp://",
		},
		"a later tunnel is never reached": {
			`routes: [{path: /, mode: endpoint, to: "tcp://b:1"}, {path: /a, to: "ws://b"}]`,
			"54: warning: routes[1]: never reached: routes[0] in line 2 takes /a first; put it below",
		},
		"ordinary requests pass by": {
			`routes: [{path: /, mode: endpoint, to: "tcp://b:1"}, {path: /, to: "http://b"}]`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := warningsOf(t, "listeners: [{address: \":80\"}]\n"+test.file+"\n"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTCPServerOfATunnel(t *testing.T) {
	errorCase{
		"listeners: [{address: \":80\"}]\nroutes: [{path: /, upstream: u}]\nupstreams: {u: {servers: [{url: \"tcp://h:1\"}]}}\n",
		"2:30: routes[0].upstream: tcp://h:1 in line 3 speaks no HTTP; write ws:// or http:// there, or mode: endpoint here",
	}.test(t)
}
