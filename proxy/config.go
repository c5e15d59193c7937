package proxy

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"wsplice/handshake"
	"wsplice/pool"
	"wsplice/route"
)

// Config is what a Server runs. It must not be changed while it does.
type Config struct {
	Loops  int    // event loops, at least 1
	Engine string // as loop.Config.Engine
	Pin    bool   // bind each loop to a CPU

	Listeners []Listener
	Routes    []Route
	Pages     []Page // answers of our own, looked up before the routes

	// Trusted are the networks whose X-Forwarded-* and Forwarded are believed.
	// A client of a unix socket is a process of this machine, as one that comes
	// over loopback is: it is trusted where 127.0.0.1 or ::1 is.
	Trusted []netip.Prefix

	Limits   Limits
	Timeouts Timeouts
	TCP      TCP

	Log        *slog.Logger
	LogTunnels LogTunnels
}

// Limits bound what the whole process holds; 0 is no limit.
type Limits struct {
	Tunnels int // beyond it, new ones get 503
	Head    int // bytes of a request's or an answer's head
	Pipes   int
	Parked  int // bytes per direction that may wait for a slow peer
}

// Timeouts bound the phases of a tunnel's life.
type Timeouts struct {
	Head    time.Duration // accepted → complete request head
	Dial    time.Duration // one backend address
	Upgrade time.Duration // head sent → backend's answer
}

// TCP holds the socket options of both sides; see internal/sys.
type TCP struct {
	Keepalive   time.Duration
	UserTimeout time.Duration
}

// A Listener is an address to accept on.
type Listener struct {
	Network     string // "tcp" or "unix"
	Address     string // host:port, or a path
	DeferAccept bool   // TCP: wake up only when the client has sent something

	Mode fs.FileMode // unix: permissions of the socket file
	UID  int         // unix: owner, or -1
	GID  int         // unix: group, or -1
}

// A Route says what becomes of requests. The first that matches a request and
// does not pass it over is taken.
type Route struct {
	Name    string // for the log: the path, expression or suffix of the configuration
	Pattern route.Pattern
	Mode    Mode
	Upgrade Upgrade // not for ModeDeny

	Upstream     *pool.Upstream // not for ModeDeny
	Target       route.Target   // made for Pattern
	PreserveHost bool           // send the client's Host instead of the server's
	Set          []handshake.ForwardField
	Remove       []string // fields of the client that the backend does not get

	Origins []string // whose pages may open tunnels; none = anybody's
	Lenient bool     // relax the handshake rules; see handshake.CheckWebSocket

	IdleTimeout      time.Duration // 0 = none
	HalfCloseTimeout time.Duration // 0 = none
}

// A Mode is what a route is for.
type Mode uint8

const (
	// ModeTunnel is for upgrades that the route accepts. It passes other
	// requests over.
	ModeTunnel Mode = iota
	// ModeHTTP is for every request: upgrades that the route accepts become
	// tunnels, and the others are ordinary HTTP.
	ModeHTTP
	// ModeDeny refuses every request.
	ModeDeny
)

// An Upgrade says which upgrades a route accepts.
type Upgrade struct {
	// Protocols are accepted, in lower case. None, with neither of the below,
	// means that the route upgrades nothing.
	Protocols []string
	// Any accepts every protocol.
	Any bool
	// Unasked takes a GET without body for a WebSocket handshake, whether or
	// not it asks for that (`upgrade: none`).
	Unasked bool
}

// A Page is a fixed answer to a GET of one path.
type Page struct {
	Path        string
	ContentType string
	Body        []byte
}

// LogTunnels says which lines a tunnel writes.
type LogTunnels uint8

const (
	LogBoth  LogTunnels = iota // one when it opens, one when it closes
	LogClose                   // one when it closes
	LogOff
)
