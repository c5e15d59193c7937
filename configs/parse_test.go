package configs

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// minimal is the shortest file that is complete; tests put lines after it.
const minimal = `listeners: [{address: ":8080"}]
routes: [{path: /, to: "ws://b"}]
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, _, err := Parse("dir/f.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

func TestMinimalFileHasDefaults(t *testing.T) {
	got := mustParse(t, minimal)
	want := defaults()
	want.Listeners = []Listener{{Address: ":8080", ProxyProtocol: "off", Pos: Pos{"dir/f.yaml", 1, 23}}}
	want.Routes = []Route{{
		Path: "/", To: &Target{Scheme: "ws", Network: "tcp", Address: "b:80", Host: "b"},
		Mode: "tunnel", Upgrade: Upgrade{Protocols: []string{"websocket"}},
		Tunnel: want.Tunnel, Pos: Pos{"dir/f.yaml", 2, 10},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestEveryValueArrives gives every supported key a value that is not its
// default.
func TestEveryValueArrives(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `
loops: 3
engine: epoll
pin_cpus: on
log: {level: warn, format: json, tunnels: close}
admin: {address: "[::]:9", token_file: token}
limits: {tunnels: 7, tunnels_per_ip: 6, handshakes_per_second: 5, head_bytes: 1024, pipes: 8, parked_bytes: 1MiB}
timeouts: {head: 1s, dial: 2s, upgrade: 3s, drain: 0}
tunnel: {idle_timeout: 4s, half_close_timeout: 5s, async_delay: 1s, lifetime: 2s, frames: always,
  ping_interval: 3s, pong_timeout: 1s}
tcp: {keepalive: 6s, user_timeout: 1500ms}
trusted_networks: [10.1.0.0/16, "::1", 192.0.2.7, "::ffff:198.51.100.0/120"]
listeners:
  - {address: "10.0.0.1:80", defer_accept: on, proxy_protocol: optional}
  - {address: "unix:s/w.sock", mode: 0660, owner: www-data, group: 33}
routes:
  - path: /a b
    hosts: [Example.COM, "*.example.com", "::1", 10.0.0.1]
    to: "unix:/run/x.sock|ws://Host:9/é"
    origins: [https://a.test, b.test]
    handshake: lenient
    preserve_host: on
    tunnel: {async: off, async_delay: 0, idle_timeout: 9s, frames: off, ping_interval: 0, pong_timeout: 0}
  - {path: /up, upstream: u, rewrite: /base}
upstreams:
  z: {servers: [{socket: rel.sock}]}
  u:
    balance: round_robin
    servers: [{url: "ws://[::1]/"}, {url: "http://a:81"}]
    warm: 3
    health: {type: http, path: "/up é?a=%2f", interval: 3s, timeout: 1s, rise: 4, fall: 5}
`
	file := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, warnings, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].String() != file+":26:3: warning: upstreams.z: no route uses it" {
		t.Errorf("warnings = %v", warnings)
	}
	pos := func(line, column int) Pos { return Pos{file, line, column} }
	upgrade := Upgrade{Protocols: []string{"websocket"}}
	tunnel := Tunnel{
		Async: true, AsyncDelay: time.Second, IdleTimeout: 4 * time.Second, Lifetime: 2 * time.Second,
		HalfCloseTimeout: 5 * time.Second, Frames: "always", PingInterval: 3 * time.Second, PongTimeout: time.Second,
	}
	want := &Config{
		Loops: 3, Engine: "epoll", PinCPUs: true,
		Log:      Log{Level: slog.LevelWarn, Format: "json", Tunnels: "close"},
		Admin:    Admin{Address: "[::]:9", TokenFile: filepath.Join(dir, "token"), Pos: pos(6, 18)},
		Limits:   Limits{Tunnels: 7, TunnelsPerIP: 6, HandshakesPerSecond: 5, HeadBytes: 1024, Pipes: 8, ParkedBytes: 1 << 20},
		Timeouts: Timeouts{Head: time.Second, Dial: 2 * time.Second, Upgrade: 3 * time.Second},
		Tunnel:   tunnel,
		TCP:      TCP{Keepalive: 6 * time.Second, UserTimeout: 1500 * time.Millisecond},
		TrustedNetworks: []netip.Prefix{
			netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128"),
			netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24"),
		},
		Listeners: []Listener{
			{Address: "10.0.0.1:80", DeferAccept: true, ProxyProtocol: "optional", Pos: pos(14, 15)},
			{
				Address: "unix:" + filepath.Join(dir, "s/w.sock"), Mode: 0o660, Owner: "www-data", Group: "33",
				ProxyProtocol: "off", Pos: pos(15, 15),
			},
		},
		Routes: []Route{{
			Path: "/a%20b", Hosts: []string{"example.com", "*.example.com", "[::1]", "10.0.0.1"},
			Mode: "tunnel", Upgrade: upgrade,
			To:      &Target{Scheme: "ws", Network: "unix", Address: "/run/x.sock", Host: "host:9", Path: "/%C3%A9"},
			Origins: []string{"https://a.test", "b.test"}, Lenient: true, PreserveHost: true,
			Tunnel: Tunnel{IdleTimeout: 9 * time.Second, Lifetime: 2 * time.Second, HalfCloseTimeout: 5 * time.Second, Frames: "off"},
			Pos:    pos(17, 5),
		}, {
			Path: "/up", Mode: "tunnel", Upgrade: upgrade, Upstream: "u", Rewrite: "/base", Tunnel: tunnel, Pos: pos(24, 5),
		}},
		Upstreams: []Upstream{{
			Name: "u", Balance: "round_robin", DisableTime: time.Second, Retries: 5,
			ResolveInterval: 30 * time.Second, Pos: pos(27, 3), Warm: 3,
			Health: &Health{
				Type: "http", Path: "/up%20%C3%A9?a=%2f", Interval: 3 * time.Second, Timeout: time.Second, Rise: 4, Fall: 5,
			},
			Servers: []Server{
				{Target: Target{Scheme: "ws", Network: "tcp", Address: "[::1]:80", Host: "[::1]"}, Weight: 1, Pos: pos(29, 15)},
				{Target: Target{Scheme: "http", Network: "tcp", Address: "a:81", Host: "a:81"}, Weight: 1, Pos: pos(29, 37)},
			},
		}, {
			Name: "z", Balance: "least_connection", DisableTime: time.Second, Retries: 5,
			ResolveInterval: 30 * time.Second, Pos: pos(26, 3),
			Servers: []Server{{
				Target: Target{Network: "unix", Address: filepath.Join(dir, "rel.sock")}, Weight: 1, Pos: pos(26, 17),
			}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestAllErrorsAreReported asks for one line per mistake, in the order of the
// file.
func TestAllErrorsAreReported(t *testing.T) {
	_, _, err := Parse("f.yaml", []byte(`routes:
  - path: ws
    to: ftp://x
lops: 1
listeners:
  - address: 8080
  - address: ":80"
    tls: {}
limits: {pipes: -1}
`))
	want := []string{
		`f.yaml:2:11: routes[0].path: a path begins with a slash; write "/ws"`,
		`f.yaml:3:9: routes[0].to: must be ws://host:port/path, wss://, http:// or https:// likewise, or unix:/path, ` +
			`but this is "ftp://x"`,
		`f.yaml:4:1: unknown key "lops" in the file; did you mean "loops"?`,
		`f.yaml:6:14: listeners[0].address: must be host:port or unix:/path; for port 8080 of every address write ":8080"`,
		`f.yaml:8:10: listeners[1].tls: has no certificates; add ` + "`certificates: [{cert: FILE, key: FILE}]`" + ``,
		`f.yaml:9:17: limits.pipes: must be a whole number from 0 to 1048576, but this is -1`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%v", err, strings.Join(want, "\n"))
	}
	var all Errors
	if !errors.As(err, &all) || len(all) != len(want) {
		t.Errorf("%T does not hold %d errors", err, len(want))
	}
}

