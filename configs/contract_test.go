package configs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The complete vocabulary of the file. Each line is a section, in flow style
// and with %s where the keys go, and then one `key: value` per line with a
// value that is not what is in force without the key. A line that begins with
// "later " is refused for now, saying so.
var contract = []struct{ section, keys string }{
	{"%s", `
loops: 2
engine: epoll
engine: io_uring
pin_cpus: on
trusted_networks: [10.0.0.0/8]`},
	{"log: {%s}", `
level: debug
format: json
tunnels: off`},
	{"admin: {%s}", `
address: unix:/run/admin.sock
token_file: f.yaml`},
	{"limits: {%s}", `
tunnels: 1
tunnels_per_ip: 1
handshakes_per_second: 1
head_bytes: 8KiB
pipes: 1
parked_bytes: 8KiB`},
	{"timeouts: {%s}", `
head: 1s
dial: 1s
upgrade: 1s
drain: 0s`},
	{"tunnel: {%s}", tunnelKeys},
	{"tcp: {%s}", `
keepalive: 1s
user_timeout: 1s`},
	{"listeners: [{address: \"unix:/s\", %s}]", `
mode: "0660"
owner: root
group: root
proxy_protocol: optional
proxy_protocol: required
tls: {certificates: [{cert: c.pem, key: k.pem}]}`},
	{"listeners: [{address: \"unix:/s\", tls: {certificates: [{cert: c.pem, key: k.pem}], client_ca: c.pem, %s}}]", `
min_version: "1.3"
later kernel: on
subject_header: X-Client-Subject
fingerprint_header: X-Client-Fingerprint`},
	{"listeners: [{address: \":80\", %s}]", `
defer_accept: on`},
	{"routes: [{path: /, to: \"ws://b\", %s}]", `
hosts: [example.com, "*.example.com"]
headers: {Upgrade: "(?i)websocket"}
upgrade: [h2c, websocket]
upgrade: any
upgrade: none
mode: tunnel
mode: http
origins: [a.test]
handshake: lenient
preserve_host: on
request_headers: {set: {X-Site: a}, remove: [X-Debug]}`},
	{"routes: [{path: /, to: \"ws://b\", tunnel: {%s}}]", tunnelKeys},
	{"routes: [{%s}]", `
path: /, mode: deny
path: /, to: "http://b", upgrade: []
regex: ^/(myApp/ws)$, to: "ws://b/$1"
regex: "^/x[?](.*)", to: "ws://b/elsewhere?$1"
suffix: .ws, to: "ws://b/"
regex: ^/(a), upstream: base, rewrite: /$1`},
	{"routes: [{path: /, to: \"tcp://b:1\", mode: endpoint, %s}]", `
frame_type: binary
subprotocols: [mqtt]
subprotocols: []
deflate: on
deflate: off
origins: [a.test]
upgrade: websocket`},
	{"routes: [{path: /, to: \"tcp://b:1\", mode: endpoint, tunnel: {%s}}]", `
message_bytes: 1
frame_bytes: 1
message_bytes: 16MiB, frame_bytes: 1MiB`},
	{"routes: [{path: /, %s}]", `
mode: endpoint, to: "tcp://b:1"
mode: endpoint, to: unix:/s
mode: endpoint, upstream: base
to: "ws://b"
to: "http://b"
to: unix:/s
to: unix:/s|ws://b
to: unix:/s|http://b
to: "wss://b"
to: "https://b"
upstream: base
upstream: base, rewrite: /x`},
	{"upstreams: {base: {servers: [{socket: /s}]}, u: {servers: [{socket: /s}], %s}}", `
balance: round_robin
balance: fair
balance: hash
balance: sticky
balance: by_traffic
balance: random_two
balance: lighttpd_hash
balance: lighttpd_sticky
sticky_cookie: {name: "x", insert: false}
disable_time: 2s
retries: 6
slow_start: 1s
resolve_interval: 1m
source: [10.0.0.1]
warm: 1
health: {type: websocket, path: /health, interval: 5s, timeout: 2s, rise: 1, fall: 2}
health: {type: tcp}
health: {type: http, path: "/?q"}`},
	{"upstreams: {base: {servers: [{socket: /s}]}, u: {servers: [{url: \"wss://b\"}], %s}}", `
tls: {ca: c.pem, server_name: "", insecure: false, cert: c.pem, key: k.pem}
tls: {server_name: b.test}
tls: {insecure: on}`},
	{"upstreams: {u: {servers: [{socket: /s, route: a}], sticky_cookie: {name: x, %s}}}", `
insert: on`},
	{"upstreams: {base: {servers: [{socket: /s}]}, u: {servers: [{socket: /s}], health: {%s}}}", `
type: tcp
type: http, path: /x
type: websocket, interval: 1s
type: websocket, timeout: 1s
type: websocket, rise: 2
type: websocket, fall: 3`},
	{"upstreams: {base: {servers: [{socket: /s}]}, u: {servers: [{%s}]}}", `
url: "ws://b"
url: "http://b"
url: "tcp://b:1"
socket: /s
url: "ws://b", weight: 2
url: "ws://b", route: a
url: "ws://b", set: 1
url: "ws://b", status: standby
url: "ws://b", status: spare
url: "ws://b", status: drain
url: "ws://b", status: disabled
command: [/bin/sh, -c, exit]
url: "ws://b:9000", command: [/bin/sh]
socket: /s, command: [/bin/sh]
min_procs: 0, command: [/bin/sh]
max_procs: 1, command: [/bin/sh]
max_load_per_proc: 5, command: [/bin/sh]
idle_timeout: 0s, command: [/bin/sh]
environment: {MODE: prod, NONE: ""}, command: [/bin/sh]
copy_environment: [PATH], command: [/bin/sh]
copy_environment: [], command: [/bin/sh]
listen_backlog: 16, command: [/bin/sh]
kill_signal: SIGQUIT, command: [/bin/sh]
socket_activation: systemd, command: [/bin/sh]`},
}

