package loop

import (
	"wsplice/internal/sys"
	"wsplice/internal/uring"
)

// armAccept asks for one connection at a time: who has no descriptors for more
// does not get more, and only so does the kernel write the peer's address.
func (e *uringEngine) armAccept(s *Socket) {
	peer := e.accepting[s.id]
	if peer == nil {
		peer = new(sys.Sockaddr)
		e.accepting[s.id] = peer
	}
	s.armed = armedAccept
	address, size := peer.Room()
	q := e.entry()
	q.Opcode, q.FD, q.UserData = uring.OpAccept, int32(s.FD), s.user(tagIn)
	q.Addr, q.Off = uint64(uintptr(address)), uint64(uintptr(size))
	q.OpFlags = sys.AcceptFlags
}

// accepted delivers a connection, and those that wait behind it up to a turn's
// worth.
func (e *uringEngine) accepted(s *Socket, c *uring.CQE) {
	if s.flags&flagClosing != 0 || s.In.Kind != Accept {
		sys.FD(c.Res).Close()
		if s.flags&flagClosing != 0 {
			e.joined(s)
		}
		return
	}
	e.peer = e.accepting[s.id]
	e.peer.Fit()
	token, fd, errno := s.token(), sys.FD(c.Res), sys.OK
	for turn := 1; errno == 0 || acceptGoesOn(errno); turn++ {
		op := &s.In
		if errno == 0 {
			op.N, op.errno, op.More = int32(fd), 0, true
			s.owner.Complete(s, op, Accept)
		}
		if s.token() != token || !s.Open() || op.Kind != Accept || op.stopping ||
			c.Flags&uring.NonEmpty == 0 || turn == acceptsPerTurnMax {
			break
		}
		fd, errno = s.FD.Accept(e.peer)
	}
	// What stopped it, the queue's end or an error, the ring meets again.
	if s.token() == token && s.Attached() {
		e.goOn(s, false)
	}
}
