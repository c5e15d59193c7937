package configs

import (
	"io/fs"
	"log/slog"
	"strings"
	"time"
)

// A Config is one complete, checked configuration.
//
// Defaults are filled in and inheritance is resolved, so readers never ask
// whether a key was given. A zero means "no limit" wherever a field's comment
// says so.
type Config struct {
	// The process.
	Loops   int    // event loops; 0 = one per usable CPU (default, "auto")
	Engine  string // "auto" (default) or "epoll"
	PinCPUs bool   // pin each loop's thread to a CPU; default false
	Log     Log
	Admin   Admin

	// Bounds.
	Limits   Limits
	Timeouts Timeouts
	Tunnel   Tunnel // defaults of every route, already merged into Routes
	TCP      TCP

	// Traffic, in the order of the file.
	Listeners []Listener // at least one
	Routes    []Route    // at least one; the first match wins
	Upstreams []Upstream // sorted by Name; may be empty
}

// A Log says what is logged, and how.
type Log struct {
	Level   slog.Level // default info
	Format  string     // "text" (default) or "json"
	Tunnels string     // lines per tunnel: "both" (default, open and close), "close" or "off"
}

// An Admin is the address of /healthz and /metrics.
type Admin struct {
	Address   string // host:port, [v6]:port or unix:/path; "" = off; default 127.0.0.1:9180
	TokenFile string // absolute or relative to the working directory; "" (default) = no token
	Pos       Pos    // of the address, or the zero Pos where it is the default
}

// Limits bound what the whole process holds.
type Limits struct {
	Tunnels     int // open tunnels; 0 (default) = what the open-files limit allows
	HeadBytes   int // largest request or response head; always positive; default 16 KiB
	Pipes       int // splice pipes; 0 (default) = from the surplus of the descriptor budget
	ParkedBytes int // per direction, before its source stops being read; always positive; default 64 KiB
}

// Timeouts bound the phases before and after relaying.
type Timeouts struct {
	Head    time.Duration // accept to complete request head; positive; default 10s
	Dial    time.Duration // connecting to one backend; positive; default 5s
	Upgrade time.Duration // head sent to the backend's answer; positive; default 15s
	Drain   time.Duration // stop to closing what is still open; 0 = close at once; default 30s
}

// A Tunnel holds the settings that a route may override.
type Tunnel struct {
	IdleTimeout      time.Duration // no byte in either direction; 0 (default) = none
	HalfCloseTimeout time.Duration // the other direction after one ended; 0 = none; default 30s
}

// A TCP holds socket options for both sides of a tunnel.
type TCP struct {
	Keepalive   time.Duration // idle time before probes, whole seconds; 0 = no probes; default 60s
	UserTimeout time.Duration // unacknowledged data, whole milliseconds; 0 = the kernel's; default 2m
}

// A Listener is one address that clients connect to.
type Listener struct {
	Address string // host:port, [v6]:port, or "unix:" and a path that is already relative to the working directory

	// Unix sockets only.
	Mode  fs.FileMode // permission bits; 0 = what the umask leaves
	Owner string      // user name or number; "" = the process's own
	Group string      // group name or number; "" = the process's own

	// TCP only.
	DeferAccept bool // TCP_DEFER_ACCEPT; default false

	Pos Pos // of the address
}

// SocketPath returns the path of a unix listener and true, or "" and false.
func (l Listener) SocketPath() (string, bool) { return strings.CutPrefix(l.Address, "unix:") }

// SocketPath returns the path of a unix admin address and true, or "" and
// false.
func (a Admin) SocketPath() (string, bool) { return strings.CutPrefix(a.Address, "unix:") }

// A Route sends the upgrade requests it matches to one backend or upstream.
type Route struct {
	// What it matches.
	Path  string   // prefix in RFC 3986 normal form, begins with '/'; matched by whole segments
	Hosts []string // lower case; "*.example.com" stands for every name below; empty = any

	// Where it sends to: exactly one of To and Upstream.
	To       *Target // nil where Upstream is set
	Upstream string  // a Name in Config.Upstreams, or ""
	Rewrite  string  // with Upstream: the base path, as Target.Path; "" where not given

	// How it behaves.
	Origins      []string // as written; empty = any
	Lenient      bool     // handshake: lenient; default false (strict)
	PreserveHost bool     // send the client's Host instead of Target.Host; default false
	Tunnel       Tunnel   // inherited from Config.Tunnel, then overridden

	Pos Pos
}

// A Target is one backend address.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // host:port with the port always given, or a socket path

	// Host is the value of the Host header at the backend: the authority
	// without the scheme's default port. It is "" for a bare unix target,
	// where the client's own Host is kept.
	Host string

	// Path is the base path in RFC 3986 normal form: "", or it begins with
	// '/'. What follows a route's prefix is appended to it.
	Path string
}

// String returns t as it is written in the file.
func (t Target) String() string {
	if t.Network != "unix" {
		return "ws://" + t.Host + t.Path
	}
	if t.Host == "" {
		return "unix:" + t.Address
	}
	return "unix:" + t.Address + "|ws://" + t.Host + t.Path
}

// An Upstream is a named group of interchangeable backends.
type Upstream struct {
	Name    string
	Balance string   // "least_connection" (default) or "round_robin"
	Servers []Server // at least one, in the order of the file
	Pos     Pos
}

// A Server is one backend of an Upstream. Its Target has no Path: the base
// path comes from the route's Rewrite.
type Server struct {
	Target Target
	Weight int // always 1 for now
	Pos    Pos
}

// defaults returns a Config in which every key has its default. The same
// values stand in example.yaml and are compared by TestExampleShowsDefaults.
func defaults() *Config {
	return &Config{
		Engine: "auto",
		Log:    Log{Level: slog.LevelInfo, Format: "text", Tunnels: "both"},
		Admin:  Admin{Address: "127.0.0.1:9180"},
		Limits: Limits{HeadBytes: 16 << 10, ParkedBytes: 64 << 10},
		Timeouts: Timeouts{
			Head:    10 * time.Second,
			Dial:    5 * time.Second,
			Upgrade: 15 * time.Second,
			Drain:   30 * time.Second,
		},
		Tunnel: Tunnel{HalfCloseTimeout: 30 * time.Second},
		TCP:    TCP{Keepalive: 60 * time.Second, UserTimeout: 2 * time.Minute},
	}
}
