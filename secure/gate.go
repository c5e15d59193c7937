package secure

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Gate bounds the handshakes of a process, so that a flood of hellos cannot starve
// open tunnels: how many are under way, and how many compute at a time.
//
// While the loops serve open tunnels, what has computed rests: its slot stays taken for
// restFactor times as long again.
type Gate struct {
	busy     atomic.Pointer[func() bool]
	clients  atomic.Int64 // handshakes of clients under way
	backends atomic.Int64 // and with backends: neither takes the other's places

	mu    sync.Mutex
	slots int             // that are free
	begun []chan struct{} // handshakes that wait for a slot to go on in
	fresh []chan struct{} // or to begin in
}

// NewGate returns a gate that lets so many handshakes compute at a time, at least one.
func NewGate(slots int) *Gate { return &Gate{slots: max(1, slots)} }

// StandBack has handshakes leave CPU to the loops while busy says that those serve open
// tunnels. It may be called from any goroutine, and busy is.
func (g *Gate) StandBack(busy func() bool) { g.busy.Store(&busy) }

// UnderWay returns how many handshakes have begun and not ended.
func (g *Gate) UnderWay() int { return int(g.clients.Load() + g.backends.Load()) }

// begin takes a place, for a handshake that is our hello or a client's.
func (g *Gate) begin(ours bool) bool {
	count := g.places(ours)
	if count.Add(1) > handshakesMax {
		count.Add(-1)
		return false
	}
	return true
}

func (g *Gate) end(ours bool) { g.places(ours).Add(-1) }

func (g *Gate) places(ours bool) *atomic.Int64 {
	if ours {
		return &g.backends
	}
	return &g.clients
}

// enter waits for a slot, and returns when it got one. Handshakes that have begun go
// first: they are about to end, and a flood of others must not keep them from it.
func (g *Gate) enter(begun bool) (since time.Time) {
	g.mu.Lock()
	if g.slots > 0 {
		g.slots--
		g.mu.Unlock()
		return time.Now()
	}
	turn := make(chan struct{})
	if begun {
		g.begun = append(g.begun, turn)
	} else {
		g.fresh = append(g.fresh, turn)
	}
	g.mu.Unlock()
	<-turn
	return time.Now()
}

// leave gives back the slot that was had since then, at once or behind a rest.
func (g *Gate) leave(since time.Time) {
	if busy := g.busy.Load(); busy != nil && (*busy)() {
		time.AfterFunc(restFactor*time.Since(since), g.pass)
	} else {
		g.pass()
	}
}

// pass gives a slot to who has waited longest.
func (g *Gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.begun) > 0:
		close(pop(&g.begun))
	case len(g.fresh) > 0:
		close(pop(&g.fresh))
	default:
		g.slots++
	}
}

// pop takes the first of a queue.
func pop(queue *[]chan struct{}) chan struct{} {
	first := (*queue)[0]
	(*queue)[0] = nil
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return first
}
