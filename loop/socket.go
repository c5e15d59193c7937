package loop

import "wsplice/internal/sys"

// Attach makes s, with a non-blocking fd, known to the loop. The loop owns fd
// until Close.
func (l *Loop) Attach(s *Socket, fd sys.FD, owner Owner) {
	*s = Socket{FD: fd, owner: owner, flags: flagAttached}
	l.table.add(s)
}

// Recv starts to lend what s receives to its owner, until the end of the
// stream (N = 0), an error, or StopIn. Unless In is idle it is a bug.
func (l *Loop) Recv(s *Socket) {
	l.startIn(s, Recv)
	if y := s.layered(); y != nil && y.pending && y.ready {
		_ = l.Post(y.deliver) // which a loop that has ended does not need
	}
}

// PollIn tells the owner once when s is readable, without holding a buffer.
// again says that the owner stopped for fairness, not because it met EAGAIN.
func (l *Loop) PollIn(s *Socket, again bool) {
	if again {
		s.flags |= flagReadable
	} else if s.flags&(flagEnded|flagHangup) == 0 {
		s.flags &^= flagReadable
	}
	l.startIn(s, PollIn)
}

// PollHangup tells the owner once when s is reset or closed in both
// directions.
func (l *Loop) PollHangup(s *Socket) { l.startIn(s, PollHangup) }

// Accept starts to deliver the connections of the listener s: each completion
// carries a new descriptor in N, which the owner then owns.
func (l *Loop) Accept(s *Socket) {
	s.flags |= flagListening
	l.startIn(s, Accept)
}

// Pause makes s.In idle at once: nothing more is delivered. The engine may
// have taken, or still take, up to LendMax bytes from s, which the next Recv
// delivers first; what is to read the descriptor by itself needs StopIn, and so
// does a listener, whose connections are not kept.
func (l *Loop) Pause(s *Socket) {
	if s.In.InFlight() {
		l.engine.pause(s)
	}
}

// Pending reports whether s has bytes, or its end, to receive. In is idle or
// waits for a hang-up.
func (l *Loop) Pending(s *Socket) bool { return l.engine.pending(s) || s.FD.Pending() }

// StopIn asks for the end of what s.In does. It reports whether that is over
// already; otherwise one completion still comes, and until then bytes may.
func (l *Loop) StopIn(s *Socket) (over bool) {
	if !s.In.InFlight() {
		return true
	}
	return l.engine.cancel(s, &s.In)
}

// Send sends buf. once says that it is tried only once and what does not fit is
// the owner's to keep; that must be so if buf was lent with a completion. The
// result is as the engine contract has it: done at once with s.Out.N and
// s.Out.Err, or in flight.
func (l *Loop) Send(s *Socket, buf []byte, once bool) (done bool) {
	op := &s.Out
	mustBeIdle(op)
	if y := s.layered(); y != nil {
		return y.send(buf)
	}
	*op = Op{Kind: Send, once: once}
	op.setBuf(buf)
	return l.engine.submit(s, op)
}

// Await says that the owner waits for s.Out to be over: a loop may sleep with
// sends untold that nobody waits for.
func (l *Loop) Await(s *Socket) { l.engine.await(s) }

// PollOut tells the owner once when s takes bytes again.
func (l *Loop) PollOut(s *Socket) {
	op := &s.Out
	mustBeIdle(op)
	*op = Op{Kind: PollOut}
	s.flags |= flagBlocked
	l.engine.submit(s, op)
}

// Connect connects s to addr and sends at once what the socket takes of first;
// both must stay unchanged until it is over. It reports whether it is over
// already, with s.Out.Err, or s.Out.N bytes of first sent: the rest, s.Out.Buf(),
// is the owner's to send.
func (l *Loop) Connect(s *Socket, addr *sys.Sockaddr, first []byte) (done bool) {
	op := &s.Out
	mustBeIdle(op)
	if y := s.layered(); y != nil {
		return y.connect(addr, first)
	}
	*op = Op{Kind: Connect}
	op.setBuf(first)
	return l.engine.connect(s, addr)
}

// StopOut is StopIn for s.Out.
func (l *Loop) StopOut(s *Socket) (over bool) {
	if !s.Out.InFlight() {
		return true
	}
	return l.engine.cancel(s, &s.Out)
}

// Forget leaves the descriptor of s to others, who may read from it and write to
// it, by a duplicate of their own, until the next operation on s. To forget a
// socket of which something is in flight, or was only paused, is a bug: what was
// received must have been delivered, by StopIn after Recv.
func (l *Loop) Forget(s *Socket) {
	mustBeIdle(&s.In)
	mustBeIdle(&s.Out)
	if y := s.layered(); y != nil {
		y.pending = true // others may have met the end of the stream
	}
	l.engine.forget(s)
}

// Close ends s: what is in flight is cancelled and joined, then the descriptor
// is closed. It reports whether all that is done; otherwise a completion with
// kind Close says so later, and s and its buffers must stay until then.
func (l *Loop) Close(s *Socket) (done bool) {
	if y := s.layered(); y != nil && !y.closed {
		y.close()
	}
	return l.engine.close(s)
}

func (l *Loop) startIn(s *Socket, kind Kind) {
	op := &s.In
	mustBeIdle(op)
	*op = Op{Kind: kind}
	l.engine.submit(s, op)
}

// mustBeIdle guards the rule that a socket has one operation of each group: a
// second one would make the first one's completion the wrong one's.
func mustBeIdle(op *Op) {
	if op.Kind != None {
		panic("loop: operation submitted while one of its group is in flight (max 1)")
	}
}
