package configs

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	const (
		second = "routes[1]: never reached: routes[0] in line 2 takes /a"
		slash  = " end both in a slash, or neither"
	)
	tests := map[string]struct{ routes, want string }{
		"same path":             {`{path: /a, to: "ws://b"}, {path: /a, to: "ws://c"}`, "36: " + second + " first; put it below"},
		"longer path":           {`{path: /a/, to: "ws://b"}, {path: /a/b, to: "ws://c"}`, "37: " + second + "/b first; put it below"},
		"other segment":         {`{path: /a, to: "ws://b"}, {path: /ab, to: "ws://c"}`, ""},
		"slash decides":         {`{path: /a/, to: "ws://b"}, {path: /a, to: "ws://c"}`, ""},
		"narrower host first":   {`{path: /a, hosts: [h], to: "ws://b"}, {path: /a, to: "ws://c"}`, ""},
		"wild does not cover h": {`{path: /a, hosts: ["*.h"], to: "ws://b"}, {path: /a, hosts: [h], to: "ws://c"}`, ""},
		"wider host first": {
			`{path: /a, hosts: ["*.h"], to: "ws://b"}, {path: /a, hosts: [x.h, y.h], to: "ws://c"}`,
			"52: " + second + " first; put it below",
		},
		"base without slash": {
			`{path: /a/, to: "ws://b/x"}`,
			"26: routes[0].to: /a/ ends in a slash and /x does not: a request for /a/c becomes /xc;" + slash,
		},
		"base with slash": {
			`{path: /a, to: "ws://b/x/"}`,
			"25: routes[0].to: /x/ ends in a slash and /a does not: a request for /a/c becomes /x//c;" + slash,
		},
		"no base": {`{path: /a/, to: "ws://b"}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := warningsOf(t, "listeners: [{address: \":80\"}]\nroutes: ["+test.routes+"]\n")
			if got != strings.Replace(test.want, ": ", ": warning: ", 1) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// warningsOf returns the warnings of a file that has no errors, in one line
// and without the file's name and line 2.
func warningsOf(t *testing.T, text string) string {
	t.Helper()
	_, warnings, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, w := range warnings {
		got += strings.TrimPrefix(strings.TrimPrefix(w.String(), "f.yaml:"), "2:")
	}
	return got
}

// TestUnreachableRoutes asks of pairs of routes whether the second one is
// never reached.
func TestUnreachableRoutes(t *testing.T) {
	const ws, http, deny = `to: "ws://b"`, `to: "http://b"`, `mode: deny`
	tests := []struct {
		first, second string
		never         bool
	}{
		// What each mode lets pass.
		{"path: /, " + ws, "path: /, " + http, false}, // Apache's pair
		{"path: /, " + ws, "path: /, " + deny, false},
		{"path: /, " + http, "path: /, " + ws, true},
		{"path: /, " + http, "path: /, " + deny, true},
		{"path: /, upgrade: [], " + http, "path: /, " + ws, true},
		{"path: /a, " + deny, "path: /a/b, " + ws, true},
		{"path: /a/b, " + deny, "path: /a, " + ws, false},
		// Which upgrades a tunnel route takes.
		{"path: /, upgrade: any, " + ws, "path: /, " + ws, true},
		{"path: /, " + ws, "path: /, upgrade: any, " + ws, false},
		{"path: /, upgrade: any, " + ws, "path: /, upgrade: any, " + ws, true},
		{"path: /, upgrade: [H2C, websocket], " + ws, "path: /, upgrade: [h2c], " + ws, true},
		{"path: /, upgrade: [h2c], " + ws, "path: /, upgrade: [h2c, websocket], " + ws, false},
		{"path: /, upgrade: [foo], " + ws, "path: /, upgrade: [foo/2], " + ws, false},
		{"path: /, upgrade: none, " + ws, "path: /, " + ws, true},
		{"path: /, upgrade: none, " + ws, "path: /, upgrade: [h2c], " + ws, false},
		{"path: /, upgrade: none, " + ws, "path: /, " + http, false},
		{"path: /, " + ws, "path: /, upgrade: none, " + ws, false},
		{"path: /, upgrade: any, " + ws, "path: /, upgrade: none, " + ws, false},
		// The kinds of match.
		{"path: /, " + ws, "regex: ^/a, " + ws, true},
		{"path: /, " + ws, "suffix: .ws, " + ws, true},
		{"path: /a, " + ws, "regex: ^/a, " + ws, false},
		{"path: /a, " + ws, "suffix: a, " + ws, false},
		{"regex: ^/a, " + ws, "regex: ^/a, " + ws, true},
		{"regex: ^/a, " + ws, "regex: ^/ab, " + ws, false}, // true, but not to be told in general
		{"regex: ^/a, " + ws, "path: /a, " + ws, false},
		{"suffix: .ws, " + ws, "suffix: a.ws, " + ws, true},
		{"suffix: a.ws, " + ws, "suffix: .ws, " + ws, false},
		{"suffix: .ws, " + ws, "path: /a.ws, " + ws, false},
		// Conditions.
		{"path: /, headers: {X: a}, " + deny, "path: /, " + ws, false},
		{"path: /, " + deny, "path: /, headers: {X: a}, " + ws, true},
		{"path: /, headers: {X: a}, " + deny, "path: /, headers: {Y: b, x: a}, " + ws, true},
		{"path: /, headers: {X: a}, " + deny, "path: /, headers: {X: b}, " + ws, false},
		{"path: /, hosts: [h], " + deny, "regex: a, " + ws, false},
		{"path: /, hosts: [h], " + deny, "regex: a, hosts: [h], " + ws, true},
	}
	for _, test := range tests {
		text := "listeners: [{address: \":80\"}]\nroutes:\n- {" + test.first + "}\n- {" + test.second + "}\n"
		if got := strings.Contains(warningsOf(t, text), "never reached"); got != test.never {
			t.Errorf("%s\n%s\nnever reached: %t", test.first, test.second, got)
		}
	}
}

// TestDoubts has the other warnings: what works, but not as it looks.
func TestDoubts(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"host bits": {
			"trusted_networks: [10.0.0.1/8]",
			`3:20: warning: trusted_networks[0]: "10.0.0.1/8" has bits behind the prefix; it stands for 10.0.0.0/8`,
		},
		"everybody": {
			"trusted_networks: ['::/0']",
			`3:20: warning: trusted_networks[0]: "::/0" believes every client what it says about its own address`,
		},
		"pong without ping": {
			"tunnel: {pong_timeout: 1s}",
			"3:24: warning: tunnel.pong_timeout: pong_timeout without ping_interval has no effect: there is no ping to answer",
		},
		"delay without async": {
			"tunnel: {async: off, async_delay: 1s}",
			"3:35: warning: tunnel.async_delay: async_delay has no effect with async: off, which never goes back to the poller",
		},
		"more per address than in all": {
			"limits: {tunnels: 5, tunnels_per_ip: 6}",
			"3:38: warning: limits.tunnels_per_ip: 6 has no effect: limits.tunnels allows 5 in all",
		},
		"frames off": {"tunnel: {frames: off}", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := warningsOf(t, minimal+test.line+"\n"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestDoubtsOfRoutes(t *testing.T) {
	const inherited = "tunnel: {ping_interval: 9s, pong_timeout: 9s, async_delay: 9s}\n"
	tests := map[string]struct{ route, want string }{
		"upgrade none": {
			`path: /, to: "ws://b", upgrade: none`,
			"43: warning: routes[0].upgrade: none asks the backend for a WebSocket although the client did not; " +
				"only a client that expects this can use the route",
		},
		"slash before a whole path": {
			`regex: x, to: "ws://b/y/"`,
			"25: warning: routes[0].to: /y/ ends in a slash: a request for /c becomes /y//c; remove the slash",
		},
		"slash before a group": {`regex: (x), to: "ws://b/y/?$1"`, ""},
		"variable": {
			`path: /, to: "ws://b", request_headers: {set: {X-A: "%{REMOTE_ADDR}s"}}`,
			`63: warning: routes[0].request_headers.set.X-A: "%{REMOTE_ADDR}s" is sent as it stands: there are no variables`,
		},
		"no variable": {`path: /, to: "ws://b", request_headers: {set: {X-A: "5$ 10%"}}`, ""},
		"nothing to upgrade": {
			`path: /, to: "http://b", upgrade: [], origins: [a]`,
			"58: warning: routes[0].origins: has no effect with upgrade: [], since it concerns upgrades only",
		},
		"ping off, pong inherited":   {`path: /, to: "ws://b", tunnel: {ping_interval: 0}`, ""},
		"async off, delay inherited": {`path: /, to: "ws://b", tunnel: {async: off}`, ""},
		"nothing overridden":         {`path: /, to: "ws://b", tunnel: {idle_timeout: 5s}`, ""},
		"mode of an upstream": {
			`path: /, upstream: h`,
			"30: warning: routes[0].upstream: the servers of h are http://, but a route without mode takes upgrades only; " +
				"write mode: http or mode: tunnel",
		},
		"mode of an upstream given": {`path: /, upstream: h, mode: tunnel`, ""},
		"two schemes":               {`path: /, upstream: both`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := warningsOf(t, inherited+"routes: [{"+test.route+"}]\nlisteners: [{address: ':80'}]\n"+
				"upstreams: {h: {servers: [{url: http://b}]}, both: {servers: [{url: http://b}, {url: ws://c}]}}\n")
			for _, unused := range []string{
				"4:13: warning: upstreams.h: no route uses it", "4:46: warning: upstreams.both: no route uses it",
			} {
				got = strings.Replace(got, unused, "", 1)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
