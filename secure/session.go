package secure

import (
	"crypto/tls"
	"errors"
)

// A Session is one TLS connection.
//
//	state        becomes             when
//	fresh        handshaking         a client sends its first byte; the loop asks for a hello
//	handshaking  ready failed        crypto/tls says so, on a goroutine
//	ready        failed              a record is not as it must be
//
// It is used from one goroutine at a time, except that Open and Seal may run side
// by side. It fulfils loop.Layer.
type Session struct {
	mem    memory
	conn   *tls.Conn
	meter  meter
	client bool   // ours is the hello
	notTLS []byte // what a client is told that speaks plainly

	begun bool
	ready bool

	// Of the handshake's goroutine, guarded by mem.mu.
	done bool
	err  error
}

// ErrNotTLS says that a client's first byte begins no TLS handshake.
var ErrNotTLS = errors.New("secure: the client does not speak TLS")

// ErrBusy says that too many handshakes are under way.
var ErrBusy = errors.New("secure: too many TLS handshakes under way (max 8192)")

func newSession(gate *Gate) *Session {
	s := &Session{}
	s.mem.gate, s.mem.waits = gate, true
	s.mem.more.L = &s.mem.mu
	return s
}

// Start keeps wake, which tells that Settle and Output have something new.
func (s *Session) Start(wake func()) { s.mem.wake = wake }

// begin starts the handshake's goroutine.
func (s *Session) begin() {
	s.begun = true
	if !s.mem.gate.begin() {
		s.over(ErrBusy)
		return
	}
	go func() {
		gate := s.mem.gate
		gate.enter()
		err := s.conn.Handshake()
		gate.leave()
		gate.end()
		s.over(err)
	}()
}

// over notes how the handshake has ended.
func (s *Session) over(err error) {
	s.mem.mu.Lock()
	s.done, s.err = true, err
	s.mem.closed = s.mem.closed || err != nil
	s.mem.mu.Unlock()
	s.mem.wake()
}

// Settle reports whether the handshake is over, and begins a client's.
func (s *Session) Settle() (ready bool, err error) {
	if s.client && !s.begun {
		s.begin()
	}
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	if s.done && s.err == nil {
		s.mem.waits, s.ready = false, true
	}
	return s.ready, s.err
}

// Room returns how large what is in n bytes may be, with what they complete.
func (s *Session) Room(n int) int { return s.meter.held + s.mem.unread() + n }

// Open appends what received brings to dst. During the handshake that is nothing.
// The error is io.EOF after a close_notify.
func (s *Session) Open(dst, received []byte) ([]byte, error) {
	if !s.begun && len(received) > 0 {
		if received[0] != recordHandshake {
			s.begun = true
			s.mem.out = s.notTLS
			s.over(ErrNotTLS)
			return dst, nil
		}
		s.begin()
	}
	s.meter.add(received)
	s.mem.feed(received)
	if !s.ready {
		return dst, nil
	}
	for {
		n, err := s.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, errEmpty) {
			return dst, nil
		}
		if err != nil {
			s.fail(err)
			return dst, err
		}
	}
}

// fail keeps the first error.
func (s *Session) fail(err error) {
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// Seal appends the records of b to dst, behind what Output would.
func (s *Session) Seal(dst, b []byte) []byte {
	s.mem.lend(dst)
	if _, err := s.conn.Write(b); err != nil {
		s.fail(err) // after an alert of ours: the next Open says so too
	}
	return s.mem.back()
}

// Output appends what TLS has to say by itself.
func (s *Session) Output(dst []byte) []byte { return s.mem.take(dst) }

// Finish appends a close_notify.
func (s *Session) Finish(dst []byte) []byte {
	s.mem.lend(dst)
	if err := s.conn.CloseWrite(); err != nil {
		s.fail(err)
	}
	return s.mem.back()
}

// Close ends a handshake that is under way.
func (s *Session) Close() { s.mem.Close() }

// Err says why the session has failed.
func (s *Session) Err() error {
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	return s.err
}

// State tells what the handshake has agreed on; it is over.
func (s *Session) State() tls.ConnectionState { return s.conn.ConnectionState() }

// recordHandshake is the first byte of a TLS connection: the type of the record
// that has the hello (RFC 8446 section 5.1).
const recordHandshake = 22

// A meter counts how many bytes of an unfinished record have come.
type meter struct {
	held   int // of the record, its header among them
	length int // of the record's content, once the header has come
}

// add counts b.
func (m *meter) add(b []byte) {
	const header = 5
	for len(b) > 0 {
		if m.held < header {
			if m.held >= 3 {
				m.length = m.length<<8 | int(b[0])
			} else {
				m.length = 0
			}
			m.held++
			b = b[1:]
		} else {
			n := min(header+m.length-m.held, len(b))
			m.held += n
			b = b[n:]
		}
		if m.held == header+m.length && m.held >= header {
			m.held = 0
		}
	}
}
