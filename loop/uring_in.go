package loop

import (
	"wsplice/internal/sys"
	"wsplice/internal/uring"
)

// What the kernel does for the In half of a socket is not always what the owner
// wants of it: an operation that goes on by itself cannot be stopped at once.
//
//	armed    the kernel                         serves           ends
//	none     does nothing
//	stream   receives again and again           Recv PollHangup  limit, end, error, no buffer, cancel
//	once     receives once, into a large buffer Recv PollHangup  with its completion
//	pollIn   waits for readable                 PollIn           with its completion
//	hangup   waits for the connection's end     PollHangup       cancel
//	accept   accepts one connection             Accept           with its completion
//
// arrange brings the two together: what is armed and serves the wish stays,
// what does not is cancelled, and with nothing armed the wish is. A stream that
// nobody wants stays armed too, because most often it is wanted again at once;
// what it brings meanwhile is kept as early, and then it is cancelled.
//
// A stream takes small buffers, for messages. A socket whose reads fill them
// has large messages: it goes over to one read at a time, into large buffers,
// which also holds back a source exactly; calmReads (16) small reads in a row
// take it back.
type armedOp uint8

const (
	armedNone armedOp = iota
	armedStream
	armedOnce
	armedPollIn
	armedHangup
	armedAccept
)

// serves reports whether a does what kind wants.
func (a armedOp) serves(kind Kind) bool {
	switch kind {
	case Recv:
		return a == armedStream || a == armedOnce
	case PollHangup:
		return a == armedStream || a == armedOnce || a == armedHangup
	case PollIn:
		return a == armedPollIn
	case Accept:
		return a == armedAccept
	}
	return true
}

// early is what came for a socket while its owner wanted nothing: at most
// limit bytes, and how the stream ended if it failed.
type early struct {
	bytes []byte // behind Headroom
	errno sys.Errno
}

// A lease is a buffer that the kernel filled.
type lease struct {
	group *uring.Buffers
	id    uint16
}

func (l lease) end() {
	if l.group != nil {
		l.group.Return(l.id)
	}
}

func (e *uringEngine) submit(s *Socket, op *Op) bool {
	switch op.Kind {
	case Send:
		return e.startSend(s, op)
	case PollOut:
		e.poll(s, tagOut, sys.EpollOut, 0)
	default:
		e.arrange(s, false)
	}
	return false
}

// arrange makes the kernel do what the owner wants of s.In. drained says that
// the socket is known to be empty.
func (e *uringEngine) arrange(s *Socket, drained bool) {
	switch {
	case !s.In.InFlight():
	case s.flags&flagEarly != 0, s.In.Kind == PollIn && s.flags&flagReadable != 0:
		e.queue(s)
	case s.armed == armedNone:
		e.arm(s, drained)
	case !s.armed.serves(s.In.Kind):
		e.cancelIn(s)
	}
}

// arm starts what s.In wants.
func (e *uringEngine) arm(s *Socket, drained bool) {
	switch s.In.Kind {
	case Recv:
		e.armRecv(s, drained)
	case PollIn:
		// No POLLPRI: a wake-up's events are those that might be, and for a
		// socket this one always might. A splice that urgent data stops finds
		// nothing again and again, and is given up for that.
		s.armed = armedPollIn
		e.poll(s, tagIn, sys.EpollIn|sys.EpollRdHup, 0)
	case PollHangup:
		// Multishot, because a FIN is reported too, asked for or not: once so,
		// every time otherwise.
		s.armed = armedHangup
		e.poll(s, tagIn, 0, uring.PollMulti)
	case Accept:
		e.armAccept(s)
	}
}

func (e *uringEngine) armRecv(s *Socket, drained bool) {
	q := e.entry() // enables the ring, which tells what the kernel can
	q.Opcode, q.Flags, q.FD, q.UserData = uring.OpRecv, uring.BufferSelect, int32(s.FD), s.user(tagIn)
	if s.flags&flagLarge == 0 && e.limit > 0 {
		s.armed = armedStream
		q.Group, q.IOPrio, q.OptLen = groupSmall, uring.RecvMultishot, e.limit
		return
	}
	s.armed = armedOnce
	q.Group = groupLarge
	if drained {
		q.IOPrio = uring.RecvPollFirst
	}
}

func (e *uringEngine) poll(s *Socket, tag uint64, events, flags uint32) {
	q := e.entry()
	q.Opcode, q.FD, q.Len, q.OpFlags, q.UserData = uring.OpPollAdd, int32(s.FD), flags, events, s.user(tag)
}

func (e *uringEngine) cancelIn(s *Socket) {
	if s.flags&flagCancelling == 0 {
		s.flags |= flagCancelling
		e.cancelUser(s.user(tagIn))
	}
}

