package loop

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// Contract line 1: calls never call back, and a send that fits is done at once.
func TestSubmitNeverCallsBack(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		raw.Send([]byte("waiting"))
		owner.calls = true
		r.Recv(s)
		if done := r.Send(s, []byte("hello"), false); done && (s.Out.N != 5 || s.Out.Err() != 0 || s.Out.InFlight()) {
			t.Errorf("send done with n=%d err=%v", s.Out.N, s.Out.Err())
		}
		over := r.StopIn(s)
		owner.calls = false
		if !over {
			r.until("join", func() bool { return !s.In.InFlight() })
		}
		owner.calls = true
		r.PollIn(s, true)
		owner.calls = false
		r.until("poll completes", func() bool { return owner.count(s, PollIn) == 1 })
		r.until("bytes arrive", func() bool { return readAll(raw) == "hello" })
	})
}

// Contract line 2: lent bytes are those of the socket they are delivered for.
func TestLentBytesBelongToTheirSocket(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		a, rawA := r.pair(owner, true)
		b, rawB := r.pair(owner, true)
		defer rawA.Close()
		defer rawB.Close()
		r.Recv(a)
		r.Recv(b)
		var wantA, wantB string
		for i := range 50 {
			textA, textB := strings.Repeat("a", i+1), strings.Repeat("b", 2*i+1)
			rawA.Send([]byte(textA))
			rawB.Send([]byte(textB))
			wantA, wantB = wantA+textA, wantB+textB
			r.step(time.Millisecond)
		}
		r.until("all arrive", func() bool { return owner.received(a) == wantA && owner.received(b) == wantB })
	})
}

// Contract line 3: the end of the stream completes a receive exactly once.
func TestRecvEndsOnce(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		r.Recv(s)
		raw.Send([]byte("last words"))
		raw.Close()
		r.until("end", func() bool { return !s.In.InFlight() })
		r.settle()
		last := owner.events[len(owner.events)-1]
		if owner.received(s) != "last words" || last.n != 0 || last.err != 0 || last.more {
			t.Errorf("got %q, last %+v", owner.received(s), last)
		}
		if ends := owner.count(s, Recv); ends != len(owner.events) || ends > 2 {
			t.Errorf("%d completions: %+v", len(owner.events), owner.events)
		}
	})
}

func TestRecvReportsReset(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		r.Recv(s)
		r.step(0)
		raw.ResetOnClose()
		raw.Close()
		r.until("reset", func() bool { return !s.In.InFlight() })
		if last := owner.events[len(owner.events)-1]; last.err != sys.ECONNRESET {
			t.Errorf("last completion %+v, want ECONNRESET", last)
		}
	})
}

// Contract line 4, lent: the owner keeps what a slow peer did not take.
func TestSendOfLentBytes(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		sinkOwner := &recorder{t: t}
		sink, rawSink := r.pair(sinkOwner, true)
		defer rawSink.Close()
		filled := fillSink(sink.FD)
		owner := &recorder{t: t}
		kept := ""
		owner.on = func(_ *Socket, op *Op, _ Kind) {
			if op.N > 0 && r.Send(sink, op.Buf(), true) {
				kept += string(op.Buf()[sink.Out.N:])
			}
		}
		source, rawSource := r.pair(owner, true)
		defer rawSource.Close()
		r.Recv(source)
		rawSource.Send([]byte("does not fit"))
		r.until("read", func() bool { return owner.received(source) != "" })
		if kept != "" && sink.Out.InFlight() {
			t.Error("the owner was given the bytes back and the send goes on too")
		}
		if kept != "" && r.Send(sink, []byte(kept), false) {
			t.Error("a send of the owner's bytes was done although the sink is full")
		}
		got := 0
		r.until("all arrives", func() bool {
			got += len(readAll(rawSink))
			return got == filled+len("does not fit")
		})
		r.until("send completes", func() bool { return !sink.Out.InFlight() })
	})
}

// Contract line 4, the owner's: all or an error, once.
func TestSendOfOwnersBytesCompletesWhole(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		big := make([]byte, 32<<20)
		if r.Send(s, big, false) {
			t.Fatal("32 MiB went into a socket's buffer at once")
		}
		got := 0
		r.until("all arrives", func() bool {
			got += len(readAll(raw))
			return got == len(big) && !s.Out.InFlight()
		})
		if n := owner.count(s, Send); n != 1 || owner.events[0].n != len(big) {
			t.Errorf("%d completions, first %+v", n, owner.events[0])
		}
	})
}

func TestSendFailsWhenThePeerDies(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		if r.Send(s, make([]byte, 32<<20), false) {
			t.Fatal("32 MiB went into a socket's buffer at once")
		}
		raw.ResetOnClose()
		raw.Close()
		r.until("failure", func() bool { return !s.Out.InFlight() })
		if e := owner.events[0]; e.kind != Send || e.err != sys.ECONNRESET && e.err != sys.EPIPE {
			t.Errorf("completion %+v, want a dead connection", e)
		}
	})
}

