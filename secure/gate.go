package secure

import "sync/atomic"

// A Gate bounds the handshakes of a process: how many compute at a time, so that
// a flood of hellos leaves the loops their CPU, and how many are under way.
type Gate struct {
	slots    chan struct{}
	clients  atomic.Int64 // handshakes of clients under way
	backends atomic.Int64 // and with backends: neither takes the other's places
}

// NewGate returns a gate that lets so many handshakes compute at a time.
func NewGate(computing int) *Gate {
	return &Gate{slots: make(chan struct{}, max(1, computing))}
}

// UnderWay returns how many handshakes have begun and not ended.
func (g *Gate) UnderWay() int { return int(g.clients.Load() + g.backends.Load()) }

// begin takes a place, for a handshake that is our hello or a client's.
func (g *Gate) begin(ours bool) bool {
	count := g.count(ours)
	if count.Add(1) > handshakesMax {
		count.Add(-1)
		return false
	}
	return true
}

func (g *Gate) end(ours bool) { g.count(ours).Add(-1) }

func (g *Gate) count(ours bool) *atomic.Int64 {
	if ours {
		return &g.backends
	}
	return &g.clients
}

func (g *Gate) enter() { g.slots <- struct{}{} }
func (g *Gate) leave() { <-g.slots }
