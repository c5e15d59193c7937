package loop

import (
	"testing"

	"wsplice/internal/sys"
)

// Sockets that find no buffer get one in turn, and all bytes arrive in order.
func TestUringDryBuffersDelayOnly(t *testing.T) {
	for _, limited := range []bool{true, false} {
		z := tight
		z.completions, z.small, z.large = 256, 2, 1
		r := uringRig(t, z)
		if !limited {
			r.withoutLimit()
		}
		const each = 3000
		var feeders []*feeder
		var checkers []*checker
		var outs []sys.FD
		for i := range 40 {
			_, from, to, out := r.relay(i%2 == 0, i%3 == 0)
			feeders, checkers, outs = append(feeders, from), append(checkers, to), append(outs, out)
		}
		r.until("all bytes", func() bool {
			over := true
			for i, f := range feeders {
				f.feed(min(each-f.sent, 200))
				checkers[i].drain(outs[i], 4096)
				over = over && checkers[i].got == each
			}
			return over
		})
		if r.Stats().Dry == 0 {
			t.Errorf("limited=%v: the buffers never ran out", limited)
		}
		if limited {
			r.checkBuffers(2)
		} else {
			r.checkBuffers(1)
		}
	}
}

// A flooder leaves buffers to those with single messages.
func TestUringFlooderLeavesBuffers(t *testing.T) {
	z := tight
	z.completions, z.small = 256, 2
	r := uringRig(t, z)
	heard := map[*Socket]int{}
	owner := &recorder{t: t}
	owner.on = func(s *Socket, _ *Op, _ Kind) {
		heard[s]++
		owner.events = owner.events[:0]
	}
	loud, rawLoud := r.pair(owner, true)
	defer rawLoud.Close()
	r.Recv(loud)
	flood := feeder{fd: rawLoud}
	var quiet []*Socket
	var raws []sys.FD
	for range 20 {
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		quiet, raws = append(quiet, s), append(raws, raw)
	}
	for round := range 20 {
		for _, raw := range raws {
			raw.Send([]byte("message"))
		}
		ticks := r.Stats().Ticks
		r.until("all are heard", func() bool {
			flood.feed(10000)
			for _, s := range quiet {
				if heard[s] <= round {
					return false
				}
			}
			return true
		})
		if took := r.Stats().Ticks - ticks; took > 200 {
			t.Fatalf("20 messages took %d ticks", took)
		}
	}
	if heard[loud] == 0 {
		t.Error("the flooder was never served")
	}
}

// What a paused owner did not want is what its next receive gets first, and no
// more than the limit was taken, whatever the sender sends.
func TestUringPausedSourceIsBounded(t *testing.T) {
	overRings(t, func(t *testing.T, r *rig) {
		e := r.uring()
		for _, watched := range []bool{false, true} {
			to := &checker{t: t, name: "owner"}
			owner := &recorder{t: t}
			owner.on = func(_ *Socket, op *Op, kind Kind) {
				if kind == Recv {
					to.take(op.Buf())
				}
				owner.events = owner.events[:0]
			}
			s, raw := r.pair(owner, true)
			from := &feeder{fd: raw}
			most := max(int(e.limit), e.large.Size())
			for range 20 {
				if s.In.InFlight() {
					r.Pause(s)
				}
				if watched {
					r.PollHangup(s)
				}
				paused := to.got
				for range 10 {
					from.feed(50000)
					r.step(0)
					if kept := e.early[s.id]; kept != nil && len(kept.bytes)-Headroom > most {
						t.Fatalf("%d bytes taken from a paused source, at most %d", len(kept.bytes)-Headroom, most)
					}
				}
				if to.got != paused {
					t.Fatal("bytes were delivered to an owner who paused")
				}
				r.Pause(s)
				r.Recv(s)
				r.until("it goes on", func() bool { return to.got > paused })
			}
			if !s.In.InFlight() {
				r.Recv(s)
			}
			r.until("all arrives", func() bool { return to.got == from.sent })
			raw.Close()
			r.shut(s)
		}
		r.checkBuffers(2)
	})
}

// Many paused sources hold no buffer of the ring.
func TestUringPausedSourcesHoldNoBuffer(t *testing.T) {
	r := uringRig(t, tight)
	owner := &recorder{t: t}
	var sockets []*Socket
	for i := range 60 {
		s, raw := r.pair(owner, i%2 == 0)
		defer raw.Close()
		r.Recv(s)
		r.step(0)
		r.Pause(s)
		(&feeder{fd: raw}).feed(10000)
		sockets = append(sockets, s)
	}
	for range 20 {
		r.step(0)
	}
	if len(owner.events) != 0 {
		t.Fatalf("%d deliveries to owners who paused", len(owner.events))
	}
	fresh := &recorder{t: t}
	s, raw := r.pair(fresh, true)
	defer raw.Close()
	r.Recv(s)
	(&feeder{fd: raw}).feed(5000)
	r.until("a fresh socket is served", func() bool { return len(fresh.received(s)) == 5000 })
	for _, s := range sockets {
		r.shut(s)
	}
	r.shut(s)
	r.checkBuffers(tight.small)
}

// A steady echo of large messages allocates nothing either.
func TestUringLargeEchoDoesNotAllocate(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	e := &parkingEchoer{loop: r.Loop}
	s, raw := r.pair(e, true)
	defer raw.Close()
	r.Recv(s)
	message, answer := make([]byte, 64<<10), make([]byte, 64<<10)
	round := func() {
		sent := 0
		for got := 0; got < len(message); {
			n, _ := raw.Send(message[sent:])
			sent += max(n, 0)
			r.step(0)
			n, _ = raw.Recv(answer)
			got += max(n, 0)
		}
	}
	for range 50 {
		round()
	}
	if allocs := testing.AllocsPerRun(100, round); allocs != 0 {
		t.Errorf("%v allocations per message, want 0", allocs)
	}
}

// A parkingEchoer sends back what it receives, and keeps what must wait in
// memory that it has.
type parkingEchoer struct {
	loop   *Loop
	parked [1 << 20]byte
	n      int
}

func (e *parkingEchoer) Complete(s *Socket, op *Op, kind Kind) {
	rest := op.Buf()
	if kind == Recv && !s.Out.InFlight() && e.n == 0 && e.loop.Send(s, op.Buf(), true) {
		rest = op.Buf()[s.Out.N:]
	} else if kind == Recv && s.Out.InFlight() && s.Out.once && e.n == 0 && &s.Out.Buf()[0] == &op.Buf()[0] {
		return // on its way
	}
	e.n += copy(e.parked[e.n:], rest)
	for e.n > 0 && !s.Out.InFlight() {
		if !e.loop.Send(s, e.parked[:e.n], false) {
			return
		}
		e.n = copy(e.parked[:], e.parked[s.Out.N:e.n])
	}
}
