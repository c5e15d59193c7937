package proxy

import (
	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/splice"
)

// startRelay joins the two sides after a correct 101, whose head has n bytes.
// What came early on either side is forwarded first, in order.
func (t *Tunnel) startRelay(n int) {
	w, x := t.worker, t.x
	t.setState(stateRelaying)
	t.opened = w.loop.Now()
	t.active = t.opened
	w.counters.opened++
	w.logOpen(t)
	t.followFrames()
	t.armClocks()
	// What may become a pong of ours is held back here too.
	_, rest := t.filter(&t.down, x.answer[n:])
	answer, n := t.withCookie(x.answer[:n+len(rest)], n)
	_, early := t.filter(&t.up, x.early())
	t.down.skip = int32(n + t.down.pump.Parked()) // an interim answer may still be parked
	t.forward(&t.down, &t.client, answer, sendingExchange)
	if t.relays() {
		t.forward(&t.up, &t.backend, early, sendingExchange)
	}
	if !t.relays() {
		return
	}
	t.releaseExchange()
	// The backend's receive goes on as it is; the client's takes the place of
	// the watch for its hang-up.
	t.resume(&t.up)
	t.resume(&t.down)
	if t.relays() && t.wantsSync(true) {
		t.startSync()
	}
}

// ends returns where a flow comes from and goes to.
func (t *Tunnel) ends(f *flow) (source, sink *loop.Socket) {
	if f == &t.up {
		return &t.client, &t.backend
	}
	return &t.backend, &t.client
}

// flows returns both directions.
func (t *Tunnel) flows() [directionCount]*flow { return [...]*flow{&t.up, &t.down} }

// flowsOf returns the flows from s and into s.
func (t *Tunnel) flowsOf(s *loop.Socket) (from, into *flow) {
	if s == &t.client {
		return &t.up, &t.down
	}
	return &t.down, &t.up
}

func (t *Tunnel) opposite(f *flow) *flow {
	if f == &t.up {
		return &t.down
	}
	return &t.up
}

// sourceSide names the side that a flow comes from.
func (t *Tunnel) sourceSide(f *flow) side {
	if f == &t.up {
		return sideClient
	}
	return sideBackend
}

// onRelaying takes a completion of either side. What comes in on a socket
// belongs to the flow from it, what goes out to the flow into it.
func (t *Tunnel) onRelaying(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	from, into := t.flowsOf(s)
	switch kind {
	case loop.Recv:
		t.received(from, op)
	case loop.Send:
		t.sent(into, s, op)
	case loop.PollIn:
		t.move(from)
	case loop.PollOut:
		if into.finished {
			into.pump.Drop(t.worker.pipes) // it was given up meanwhile
			return
		}
		t.move(into)
	case loop.PollHangup:
		t.hungUp(from)
	}
}

// received forwards lent bytes, or ends the direction.
func (t *Tunnel) received(f *flow, op *loop.Op) {
	if op.N > 0 {
		t.worker.noteTraffic(t)
	}
	switch {
	case f.finished:
	case op.N > 0 && t.endpoint != nil:
		t.translate(f, op)
	case op.N > 0:
		n := int(op.N)
		source, sink := t.ends(f)
		kept, b := t.filter(f, op.Buf())
		if len(kept) > 0 {
			t.active = t.worker.loop.Now()
			f.pump.Park(kept)
			if !sink.Out.InFlight() {
				t.sendParked(f, sink)
			}
		}
		if len(b) > 0 && !f.finished {
			t.active = t.worker.loop.Now()
			t.forward(f, sink, b, sendingLent)
		}
		if t.relays() && !f.finished && !t.syncing {
			if t.steer(f, source, sink, n); t.wantsSync(len(kept)+len(b) > 0) {
				t.startSync()
			}
		}
	case op.Err() == sys.ECANCELED:
		t.resume(f)
	default:
		t.sourceEnded(f, op.Err())
	}
}

