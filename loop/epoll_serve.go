package loop

import "wsplice/internal/sys"

// serve gives s its turn: first what it can send, so that a reader's answer is
// not held up by more input, then what it can receive.
//
// Every delivery may close s, and its memory may be another socket by then:
// hence the token is compared after each.
func (e *epollEngine) serve(s *Socket) {
	token := s.token()
	if s.Out.Kind != None && (s.Out.ready || s.flags&flagBlocked == 0) {
		e.serveOut(s)
		if s.token() != token || !s.Attached() {
			return
		}
	}
	switch {
	case s.In.Kind == None:
	case s.In.ready:
		e.deliver(s, &s.In)
	case s.In.Kind == PollHangup:
		if s.flags&flagHangup != 0 {
			e.deliver(s, &s.In)
		}
	case s.flags&flagReadable == 0:
	case s.In.Kind == Recv:
		e.serveRecv(s, token)
	case s.In.Kind == PollIn:
		e.deliver(s, &s.In)
	case s.In.Kind == Accept:
		e.serveAccept(s, token)
	}
}

func (e *epollEngine) serveOut(s *Socket) {
	op := &s.Out
	switch {
	case op.ready:
	case op.Kind == Connect:
		if op.errno = uint16(s.FD.SocketError()); op.errno == 0 {
			e.pushFirst(s, op)
		}
	case op.Kind == Send && !e.push(s, op):
		s.flags |= flagBlocked
		return
	}
	e.deliver(s, op)
}

// deliver completes op for good.
func (e *epollEngine) deliver(s *Socket, op *Op) {
	kind := op.Kind
	op.Kind, op.More, op.ready = None, false, false
	s.owner.Complete(s, op, kind)
}

// serveRecv lends what is there, up to a turn's worth.
func (e *epollEngine) serveRecv(s *Socket, token uint64) {
	op := &s.In
	for range recvsPerTurnMax {
		n, errno := s.FD.Recv(e.scratch)
		if errno == sys.EAGAIN {
			s.flags &^= flagReadable
			return
		}
		if errno != 0 || n == 0 {
			op.N, op.errno = 0, uint16(errno)
			op.setBuf(nil)
			e.deliver(s, op)
			return
		}
		// A short read has emptied a stream socket (epoll(7), Q9), so the next
		// call would only say EAGAIN: wait for an edge instead. Not so when the
		// end is announced, and not with urgent data, where reads stop early.
		if n < len(e.scratch) && s.flags&(flagEnded|flagHangup|flagUrgent) == 0 {
			s.flags &^= flagReadable
		}
		op.N, op.errno, op.More = int32(n), 0, true
		op.setBuf(e.scratch[:n])
		s.owner.Complete(s, op, Recv)
		if s.token() != token || op.Kind != Recv {
			return
		}
		op.setBuf(nil)
		if s.flags&flagReadable == 0 {
			return
		}
	}
	e.queue(s)
}

// serveAccept delivers waiting connections, up to a turn's worth.
func (e *epollEngine) serveAccept(s *Socket, token uint64) {
	op := &s.In
	for range acceptsPerTurnMax {
		fd, errno := s.FD.Accept(&e.peer)
		switch {
		case errno == sys.EAGAIN:
			s.flags &^= flagReadable
			return
		case acceptGoesOn(errno):
			continue
		case errno != 0:
			op.N, op.errno = int32(sys.NoFD), uint16(errno)
			e.deliver(s, op)
			return
		}
		op.N, op.errno, op.More = int32(fd), 0, true
		s.owner.Complete(s, op, Accept)
		if s.token() != token || op.Kind != Accept {
			return
		}
	}
	e.queue(s)
}

// acceptGoesOn reports whether errno concerns one connection that failed while
// it waited (accept(2), Error handling), not the listener.
func acceptGoesOn(errno sys.Errno) bool {
	switch errno {
	case sys.ECONNABORTED, sys.EPERM, sys.EPROTO, sys.ENETDOWN, sys.ENOPROTOOPT, sys.EHOSTDOWN,
		sys.ENONET, sys.EHOSTUNREACH, sys.EOPNOTSUPP, sys.ENETUNREACH, sys.ETIMEDOUT:
		return true
	}
	return false
}

// AcceptedAddr returns the address of the peer whose connection is being
// delivered. It holds during that delivery only.
func (l *Loop) AcceptedAddr() *sys.Sockaddr { return l.engine.acceptedAddr() }

func (e *epollEngine) acceptedAddr() *sys.Sockaddr { return &e.peer }