const tunnelKeys = `
async: off
async_delay: 1s
idle_timeout: 1s
lifetime: 1s
half_close_timeout: 1s
frames: always
frames: off
ping_interval: 1s
pong_timeout: 1s
ping_interval: 2s, pong_timeout: 1s
message_bytes: 1
frame_bytes: 1`

// withDefaults adds what a file needs besides the section under test.
func withDefaults(section string) string {
	for _, line := range []string{
		`listeners: [{address: ":8080"}]`,
		`routes: [{path: /, to: "ws://b"}]`,
		`upstreams: {base: {servers: [{socket: /s}]}}`,
	} {
		if key, _, _ := strings.Cut(line, ":"); !strings.HasPrefix(section, key) {
			section += "\n" + line
		}
	}
	return section + "\n"
}

// TestEveryKeyWorksOrSaysNotYet holds the promise that no key is ignored in
// silence: it changes the configuration, or it is an error.
func TestEveryKeyWorksOrSaysNotYet(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("f.yaml", []byte("a token"), 0o600); err != nil {
		t.Fatal(err)
	}
	writePair(t, "c.pem", "k.pem")
	for _, c := range contract {
		for line := range strings.SplitSeq(strings.TrimSpace(c.keys), "\n") {
			key, later := strings.CutPrefix(line, "later ")
			text := withDefaults(strings.Replace(c.section, "%s", key, 1))
			_, _, err := Parse("f.yaml", []byte(text))
			switch {
			case !later && err != nil:
				t.Errorf("%s\nis refused: %v", text, err)
			case later && !isNotYet(err):
				t.Errorf("%s\nneeds the one error that it is not supported yet, but got: %v", text, err)
			}
		}
	}
}

// isNotYet reports the one error that something is not supported yet.
func isNotYet(err error) bool {
	var all Errors
	return errors.As(err, &all) && len(all) == 1 && strings.Contains(all[0].Text, "not supported yet")
}

