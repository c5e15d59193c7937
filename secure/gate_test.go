package secure

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// A handshake whose peer says nothing more holds no slot.
func TestSlowPeersDoNotHoldOthersUp(t *testing.T) {
	gate := NewGate(1)
	server := newServer(t, gate)
	const slow = 100
	var waiting []*meeting
	for range slow {
		p := newMeeting(server, gate)
		waiting = append(waiting, p)
		for !p.ends[1].begun { // until the server has the hello, and the client nothing yet
			if _, err := p.move(0); err != nil {
				t.Fatal(err)
			}
			if !p.ends[1].begun {
				<-p.woken
			}
		}
	}
	if n := gate.UnderWay(); n != 2*slow {
		t.Errorf("%d handshakes are under way, want %d", n, 2*slow)
	}
	meet(t, server, gate, 3)
	for _, p := range waiting {
		p.close()
	}
	testutil.Eventually(t, waitMax, "all handshakes have ended", func() bool { return gate.UnderWay() == 0 })
}

// meet has so many clients and the server shake hands.
func meet(t *testing.T, server *Server, gate *Gate, times int) {
	t.Helper()
	for range times {
		p := newMeeting(server, gate)
		if err := p.shake(); err != nil {
			t.Fatal(err)
		}
		p.close()
	}
}

// What has computed rests while the loops are busy, and all handshakes come to their
// end nevertheless.
func TestHandshakesRestWhileLoopsAreBusy(t *testing.T) {
	gate := NewGate(1)
	var asked atomic.Int64
	gate.StandBack(func() bool { asked.Add(1); return true })
	meet(t, newServer(t, gate), gate, 20)
	if asked.Load() == 0 {
		t.Error("nobody asked whether the loops are busy")
	}

	const worked = 40 * time.Millisecond
	since := gate.enter(false).Add(-worked)
	left := time.Now()
	gate.leave(since)
	gate.leave(gate.enter(false))
	if took := time.Since(left); took < restFactor*worked {
		t.Errorf("the slot was free again after %v, want a rest of %v", took, restFactor*worked)
	}
}

// What is about to end goes before what has not begun.
func TestBegunHandshakesGoFirst(t *testing.T) {
	gate := NewGate(1)
	since := gate.enter(false)
	order := make(chan string)
	wait := func(begun bool, name string, queue *[]chan struct{}) {
		go func() {
			turn := gate.enter(begun)
			order <- name
			gate.leave(turn)
		}()
		testutil.Eventually(t, waitMax, name+" waits", func() bool {
			gate.mu.Lock()
			defer gate.mu.Unlock()
			return len(*queue) > 0
		})
	}
	wait(false, "fresh", &gate.fresh)
	wait(true, "begun", &gate.begun)
	gate.leave(since)
	if first, second := <-order, <-order; first != "begun" || second != "fresh" {
		t.Errorf("%s went before %s", first, second)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	gate := NewGate(1)
	server := newServer(t, gate)
	gate.backends.Store(handshakesMax)
	p := newMeeting(server, gate)
	defer p.close()
	_, first := p.move(0)
	_, second := p.move(0)
	if err := errors.Join(first, second); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}
