package rig

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// An H2Stream is one exchange on an H2. Behind an extended CONNECT it is a
// connection: it can be the end of a tunnel as a Client is. What is read is given
// back to the sender's window, and only that.
type H2Stream struct {
	ID uint32
	c  *h2Conn
	t  testing.TB

	// Guarded by the connection's lock.
	changed    chan struct{} // closed and replaced when something below changes
	answer     *Answer
	in         []byte
	received   int64 // DATA, padding included
	padding    int64 // of it
	read       int64 // taken from in
	returned   int64 // to the window for what is received
	granted    int64 // by the peer, beyond the first window
	sendWindow int64
	ended      bool // the peer has ended its side
	reset      *H2Reset
	over       bool // we have ended or reset ours
	cancelled  bool // we have reset it

	readBy, writeBy time.Time
}

var _ net.Conn = (*H2Stream)(nil)

// H2Reset says that the peer has reset a stream.
type H2Reset struct{ Code http2.ErrCode }

func (e *H2Reset) Error() string { return "the peer has reset the stream: " + e.Code.String() }

// Answer returns the final answer without its body, or ends the test.
func (s *H2Stream) Answer() *Answer {
	s.t.Helper()
	a, err := s.AnswerErr()
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// AnswerErr is Answer for any goroutine. A stream that is reset instead has an
// H2Reset.
func (s *H2Stream) AnswerErr() (*Answer, error) {
	by := time.Now().Add(Soon)
	var answer *Answer
	var reset *H2Reset
	err := s.wait(&by, func() bool {
		answer, reset = s.answer, s.reset
		return answer != nil || reset != nil
	})
	switch {
	case answer != nil:
		return answer, nil
	case reset != nil:
		return nil, reset
	}
	return nil, fmt.Errorf("%v waits for an answer: %w", s, err)
}

// Answered reports whether a final answer or a reset has come.
func (s *H2Stream) Answered() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.answer != nil || s.reset != nil
}

// Body reads what follows the answer up to its end, or ends the test.
func (s *H2Stream) Body() string {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(Soon))
	b, err := io.ReadAll(s)
	if err != nil {
		s.t.Fatalf("read the body: %v", err)
	}
	return string(b)
}

// Status is the answer's, of which no more is wanted; 0 is for a stream that was
// reset instead. Anything else ends the test.
func (s *H2Stream) Status() int {
	s.t.Helper()
	a, err := s.AnswerErr()
	var reset *H2Reset
	if errors.As(err, &reset) {
		return 0
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return a.Status
}

// wait waits until ok, the deadline, or the end of the connection.
func (s *H2Stream) wait(by *time.Time, ok func() bool) error {
	for {
		s.c.mu.Lock()
		done, err, changed, deadline := ok(), s.c.err, s.changed, *by
		s.c.mu.Unlock()
		if done {
			return nil
		}
		if err != nil {
			return err
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-late:
			return os.ErrDeadlineExceeded
		}
	}
}

// Read takes what has come, and gives the room back to the sender.
func (s *H2Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	err := s.wait(&s.readBy, func() bool { return len(s.in) > 0 || s.ended || s.reset != nil })
	s.c.mu.Lock()
	n := copy(p, s.in)
	s.in = s.in[n:]
	s.read += int64(n)
	// Half of the window at once: a frame for each read would be a flood.
	back := s.read + s.padding - s.returned
	if back < s.c.window/2 || s.ended || s.reset != nil || s.cancelled {
		back = 0
	}
	s.returned += back
	ended, reset := s.ended, s.reset
	s.c.mu.Unlock()
	switch {
	case back > 0:
		if werr := s.c.Write(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(s.ID, uint32(back)) }); werr != nil && n == 0 {
			return 0, werr
		}
		return n, nil
	case n > 0:
		return n, nil
	case err != nil:
		return 0, err
	case reset != nil && (!ended || reset.Code != http2.ErrCodeNo):
		return 0, reset
	}
	return 0, io.EOF
}

// Write sends p as DATA, as far as the peer's windows let it.
func (s *H2Stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		room, reset := 0, (*H2Reset)(nil)
		err = s.wait(&s.writeBy, func() bool {
			room = int(min(s.c.sendWindow, s.sendWindow, h2FrameMax, int64(len(p))))
			if reset = s.reset; room > 0 && reset == nil {
				s.c.sendWindow -= int64(room)
				s.sendWindow -= int64(room)
			}
			return room > 0 || reset != nil
		})
		if err == nil && reset != nil {
			err = reset
		}
		if err == nil {
			err = s.c.Write(func(fr *http2.Framer) error { return fr.WriteData(s.ID, false, p[:room]) })
		}
		if err != nil {
			return n, err
		}
		n, p = n+room, p[room:]
	}
	return n, nil
}