// Contract line 5: after a cancel at most one completion comes, then none.
func TestCancelEndsAnOperation(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		r.step(0)
		if !r.StopIn(s) {
			r.until("join", func() bool { return !s.In.InFlight() })
		}
		before := len(owner.events)
		raw.Send([]byte("nobody listens"))
		r.settle()
		if len(owner.events) != before {
			t.Errorf("after the cancel: %+v", owner.events[before:])
		}
		r.Recv(s) // nothing is lost: a later receive finds it
		r.until("found", func() bool { return strings.HasSuffix(owner.received(s), "nobody listens") })
	})
}

// Contract line 5 from within a delivery: no further byte is delivered.
func TestCancelInsideDelivery(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		owner.on = func(s *Socket, _ *Op, _ Kind) { r.StopIn(s) }
		sent := fillSink(raw)
		r.Recv(s)
		r.until("stopped", func() bool { return owner.count(s, Recv) > 0 && !s.In.InFlight() })
		owner.on = nil
		r.Recv(s)
		r.until("rest", func() bool { return len(owner.received(s)) == sent })
	})
}

// Contract line 6: signals interrupt system calls; owners never notice.
func TestSignalsStayInside(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					_ = syscall.Kill(syscall.Getpid(), syscall.SIGURG)
				}
			}
		}()
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		for i := range 500 {
			raw.Send([]byte{'x'})
			r.until("byte", func() bool { return len(owner.received(s)) == i+1 })
		}
		close(stop)
		<-done
	})
}

// Contract line 7: an event that was fetched before the close reaches nobody,
// not even a new socket under the same number.
func TestStaleEventsAreDropped(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		old, rawOld := r.pair(owner, true)
		defer rawOld.Close()
		r.Recv(old)
		r.step(0)
		rawOld.Send([]byte("for the old one"))
		r.engine.wait(time.Second) // fetched, not delivered
		before := r.Stats().Stale
		if !r.Close(old) {
			r.until("close", func() bool { return owner.count(old, Close) == 1 })
		}
		fresh, rawFresh := r.pair(owner, true)
		defer rawFresh.Close()
		r.Recv(fresh)
		r.tick()
		r.settle()
		for _, e := range owner.events {
			if e.kind != Close {
				t.Errorf("delivered: %+v", e)
			}
		}
		if r.Stats().Stale == before && fresh.id == old.id {
			t.Error("the stale event was not counted")
		}
	})
}

// Contract line 8: a flood does not keep another socket waiting.
func TestFloodLeavesTurnsForOthers(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		loud, rawLoud := r.pair(owner, true)
		quiet, rawQuiet := r.pair(owner, true)
		defer rawLoud.Close()
		defer rawQuiet.Close()
		bytesBeforeQuiet, quietSeen := 0, false
		owner.on = func(s *Socket, op *Op, _ Kind) {
			if s == loud && !quietSeen {
				bytesBeforeQuiet += int(op.N)
				fillSink(rawLoud) // there is always more
			}
			quietSeen = quietSeen || s == quiet
		}
		fillSink(rawLoud)
		rawQuiet.Send([]byte("me too"))
		r.Recv(loud)
		r.Recv(quiet)
		r.until("quiet one heard", func() bool { return quietSeen })
		if most := 2 * recvsPerTurnMax * scratchBytes; bytesBeforeQuiet > most {
			t.Errorf("the loud one was served %d bytes before, want at most %d", bytesBeforeQuiet, most)
		}
	})
}

// Contract line 9: closing joins everything; nothing is delivered afterwards.
func TestCloseEndsEverything(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		r.Send(s, make([]byte, 32<<20), false)
		raw.Send([]byte("too late"))
		open := r.Stats().Sockets
		if !r.Close(s) {
			r.until("close", func() bool { return owner.count(s, Close) == 1 })
		}
		r.settle()
		for _, e := range owner.events {
			if e.kind != Close {
				t.Errorf("delivered after Close: %+v", e)
			}
		}
		if r.Stats().Sockets != open-1 || s.Attached() {
			t.Error("the socket is still known")
		}
		r.until("peer sees the end", func() bool {
			b := make([]byte, 1<<20)
			n, errno := raw.Recv(b)
			return n == 0 && errno == 0 || errno == sys.ECONNRESET
		})
	})
}

// Contract line 9: a close from within a delivery ends the socket's turn.
func TestCloseInsideDelivery(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		owner.on = func(s *Socket, _ *Op, kind Kind) {
			if kind == Recv {
				r.Close(s)
			}
		}
		fillSink(raw)
		r.Recv(s)
		r.until("closed", func() bool { return !s.Attached() })
		r.settle()
		if n := owner.count(s, Recv); n != 1 {
			t.Errorf("%d receives delivered, want 1", n)
		}
	})
}