// steer decides how to go on after a read of n bytes.
func (t *Tunnel) steer(f *flow, source, sink *loop.Socket, n int) {
	loop := t.worker.loop
	switch {
	case t.full(f, sink):
		f.toSplice = false // pausing leaves bytes with the engine, and they come first
		t.holdBack(source)
	case f.slow: // nothing is gained by splicing into such a sink
	case !source.Urgent() && !t.secured() && t.turnedBulk(f, n):
		f.toSplice = true
		switch over := loop.StopIn(source); {
		case sink.Out.InFlight():
			loop.Await(sink)
		case over:
			t.resume(f)
		}
	}
}

// holdBack stops reading from source. Its death must not go unnoticed
// meanwhile.
func (t *Tunnel) holdBack(source *loop.Socket) {
	t.worker.loop.Pause(source)
	t.worker.loop.PollHangup(source)
}

// full reports whether the source is to wait for the sink: one more read
// might exceed the limit of parked bytes.
func (t *Tunnel) full(f *flow, sink *loop.Socket) bool {
	return t.sinkFull(f, sink) || f == &t.up && t.waits()
}

// sinkFull reports whether that is because of bytes that are for the sink.
func (t *Tunnel) sinkFull(f *flow, sink *loop.Socket) bool {
	return sink.Out.InFlight() && f.pump.Parked()+t.worker.lend > t.worker.server.config.Limits.Parked
}

// forward sends b to sink, behind what already waits for it. memory says whose
// b is.
func (t *Tunnel) forward(f *flow, sink *loop.Socket, b []byte, memory sending) {
	if len(b) == 0 {
		return
	}
	if sink.Out.InFlight() {
		f.pump.Park(b)
		t.worker.loop.Await(sink)
		return
	}
	if n, over := t.push(f, sink, b, memory); over && n < len(b) {
		f.slow = true
		f.pump.Park(b[n:])
		t.sendParked(f, sink)
	}
}

// sendParked sends what is parked: once a send went short, by sends that wait
// for the sink, until nothing is left.
func (t *Tunnel) sendParked(f *flow, sink *loop.Socket) {
	for f.pump.Parked() > 0 {
		b := f.pump.ParkedBytes()
		if sink.Layered() {
			b = b[:min(len(b), loop.LendMax)] // what is sealed takes as much again
		}
		n, over := t.push(f, sink, b, sendingParked)
		if !over {
			return
		}
		f.slow = f.slow || n < len(b)
		f.pump.Unpark(n)
	}
	f.slow = false
}

// push sends b and returns how much of it went. over is false when the send is
// in flight or the sink has failed.
func (t *Tunnel) push(f *flow, sink *loop.Socket, b []byte, memory sending) (n int, over bool) {
	once := memory == sendingLent || memory == sendingPiece || memory == sendingParked && !f.slow
	if !t.worker.loop.Send(sink, b, once) {
		f.sending = memory
		if memory == sendingParked {
			t.worker.loop.Await(sink) // there may be more
		}
		return 0, false
	}
	n = int(sink.Out.N)
	t.count(f, n)
	if errno := sink.Out.Err(); errno != 0 {
		t.sinkFailed(f, errno)
		return n, false
	}
	return n, true
}