func TestNoLimitIsTheLargestParkedSize(t *testing.T) {
	if c := mustParse(t, minimal+"limits: {parked_bytes: 0}\n"); c.Limits.ParkedBytes != parkedBytesMax {
		t.Errorf("ParkedBytes = %d", c.Limits.ParkedBytes)
	}
}

func TestEmptySectionsAreDefaults(t *testing.T) {
	c := mustParse(t, minimal+"log:\nadmin:\nlimits:\ntimeouts:\ntunnel:\ntcp:\nupstreams:\n")
	if c.Limits != defaults().Limits || c.Admin != defaults().Admin {
		t.Errorf("got %+v", c)
	}
}

func TestLoadNamesTheFileItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.yaml")
	_, _, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), path+":1:1: cannot read the file: ") {
		t.Errorf("got %v", err)
	}
}

func TestByteOrderMarkAndCarriageReturns(t *testing.T) {
	c := mustParse(t, "\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n"))
	if c.Routes[0].Pos.Line != 2 {
		t.Errorf("the route is in line %d, not 2", c.Routes[0].Pos.Line)
	}
}

func TestTargetString(t *testing.T) {
	for _, want := range []string{
		"ws://a:81/x", "ws://a", "ws://[::1]/", "http://a", "unix:/s", "unix:/s|ws://a/x", "unix:/s|http://a",
	} {
		c := mustParse(t, strings.Replace(minimal, "ws://b", want, 1))
		if got := c.Routes[0].To.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNormalPath(t *testing.T) {
	tests := map[string]string{
		"/": "/", "/a//b/": "/a//b/", "/%7euser": "/~user", "/%2f%2ea": "/%2F.a", "/é \"<>": "/%C3%A9%20%22%3C%3E",
		"/a;b=c,d:e@f!$&'()*+": "/a;b=c,d:e@f!$&'()*+", "/...": "/...", "/\\": "/%5C",
	}
	for path, want := range tests {
		if got, err := normalPath(path); err != nil || got != want {
			t.Errorf("normalPath(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "ab", 2},
		{"idle-Timeout", "idle_timeout", 0},
		{"lops", "loops", 1},
		{"lsiten", "listen", 1},
		{"kitten", "sitting", 3},
	}
	for _, test := range tests {
		if got := distance(test.a, test.b); got != test.want || distance(test.b, test.a) != got {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