// TestValuesInForceAreAccepted gives keys, also those that do not work yet, the
// values that describe what happens without them.
func TestValuesInForceAreAccepted(t *testing.T) {
	got := mustParse(t, `
engine: auto
trusted_networks: []
limits: {tunnels_per_ip: 0, handshakes_per_second: 0}
tunnel: {async: on, async_delay: 0s, lifetime: 0, frames: auto, ping_interval: 0ms, pong_timeout: 0s,
  message_bytes: 0, frame_bytes: 0KiB}
listeners: [{address: ":8080", proxy_protocol: off, defer_accept: false}]
routes:
  - {path: /, upstream: u, upgrade: WebSocket, mode: tunnel, headers: {}, subprotocols: [], deflate: off,
     handshake: strict, origins: [], request_headers: {set: {}, remove: []}, tunnel: {async: true}}
upstreams:
  u:
    balance: least_connection
    sticky_cookie: {name: "", insert: false}
    servers: [{url: ws://10.0.0.1:9000, weight: 1, route: "", set: 0, status: ""}]
    disable_time: 0s
    slow_start: 0s
    source: []
    warm: 0
`)
	want := defaults()
	want.Listeners, want.Routes, want.Upstreams, want.Admin.Pos = got.Listeners, got.Routes, got.Upstreams, got.Admin.Pos
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestExampleShowsDefaults holds that the sections at the top of example.yaml
// state the defaults, each of them.
func TestExampleShowsDefaults(t *testing.T) {
	got, warnings, err := Parse("example.yaml", Example())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	want := defaults()
	want.Listeners, want.Routes, want.Upstreams, want.Admin.Pos = got.Listeners, got.Routes, got.Upstreams, got.Admin.Pos
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestExampleShowsEveryKey holds that each key that works stands in
// example.yaml, if only in a comment.
func TestExampleShowsEveryKey(t *testing.T) {
	word := regexp.MustCompile(`^\w+`)
	for _, c := range contract {
		works := map[string]bool{}
		for line := range strings.SplitSeq(strings.TrimSpace(c.keys), "\n") {
			if !strings.HasPrefix(line, "later ") {
				works[word.FindString(line)] = true
			}
		}
		for key := range works {
			if !regexp.MustCompile(`(?m)(^|[\s{-])` + key + `: `).Match(Example()) {
				t.Errorf("example.yaml does not show %s (in %s)", key, c.section)
			}
		}
	}
}

func TestExampleIsACopy(t *testing.T) {
	clear(Example())
	if bytes.IndexByte(Example(), 0) >= 0 {
		t.Error("writing to the result changed the embedded file")
	}
}

func TestDemo(t *testing.T) {
	c := Demo()
	if len(c.Listeners) != 1 || c.Listeners[0].Address != "127.0.0.1:8080" || c.Admin.Address != "127.0.0.1:9180" {
		t.Errorf("the demo listens on %v and %v", c.Listeners, c.Admin)
	}
	if len(c.Routes) != 1 || c.Routes[0].To == nil {
		t.Errorf("the demo has the routes %+v", c.Routes)
	}
}

// FuzzParse holds that no input panics, that every error has a position in
// the file, that errors come in order, and that a file is either refused or
// complete.
func FuzzParse(f *testing.F) {
	f.Add(Example())
	f.Add(demoYAML)
	f.Add([]byte(minimal))
	for _, c := range contract {
		for line := range strings.SplitSeq(strings.TrimSpace(c.keys), "\n") {
			f.Add([]byte(withDefaults(strings.Replace(c.section, "%s", strings.TrimPrefix(line, "later "), 1))))
		}
	}
	for _, odd := range []string{
		"a: &x 1", "? a", "- - -", "a: !t", "<<: *x", "--- |\n x", "{", "\"\\", "%YAML 1.2\n---\n", "a:\n\t- b",
	} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := Parse("f.yaml", data)
		lines := 1 + bytes.Count(data, []byte{'\n'}) + bytes.Count(data, []byte{'\r'})
		var all Errors
		switch {
		case err == nil:
			checkComplete(t, c)
		case errors.As(err, &all):
			checkPositions(t, all, lines)
		default:
			t.Errorf("an error of type %T", err)
		}
		for _, w := range warnings {
			if w.File != "f.yaml" || w.Line < 1 || w.Column < 1 {
				t.Errorf("no position: %v", w)
			}
		}
	})
}