func (e *uringEngine) cancelUser(user uint64) {
	q := e.entry()
	q.Opcode, q.Flags, q.FD, q.Addr, q.UserData = uring.OpAsyncCancel, uring.SkipSuccess, -1, user, tagNobody
}

func (e *uringEngine) cancel(s *Socket, op *Op) bool {
	if op == &s.Out {
		op.stopping = true
		e.cancelOut(s)
		return false
	}
	if s.armed == armedNone && s.flags&flagEarly == 0 {
		op.Kind = None
		op.setBuf(nil)
		return true
	}
	op.stopping = true
	if s.armed != armedNone {
		e.cancelIn(s)
	} else {
		e.queue(s)
	}
	return false
}

func (e *uringEngine) pause(s *Socket) {
	s.In.Kind, s.In.stopping = None, false
	s.In.setBuf(nil)
}

// completeIn takes a completion of what is armed.
func (e *uringEngine) completeIn(s *Socket, c *uring.CQE) {
	armed := s.armed
	if c.Flags&uring.More == 0 {
		s.armed = armedNone
		s.flags &^= flagCancelling
	}
	switch {
	case c.Res > 0 && (armed == armedStream || armed == armedOnce):
		e.received(s, armed, c)
	case armed == armedAccept && c.Res >= 0:
		e.accepted(s, c)
	case s.flags&flagClosing != 0:
		e.joined(s)
	case armed == armedPollIn || armed == armedHangup:
		e.polled(s, armed, c)
	default:
		e.ended(s, sys.Errno(-c.Res))
	}
}

// received lends what came to the owner, or keeps it if nobody wants it.
func (e *uringEngine) received(s *Socket, armed armedOp, c *uring.CQE) {
	bytes := lease{e.small, uint16(c.Flags >> 16)}
	if armed == armedOnce {
		bytes.group = e.large
	}
	n := int(c.Res)
	b := bytes.group.Bytes(bytes.id, n)
	switch {
	case s.flags&flagClosing != 0:
		e.loop.table.stale++
		bytes.end()
		e.joined(s)
		return
	case s.In.Kind != Recv || s.flags&flagEarly != 0:
		e.keep(s, b)
		bytes.end()
	default:
		e.size(s, armed, n, c.Flags&uring.NonEmpty != 0)
		if !e.deliverBytes(s, bytes, b) {
			return
		}
	}
	drained := c.Flags&uring.NonEmpty == 0
	if armed == armedOnce && s.flags&flagClosing == 0 && !s.In.stopping {
		e.again = append(e.again, s.token())
		if s.flags &^= flagDrained; drained {
			s.flags |= flagDrained
		}
		return
	}
	e.goOn(s, drained)
}

// size chooses the buffers for what comes next.
func (e *uringEngine) size(s *Socket, armed armedOp, n int, nonEmpty bool) {
	switch {
	case armed == armedStream && n == e.small.Size() && nonEmpty:
		s.flags |= flagLarge
		s.calm = 0
		if s.armed != armedNone {
			e.cancelIn(s)
		}
	case armed == armedOnce && n > e.small.Size():
		s.calm = 0
	case armed == armedOnce:
		if s.calm++; s.calm >= calmReads {
			s.flags &^= flagLarge
		}
	}
}

// deliverBytes lends b to the owner and reports whether s is still there.
func (e *uringEngine) deliverBytes(s *Socket, bytes lease, b []byte) bool {
	token, op := s.token(), &s.In
	op.N, op.errno, op.More = int32(len(b)), 0, true
	op.setBuf(b)
	e.kept = false
	s.owner.Complete(s, op, Recv)
	if e.kept {
		e.held = append(e.held, bytes)
	} else {
		bytes.end()
	}
	if s.token() != token || !s.Attached() {
		return false
	}
	op.setBuf(nil)
	return true
}

// keep stores what nobody wants now, and stops its coming.
func (e *uringEngine) keep(s *Socket, b []byte) {
	kept := e.early[s.id]
	if kept == nil {
		kept = &early{bytes: make([]byte, Headroom, Headroom+len(b))}
		e.early[s.id] = kept
		s.flags |= flagEarly
	}
	kept.bytes = append(kept.bytes, b...)
	s.flags |= flagLarge // a source that is held back is read exactly
	s.calm = 0
	if s.armed != armedNone {
		e.cancelIn(s)
	}
}

// goOn arranges for what comes next, or ends an operation that is to stop.
func (e *uringEngine) goOn(s *Socket, drained bool) {
	if s.flags&flagClosing != 0 {
		return
	}
	if s.In.stopping && s.armed == armedNone && s.flags&flagEarly == 0 {
		e.deliver(s, sys.ECANCELED)
		return
	}
	e.arrange(s, drained)
}

