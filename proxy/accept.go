package proxy

import (
	"net/netip"

	"wsplice/internal/sys"
	"wsplice/loop"
)

// An acceptor is a listening socket in one loop. It reserves the descriptors of
// the next tunnel before it accepts it, so that what is accepted can be served;
// without a reservation connections wait in the kernel's queue.
type acceptor struct {
	worker   *worker
	socket   loop.Socket
	reserved bool
	tcp      bool
	spread   []*worker // for a socket that only one loop listens on: all of them
}

// start begins to accept, or waits for descriptors.
func (a *acceptor) start() {
	switch {
	case a.socket.In.InFlight():
	case a.reserve():
		a.worker.loop.Accept(&a.socket)
	default:
		a.worker.starve()
	}
}

func (a *acceptor) reserve() bool {
	if !a.reserved {
		w := a.worker
		a.reserved = w.server.budget.Take(descriptorsPerTunnel)
		if !a.reserved {
			w.pipes.Trim() // idle pipes are only there for want of tunnels
			a.reserved = w.server.budget.Take(descriptorsPerTunnel)
		}
	}
	return a.reserved
}

// Complete takes a connection off the queue.
func (a *acceptor) Complete(_ *loop.Socket, op *loop.Op, kind loop.Kind) {
	if kind != loop.Accept {
		return
	}
	if op.Err() != 0 {
		// The kernel has no descriptor or memory although we had reserved one:
		// somebody else took it. The queue stays; an edge would not report it
		// again.
		a.worker.counters.acceptErrors++
		a.worker.starve()
		return
	}
	fd := sys.FD(op.N)
	if !a.reserve() {
		fd.Close() // accepted after the request to stop
		return
	}
	a.reserved = false
	a.hand(fd)
	if !a.reserve() {
		a.worker.loop.StopIn(&a.socket)
		a.worker.starve()
	}
}

// hand gives a connection to this loop, or, where only one loop listens, to
// the one that has the fewest tunnels.
func (a *acceptor) hand(fd sys.FD) {
	var peer netip.AddrPort
	if a.tcp {
		peer = a.worker.loop.AcceptedAddr().AddrPort()
	}
	to := a.worker
	for _, w := range a.spread {
		if w.load.Load() < to.load.Load() {
			to = w
		}
	}
	if to == a.worker {
		to.accept(fd, peer)
		return
	}
	if to.loop.Post(func() { to.accept(fd, peer) }) != nil {
		a.worker.accept(fd, peer)
	}
}

// close empties the queue and stops listening: connections still in it would
// be reset.
func (a *acceptor) close() {
	w := a.worker
	w.loop.StopIn(&a.socket)
	var peer sys.Sockaddr
	for a.reserve() {
		fd, errno := a.socket.FD.Accept(&peer)
		if errno != 0 {
			break
		}
		a.reserved = false
		w.accept(fd, peer.AddrPort())
	}
	if a.reserved {
		w.server.budget.Give(descriptorsPerTunnel)
		a.reserved = false
	}
	w.loop.Close(&a.socket)
}

// starve makes the acceptors wait for a tunnel to end, or for a moment: other
// loops and other parts of the process release descriptors too.
func (w *worker) starve() {
	w.starved = true
	if !w.retryTimer.Armed() {
		w.loop.Arm(&w.retryTimer, (*retry)(w), acceptPause)
	}
}

// retry is the worker as the owner of its retry timer.
type retry worker

// OnTimer looks at the queues again.
func (r *retry) OnTimer(*loop.Timer) { (*worker)(r).resumeAccepting() }

func (w *worker) resumeAccepting() {
	w.starved = false
	w.loop.Disarm(&w.retryTimer)
	for _, a := range w.acceptors {
		a.start()
	}
}
