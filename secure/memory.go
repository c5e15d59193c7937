package secure

import (
	"net"
	"os"
	"sync"
	"time"
)

// memory is the connection below a tls.Conn: what was fed is read, and what is
// written is kept until it is taken.
//
// While the handshake goes on, a read waits outside the gate. After that it ends
// with a temporary error when nothing is left: crypto/tls then goes on with what
// it has of a record when there is more.
type memory struct {
	gate *Gate
	wake func() // tells that the handshake waits, or is over

	mu     sync.Mutex
	more   sync.Cond
	since  time.Time // when the handshake got its slot of the gate
	paused bool      // it has none, and waits for more to read
	in     []byte    // fed and not read
	out    []byte    // written and not taken
	waits  bool      // reads wait, and end with a record
	closed bool
	read   meter  // while reads end with a record
	flight []byte // all that was written since the secrets are known
	known  bool
}

var _ net.Conn = (*memory)(nil)

// errEmpty is a net.Error that says to come again.
var errEmpty net.Error = emptyError{}

type emptyError struct{}

func (emptyError) Error() string   { return "secure: nothing left to read" }
func (emptyError) Timeout() bool   { return true }
func (emptyError) Temporary() bool { return true }

// feed adds a copy of what came in the handshake, or behind it before the loop has
// heard of its end.
func (m *memory) feed(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.in)+len(b) > waitingMax {
		m.closed = true
	}
	if !m.closed {
		m.in = append(m.in, b...)
	}
	m.goOn()
}

// goOn ends a pause. It is called with mu held.
func (m *memory) goOn() {
	if m.paused {
		m.paused = false
		m.more.Signal()
	}
}

// show has reads see b until hide: they read all of it unless the connection is
// broken.
func (m *memory) show(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in = b
}

func (m *memory) hide() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in = nil
}

// Read gives crypto/tls what was fed.
func (m *memory) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.waits && len(m.in) == 0 && !m.closed {
		m.paused = true
		m.gate.leave(m.since)
		m.wake()
		for m.paused {
			m.more.Wait()
		}
		m.mu.Unlock()
		m.since = m.gate.enter(true)
		m.mu.Lock()
	}
	if m.closed {
		return 0, net.ErrClosed
	}
	if len(m.in) == 0 {
		return 0, errEmpty
	}
	if m.waits {
		p = p[:min(len(p), m.read.left())] // what is behind the handshake is not for crypto/tls
	}
	n := copy(p, m.in)
	if m.waits {
		m.read.add(m.in[:n])
	}
	m.in = m.in[n:]
	return n, nil
}

// Write keeps p.
func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && m.waits {
		m.flight = append(m.flight, p...)
	}
	m.out = append(m.out, p...)
	return len(p), nil
}

// take appends what was written to dst.
func (m *memory) take(dst []byte) []byte {
	m.lend(dst)
	return m.back()
}

// lend makes writes append to dst, behind what was written already, until back
// returns it.
func (m *memory) lend(dst []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out = append(dst, m.out...)
}

func (m *memory) back() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.out
	m.out = nil
	return out
}

// rest returns what was fed and not read.
func (m *memory) rest() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.in
	m.in = nil
	return rest
}

// speaks reports whether something was written and not taken.
func (m *memory) speaks() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.out) > 0
}

// whole reports whether the first record that was fed is complete.
func (m *memory) whole() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in) >= headerBytes && len(m.in) >= headerBytes+int(m.in[3])<<8+int(m.in[4])
}

// hungry reports whether the handshake waits for more, and has nothing to say first.
func (m *memory) hungry() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused && len(m.out) == 0
}

// unread returns how many bytes were fed and not read.
func (m *memory) unread() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in)
}

// Close ends a read that waits.
func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.goOn()
	return nil
}

// LocalAddr and RemoteAddr name nobody; crypto/tls does not ask.
func (m *memory) LocalAddr() net.Addr { return nil }

// RemoteAddr is LocalAddr.
func (m *memory) RemoteAddr() net.Addr { return nil }

// SetDeadline does nothing: the loop has the clocks.
func (m *memory) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (m *memory) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline fails: without one, crypto/tls does not break off a write.
func (m *memory) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
