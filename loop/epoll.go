package loop

import (
	"time"

	"wsplice/internal/sys"
)

// epollEngine imitates completions over edge-triggered epoll: it makes the
// system call when an edge says that it can succeed, then delivers the result.
//
// Nothing is registered before it is needed: reading first, EPOLLOUT only when
// a send first met a full buffer, because most sockets never do.
type epollEngine struct {
	loop   *Loop
	epoll  sys.FD
	waker  sys.FD
	events [eventsPerTickMax]sys.EpollEvent
	count  int // events found by wait

	ready   []uint64 // tokens of sockets that have work without a new edge
	serving []uint64 // the slice that is being worked off

	scratch []byte // lent with received bytes; Headroom bytes lie before it
	peer    sys.Sockaddr
}

// wakerToken is the user data of the eventfd: no table index is that high.
const wakerToken = ^uint64(0)

const watchIn = sys.EpollIn | sys.EpollRdHup | sys.EpollPri | sys.EpollEdge

var _ engine = (*epollEngine)(nil)

func newEpoll(l *Loop, lend int) (*epollEngine, error) {
	epoll, err := sys.OpenEpoll()
	if err != nil {
		return nil, err
	}
	waker, err := sys.OpenEventFD()
	if err != nil {
		epoll.Close()
		return nil, err
	}
	e := &epollEngine{loop: l, epoll: epoll, waker: waker, scratch: make([]byte, Headroom+lend)[Headroom:]}
	if errno := epoll.EpollAdd(waker, sys.EpollIn, wakerToken); errno != 0 {
		e.stop()
		return nil, errno
	}
	return e, nil
}

func (e *epollEngine) name() string { return "epoll" }

func (e *epollEngine) wake() { e.waker.Signal() }

func (e *epollEngine) stop() {
	e.waker.Close()
	e.epoll.Close()
}

// submit: see the contract. Only a Send can be done at once.
func (e *epollEngine) submit(s *Socket, op *Op) bool {
	switch op.Kind {
	case Send:
		return e.startSend(s, op)
	case PollOut:
		e.watchOut(s, op)
	case Accept:
		// The queue may hold connections whose edge is long gone.
		s.flags |= flagReadable
		e.watchIn(s, op)
		e.queue(s)
	case PollHangup:
		e.watchIn(s, op)
		if s.flags&flagHangup != 0 {
			e.queue(s)
		}
	default:
		e.watchIn(s, op)
		if s.flags&flagReadable != 0 {
			e.queue(s)
		}
	}
	return false
}

// startSend tries at once, unless the buffer is known to be full.
func (e *epollEngine) startSend(s *Socket, op *Op) bool {
	if s.flags&flagBlocked == 0 {
		if e.push(s, op) {
			op.Kind = None
			return true
		}
		s.flags |= flagBlocked
	}
	if op.once {
		op.Kind = None
		return true // the rest is the owner's to keep
	}
	e.watchOut(s, op)
	return false
}

// push sends from op.Buf. It reports whether the operation is over: all sent,
// or failed.
func (e *epollEngine) push(s *Socket, op *Op) bool {
	n, errno := s.FD.Send(op.Buf())
	if errno == sys.EAGAIN {
		return false
	}
	if errno != 0 {
		op.errno = uint16(errno)
		return true
	}
	op.N += int32(n)
	op.skip(n)
	return op.size == 0
}

func (e *epollEngine) connect(s *Socket, addr *sys.Sockaddr) bool {
	op := &s.Out
	errno := s.FD.Connect(addr)
	switch {
	case errno == sys.EINPROGRESS && e.pushFirst(s, op):
		// A near peer's answer is often there before connect(2) returns.
		op.Kind = None
		return true
	case errno != sys.EINPROGRESS:
		if op.errno = uint16(errno); errno == 0 {
			e.pushFirst(s, op)
		}
		op.Kind = None
		return true
	}
	// Registered only now: epoll reports an unconnected socket as hung up.
	s.flags |= flagBlocked
	e.watchOut(s, op)
	return false
}

// pushFirst sends what the socket takes of the bytes behind a Connect. It
// reports whether the connection stands, or has failed.
func (e *epollEngine) pushFirst(s *Socket, op *Op) bool {
	return op.size > 0 && (e.push(s, op) || op.N > 0)
}

// watchIn registers s for reading unless it is registered already.
func (e *epollEngine) watchIn(s *Socket, op *Op) {
	if s.flags&flagWatched != 0 {
		return
	}
	events := watchIn
	if s.flags&flagListening != 0 {
		events = sys.EpollIn | sys.EpollEdge
	}
	if errno := e.epoll.EpollAdd(s.FD, events, s.token()); errno != 0 {
		e.fail(s, op, errno)
		return
	}
	s.flags |= flagWatched
}

