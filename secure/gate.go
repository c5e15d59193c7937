package secure

import (
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Gate computes handshakes, on threads of its own that a flood of hellos cannot
// take from the loops, and bounds how many are under way.
//
// A handshake is a coroutine of the thread that has begun it: where it waits for its
// peer, the thread goes on with another one. So as few switches as can be are between
// the loop and what it asks for, and all that is computed has the thread's priority,
// which could not be raised again without privilege.
//
// While the loops have nothing else to do, brisk threads compute, which costs least.
// While they serve open tunnels, humble ones do, which compute only while nobody else
// wants a CPU. Those may get none for long; then the brisk ones take handshakes that have
// waited for patience, and rest behind each step for restFactor times as long.
type Gate struct {
	count    int // of threads of each kind
	humble   func()
	busy     atomic.Pointer[func() bool]
	clients  atomic.Int64 // handshakes of clients under way
	backends atomic.Int64 // and with backends: neither takes the other's places

	mu      sync.Mutex
	fresh   []*handshake // that no thread has begun
	threads []*thread
	closed  bool
}

// A thread computes one handshake at a time. Its fields are guarded by the gate's mu.
type thread struct {
	gate  *Gate
	work  sync.Cond
	ready []*handshake // that it has begun, and whose peers have sent more
	begun int          // and not ended
	idle  bool
	brisk bool
}

// NewGate returns a gate with so many threads of each kind, at least one. humble makes
// a thread one that stands back for others. Close ends the threads.
func NewGate(threads int, humble func()) *Gate {
	return &Gate{count: max(1, threads), humble: humble}
}

// StandBack makes handshakes wait for the loops while busy says that those serve open
// tunnels. It may be called from any goroutine.
func (g *Gate) StandBack(busy func() bool) { g.busy.Store(&busy) }

func (g *Gate) standsBack() bool {
	busy := g.busy.Load()
	return busy != nil && (*busy)()
}

// start is called with mu held, for the first handshake.
func (g *Gate) start() {
	for i := range 2 * g.count {
		t := &thread{gate: g, brisk: i < g.count}
		t.work.L = &g.mu
		g.threads = append(g.threads, t)
		go t.run()
	}
}

// Close ends the threads behind the last handshake that is under way.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, t := range g.threads {
		t.work.Signal()
	}
}

// UnderWay returns how many handshakes have begun and not ended.
func (g *Gate) UnderWay() int { return int(g.clients.Load() + g.backends.Load()) }

// begin takes a place, for a handshake that is our hello or a client's, and has it
// computed.
func (g *Gate) begin(h *handshake) bool {
	count := g.places(h.client)
	g.mu.Lock()
	defer g.mu.Unlock()
	if count.Add(1) > handshakesMax || g.closed {
		count.Add(-1)
		return false
	}
	if g.threads == nil {
		g.start()
	}
	h.begun = time.Now()
	g.fresh = append(g.fresh, h)
	g.wakeOne(true)
	if g.standsBack() {
		g.wakeOne(false)
	}
	return true
}

// wakeOne is called with mu held.
func (g *Gate) wakeOne(brisk bool) {
	for _, t := range g.threads {
		if t.idle && t.brisk == brisk {
			t.wake()
			return
		}
	}
}

func (g *Gate) end(h *handshake) { g.places(h.client).Add(-1) }

func (g *Gate) places(ours bool) *atomic.Int64 {
	if ours {
		return &g.backends
	}
	return &g.clients
}

// resume lets a handshake go on that waits for its peer.
func (g *Gate) resume(h *handshake) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.thread.ready = append(h.thread.ready, h)
	h.thread.wake()
}

// wake is called with mu held.
func (t *thread) wake() {
	if t.idle {
		t.idle = false
		t.work.Signal()
	}
}

// run computes what there is until the gate is closed.
func (t *thread) run() {
	runtime.LockOSThread() // until it ends, and the thread with it
	if !t.brisk {
		t.gate.humble()
	}
	for h := t.take(); h != nil; h = t.take() {
		start := time.Now()
		if h.step == nil {
			h.step, _ = iter.Pull(h.steps)
		}
		if _, more := h.step(); !more {
			t.ended()
		}
		if t.brisk && t.gate.standsBack() {
			time.Sleep(restFactor * time.Since(start))
		}
	}
}

// take waits for the next handshake; nil says that there will be none. Those that
// have begun come first: they are about to end.
func (t *thread) take() *handshake {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		wait, mine := t.mayBegin()
		switch {
		case len(t.ready) > 0:
			return pop(&t.ready)
		case wait > 0:
			g.mu.Unlock()
			time.Sleep(wait)
			g.mu.Lock()
			continue
		case mine:
			t.begun++
			h := pop(&g.fresh)
			h.thread = t
			return h
		case g.closed && t.begun == 0:
			return nil
		}
		t.idle = true
		t.work.Wait()
		t.idle = false
	}
}

// mayBegin reports whether t is to begin a handshake, or is to look again in a while.
// It is called with mu held.
func (t *thread) mayBegin() (wait time.Duration, mine bool) {
	g := t.gate
	switch back := g.standsBack(); {
	case len(g.fresh) == 0:
		return 0, false
	case !t.brisk:
		return 0, back
	case back:
		wait = patience - time.Since(g.fresh[0].begun)
	}
	return wait, wait <= 0
}

// pop takes the first of a queue.
func pop(queue *[]*handshake) *handshake {
	h := (*queue)[0]
	(*queue)[0] = nil
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return h
}

func (t *thread) ended() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.begun--
}
