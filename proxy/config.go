package proxy

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"wsplice/handshake"
	"wsplice/pool"
	"wsplice/route"
	"wsplice/secure"
)

// Config is what a Server runs. It must not be changed while it does.
type Config struct {
	Loops  int    // event loops, at least 1
	Engine string // as loop.Config.Engine
	Pin    bool   // bind each loop to a CPU

	Listeners []Listener
	Routes    []Route

	// Handshakes bounds those of TLS, of clients and with backends; nil where nobody
	// has TLS.
	Handshakes *secure.Gate

	Pages []Page // answers of our own, looked up before the routes

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

	TunnelsPerIP        int // of one client: an IPv4 address or an IPv6 /64; beyond it, 429
	HandshakesPerSecond int // of all clients together; beyond a second's worth at once, 429
}

// Timeouts bound the phases of a tunnel's life.
type Timeouts struct {
	Head    time.Duration // accepted → complete request head
	Dial    time.Duration // one backend address
	Upgrade time.Duration // head sent → backend's answer
	Stall   time.Duration // of an ordinary request or answer; see gateway.Config
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

	// TLS makes the sessions of its clients; nil = plain. A PROXY header comes
	// before the hello.
	TLS *secure.Server

	// SubjectHeader and FingerprintHeader tell the backend of the client's
	// certificate; "" = they do not. No route passes on what clients send under such
	// a name, on whatever listener.
	SubjectHeader, FingerprintHeader string

	entrance *entrance // whose listener this is, of a request of HTTP/2

	// ProxyProtocol believes whoever connects: only a balancer may be able to.
	ProxyProtocol Greeting

	Mode fs.FileMode // unix: permissions of the socket file
	UID  int         // unix: owner, or -1
	GID  int         // unix: group, or -1
}

// Greeting says whether connections begin with a PROXY header, which
// announces the client that a load balancer speaks for (see room greeting).
type Greeting uint8

const (
	GreetingOff      Greeting = iota
	GreetingOptional          // a connection without one is the client's own
	GreetingRequired          // a connection without one is refused
)

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
	Lifetime         time.Duration // ±10% by tunnel; 0 = none

	Sync       bool          // async: off: served by goroutines from the 101 to the end
	AsyncDelay time.Duration // otherwise: so until quiet for so long, and again when bytes come

	Endpoint Endpoint // ModeEndpoint only

	Frames       Frames        // of WebSocket tunnels; others are never looked at
	PingInterval time.Duration // 0 = none; needs frames to be followed
	PongTimeout  time.Duration // 0 = a missing pong ends nothing
}

// An Endpoint says how the messages of clients and the bytes of a backend, which
// speaks no WebSocket, become each other.
type Endpoint struct {
	// Binary makes binary messages of what the backend sends. Otherwise they are
	// text, and bytes that are not UTF-8 end the tunnel.
	Binary bool

	// Subprotocols are accepted, the first that the client offers. "binary" makes
	// binary messages whatever Binary says, and "base64" means that both sides'
	// messages are text in base64, as noVNC and websockify use it.
	Subprotocols []string

	// Deflate accepts permessage-deflate (RFC 7692) where a client offers it.
	Deflate bool

	MessageBytes, FrameBytes int // largest of a client; 0 = no bound
}

// Frames says whether the frames of a tunnel are followed. Only then can it
// be pinged and end with a Close frame.
type Frames uint8

const (
	FramesAuto   Frames = iota // until a direction turns bulk in small frames
	FramesAlways               // even then
	FramesOff
)

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
	// ModeEndpoint is for WebSocket handshakes, which are answered here: the
	// backend gets what is in the messages, and its bytes become messages. It
	// passes other requests over.
	ModeEndpoint
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
