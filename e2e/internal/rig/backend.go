package rig

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// recordedBytesMax bounds what is kept of what a backend connection received.
const recordedBytesMax = 64 << 10

// A Backend is a scripted server that keeps account of every connection and
// of every byte it was sent.
type Backend struct {
	*server
	t testing.TB // the test that a failing method ends
}

// A server is what every view of a Backend shares.
type server struct {
	ln    net.Listener
	serve func(*BackendConn) // nil: connections are handed out by Next
	next  chan *BackendConn

	mu    sync.Mutex // protects conns
	conns []*BackendConn
}

// NewBackend listens on a free port of 127.0.0.1. Each connection is served by
// serve in a goroutine of its own, or, when serve is nil, handed to the test
// by Next. The end of the test closes everything.
func NewBackend(t testing.TB, serve func(*BackendConn)) *Backend {
	t.Helper()
	return NewBackendAt(t, "127.0.0.1:0", serve)
}

// NewBackendAt is NewBackend on an address of the test's choice.
func NewBackendAt(t testing.TB, address string, serve func(*BackendConn)) *Backend {
	t.Helper()
	ln, err := net.Listen(SplitAddress(address))
	if err != nil {
		t.Fatal(err)
	}
	ln = SecureListener(ln)
	b := &Backend{t: t, server: &server{
		ln: ln, serve: serve, next: make(chan *BackendConn, 1<<14),
	}}
	go b.accept()
	t.Cleanup(b.Close)
	return b
}

// In returns the same backend for a sub-test; see Proxy.In.
func (b *Backend) In(t testing.TB) *Backend { return &Backend{b.server, t} }

// Addr returns host:port, or the path of a unix socket.
func (b *Backend) Addr() string { return b.ln.Addr().String() }

// URL returns the target of a route that leads here.
func (b *Backend) URL() string { return secureTargets("ws://" + b.Addr()) }

// Close stops listening and closes every connection.
func (b *Backend) Close() {
	_ = b.ln.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.Close()
	}
}

// Reset closes every connection so that the other side receives RST.
func (b *Backend) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Reset()
	}
}

func (b *Backend) accept() {
	for {
		conn, err := b.ln.Accept()
		if err != nil {
			return
		}
		c := newBackendConn(conn)
		b.mu.Lock()
		b.conns = append(b.conns, c)
		b.mu.Unlock()
		if b.serve != nil {
			go func() {
				defer func() { _ = conn.Close() }()
				b.serve(c)
			}()
			continue
		}
		b.next <- c
	}
}

// Accepts returns how many connections came so far.
func (b *Backend) Accepts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// Received returns the first bytes of every connection from the i-th on.
func (b *Backend) Received(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all bytes.Buffer
	for _, c := range b.conns[i:] {
		all.WriteString(c.Received())
	}
	return all.String()
}

// Next returns the next connection, or ends the test. The end of the test
// closes it, so that the proxy need not wait for it when it stops.
func (b *Backend) Next() *BackendConn {
	b.t.Helper()
	c := Receive(b.t, b.next, "a connection at the backend")
	c.t = b.t
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Pending returns how many connections Next has not handed out yet.
func (b *Backend) Pending() int { return len(b.next) }

// A BackendConn is one connection at a backend.
type BackendConn struct {
	net.Conn
	R    *bufio.Reader // everything that is read goes through it
	Head *Head         // set by ReadHead
	t    testing.TB    // set by Next

	mu   sync.Mutex // protects seen
	seen []byte
}

// NewBackendConn is for connections that a test has accepted by itself.
func NewBackendConn(t testing.TB, conn net.Conn) *BackendConn {
	c := newBackendConn(conn)
	c.t = t
	return c
}

func newBackendConn(conn net.Conn) *BackendConn {
	c := &BackendConn{Conn: conn}
	c.R = bufio.NewReaderSize(&recorder{conn: conn, c: c}, bufferBytes)
	return c
}

// recorder keeps the first bytes that a connection received.
type recorder struct {
	conn net.Conn
	c    *BackendConn
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.conn.Read(p)
	r.c.mu.Lock()
	if room := recordedBytesMax - len(r.c.seen); room > 0 {
		r.c.seen = append(r.c.seen, p[:min(n, room)]...)
	}
	r.c.mu.Unlock()
	return n, err
}

// Received returns the first bytes that came on this connection.
func (c *BackendConn) Received() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.seen)
}

// Read reads from the connection through R.
func (c *BackendConn) Read(p []byte) (int, error) { return c.R.Read(p) }

// ReadHead reads the request, in any goroutine.
func (c *BackendConn) ReadHead() error {
	_ = c.SetReadDeadline(time.Now().Add(Soon))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	raw, err := readRawHead(c.R)
	if err != nil {
		return err
	}
	c.Head, err = parseHead(raw)
	return err
}

// WantHead reads the request, or ends the test.
func (c *BackendConn) WantHead() *Head {
	c.t.Helper()
	if err := c.ReadHead(); err != nil {
		c.t.Fatalf("backend reads the request: %v (received %q)", err, c.Received())
	}
	return c.Head
}

// Upgrade answers 101 to the request that was read, with further header lines.
func (c *BackendConn) Upgrade(lines ...string) error {
	return c.Answer(SwitchingProtocols(c.Head.Get("Sec-WebSocket-Key"), lines...))
}

// Answer sends text, in any goroutine.
func (c *BackendConn) Answer(text string) error {
	_ = c.SetWriteDeadline(time.Now().Add(Soon))
	defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	_, err := io.WriteString(c.Conn, text)
	return err
}

// Put sends text, or ends the test.
func (c *BackendConn) Put(text string) {
	c.t.Helper()
	if err := c.Answer(text); err != nil {
		c.t.Fatalf("backend sends %d bytes: %v", len(text), err)
	}
}

// Drain reads (and so records) until the connection ends.
func (c *BackendConn) Drain() { _, _ = io.Copy(io.Discard, c) }

// Echo sends back what comes until the connection ends, and then half-closes.
func (c *BackendConn) Echo() {
	_, _ = io.Copy(c.Conn, c.R)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Want reads exactly len(want) bytes and ends the test unless they are want.
func (c *BackendConn) Want(want string) {
	c.t.Helper()
	wantBytes(c.t, "backend", c, want)
}

// WantEnd ends the test unless the proxy closes in good order, without
// another byte.
func (c *BackendConn) WantEnd() {
	c.t.Helper()
	if err := endErr(c); err != nil {
		c.t.Fatalf("backend waits for the end of the connection: %v", err)
	}
}

// WantGone ends the test unless the connection ends in one way or the other.
func (c *BackendConn) WantGone() {
	c.t.Helper()
	wantGone(c.t, "backend", c)
}

// CloseWrite shuts the connection down for writing.
func (c *BackendConn) CloseWrite() {
	c.t.Helper()
	closeWrite(c.t, c.Conn)
}

// Reset closes the connection so that the other side receives RST.
func (c *BackendConn) Reset() { reset(c.Conn) }

// EchoBackend answers every upgrade with 101 and every byte with itself.
func EchoBackend(t testing.TB) *Backend {
	t.Helper()
	return NewBackend(t, func(c *BackendConn) {
		if c.ReadHead() == nil && c.Upgrade() == nil {
			c.Echo()
		}
	})
}
