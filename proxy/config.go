package proxy

import (
	"io/fs"
	"log/slog"
	"time"

	"wsplice/pool"
)

// Config is what a Server runs. It must not be changed while it does.
type Config struct {
	Loops  int    // event loops, at least 1
	Engine string // as loop.Config.Engine
	Pin    bool   // bind each loop to a CPU

	Listeners []Listener
	Routes    []Route
	Pages     []Page // answers of our own, looked up before the routes

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

	Mode fs.FileMode // unix: permissions of the socket file
	UID  int         // unix: owner, or -1
	GID  int         // unix: group, or -1
}

// A Mode says what a route does with requests.
type Mode uint8

const (
	ModeTunnel Mode = iota // opens tunnels, and serves nothing else
	ModeHTTP               // serves ordinary requests too
	ModeDeny               // refuses
)

// A Route sends requests to an upstream. The first that matches is taken.
type Route struct {
	Mode  Mode
	Path  string   // prefix, with Apache's segment rule
	Hosts []string // lower case, "*.example.com" for sub-domains; none = any

	Upstream     *pool.Upstream
	Base         string // what follows Path is appended to it, unless KeepPath
	KeepPath     bool   // send the request's path as it is
	PreserveHost bool   // send the client's Host instead of the server's

	Origins []string // who may connect; none = anybody
	Lenient bool     // relax the handshake rules; see handshake.CheckWebSocket

	IdleTimeout      time.Duration // 0 = none
	HalfCloseTimeout time.Duration // 0 = none
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
