package proxy

import (
	"bytes"
	"math"

	"wsplice/frame"
	"wsplice/splice"
)

// A flow is one direction of a tunnel.
type flow struct {
	pump    splice.Pump
	frames  frame.Scanner // where frames begin and end; opaque where that is not followed
	bytes   uint64        // of the tunnel that reached the sink's socket
	skip    int32         // bytes still to go that are not the tunnel's: the 101, frames of ours
	bulk    uint32        // copied in large reads, small ones taken off; see turnedBulk
	heard   uint32        // times that the source was heard from
	sending sending

	ended    bool // the source sends no more
	died     bool // it ended without the tunnel being over
	finished bool // everything was flushed and the sink shut down, or it is dead
	gone     bool // while parting: the source's end was seen
	toSplice bool // splicing is to begin once nothing is being read or sent
	slow     bool // a send went short, and what was left is not sent yet

	spliced  bool // some of it was spliced
	blind    bool // it was bulk, and its frames are not followed any more
	violated bool // its frames broke RFC 6455 and are not followed any more
	raw      bool // it leads to a backend that speaks no WebSocket; see endpoint
}

// sending says whose memory a Send in flight holds.
type sending uint8

const (
	sendingNothing  sending = iota
	sendingLent             // the engine's
	sendingParked           // the pump's
	sendingExchange         // the tunnel's exchange
	sendingPiece            // the endpoint's piece of an expanded message
)

// followFrames begins to follow the frames of both directions, if the route
// wants that. The 101 that opened the tunnel is parsed.
func (t *Tunnel) followFrames() {
	if !answersWebSocket(&t.worker.response) || t.route.Frames == FramesOff {
		t.up.frames.Lose()
		t.down.frames.Lose()
		return
	}
	_, extensions := t.worker.response.Field("Sec-WebSocket-Extensions")
	t.up.frames.Init(frame.Rules{Masked: true, Extensions: extensions})
	t.down.frames.Init(frame.Rules{Extensions: extensions})
	t.startPings()
}

// filter follows the frames in b, which came next from the source of f, and
// takes out the answers to pings of ours. What goes on is first kept, a few
// bytes of an earlier b that had been held back, and then rest, which is b or
// was moved together inside it.
//
// It touches nothing of t but f and what is atomic or belongs to f.
func (t *Tunnel) filter(f *flow, b []byte) (kept, rest []byte) {
	f.heard++
	n, step := f.frames.Next(b)
	if n == len(b) && step == (frame.Step{}) {
		return nil, b
	}
	out, at := 0, 0
	for {
		switch step.Do {
		case frame.Forward:
			out += copy(b[out:], b[at:at+n])
		case frame.Release:
			kept = bytes.Clone(f.frames.Kept())
		}
		at += n
		t.onFrame(f, step.Event)
		if at == len(b) {
			return kept, b[:out]
		}
		n, step = f.frames.Next(b[at:])
	}
}

// onFrame takes note of a frame that f has brought to its end.
func (t *Tunnel) onFrame(f *flow, event frame.Event) {
	switch event {
	case frame.Ping, frame.Pong:
		if t.pings != nil {
			t.pings.saw(t.direction(f), event, f.frames.Digest())
		}
	case frame.Close:
		t.closedFirst.CompareAndSwap(uint32(sideNone), uint32(t.sourceSide(f)))
	case frame.Violation:
		f.violated = true
	}
}

// spliceMost is how many bytes of f may be spliced before its frames are to be
// looked at again.
func (f *flow) spliceMost() int {
	if f.frames.Opaque() {
		return splice.Unlimited
	}
	return int(min(f.frames.Remaining(), math.MaxInt))
}

// splicedBy takes note of n bytes that were taken from the source without
// being looked at.
func (f *flow) splicedBy(n int) {
	if n == 0 {
		return
	}
	f.heard++
	if !f.frames.Opaque() {
		f.frames.Advance(uint64(n))
	}
}

// turnedBulk reports whether f is to be spliced after a read of n bytes: for
// the rest of a large frame; at once, when its frames are not followed; or for
// ever, when there is so much of it in small frames that following them is not
// worth its price. A boundary that was lost cannot be found again, so the last
// takes long to be decided.
func (t *Tunnel) turnedBulk(f *flow, n int) bool {
	if f.frames.Opaque() {
		return f.pump.Saw(n)
	}
	if f.frames.Remaining() >= frameSpliceMin {
		return true
	}
	if t.route.Frames == FramesAlways || t.pings != nil {
		return false
	}
	if n >= blindReadBytes {
		f.bulk += uint32(n)
	} else {
		f.bulk -= min(f.bulk, blindPenalty)
	}
	if f.bulk < blindAfter {
		return false
	}
	f.frames.Lose()
	f.blind = true
	t.worker.blind.Add(1)
	return true
}