// SendWindow returns how many bytes the peer would take now on this stream, and
// Granted how many it has added so far.
func (s *H2Stream) SendWindow() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.sendWindow
}

// Received returns how many bytes of DATA have come.
func (s *H2Stream) Received() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.received
}

// Grant adds n bytes to what the peer may send, read or not.
func (s *H2Stream) Grant(n int64) error {
	s.c.mu.Lock()
	s.returned += n
	s.c.mu.Unlock()
	return s.c.Write(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(s.ID, uint32(n)) })
}

// notify tells everybody that waits for the stream; the lock is held.
func (s *H2Stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// end notes that nothing more is sent, and reports whether that is new.
func (s *H2Stream) end() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	before := s.over
	s.over = true
	s.notify()
	return !before
}

// CloseWrite ends our side (END_STREAM).
func (s *H2Stream) CloseWrite() {
	s.t.Helper()
	if err := s.CloseWriteErr(); err != nil {
		s.t.Fatalf("end the stream: %v", err)
	}
}

// CloseWriteErr is CloseWrite for any goroutine.
func (s *H2Stream) CloseWriteErr() error {
	if !s.end() {
		return nil
	}
	return s.c.Write(func(fr *http2.Framer) error { return fr.WriteData(s.ID, true, nil) })
}

// Reset resets the stream, as a client does that has gone.
func (s *H2Stream) Reset() { s.ResetWith(http2.ErrCodeCancel) }

// ResetWith resets the stream for a reason.
func (s *H2Stream) ResetWith(code http2.ErrCode) {
	s.c.mu.Lock()
	s.over, s.cancelled = true, true
	s.notify()
	s.c.mu.Unlock()
	_ = s.c.Write(func(fr *http2.Framer) error { return fr.WriteRSTStream(s.ID, code) })
}

// Close resets the stream unless both sides have ended.
func (s *H2Stream) Close() error {
	s.c.mu.Lock()
	over := s.over && s.ended || s.reset != nil || s.c.err != nil
	s.c.mu.Unlock()
	if !over {
		s.Reset()
	}
	return nil
}

// Put sends text, or ends the test.
func (s *H2Stream) Put(text string) {
	s.t.Helper()
	_ = s.SetWriteDeadline(time.Now().Add(Soon))
	defer func() { _ = s.SetWriteDeadline(time.Time{}) }()
	if n, err := io.WriteString(s, text); err != nil {
		s.t.Fatalf("client sends %d of %d bytes: %v", n, len(text), err)
	}
}

// Want reads exactly len(want) bytes and ends the test unless they are want.
func (s *H2Stream) Want(want string) {
	s.t.Helper()
	wantBytes(s.t, "client", s, want)
}

// WantEcho sends text and ends the test unless the same comes back.
func (s *H2Stream) WantEcho(text string) {
	s.t.Helper()
	s.Put(text)
	s.Want(text)
}

// WantEnd ends the test unless the peer ends its side in good order, without
// another byte.
func (s *H2Stream) WantEnd() {
	s.t.Helper()
	if err := endErr(s); err != nil {
		s.t.Fatalf("client waits for the end of the stream: %v", err)
	}
}

// WantGone ends the test unless the stream ends in one way or the other.
func (s *H2Stream) WantGone() {
	s.t.Helper()
	wantGone(s.t, "client", s)
}

// WantReset ends the test unless the peer resets the stream, and returns why.
func (s *H2Stream) WantReset() http2.ErrCode {
	s.t.Helper()
	by := time.Now().Add(Soon)
	var reset *H2Reset
	err := s.wait(&by, func() bool { reset = s.reset; return reset != nil })
	if reset == nil {
		s.t.Fatalf("%v waits for RST_STREAM: %v", s, err)
	}
	return reset.Code
}

// SetReadDeadline bounds reads, also one that waits.
func (s *H2Stream) SetReadDeadline(by time.Time) error { return s.setDeadline(&s.readBy, by) }

// SetWriteDeadline bounds writes, also one that waits.
func (s *H2Stream) SetWriteDeadline(by time.Time) error { return s.setDeadline(&s.writeBy, by) }

// SetDeadline is both.
func (s *H2Stream) SetDeadline(by time.Time) error {
	return errors.Join(s.SetReadDeadline(by), s.SetWriteDeadline(by))
}

func (s *H2Stream) setDeadline(which *time.Time, by time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	*which = by
	s.notify()
	return nil
}

// LocalAddr is the connection's.
func (s *H2Stream) LocalAddr() net.Addr { return s.c.conn.LocalAddr() }

// RemoteAddr is the connection's.
func (s *H2Stream) RemoteAddr() net.Addr { return s.c.conn.RemoteAddr() }

func (s *H2Stream) String() string { return fmt.Sprintf("stream %d", s.ID) }
