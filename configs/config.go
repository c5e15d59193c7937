package configs

import (
	"io/fs"
	"log/slog"
	"net/netip"
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
	Engine  string // "auto" (default), "io_uring" or "epoll"
	PinCPUs bool   // pin each loop's thread to a CPU; default false
	Log     Log
	Admin   Admin

	// Bounds.
	Limits   Limits
	Timeouts Timeouts
	Tunnel   Tunnel // defaults of every route, already merged into Routes
	TCP      TCP

	// TrustedNetworks are the peers whose X-Forwarded-* and Forwarded are
	// believed: masked, IPv4 never as IPv6. Empty (default) = none.
	TrustedNetworks []netip.Prefix

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
	Tunnels      int // open tunnels; 0 (default) = what the open-files limit allows
	TunnelsPerIP int // open tunnels of one client address; 0 (default) = no limit

	HandshakesPerSecond int // upgrades begun in the whole process; 0 (default) = no limit

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
	// Who serves it.
	Async      bool          // in the loop's poller; default true; false = in goroutines of its own
	AsyncDelay time.Duration // with Async: in goroutines until this long after the last byte; 0 (default) = never

	// When it ends.
	IdleTimeout      time.Duration // no byte in either direction; 0 (default) = none
	Lifetime         time.Duration // since it opened, ±10%; 0 (default) = none
	HalfCloseTimeout time.Duration // the other direction after one ended; 0 = none; default 30s

	// What is done with WebSocket frames. PingInterval is 0 where Frames is
	// "off": a ping can only be sent between two frames.
	Frames       string        // "auto" (default), "always" or "off"
	PingInterval time.Duration // between pings of ours; 0 (default) = none
	PongTimeout  time.Duration // ping to any byte from the peer; 0 (default) = not asked for

	// What the client of an endpoint may send; 0 (default) = no bound.
	MessageBytes int // of payload, fragments together
	FrameBytes   int // of payload
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

	ProxyProtocol string // "off" (default), "optional" or "required"
	TLS           *TLS   // nil (default) = plain

	Pos Pos // of the address
}

// SocketPath returns the path of a unix listener and true, or "" and false.
func (l Listener) SocketPath() (string, bool) { return strings.CutPrefix(l.Address, "unix:") }

// SocketPath returns the path of a unix admin address and true, or "" and
// false.
func (a Admin) SocketPath() (string, bool) { return strings.CutPrefix(a.Address, "unix:") }

// An Upstream is a named group of interchangeable backends.
type Upstream struct {
	Name    string
	Balance string       // one of the balances; default "least_connection"
	Cookie  StickyCookie // default none
	Servers []Server     // at least one, in the order of the file

	// What becomes of servers that fail, and of those that come back.
	DisableTime time.Duration // left out for so long; 0 = not at all; default 1s
	Retries     int           // further servers that a request tries; default 5
	SlowStart   time.Duration // to its full weight; 0 (default) = at once

	// How they are reached.
	ResolveInterval time.Duration // between looking names up; 0 = only at the start; default 30s
	Source          []netip.Addr  // to dial from, in turn; empty (default) = the kernel's choice

	Warm   int     // connections kept open ahead of need, per server; 0 (default) = none
	Health *Health // nil (default) = servers are not checked

	TLS *BackendTLS // of the servers of wss://, https:// and tcp://; nil (default) = the system's CAs, and tcp:// is plain

	Pos Pos
}

// A BackendTLS says how servers are verified, and what they are shown.
type BackendTLS struct {
	CA         string   // PEM file of who signs their certificates; "" = the system's
	ServerName string   // that a certificate must be for, and SNI; "" = the host of the URL
	Insecure   bool     // any certificate will do; default false
	Client     *KeyPair // our own certificate; nil = none
}

// A StickyCookie names the server that a client was at before: by its route,
// behind the first dot or alone.
type StickyCookie struct {
	Name   string // a token; "" = none
	Insert bool   // wsplice sets it; then every server has a Route
}

// A Health says how the servers of an Upstream are checked.
type Health struct {
	Type     string        // "tcp", "http" or "websocket"
	Path     string        // of http and websocket: begins with a slash, percent-encoded; may have a query; default "/"
	Interval time.Duration // from check to check; positive; default 5s
	Timeout  time.Duration // of one check; positive; default 2s
	Rise     int           // checks passed in a row that bring a server back; positive; default 1
	Fall     int           // checks failed in a row that take it out; positive; default 2
}

// A Server is one backend of an Upstream. Its Target has no Path: the base
// path comes from the route's Rewrite.
type Server struct {
	Target Target // Path and Query are empty; the zero Target where Spawn has no address of its own
	Weight int    // 1 (default) to 100
	Route  string // what a sticky cookie calls it; "" (default) = nothing
	Set    int    // lower ones are tried first; 0 (default) to 99
	Status string // "" (default), "standby", "spare", "drain" or "disabled"
	Spawn  *Spawn // nil for a backend that runs already
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
		Tunnel: Tunnel{Async: true, Frames: "auto", HalfCloseTimeout: 30 * time.Second},
		TCP:    TCP{Keepalive: 60 * time.Second, UserTimeout: 2 * time.Minute},
	}
}
