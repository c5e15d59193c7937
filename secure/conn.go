package secure

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A Conn is a connection as goroutines use it, whose session is ready. Closing it
// says nothing to the peer. Reads and writes may go side by side.
type Conn struct {
	socket  *os.File
	session *Session
	remote  net.Addr

	received [connReadBytes]byte
	opened   []byte // of the session, and not read yet

	writing sync.Mutex
	sealed  []byte
	broken  bool
}

var _ net.Conn = (*Conn)(nil)

// NewConn returns a connection over a socket. opened came already, and is its to
// keep. The session goes back to its owner when the Conn is no longer used.
func NewConn(socket *os.File, session *Session, opened []byte, remote net.Addr) *Conn {
	return &Conn{socket: socket, session: session, opened: opened, remote: remote}
}

// Read returns what was opened.
func (c *Conn) Read(p []byte) (int, error) {
	for received := c.received[:0]; len(c.opened) == 0; {
		var ended error
		if c.opened, ended = c.open(received); len(c.opened) > 0 {
			break // who comes again hears of the end
		}
		if ended != nil {
			c.complain()
			return 0, ended
		}
		n, err := c.socket.Read(c.received[:])
		if n == 0 && err != nil {
			return 0, err
		}
		received = c.received[:n]
	}
	n := copy(p, c.opened)
	c.opened = c.opened[n:]
	return n, nil
}

// open returns what is in received, there or in memory of its own.
func (c *Conn) open(received []byte) ([]byte, error) {
	var dst []byte
	if room := c.session.Room(len(received)); room > 0 {
		dst = make([]byte, 0, room)
	}
	return c.session.Open(dst, received)
}

// complain sends the alert that says why the connection is broken.
func (c *Conn) complain() {
	if c.writing.TryLock() { // or a peer that takes nothing keeps it
		defer c.writing.Unlock()
		if alert := c.session.Output(nil); !c.broken { // behind half a record it would be noise
			_, _ = c.socket.Write(alert) // the connection ends anyway
		}
	}
}

// Write seals p and sends it.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.broken {
		return 0, net.ErrClosed
	}
	for part := range slices.Chunk(p, plainMax) {
		c.sealed = c.session.Seal(c.sealed[:0], part)
		if _, err = c.socket.Write(c.sealed); err != nil {
			c.broken = true
			return n, err
		}
		n += len(part)
	}
	if cap(c.sealed) > connSealedKept {
		c.sealed = nil
	}
	return n, nil
}

// Broken reports, once nobody writes any more, whether a record did not go out whole:
// then nothing can be said to the peer any more.
func (c *Conn) Broken() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.broken
}

// Close closes the socket.
func (c *Conn) Close() error { return c.socket.Close() }

// SetDeadline is that of the socket, as the others are.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// SetReadDeadline bounds reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline bounds writes. Behind one that was broken off, none is of use.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.socket.SetWriteDeadline(t) }

// LocalAddr is RemoteAddr: nobody asks.
func (c *Conn) LocalAddr() net.Addr { return c.remote }

// RemoteAddr is the client's.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }
