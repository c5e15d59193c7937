package proxy

import (
	"errors"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"wsplice/deflate"
	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/route"
	"wsplice/splice"
)

// A worker is what one loop's goroutine owns: its tunnels, its share of the
// listeners, and memory that every tunnel uses only while it has its turn.
type worker struct {
	server *Server
	index  int
	loop   *loop.Loop
	lend   int // most bytes that a receive lends

	// Tunnels.
	chunks    []*[tunnelsPerChunk]Tunnel
	freeSlots []*Tunnel
	live      int          // slots in use
	load      atomic.Int64 // live and on its way here, for other loops to read
	serial    uint64       // of the last tunnel
	exchanges []*exchange

	inflations []*inflation
	pieces     []*piece
	pipes      *splice.Pipes

	traffic trafficClock

	moved atomic.Int64 // time of the loop: bytes of a tunnel last came

	// Accepting.
	acceptors  []*acceptor
	starved    bool          // an acceptor waits for descriptors
	pause      time.Duration // before the next look at the queues
	retryTimer loop.Timer
	draining   bool
	drained    func() // called once when the last tunnel has gone

	// Scratch, valid during one turn.
	request  handshake.Request
	response handshake.Response
	verifier handshake.Verifier
	subject  route.Subject // of request
	target   []byte
	address  []byte
	protocol []byte   // for the backend's Upgrade
	nonce    [16]byte // that key encodes
	key      [24]byte // a Sec-WebSocket-Key of ours
	encoded  []byte   // a frame in base64
	packed   []byte   // a frame of a compressed message
	deflater deflate.Deflater

	// Written by the goroutines of tunnels in synchronous service.
	relayedSync [directionCount][laneCount]atomic.Uint64
	splicesSync atomic.Uint64
	blind       atomic.Uint64

	counters counters
	journal  *journal
}

// newWorker prepares a worker whose loop is to hold so many sockets.
func newWorker(s *Server, index, sockets int) (*worker, error) {
	w := &worker{server: s, index: index, lend: min(s.config.Limits.Parked, loop.LendMax)}
	pin := -1
	if s.config.Pin {
		pin = index
	}
	l, err := loop.New(loop.Config{Engine: s.config.Engine, Lend: w.lend, Sockets: sockets, Pin: pin})
	if err != nil {
		return nil, err
	}
	w.loop = l
	w.counters.refusals = make(map[string]uint64)
	w.journal = newJournal(s.config.Log, s.config.LogTunnels)
	return w, nil
}

func (w *worker) run() {
	defer w.server.running.Done()
	go w.journal.write()
	w.traffic.start(w)
	w.loop.Run()
	w.pipes.Trim()
}

// post runs f on the worker's loop, unless that has ended. It waits while the
// loop's queue is full, so it is for control, from outside the loops.
func (w *worker) post(f func()) {
	for errors.Is(w.loop.Post(f), loop.ErrPostsFull) {
		runtime.Gosched()
	}
}

// accept begins a tunnel with a connection whose descriptors are reserved.
func (w *worker) accept(fd sys.FD, peer netip.AddrPort, listener *Listener) {
	t := w.take()
	w.counters.accepted++
	t.open(fd, peer, listener)
}

// take returns a free slot.
func (w *worker) take() *Tunnel {
	if len(w.freeSlots) == 0 {
		chunk := new([tunnelsPerChunk]Tunnel)
		w.chunks = append(w.chunks, chunk)
		for i := range chunk {
			w.freeSlots = append(w.freeSlots, &chunk[len(chunk)-1-i])
		}
	}
	t := w.freeSlots[len(w.freeSlots)-1]
	w.freeSlots = w.freeSlots[:len(w.freeSlots)-1]
	w.live++
	w.load.Add(1)
	w.serial++
	*t = Tunnel{worker: w, id: w.serial}
	return t
}

// free ends the use of a slot whose descriptors are closed.
func (w *worker) free(t *Tunnel) {
	t.up.pump.Drop(w.pipes)
	t.down.pump.Drop(w.pipes)
	if t.x != nil {
		w.giveExchange(t.x)
		t.x = nil
	}
	t.dropInflation()
	t.releasePiece()
	t.endpoint = nil
	if e := t.listener.entrance; e != nil {
		t.listener = nil
		close(e.gone)
	}
	t.setState(stateFree)
	w.freeSlots = append(w.freeSlots, t)
	w.live--
	w.load.Add(-1)
	w.server.budget.Give(descriptorsPerTunnel)
	if w.live == 0 {
		w.pipes.Trim() // a quiet loop holds no pipes
	}
	if w.starved {
		w.resumeAccepting()
	}
	w.checkDrained()
}

// closeAcceptors closes the listeners after what waits in their queues was
// accepted, and then calls done.
func (w *worker) closeAcceptors(done func()) {
	w.draining = true
	w.loop.Disarm(&w.retryTimer)
	open := len(w.acceptors) + 1
	closed := func() {
		if open--; open == 0 {
			done()
		}
	}
	for _, a := range w.acceptors {
		a.close(closed)
	}
	w.acceptors = nil
	closed()
}

// drain calls done when no tunnel is left. Connections that have sent nothing
// are not waited for: a kept-alive one is closed, one that was just accepted
// gets a moment.
func (w *worker) drain(done func()) {
	w.drained = done
	w.each(func(t *Tunnel) {
		switch {
		case t.state != stateGreeting && t.state != stateReading || t.x != nil:
		case t.served:
			t.close()
		default:
			w.loop.Arm(&t.timer, t, silenceAtStop)
		}
	})
	w.checkDrained()
}

func (w *worker) checkDrained() {
	if w.drained != nil && w.live == 0 {
		w.drained()
		w.drained = nil
	}
}

// cutAll closes every tunnel.
func (w *worker) cutAll() {
	w.each(func(t *Tunnel) { t.end(sideProxy, causeDrain) })
}

// each calls f for every tunnel that is not free or closing.
func (w *worker) each(f func(t *Tunnel)) {
	for _, chunk := range w.chunks {
		for i := range chunk {
			if t := &chunk[i]; t.state != stateFree && t.state != stateClosing {
				f(t)
			}
		}
	}
}

// noteTraffic takes note that this loop serves an open tunnel. One that has only begun
// is no more to be protected than the handshake of the next.
func (w *worker) noteTraffic(t *Tunnel) {
	if now := w.loop.Now(); now-t.opened > busyTime {
		w.moved.Store(int64(now))
	}
}

// busy reports whether a loop has served an open tunnel a moment ago. Handshakes stand
// back then.
func (s *Server) busy() bool {
	for _, w := range s.workers {
		if moved := w.moved.Load(); moved > 0 && w.loop.Clock()-time.Duration(moved) < busyTime {
			return true
		}
	}
	return false
}

// refused counts and logs an answer of our own.
func (w *worker) refused(t *Tunnel, r *handshake.Refusal) {
	w.counters.refusals[r.Reason]++
	w.journal.refused(w, t, r)
}
