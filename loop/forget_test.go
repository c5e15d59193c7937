package loop

import (
	"testing"

	"wsplice/internal/sys"
)

// borrow makes r forget s, after a receive that was under way has ended, and
// returns a duplicate of its descriptor.
func (r *rig) borrow(s *Socket) sys.FD {
	r.t.Helper()
	if !s.In.InFlight() {
		r.Recv(s)
	}
	if !r.StopIn(s) {
		r.until("stop", func() bool { return !s.In.InFlight() })
	}
	r.Forget(s)
	fd, errno := s.FD.Dup()
	if errno != 0 {
		r.t.Fatal(errno)
	}
	return fd
}

// Contract line 12: between StopIn and the next Recv somebody else reads and
// writes by a duplicate. What that leaves is delivered, once; what it took is not.
func TestForgottenSocketIsSharedWithOthers(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		raw.Send([]byte("one "))
		r.until("first", func() bool { return owner.received(s) == "one " })
		other := r.borrow(s)
		before := len(owner.events)
		raw.Send([]byte("for the other"))
		r.until("other reads", func() bool { return readAll(other) == "for the other" })
		raw.Send([]byte("two "))
		r.settle()
		if len(owner.events) != before {
			t.Fatalf("delivered while forgotten: %+v", owner.events[before:])
		}
		other.Send([]byte("answer"))
		other.Close()
		r.until("answer", func() bool { return readAll(raw) == "answer" })

		r.Recv(s) // what is there already
		r.until("rest", func() bool { return owner.received(s) == "one two " })
		raw.Send([]byte("three")) // what comes later
		r.until("later", func() bool { return owner.received(s) == "one two three" })
		raw.Close()
		r.until("end", func() bool { return !s.In.InFlight() })
	})
}

// Nothing there, then something: the first edge after the return is not lost.
func TestForgottenSocketIsEmptyWhenItReturns(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		for range 3 {
			other := r.borrow(s)
			raw.Send([]byte("taken"))
			r.until("other reads", func() bool { return readAll(other) == "taken" })
			other.Close()
			r.Recv(s)
			r.settle()
			if got := owner.received(s); got != "" {
				t.Fatalf("received %q, which another had read", got)
			}
		}
		raw.Send([]byte("mine"))
		r.until("delivered", func() bool { return owner.received(s) == "mine" })
	})
}

// A FIN or a reset that came meanwhile is told of afterwards.
func TestForgottenSocketEnds(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			end  func(sys.FD)
			want sys.Errno
		}{{func(sys.FD) {}, 0}, {sys.FD.ResetOnClose, sys.ECONNRESET}} {
			owner := &recorder{t: t}
			s, raw := r.pair(owner, true)
			other := r.borrow(s)
			c.end(raw)
			raw.Close()
			r.settle()
			other.Close()
			r.Recv(s)
			r.until("end", func() bool { return !s.In.InFlight() })
			if last := owner.events[len(owner.events)-1]; last.n != 0 || last.err != c.want {
				t.Errorf("last completion %+v, want %v", last, c.want)
			}
			r.shut(s)
		}
	})
}

// A full send buffer that the other left is waited for; one that it has emptied
// is not.
func TestForgottenSocketIsFullWhenItReturns(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		for range 2 { // the second time it is registered for EPOLLOUT before
			other := r.borrow(s)
			sent := fillSink(other)
			other.Close()
			before := owner.count(s, Send)
			done := r.Send(s, []byte("behind it"), false)
			got := 0
			r.until("all arrives", func() bool {
				got += len(readAll(raw))
				return got == sent+len("behind it")
			})
			r.until("sent", func() bool { return !s.Out.InFlight() })
			if !done && owner.count(s, Send) != before+1 {
				t.Errorf("%d completions of one send", owner.count(s, Send)-before)
			}
		}
	})
}

// To forget a socket that still receives would lose bytes, so it panics.
func TestForgetNeedsAnIdleSocket(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		s, raw := r.pair(&recorder{t: t}, true)
		defer raw.Close()
		r.Recv(s)
		defer func() {
			if recover() == nil {
				t.Error("a socket with a receive in flight was forgotten")
			}
		}()
		r.Forget(s)
	})
}
