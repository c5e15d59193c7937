package loop

import (
	"fmt"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/uring"
)

// uringEngine serves a loop by io_uring. Everything that it asks of the kernel
// goes into the ring and is handed over by the one call per tick that also
// waits (ADR 10).
//
// Bytes come in buffers that the kernel takes from a group of this engine when
// there is something to receive, so a socket that waits holds none. They go out
// from the same buffer, which is returned when that send is known to be over.
//
// The halves of a socket's life are in uring_in.go and uring_out.go.
type uringEngine struct {
	loop    *Loop
	ring    *uring.Ring
	small   *uring.Buffers // for Recv armed as a stream
	large   *uring.Buffers // for Recv armed once
	limit   uint32         // bytes after which a stream ends by itself; 0 = this kernel cannot
	waker   sys.FD
	enabled bool
	hurry   bool // the next wait is not to sleep: somebody needs what submitting brings
	quiet   bool // an untold wait has just brought nothing: the next is told

	completions []uring.CQE // of this tick
	working     int         // index of the one that is being delivered; -1 between ticks
	sends       []*Socket   // that try a send once, until the next reap
	finishing   []*Socket   // the slice that is being worked off

	kept bool    // a send has taken the buffer of the delivery under way
	held []lease // buffers of sends

	blocks  [][]byte // of layered sockets, that sends may be reading from
	freeing [][]byte // the slice that is being worked off

	ready   []uint64          // tokens of sockets that have work without a completion
	serving []uint64          // the slice that is being worked off
	hungry  []uint64          // tokens of sockets that found no buffer
	again   []uint64          // tokens of sockets that had a large one
	feeding []uint64          // the slice that is being worked off
	early   map[uint32]*early // by socket id: what came while nobody wanted it

	accepting map[uint32]*sys.Sockaddr // by socket id: where accept(2) writes the peer
	peer      *sys.Sockaddr

	dry       uint64 // receives that found no buffer
	overflows uint64 // times that completions did not fit
}

var _ engine = (*uringEngine)(nil)

// Tags say which operation of a socket a completion belongs to.
const (
	tagIn      = iota
	tagOut     // Send that waits for the peer, PollOut, and the send behind a Connect
	tagOnce    // Send tried once: completes only when it went short
	tagConnect // completes only when it failed, or when nothing is to be sent
	tagNobody  // nobody cares
	tagWaker
	tagProbe
)

// user is the kernel's name for an operation of s.
func (s *Socket) user(tag uint64) uint64 {
	return uint64(s.generation)<<32 | uint64(s.id)<<tagBits | tag
}

const (
	tagBits = 4
	tagMask = 1<<tagBits - 1
)

// tokenOf takes the tag off.
func tokenOf(user uint64) uint64 { return user&^(1<<32-1) | user&(1<<32-1)>>tagBits }

func newUring(l *Loop, z uringSizes) (*uringEngine, error) {
	ring, err := uring.Open(uint32(z.entries), uint32(z.completions))
	if err != nil {
		return nil, err
	}
	e := &uringEngine{
		loop: l, ring: ring, limit: uint32(z.limit), waker: sys.NoFD, working: -1,
		early: make(map[uint32]*early), accepting: make(map[uint32]*sys.Sockaddr),
	}
	if e.small, err = ring.Register(groupSmall, z.small, z.smallBytes, Headroom); err == nil {
		e.large, err = ring.Register(groupLarge, z.large, z.largeBytes, Headroom)
	}
	if err == nil {
		e.small.Touch() // they are used in turn, all of them
		e.waker, err = sys.OpenEventFD()
	}
	if err != nil {
		e.stop()
		return nil, fmt.Errorf("%w: %w", uring.ErrRefused, err)
	}
	return e, nil
}

const (
	groupSmall = 0
	groupLarge = 1
)

func (e *uringEngine) name() string { return "io_uring" }

func (e *uringEngine) wake() { e.waker.Signal() }

// memory returns what the ring and its buffers may take.
func (e *uringEngine) memory() int { return e.ring.Bytes() + e.small.Total() + e.large.Total() }

