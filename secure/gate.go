package secure

import "sync/atomic"

// A Gate bounds the handshakes of a process: how many compute at a time, so that
// a flood of hellos leaves the loops their CPU, and how many are under way.
type Gate struct {
	slots chan struct{}
	open  atomic.Int64
}

// NewGate returns a gate that lets so many handshakes compute at a time.
func NewGate(computing int) *Gate {
	return &Gate{slots: make(chan struct{}, max(1, computing))}
}

// UnderWay returns how many handshakes have begun and not ended.
func (g *Gate) UnderWay() int { return int(g.open.Load()) }

func (g *Gate) begin() bool {
	if g.open.Add(1) > handshakesMax {
		g.open.Add(-1)
		return false
	}
	return true
}

func (g *Gate) end()   { g.open.Add(-1) }
func (g *Gate) enter() { g.slots <- struct{}{} }
func (g *Gate) leave() { <-g.slots }