// watchOut adds EPOLLOUT to what s is registered for, for good: a peer that
// was slow once will be again.
func (e *epollEngine) watchOut(s *Socket, op *Op) {
	var errno sys.Errno
	switch {
	case s.flags&flagWatchOut != 0:
		return
	case s.flags&flagWatched != 0:
		errno = e.epoll.EpollModify(s.FD, watchIn|sys.EpollOut, s.token())
	default:
		errno = e.epoll.EpollAdd(s.FD, watchIn|sys.EpollOut, s.token())
	}
	if errno != 0 {
		e.fail(s, op, errno)
		return
	}
	s.flags |= flagWatched | flagWatchOut
}

// fail makes op complete with errno at its next turn.
func (e *epollEngine) fail(s *Socket, op *Op, errno sys.Errno) {
	op.errno = uint16(errno)
	op.ready = true
	e.queue(s)
}

// cancel is over at once: epoll holds nothing of the owner's.
func (e *epollEngine) cancel(_ *Socket, op *Op) bool {
	op.Kind, op.ready = None, false
	op.setBuf(nil)
	return true
}

func (e *epollEngine) pause(s *Socket) { e.cancel(s, &s.In) }

// forget takes s out of the epoll set, which would go on to report what others
// wait for, and would outlive the close while they hold a duplicate. To register
// it again reports what holds then.
func (e *epollEngine) forget(s *Socket) {
	if s.flags&flagWatched != 0 {
		e.epoll.EpollDelete(s.FD)
	}
	s.flags &^= flagWatched | flagWatchOut | flagReadable | flagBlocked | flagEnded | flagHangup
}

func (e *epollEngine) pending(*Socket) bool { return false }

func (e *epollEngine) await(*Socket) {}

func (e *epollEngine) hold(block []byte) { e.loop.blocks.give(block) }

func (e *epollEngine) addTo(*Stats) {}

func (e *epollEngine) memory() int { return len(e.scratch) }

// close is done at once for the same reason. The descriptor leaves the epoll
// set by itself with its last reference: duplicates are closed before (Forget).
func (e *epollEngine) close(s *Socket) bool {
	e.loop.table.remove(s)
	s.FD.Close()
	*s = Socket{FD: sys.NoFD, owner: s.owner}
	return true
}

// queue gives s a turn in this tick or the next one without an edge.
func (e *epollEngine) queue(s *Socket) {
	if s.flags&flagQueued == 0 {
		s.flags |= flagQueued
		e.ready = append(e.ready, s.token())
	}
}

func (e *epollEngine) wait(timeout time.Duration) {
	if len(e.ready) > 0 {
		timeout = 0
	}
	raw := timeout
	if raw < 0 || raw > rawWaitMax {
		raw = rawWaitMax
	}
	n, errno := e.epoll.EpollWaitRaw(e.events[:], milliseconds(raw))
	if n == 0 && errno == 0 && raw != timeout {
		rest := -1
		if timeout > 0 {
			rest = milliseconds(timeout - raw)
		}
		n, errno = e.epoll.EpollWait(e.events[:], rest)
	}
	e.count = n
	if errno != 0 {
		e.count = 0 // EINTR: the runtime wants this thread for a moment
	}
}

// milliseconds rounds up, so that a wait never ends before its timer is due.
func milliseconds(d time.Duration) int {
	return int((d + time.Millisecond - 1) / time.Millisecond)
}

func (e *epollEngine) dispatch() {
	for i := range e.events[:e.count] {
		event := &e.events[i]
		token := sys.User(event)
		if token == wakerToken {
			e.waker.Clear()
			continue
		}
		if s := e.loop.table.find(token); s != nil {
			s.note(event.Events)
			e.serve(s)
		}
	}
	e.count = 0
	e.ready, e.serving = e.serving[:0], e.ready
	for _, token := range e.serving {
		if s := e.loop.table.lookUp(token); s != nil {
			s.flags &^= flagQueued
			e.serve(s)
		}
	}
}

// note takes over what an edge says.
func (s *Socket) note(events uint32) {
	if events&(sys.EpollIn|sys.EpollPri) != 0 {
		s.flags |= flagReadable
	}
	if events&sys.EpollOut != 0 {
		s.flags &^= flagBlocked
	}
	if events&sys.EpollPri != 0 {
		s.flags |= flagUrgent
	}
	if events&sys.EpollRdHup != 0 {
		s.flags |= flagEnded | flagReadable
	}
	if events&(sys.EpollErr|sys.EpollHup) != 0 {
		s.flags = s.flags&^flagBlocked | flagHangup | flagReadable
	}
}
