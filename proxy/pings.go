package proxy

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"wsplice/frame"
	"wsplice/loop"
)

// pings are what a tunnel remembers for pings of ours.
//
// A peer may answer only the latest of several pings (RFC 6455 section 5.5.3),
// so none of ours goes to a side while it owes an answer to a ping of the other
// one; that answer is then waited for in place of ours. Any byte that comes
// from a side after a ping shows that it lives.
type pings struct {
	payload uint64 // of ours, hard to guess, so that nobody else's is taken for it
	sides   [directionCount]pinged
}

// pinged is about one side: the source of a direction.
type pinged struct {
	next  time.Duration // when it is to be pinged
	since time.Duration // when it was, and it has been silent from then on; 0 = it owes nothing
	heard uint32        // flow.heard at that time

	// owes is the digest of the other side's latest ping while it is not
	// answered, or 0. The two directions may be on goroutines of their own.
	owes atomic.Uint64
}

// startPings begins to ping if the route wants that. Frames are followed.
func (t *Tunnel) startPings() {
	interval := t.route.PingInterval
	if interval == 0 {
		return
	}
	t.pings = &pings{payload: rand.Uint64()}
	for i := range t.pings.sides {
		t.pings.sides[i].next = t.opened + interval
	}
	t.up.frames.Expect(t.pings.payload)
	t.down.frames.Expect(t.pings.payload)
}

// saw takes note of a ping or pong that came from one side.
func (p *pings) saw(from direction, event frame.Event, digest uint64) {
	if event == frame.Ping {
		p.sides[directionCount-1-from].owes.Store(digest)
	} else {
		p.sides[from].owes.CompareAndSwap(digest, 0)
	}
}

// due returns when ping is to be called next.
func (p *pings) due(timeout time.Duration) time.Duration {
	next := never
	for i := range p.sides {
		s := &p.sides[i]
		next = min(next, s.next)
		if s.since != 0 && timeout > 0 {
			next = min(next, s.since+timeout)
		}
	}
	return next
}

// ping pings the sides that are due, or ends the tunnel of one that was silent
// for too long.
func (t *Tunnel) ping() {
	for _, f := range t.flows() {
		if t.relays() {
			t.pingSource(f)
		}
	}
}

func (t *Tunnel) pingSource(f *flow) {
	side, now := t.direction(f), t.worker.loop.Now()
	s, into := &t.pings.sides[side], t.opposite(f)
	if s.heard != f.heard {
		s.since = 0
	}
	timeout := t.route.PongTimeout
	source, _ := t.ends(f)
	switch {
	case f.ended || into.finished || f.frames.Opaque() || into.mute():
		// It could not answer, its answer would go on to the other side, or no
		// ping can reach it any more.
		s.since, s.next = 0, never
		return
	case source.In.Kind == loop.PollHangup:
		// It is held back for a slow sink: what it answers is not seen.
		s.since, s.next = 0, now+pingRetry
		return
	case s.since != 0 && timeout > 0 && now >= s.since+timeout:
		t.end(t.sourceSide(f), causeNoPong)
		return
	case now < s.next:
		return
	case into.pump.Held() > 0:
		s.next = now + pingRetry // the side is slow
		return
	case s.owes.Load() != 0:
	case !into.speaks():
		s.next = now + pingRetry // in the middle of a frame
		return
	default:
		t.inject(into, frame.AppendPing(nil, t.pings.payload, into == &t.up))
	}
	s.next = now + t.route.PingInterval
	if s.since == 0 {
		s.since, s.heard = now, f.heard
	}
}