// enable binds the ring to the thread that serves the loop.
func (e *uringEngine) enable() {
	if e.enabled {
		return
	}
	e.enabled = true
	if err := e.ring.Enable(); err != nil {
		panic("loop: " + err.Error()) // setup accepted everything that this needs
	}
	e.armWaker()
	e.probeLimit()
}

// probeLimit asks whether a receive can end by itself after some bytes (Linux
// 6.17). A kernel that does not know it finds the field in use (EINVAL) before
// it finds that there is no such descriptor. Without, streams are not used:
// they could empty the buffers for everyone.
func (e *uringEngine) probeLimit() {
	q := e.entry()
	q.Opcode, q.Flags, q.FD, q.UserData = uring.OpRecv, uring.BufferSelect, -1, tagProbe
	q.Group, q.IOPrio, q.OptLen = groupSmall, uring.RecvMultishot, e.limit
	e.flush()
	e.take()
	for i := range e.completions {
		if c := &e.completions[i]; c.UserData == tagProbe && sys.Errno(-c.Res) == sys.EINVAL {
			e.limit = 0
		}
	}
}

func (e *uringEngine) armWaker() {
	q := e.entry()
	q.Opcode, q.FD, q.Len, q.OpFlags, q.UserData = uring.OpPollAdd, int32(e.waker), uring.PollMulti, sys.EpollIn, tagWaker
}

func (e *uringEngine) stop() {
	if e.enabled {
		e.flush() // closes are in the queue
	}
	e.ring.Close()
	for _, b := range []*uring.Buffers{e.small, e.large} {
		if b != nil {
			b.Free()
		}
	}
	e.waker.Close()
}

// entry returns a place in the submission queue.
func (e *uringEngine) entry() *uring.SQE { return e.entries(1) }

// entries makes room for n entries that belong together and returns the first.
func (e *uringEngine) entries(n uint32) *uring.SQE {
	e.enable()
	for !e.ring.Room(n) {
		e.flush()
	}
	return e.ring.Next()
}

// flush hands what is queued to the kernel before the tick ends.
func (e *uringEngine) flush() {
	for e.ring.Pending() > 0 {
		errno := e.ring.Submit()
		e.check(errno)
		if errno == sys.EBUSY {
			e.take() // completions wait for room; they are worked off with this tick's
		}
	}
}

// wait: first untold, then told, as limits.go explains at rawWaitMax.
func (e *uringEngine) wait(timeout time.Duration) {
	e.enable()
	if len(e.ready) > 0 || len(e.completions) > 0 || e.hurry {
		timeout = 0
	}
	e.hurry = false
	if timeout == 0 {
		e.quiet = false
		e.check(e.ring.Submit())
		return
	}
	if !e.quiet {
		raw := timeout
		if raw < 0 || raw > rawWaitMax {
			raw = rawWaitMax
		}
		errno := e.ring.Wait(raw, false)
		e.check(errno)
		if raw == timeout || e.ring.Ready() || errno == sys.EINTR {
			return
		}
		if e.quiet = len(e.sends) > 0; e.quiet {
			return // they are told of first
		}
		if timeout > 0 {
			timeout -= raw
		}
	}
	e.quiet = false
	e.check(e.ring.Wait(timeout, true))
}

// check panics on errors that say that the ring is misused.
func (e *uringEngine) check(errno sys.Errno) {
	switch errno {
	case 0, sys.ETIME, sys.EINTR, sys.EAGAIN, sys.EBUSY:
	default:
		panic("loop: io_uring_enter: " + errno.Error())
	}
}

// dispatch works off what wait brought. Sends come first, so that a receive
// finds its sink free.
func (e *uringEngine) dispatch() {
	e.reap()
	e.finishSends()
	for e.working = 0; e.working < len(e.completions); e.working++ {
		c := &e.completions[e.working]
		switch c.UserData & tagMask {
		case tagOnce, tagNobody, tagProbe:
		case tagWaker:
			e.waker.Clear()
			if c.Flags&uring.More == 0 {
				e.armWaker()
			}
		default:
			e.complete(*c)
		}
	}
	e.completions, e.working = e.completions[:0], -1
	e.serveReady()
	e.feed()
	e.small.Publish()
	e.large.Publish()
}