// sent goes on after a Send that was in flight.
func (t *Tunnel) sent(f *flow, sink *loop.Socket, op *loop.Op) {
	memory := f.sending
	f.sending = sendingNothing
	if memory == sendingPiece {
		t.releasePiece() // nobody takes it before what is left of it was parked
	}
	if t.count(f, int(op.N)) > 0 {
		t.active = t.worker.loop.Now()
	}
	if f.finished {
		f.pump.Drop(t.worker.pipes) // it was given up meanwhile
		if t.syncing {
			t.trySync()
		}
		return
	}
	if memory == sendingParked {
		f.pump.Unpark(int(op.N))
	}
	if op.Err() != 0 {
		t.sinkFailed(f, op.Err())
		return
	}
	if rest := op.Buf(); len(rest) > 0 {
		f.slow = true
		if memory != sendingParked && memory != sendingExchange {
			f.pump.ParkFirst(rest)
		}
	}
	t.sendParked(f, sink)
	t.sendOwedPong()
	if !t.relays() {
		return
	}
	t.releaseExchange()
	source, _ := t.ends(f)
	switch {
	case t.syncing:
		t.trySync()
	case f.finished:
	case !sink.Out.InFlight():
		t.resume(f)
	case f.toSplice && f.slow:
		f.toSplice = false
		if !source.In.InFlight() {
			t.worker.loop.Recv(source)
		}
	case f.toSplice:
		t.worker.loop.Await(sink)
	case source.In.Kind == loop.Recv && t.full(f, sink):
		t.holdBack(source)
	}
}

// resume makes a flow go on that has nothing in flight towards its sink: it
// ends, begins to splice, or reads again.
func (t *Tunnel) resume(f *flow) {
	if t.syncing {
		t.trySync()
		return
	}
	if f == &t.up && t.waits() {
		t.inflateOn()
		return
	}
	source, sink := t.ends(f)
	t.unwatch(source)
	switch {
	case f.finished || source.In.InFlight():
	case t.full(f, sink):
		t.worker.loop.PollHangup(source)
	case f.ended:
		if !sink.Out.InFlight() {
			t.finish(f)
		}
	case f.toSplice && !sink.Out.InFlight():
		f.toSplice = false
		if f.pump.StartSplice(t.worker.pipes) {
			t.worker.counters.splices++
			f.spliced = true
			t.move(f)
			return
		}
		t.worker.loop.Recv(source)
	default:
		t.worker.loop.Recv(source)
	}
}

// unwatch ends the watch for the source's death, before it is read again.
func (t *Tunnel) unwatch(source *loop.Socket) {
	if source.In.Kind == loop.PollHangup {
		t.worker.loop.Pause(source)
	}
}

// hungUp takes note that the source of f, which was not being read, has died or
// was closed in both directions. What it sent before may still be read.
func (t *Tunnel) hungUp(f *flow) {
	if t.replaceable(f) {
		t.replaceBackend()
		return
	}
	t.stayFor(f)
	f.died = true
	if opposite := t.opposite(f); !opposite.finished {
		t.blame(t.sourceSide(f), causeReset)
		t.abandon(opposite)
	}
	t.settle()
}

// move splices what can be spliced now.
func (t *Tunnel) move(f *flow) {
	w := t.worker
	source, sink := t.ends(f)
	t.unwatch(source)
	held := f.pump.Held()
	n, need, errno := f.pump.Move(source.FD, sink.FD, w.pipes, f.spliceMost())
	f.splicedBy(n + f.pump.Held() - held)
	if n > 0 {
		t.active = w.loop.Now()
		w.noteTraffic(t)
		f.bytes += uint64(n)
		w.counters.relayed[t.direction(f)][splice.Splice] += uint64(n)
	}
	switch need {
	case splice.NeedSource:
		switch {
		case source.Urgent():
			f.pump.StopSplice()
			w.loop.Recv(source)
		case f.pump.Calm():
			w.loop.Recv(source)
		default:
			w.loop.PollIn(source, false)
		}
	case splice.NeedSink:
		w.loop.PollOut(sink)
		w.loop.PollHangup(source)
	case splice.NeedTurn:
		w.loop.PollIn(source, true)
	case splice.NeedCopy:
		w.loop.Recv(source)
	case splice.SourceFailed:
		t.sourceEnded(f, errno)
	case splice.SinkFailed:
		t.sinkFailed(f, errno)
	}
}

