package loop

import (
	"wsplice/internal/sys"
	"wsplice/internal/uring"
)

// A Send once is tried when the ring takes it over
// (MSG_DONTWAIT), and completes in the kernel only if not all went
// (MSG_WAITALL makes a short send a failure, IOSQE_CQE_SKIP_SUCCESS keeps a
// whole one quiet). So after the call that submitted it has returned and all
// completions were taken, no news is good news: the owner is told, and the
// buffer returned.
//
// Any other Send waits inside the kernel until all is sent.
const (
	onceSendFlags = sys.MsgDontWait | sys.MsgWaitAll | sys.MsgNoSignal
	sendFlags     = sys.MsgWaitAll | sys.MsgNoSignal
)

func (e *uringEngine) startSend(s *Socket, op *Op) bool {
	if !op.once {
		e.sendOwn(s, op)
		return false
	}
	q := e.entry()
	q.Opcode, q.Flags, q.FD, q.UserData = uring.OpSend, uring.SkipSuccess, int32(s.FD), s.user(tagOnce)
	q.Addr, q.Len, q.OpFlags = op.address(), uint32(op.size), onceSendFlags
	e.kept = true
	e.sends = append(e.sends, s)
	return false
}

// sendOwn sends what is left of op.Buf.
func (e *uringEngine) sendOwn(s *Socket, op *Op) {
	q := e.entry()
	q.Opcode, q.FD, q.UserData = uring.OpSend, int32(s.FD), s.user(tagOut)
	q.Addr, q.Len, q.OpFlags = op.address(), uint32(op.size), sendFlags
}

// finishSends tells of the sends once that the last call handed over.
func (e *uringEngine) finishSends() {
	if len(e.sends) == 0 {
		return
	}
	if e.ring.Pending() > 0 {
		e.hurry = true // some were not handed over: a signal came
		return
	}
	e.sends, e.finishing = e.finishing[:0], e.sends
	e.blocks, e.freeing = e.freeing[:0], e.blocks
	for i, s := range e.finishing {
		e.finishing[i] = nil
		op := &s.Out
		if !op.ready {
			op.N = op.size
			op.setBuf(nil)
		}
		e.deliverOut(s)
	}
	for _, bytes := range e.held {
		bytes.end()
	}
	e.held = e.held[:0]
	for i, block := range e.freeing {
		e.freeing[i] = nil
		e.loop.blocks.give(block)
	}
}

func (e *uringEngine) hold(block []byte) {
	if len(e.sends) == 0 {
		e.loop.blocks.give(block)
		return
	}
	e.blocks = append(e.blocks, block)
}

// wentShort notes how a send once failed. EAGAIN says that nothing went.
func (op *Op) wentShort(result int32) {
	op.ready = true
	switch {
	case result > 0:
		op.N = result
		op.skip(int(result))
	case sys.Errno(-result) != sys.EAGAIN && sys.Errno(-result) != sys.EINTR:
		op.errno = uint16(-result)
	}
}

// deliverOut ends s.Out.
func (e *uringEngine) deliverOut(s *Socket) {
	op := &s.Out
	kind := op.Kind
	op.Kind, op.More, op.ready, op.stopping = None, false, false, false
	if s.flags&flagClosing != 0 {
		e.joined(s)
		return
	}
	token := s.token()
	s.owner.Complete(s, op, kind)
	if s.token() == token && op.Kind == None {
		op.setBuf(nil)
	}
}

// completeOut takes a completion of s.Out that is no send once.
func (e *uringEngine) completeOut(s *Socket, c *uring.CQE) {
	op := &s.Out
	errno := sys.OK
	if c.Res < 0 {
		errno = sys.Errno(-c.Res)
	}
	goesOn := !op.stopping && s.flags&flagClosing == 0
	retry := errno == sys.EINTR || errno == sys.EAGAIN
	switch {
	case c.UserData&tagMask == tagConnect || op.Kind == PollOut:
	case op.Kind == Connect:
		if op.wentShort(c.Res); op.errno == 0 && op.stopping {
			op.errno = uint16(sys.ECANCELED)
		}
		e.deliverOut(s)
		return
	case goesOn && (retry || errno == 0 && c.Res < op.size):
		// MSG_WAITALL gives up in the middle only for an error: the next call
		// tells which.
		if errno == 0 {
			op.N += c.Res
			op.skip(int(c.Res))
		}
		e.sendOwn(s, op)
		return
	case errno == 0:
		op.N += c.Res
		if op.skip(int(c.Res)); op.size > 0 {
			errno = sys.ECANCELED
		}
	case retry:
		errno = sys.ECANCELED
	}
	op.errno = uint16(errno)
	e.deliverOut(s)
}

// connect starts a Connect, with one try to send behind it. The kernel makes
// one completion of both: the connect's if that fails, else the send's.
func (e *uringEngine) connect(s *Socket, addr *sys.Sockaddr) bool {
	op := &s.Out
	if addr.Family() == sys.AFUnix {
		// Done or refused at once; a full queue would put a kernel thread to
		// sleep.
		op.Kind, op.errno = None, uint16(s.FD.Connect(addr))
		return true
	}
	address, size := addr.Raw()
	q := e.entries(2)
	q.Opcode, q.FD, q.UserData = uring.OpConnect, int32(s.FD), s.user(tagConnect)
	q.Addr, q.Off = uint64(uintptr(address)), uint64(size)
	if op.size > 0 {
		q.Flags = uring.Link | uring.SkipSuccess
		q = e.entry()
		q.Opcode, q.FD, q.UserData = uring.OpSend, int32(s.FD), s.user(tagOut)
		q.Addr, q.Len, q.OpFlags = op.address(), uint32(op.size), sys.MsgDontWait|sys.MsgNoSignal
	}
	return false
}

// cancelOut ends what s.Out does. A send once is over with the next call.
func (e *uringEngine) cancelOut(s *Socket) {
	switch op := &s.Out; {
	case op.once:
		e.hurry = true
	case op.Kind == Connect:
		e.cancelUser(s.user(tagConnect))
		e.cancelUser(s.user(tagOut))
	default:
		e.cancelUser(s.user(tagOut))
	}
}