// reap takes all completions, those too that did not fit: until they are in,
// it is not known which sends went short.
func (e *uringEngine) reap() {
	e.take()
	for e.ring.Overflowed() {
		e.overflows++
		e.check(e.ring.Submit())
		e.take()
	}
}

// take moves completions to the list, and notes the sends that went short.
func (e *uringEngine) take() {
	known := len(e.completions)
	e.completions = e.ring.Take(e.completions)
	if len(e.sends) == 0 {
		return
	}
	for i := known; i < len(e.completions); i++ {
		if c := &e.completions[i]; c.UserData&tagMask == tagOnce {
			if s := e.loop.table.find(tokenOf(c.UserData)); s != nil {
				s.Out.wentShort(c.Res)
			}
		}
	}
}

// complete sends a completion to its half of the socket. c is a copy: the list
// may grow, and move, while it is worked off.
func (e *uringEngine) complete(c uring.CQE) {
	s := e.loop.table.find(tokenOf(c.UserData))
	switch {
	case s == nil:
		if c.Flags&uring.HasBuffer != 0 {
			panic("loop: a buffer was taken for a socket that is gone")
		}
	case c.UserData&tagMask == tagIn:
		e.completeIn(s, &c)
	default:
		e.completeOut(s, &c)
	}
}

// close ends s; see the contract, line 9.
func (e *uringEngine) close(s *Socket) bool {
	if s.flags&flagClosing != 0 {
		return false
	}
	s.flags |= flagClosing
	if s.armed != armedNone {
		e.cancelIn(s)
	}
	if s.Out.InFlight() {
		e.cancelOut(s)
	}
	return e.closeIfJoined(s)
}

// closeIfJoined closes the descriptor once nothing is in flight on it. The call
// goes through the ring too, behind what was queued before.
func (e *uringEngine) closeIfJoined(s *Socket) bool {
	if s.armed != armedNone || s.Out.InFlight() {
		return false
	}
	if s.flags&flagListening != 0 {
		s.FD.Close() // at once: whoever connects from now on would be reset
	} else {
		e.queueClose(s)
	}
	delete(e.early, s.id)
	delete(e.accepting, s.id)
	e.loop.table.remove(s)
	*s = Socket{FD: sys.NoFD, owner: s.owner}
	return true
}

func (e *uringEngine) queueClose(s *Socket) {
	q := e.entry()
	q.Opcode, q.Flags, q.FD, q.UserData = uring.OpClose, uring.SkipSuccess, int32(s.FD), tagNobody
}

// joined goes on with a close after something on s has ended.
func (e *uringEngine) joined(s *Socket) {
	if e.closeIfJoined(s) {
		s.owner.Complete(s, &s.In, Close)
	}
}

// forget has nothing to undo: what is not armed, the kernel does not look at.
func (e *uringEngine) forget(s *Socket) {
	if s.armed != armedNone || s.flags&flagEarly != 0 {
		panic("loop: a socket was forgotten that is still received from")
	}
	s.flags &^= flagReadable | flagDrained
}

// queue gives s a turn without a completion.
func (e *uringEngine) queue(s *Socket) {
	if s.flags&flagQueued == 0 {
		s.flags |= flagQueued
		e.ready = append(e.ready, s.token())
	}
}

func (e *uringEngine) serveReady() {
	e.ready, e.serving = e.serving[:0], e.ready
	for _, token := range e.serving {
		if s := e.loop.table.lookUp(token); s != nil {
			s.flags &^= flagQueued
			e.serveIn(s)
		}
	}
}

func (e *uringEngine) await(s *Socket) {
	if s.Out.InFlight() && s.Out.once {
		e.hurry = true // what else is in flight tells of itself
	}
}

func (e *uringEngine) addTo(s *Stats) { s.Dry, s.Overflows = e.dry, e.overflows }

func (e *uringEngine) acceptedAddr() *sys.Sockaddr { return e.peer }
