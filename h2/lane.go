package h2

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"wsplice/internal/sys"
)

// A Lane serves connections of HTTP/2.
type Lane struct {
	config  Config
	stall   time.Duration // stallTime, but in tests
	serving sync.WaitGroup

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
}

// Config is what a Lane needs to know.
type Config struct {
	Head       int  // bytes of a request's head, as RFC 9113 section 10.5.1 counts them
	WebSockets bool // some route takes them: clients are told (RFC 8441 section 3)
	Log        *slog.Logger
}

// An Entrance is a connection to the proxy, for one request.
type Entrance struct {
	FD sys.FD // a non-blocking stream socket, the Lane's to close

	// Cut ends what became of the request at once: the client has given it up.
	Cut func()
	// WasCut reports, at the end of what FD brings, that it is not all there was.
	WasCut func() bool
	// Gone is closed when the proxy has closed its end.
	Gone <-chan struct{}
	// Done is called once, after FD was closed.
	Done func()
}

// gone reports whether the proxy has closed its end, or there never was one.
func (e *Entrance) gone() bool {
	if e == nil {
		return true
	}
	select {
	case <-e.Gone:
		return true
	default:
		return false
	}
}

// A Client is who has a connection.
type Client interface {
	// Enter begins a request.
	Enter() (*Entrance, error)
}

// New returns a Lane.
func New(c Config) *Lane { return &Lane{config: c, stall: stallTime, conns: make(map[*conn]struct{})} }

// Serve serves socket, and closes it. weak says that its cipher suite is one that
// RFC 9113 section 9.2.2 prohibits. done is called at the end, from a goroutine. cut,
// which may be called at any time, ends it soon.
func (l *Lane) Serve(socket net.Conn, weak bool, client Client, done func()) (cut func()) {
	c := newConn(l, socket, client)
	l.serving.Add(1)
	go func() {
		defer l.serving.Done()
		defer done()
		c.serve(weak)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}()
	return func() {
		time.AfterFunc(cutGrace, func() { _ = socket.Close() }) // it may be closed already
	}
}

// enter takes note of a connection whose SETTINGS are out: they come before GOAWAY
// (RFC 9113 section 3.4).
func (l *Lane) enter(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	if l.draining {
		go c.leave()
	}
}

// Drain tells clients to send no further requests here (GOAWAY, RFC 9113 section
// 6.8). A connection ends with its last request.
func (l *Lane) Drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	for c := range l.conns {
		go c.leave()
	}
}

// Close waits until all connections have ended.
func (l *Lane) Close() { l.serving.Wait() }