// sourceEnded is the end of a direction: FIN, or the connection's death.
func (t *Tunnel) sourceEnded(f *flow, errno sys.Errno) {
	if t.replaceable(f) {
		t.replaceBackend()
		return
	}
	if f == &t.up && errno == 0 && t.wasGivenUp() {
		errno = sys.ECONNRESET
	}
	t.blame(t.sourceSide(f), causeOf(errno))
	f.ended = true
	t.stayFor(f)
	// A backend that leaves without a Close has died as far as the client is
	// concerned, unless it knows no Close. A client may half-close and still read:
	// its FIN says nothing yet.
	f.died = f.died || errno != 0 || f == &t.down && !t.up.ended && t.endpoint == nil
	if errno != 0 {
		// The connection is gone in both directions.
		t.abandon(t.opposite(f))
	}
	_, sink := t.ends(f)
	f.pump.Park(f.frames.Kept()) // no pong of ours after all
	if f.pump.Parked() > 0 && !sink.Out.InFlight() {
		t.sendParked(f, sink)
	}
	switch {
	case f.finished: // the sink has failed
	case sink.Out.InFlight():
		t.worker.loop.Await(sink)
		t.settle() // sent will finish it
	default:
		t.finish(f)
	}
}

// sinkFailed is the death of the connection that f goes into. What it sent
// before may still be read: the opposite flow goes on until it finds the end.
func (t *Tunnel) sinkFailed(f *flow, errno sys.Errno) {
	t.blame(t.sourceSide(t.opposite(f)), causeOf(errno))
	t.stayFor(f)
	if t.state == stateParting {
		t.giveUp(f)
		return
	}
	if !t.relays() {
		t.close() // an interim answer or a refusal that the client does not want
		return
	}
	if opposite := t.opposite(f); !opposite.ended {
		opposite.died = true // the kernel tells of the error once: a read may find a mere end
	}
	t.abandon(f)
	t.settle()
}

// abandon gives up a flow whose sink is dead, with what was on its way.
func (t *Tunnel) abandon(f *flow) {
	if f.finished {
		return
	}
	source, sink := t.ends(f)
	f.ended, f.finished = true, true
	t.worker.loop.Pause(source)
	if t.worker.loop.StopOut(sink) {
		f.pump.Drop(t.worker.pipes)
	}
}

// finish passes the end on, now that everything before it has been sent: FIN
// must not overtake bytes.
func (t *Tunnel) finish(f *flow) {
	if f.finished {
		return
	}
	if f.speaks() {
		if words, ok := t.lastWords(f); ok {
			t.part(words)
			return
		}
	}
	f.finished = true
	_, sink := t.ends(f)
	if t.cause != causeEnd || !t.opposite(f).finished || sink.Layered() { // else closing says it
		t.worker.loop.ShutdownWrite(sink)
	}
	t.settle()
}

// settle goes on after a flow was finished: with the other one alone, or to
// the end.
func (t *Tunnel) settle() {
	switch {
	case !t.up.finished || !t.down.finished:
		if t.state == stateRelaying {
			t.setState(stateDraining)
		}
		t.armClocks()
	case t.cause == causeEnd:
		t.close() // both sides have said all they had to say
	case t.endedBy == sideClient:
		t.linger(&t.backend)
	default:
		t.linger(&t.client)
	}
}

// relays reports whether the tunnel still moves bytes of its sides.
func (t *Tunnel) relays() bool {
	return t.state == stateRelaying || t.state == stateDraining
}

func (t *Tunnel) direction(f *flow) direction {
	if f == &t.up {
		return directionUp
	}
	return directionDown
}

// count adds n copied bytes that reached the sink's socket and returns how many
// of them were the tunnel's.
func (t *Tunnel) count(f *flow, n int) int {
	if !t.relays() && t.state != stateParting && !t.replacing() {
		return n
	}
	if f.skip > 0 {
		head := min(int(f.skip), n)
		f.skip -= int32(head)
		n -= head
	}
	f.bytes += uint64(n)
	t.worker.counters.relayed[t.direction(f)][splice.Copy] += uint64(n)
	return n
}
