package proxy

import (
	"net/netip"

	"wsplice/internal/sys"
	"wsplice/loop"
)

// An acceptor is a listening socket in one loop. A connection is served once
// the descriptors of a tunnel are reserved for it; while there are none, it
// waits here, one for each acceptor, and the others in the kernel's queue.
type acceptor struct {
	worker   *worker
	socket   loop.Socket
	waiting  sys.FD // accepted, but there is no room for its tunnel; or NoFD
	peer     netip.AddrPort
	tcp      bool
	listener *Listener
	spread   []*worker // for a socket that only one loop listens on: all of them
	closed   func()    // set while closing: called when that is done
}

// start serves who waits, then accepts.
func (a *acceptor) start() {
	if a.waiting != sys.NoFD && !a.serve() {
		a.worker.starve()
		return
	}
	if !a.socket.In.InFlight() {
		a.worker.loop.Accept(&a.socket)
	}
}

// Complete takes a connection off the queue.
func (a *acceptor) Complete(_ *loop.Socket, op *loop.Op, kind loop.Kind) {
	switch {
	case kind == loop.Close:
		a.closed()
		return
	case kind != loop.Accept:
		return
	case op.Err() == 0:
		a.take(sys.FD(op.N))
	case op.Err() != sys.ECANCELED:
		// The kernel has no descriptor or memory although our budget had some:
		// somebody else took it. The queue stays; an edge would not report it
		// again.
		a.worker.counters.acceptErrors++
		a.worker.starve()
	}
	// A connection without room has ended the accept in take: no more completes.
	if a.closed != nil && !a.socket.In.InFlight() {
		a.finish()
	}
}

// take serves a connection, or keeps it until there are descriptors.
func (a *acceptor) take(fd sys.FD) {
	if a.waiting != sys.NoFD {
		fd.Close() // accepted after the request to stop
		return
	}
	a.waiting = fd
	a.peer = netip.AddrPort{}
	if a.tcp {
		a.peer = a.worker.loop.AcceptedAddr().AddrPort()
	}
	if !a.serve() {
		a.worker.loop.StopIn(&a.socket)
		a.worker.starve()
	}
}

// serve makes a tunnel of the waiting connection, if there are descriptors.
func (a *acceptor) serve() bool {
	budget := a.worker.server.budget
	if !budget.Take(descriptorsPerTunnel) {
		a.worker.pipes.Trim() // idle pipes are only there for want of tunnels
		if !budget.Take(descriptorsPerTunnel) {
			return false
		}
	}
	fd := a.waiting
	a.waiting = sys.NoFD
	a.worker.pause = 0
	a.hand(fd, a.peer)
	return true
}

// hand gives a connection to this loop, or, where only one loop listens, to
// the one that has the fewest tunnels.
func (a *acceptor) hand(fd sys.FD, peer netip.AddrPort) {
	to := a.worker
	for _, w := range a.spread {
		if w.load.Load() < to.load.Load() {
			to = w
		}
	}
	if to != a.worker {
		to.load.Add(1) // until it arrives
		if to.loop.Post(func() { to.load.Add(-1); to.accept(fd, peer, a.listener) }) == nil {
			return
		}
		to.load.Add(-1)
	}
	a.worker.accept(fd, peer, a.listener)
}

// close empties the queue and stops listening: connections still in it would
// be reset. closed is called when that is done.
func (a *acceptor) close(closed func()) {
	a.closed = closed
	if a.worker.loop.StopIn(&a.socket) {
		a.finish()
	}
}

func (a *acceptor) finish() {
	w := a.worker
	var peer sys.Sockaddr
	for a.waiting == sys.NoFD || a.serve() {
		fd, errno := a.socket.FD.Accept(&peer)
		if errno != 0 {
			break
		}
		a.waiting, a.peer = fd, peer.AddrPort()
	}
	if a.waiting != sys.NoFD {
		a.waiting.Close()
		a.waiting = sys.NoFD
	}
	if w.loop.Close(&a.socket) {
		a.closed()
	}
}

// starve makes the acceptors wait for a tunnel of this loop to end, or for a
// moment: other loops and other parts of the process release descriptors too.
func (w *worker) starve() {
	if !w.starved {
		w.starved = true
		w.server.starving.Add(1)
	}
	for _, warm := range w.server.warm { // they are only there to save time
		warm.GiveWay()
	}
	if w.server.inSync.Load() > 0 { // to look for them takes a look at every tunnel
		for _, other := range w.server.workers {
			// A loop that is too busy to be told is not what this one waits for.
			_ = other.loop.Post(other.callBackSome)
		}
	}
	if !w.retryTimer.Armed() {
		w.pause = min(max(2*w.pause, acceptPause), acceptPauseMax)
		w.loop.Arm(&w.retryTimer, (*retry)(w), w.pause)
	}
}

// retry is the worker as the owner of its retry timer.
type retry worker

// OnTimer looks at the queues again.
func (r *retry) OnTimer(*loop.Timer) { (*worker)(r).resumeAccepting() }

func (w *worker) resumeAccepting() {
	if w.starved {
		w.starved = false
		w.server.starving.Add(-1)
	}
	w.loop.Disarm(&w.retryTimer)
	for _, a := range w.acceptors {
		a.start()
	}
}