func checkPositions(t *testing.T, all Errors, lines int) {
	if len(all) == 0 {
		t.Fatal("an empty list of errors")
	}
	for _, e := range all {
		if e.File != "f.yaml" || e.Line < 1 || e.Line > lines || e.Column < 1 || e.Text == "" {
			t.Errorf("no position in a file of %d lines, or no text: %v", lines, e)
		}
		if strings.ContainsFunc(e.Text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control characters in %q", e.Text)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b *Error) int { return a.compare(b.Pos) }) {
		t.Errorf("not sorted: %v", all)
	}
}

// checkComplete holds what readers of a Config rely on.
func checkComplete(t *testing.T, c *Config) {
	if len(c.Listeners) == 0 || len(c.Routes) == 0 || c.Limits.HeadBytes <= 0 || c.Limits.ParkedBytes <= 0 ||
		c.Timeouts.Head <= 0 || c.Timeouts.Dial <= 0 || c.Timeouts.Upgrade <= 0 {
		t.Errorf("incomplete: %+v", c)
	}
	for i := range c.Routes {
		checkRoute(t, &c.Routes[i])
	}
	for _, u := range c.Upstreams {
		for _, s := range u.Servers {
			if u.Health != nil && !sound(u.Health) || u.Warm < 0 || u.Warm > warmMax {
				t.Errorf("incomplete: %+v", u)
			}
			if s.Target.Address == "" && s.Spawn == nil || s.Target.Path != "" || s.Target.Query != "" {
				t.Errorf("incomplete: %+v", s)
			}
			checkSpawned(t, s.Spawn)
		}
	}
}

func sound(h *Health) bool {
	return slices.Contains([]string{"tcp", "http", "websocket"}, h.Type) && strings.HasPrefix(h.Path, "/") &&
		!strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) &&
		h.Interval > 0 && h.Timeout > 0 && h.Rise > 0 && h.Fall > 0
}

func checkSpawned(t *testing.T, s *Spawn) {
	if s != nil && (len(s.Command) == 0 || !filepath.IsAbs(s.Command[0]) || s.MaxProcs < 1 || s.MinProcs > s.MaxProcs ||
		s.MaxLoad < 1 || s.ListenBacklog < 1 || s.KillSignal == 0) {
		t.Errorf("incomplete: %+v", s)
	}
}

func checkRoute(t *testing.T, r *Route) {
	matches := 0
	for _, one := range []bool{strings.HasPrefix(r.Path, "/"), r.Regex != nil, r.Suffix != ""} {
		if one {
			matches++
		}
	}
	ends := (r.To != nil) != (r.Upstream != "")
	if matches != 1 || ends == (r.Mode == "deny") || !slices.Contains(modes, r.Mode) {
		t.Errorf("incomplete: %+v", r)
	}
	if r.Mode == "tunnel" && r.Upgrade.empty() || r.Mode == "deny" && !r.Upgrade.empty() || r.Mode == "http" && r.Upgrade.None {
		t.Errorf("mode %s with %+v", r.Mode, r.Upgrade)
	}
	if (r.Mode == endpointMode) != (r.FrameType != "") || r.Mode != endpointMode && (r.Subprotocols != nil || r.Deflate) ||
		r.To != nil && (r.To.Scheme == "tcp") && r.Mode != endpointMode {
		t.Errorf("mode %s with %+v", r.Mode, r)
	}
	if r.Tunnel.Frames == "off" && r.Tunnel.PingInterval > 0 {
		t.Errorf("pings without frames: %+v", r.Tunnel)
	}
	checkTemplate(t, r)
	for _, set := range r.RequestHeaders.Set {
		if !isToken(set.Name) || strings.ContainsFunc(set.Value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			t.Errorf("the header %+v", set)
		}
	}
}

// checkTemplate holds that groups stand only where expanding them can work.
func checkTemplate(t *testing.T, r *Route) {
	if r.Regex == nil {
		if r.To != nil && r.To.Query != "" {
			t.Errorf("a query without a regex: %+v", r.To)
		}
		return
	}
	template := r.Rewrite
	if r.To != nil {
		template = r.To.Path + "?" + r.To.Query
		if strings.Contains(r.To.Address+r.To.Host, "$") {
			t.Errorf("a group chooses the server: %+v", r.To)
		}
	}
	for _, after := range strings.Split(template, "$")[1:] {
		if after == "" || after[0] < '0' || int(after[0]-'0') > min(9, r.Regex.NumSubexp()) {
			t.Errorf("a bad group in %q of %v", template, r.Regex)
		}
	}
}
