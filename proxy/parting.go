package proxy

import (
	"github.com/gobwas/ws"

	"wsplice/frame"
	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/splice"
)

// Parting ends a tunnel in the words of its protocol. Each side gets a Close
// frame of ours behind what was on its way, where that has ended with a frame
// and no Close has gone before, and then FIN. What it still sends, its own
// Close among it, is dropped until it ends too.
//
// A direction that is in the middle of a frame gets FIN alone, and one whose
// bytes the side does not take gets RST, so that the loss shows.

// A farewell is what a Close frame of ours says.
type farewell struct {
	code   ws.StatusCode
	reason string
}

// frame returns the Close frame. The answer to one without a code has none.
func (w farewell) frame(masked bool) []byte {
	if w.code == ws.StatusNoStatusRcvd {
		return frame.AppendEmptyClose(nil)
	}
	return frame.AppendClose(nil, w.code, w.reason, masked)
}

// farewells are for the causes that are ours.
var farewells = map[cause]farewell{
	causeIdle:      {ws.StatusGoingAway, "idle timeout"},
	causeLifetime:  {ws.StatusGoingAway, "lifetime reached"},
	causeHalfClose: {ws.StatusGoingAway, "half-close timeout"},
	causeDrain:     {ws.StatusGoingAway, "server is stopping"},
	causeNoPong:    {ws.StatusInternalServerError, "a ping was not answered"},
	causeReset:     farewellDied, // a stream of HTTP/2, whose socket cannot be reset
}

// farewellDied tells one side that the other one has gone without a Close.
var farewellDied = farewell{ws.StatusInternalServerError, "the other side is gone"}

// lastWords returns what the sink of f is told about the end of its source, if
// there is something to tell.
func (t *Tunnel) lastWords(f *flow) (words farewell, ok bool) {
	switch {
	case f.died:
		return farewellDied, true
	case t.endpoint != nil && f == &t.down:
		return t.backendEnded(), true
	}
	return farewell{}, false
}

// speaks reports whether a frame of ours may go into f now.
func (f *flow) speaks() bool {
	return !f.finished && !f.raw && f.pump.Lane() == splice.Copy && f.frames.AtBoundary()
}

// mute reports whether no frame of ours may ever go into f again.
func (f *flow) mute() bool {
	_, closed := f.frames.CloseCode()
	return closed || f.raw || f.frames.Opaque()
}

// inject sends a frame of ours into f, which speaks.
func (t *Tunnel) inject(f *flow, b []byte) {
	_, sink := t.ends(f)
	f.skip += int32(len(b))
	f.pump.Park(b)
	if sink.Out.InFlight() {
		t.worker.loop.Await(sink)
	} else {
		t.sendParked(f, sink)
	}
}

// part ends the tunnel, both sides of which may still be open.
func (t *Tunnel) part(words farewell) {
	t.cancelSync()
	t.setState(stateParting)
	t.worker.loop.Arm(&t.timer, t, lingerTimeout)
	t.unsent = t.inQueues() // what a dead side never takes is no progress
	for _, f := range t.flows() {
		f.ended, f.toSplice = true, false
		if f.speaks() {
			t.sentClose = uint16(words.code)
			t.closedFirst.CompareAndSwap(uint32(sideNone), uint32(sideProxy))
			t.inject(f, words.frame(f == &t.up))
		}
	}
	t.discard(&t.client)
	if t.backend.Open() {
		t.discard(&t.backend)
	}
	t.settleParting()
}

// discard reads on from s, to drop it.
func (t *Tunnel) discard(s *loop.Socket) {
	if s.In.Kind != loop.Recv {
		t.worker.loop.Pause(s)
		t.worker.loop.Recv(s)
	}
}

func (t *Tunnel) onParting(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	from, into := t.flowsOf(s)
	switch {
	case kind == loop.Send:
		t.sent(into, s, op)
	case kind == loop.PollOut:
		if into.finished {
			into.pump.Drop(t.worker.pipes)
		}
	case kind == loop.PollHangup || op.N == 0 && op.Err() == 0:
		from.gone = true
	case op.Err() != 0:
		if op.Err() == sys.ECANCELED {
			t.discard(s)
			break
		}
		from.gone = true
		t.giveUp(into)
	default:
		if t.lingered += op.N; t.lingered > lingerBytesMax {
			t.worker.loop.Pause(s)
			t.worker.loop.PollHangup(s)
		}
	}
	t.settleParting()
}

// settleParting shuts down the sides that have got everything, and closes once
// both have ended too.
func (t *Tunnel) settleParting() {
	if t.state != stateParting {
		return
	}
	for _, f := range t.flows() {
		_, sink := t.ends(f)
		switch {
		case f.finished || sink.Out.InFlight() && sink.Out.Kind == loop.Send || f.pump.Parked() > 0:
		case f.pump.Held() > 0: // in a pipe, in the middle of a frame
			t.resetOnClose(sink)
			t.giveUp(f)
		default:
			f.finished = true
			t.worker.loop.ShutdownWrite(sink)
		}
	}
	if t.up.finished && t.down.finished && t.up.gone && t.down.gone {
		t.close()
	}
}

// giveUp ends a flow whose sink is dead or does not take what is left.
func (t *Tunnel) giveUp(f *flow) {
	if f.finished {
		return
	}
	f.finished = true
	if _, sink := t.ends(f); t.worker.loop.StopOut(sink) {
		f.pump.Drop(t.worker.pipes)
	}
}

// partTimeout ends the wait for sides that do not end, unless they still take
// what is in their queues.
func (t *Tunnel) partTimeout() {
	if t.partings++; t.partings < partingsMax && t.noteProgress() {
		t.worker.loop.Arm(&t.timer, t, lingerTimeout)
		return
	}
	t.cut(&t.up)
	t.cut(&t.down)
	t.close()
}