// deliver ends s.In.
func (e *uringEngine) deliver(s *Socket, errno sys.Errno) {
	op := &s.In
	kind := op.Kind
	op.Kind, op.More, op.stopping, op.N, op.errno = None, false, false, 0, uint16(errno)
	op.setBuf(nil)
	if kind == Accept {
		op.N = int32(sys.NoFD)
	}
	s.owner.Complete(s, op, kind)
}

// ended takes the end of a receive or an accept without a result.
func (e *uringEngine) ended(s *Socket, errno sys.Errno) {
	switch {
	case errno == sys.ENOBUFS && s.In.Kind == Recv && !s.In.stopping:
		e.dry++
		e.hungry = append(e.hungry, s.token())
	case errno == sys.ENOBUFS && s.In.Kind != Accept, errno == sys.ECANCELED, errno == sys.EINTR, errno == sys.EAGAIN,
		s.In.Kind == Accept && acceptGoesOn(errno):
		e.goOn(s, false)
	case s.flags&flagEarly != 0:
		e.early[s.id].errno = errno
		e.goOn(s, false)
	case errno == 0 && s.In.Kind != Recv:
		e.goOn(s, false) // the end of the stream is told again to who asks
	default:
		e.failed(s, errno)
	}
}

// failed tells the owner that s has ended, or keeps that for when it wants to
// know: the kernel tells of an error once.
func (e *uringEngine) failed(s *Socket, errno sys.Errno) {
	switch {
	case s.flags&flagClosing != 0:
	case s.In.Kind == Accept, s.In.Kind == Recv, s.In.Kind == PollHangup:
		e.deliver(s, errno)
	default:
		e.keep(s, nil)
		e.early[s.id].errno = errno
		e.goOn(s, false)
	}
}

// polled takes what a poll saw.
func (e *uringEngine) polled(s *Socket, armed armedOp, c *uring.CQE) {
	switch events := uint32(c.Res); {
	case c.Res < 0:
		e.goOn(s, false)
	case armed == armedPollIn && s.In.Kind == PollIn:
		e.deliver(s, 0)
	case armed == armedHangup && s.In.Kind == PollHangup && events&(sys.EpollErr|sys.EpollHup) != 0:
		if s.armed != armedNone {
			e.cancelIn(s)
		}
		e.deliver(s, 0)
	default:
		e.goOn(s, false)
	}
}

// serveIn gives s a turn: it was told to come again, or something early is
// there for what it wants now.
func (e *uringEngine) serveIn(s *Socket) {
	if s.flags&flagClosing != 0 {
		return
	}
	if s.flags&flagEarly == 0 {
		if s.In.Kind == PollIn && s.flags&flagReadable != 0 {
			s.flags &^= flagReadable
			e.deliver(s, 0)
		}
		return
	}
	kept := e.early[s.id]
	switch {
	case s.In.Kind == PollHangup && s.In.stopping:
		e.deliver(s, sys.ECANCELED)
	case s.In.Kind == PollHangup && kept.errno != 0:
		e.deliver(s, kept.errno)
	case s.In.Kind == PollHangup && s.armed == armedNone:
		e.arm(s, false)
	case s.In.Kind != Recv:
	case s.armed == armedStream || s.armed == armedOnce:
		// It is being cancelled; what it still brings comes behind. goOn queues
		// the socket again then.
	default:
		delete(e.early, s.id)
		s.flags &^= flagEarly
		if b := kept.bytes[Headroom:]; len(b) > 0 && !e.deliverBytes(s, lease{}, b) {
			return
		}
		if kept.errno != 0 {
			e.failed(s, kept.errno)
			return
		}
		e.goOn(s, false)
	}
}

// feed starts receives again: first those that found no buffer, in their order,
// then those that had one. All buffers of this tick are back by now, or will be
// by the next.
func (e *uringEngine) feed() {
	e.hungry, e.feeding = e.feeding[:0], e.hungry
	e.start(e.feeding)
	e.again, e.feeding = e.feeding[:0], e.again
	e.start(e.feeding)
}

func (e *uringEngine) start(tokens []uint64) {
	for _, token := range tokens {
		if s := e.loop.table.lookUp(token); s != nil && s.armed == armedNone && s.flags&flagClosing == 0 {
			e.goOn(s, s.flags&flagDrained != 0)
		}
	}
}

func (e *uringEngine) pending(s *Socket) bool {
	if s.flags&flagEarly != 0 {
		return true
	}
	if s.armed != armedStream && s.armed != armedOnce {
		return false
	}
	// What the ring has taken from the socket and nobody has looked at yet.
	e.take()
	for i := e.working + 1; i < len(e.completions); i++ {
		if c := &e.completions[i]; c.UserData == s.user(tagIn) {
			return true
		}
	}
	return false
}
