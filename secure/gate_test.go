package secure

import (
	"errors"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// A handshake whose peer says nothing more holds no thread.
func TestSlowPeersDoNotHoldOthersUp(t *testing.T) {
	gate := newTestGate(t, nil)
	server := newServer(t, gate)
	const slow = 100
	var waiting []*meeting
	for range slow {
		p := newMeeting(server, gate)
		waiting = append(waiting, p)
		for p.ends[1].shake.unread() == 0 && !p.ends[1].begun { // until the server has the hello
			if _, err := p.pass(); err != nil {
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
	for range 3 {
		p := newMeeting(server, gate)
		if err := p.shake(); err != nil {
			t.Fatal(err)
		}
		p.close()
	}
	for _, p := range waiting {
		p.close()
	}
	testutil.Eventually(t, 10*time.Second, "all handshakes have ended", func() bool { return gate.UnderWay() == 0 })
}

// While the loops are busy the humble threads compute; where those get no CPU, what has
// waited is for the others.
func TestBriskThreadTakesWhatWaits(t *testing.T) {
	starved := make(chan struct{})
	gate := newTestGate(t, func() { <-starved })
	gate.StandBack(func() bool { return true })
	defer close(starved)
	server := newServer(t, gate)
	for range 3 {
		p := newMeeting(server, gate)
		if err := p.shake(); err != nil {
			t.Fatal(err)
		}
		p.close()
	}
}

func TestClosedGateTakesNone(t *testing.T) {
	gate := newTestGate(t, nil)
	server := newServer(t, gate)
	gate.Close()
	p := newMeeting(server, gate)
	defer p.close()
	_, first := p.pass()
	_, second := p.pass()
	if err := errors.Join(first, second); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	gate := newTestGate(t, nil)
	server := newServer(t, gate)
	gate.backends.Store(handshakesMax)
	p := newMeeting(server, gate)
	defer p.close()
	_, first := p.pass()
	_, second := p.pass()
	if err := errors.Join(first, second); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestHumbleThreadsComputeWhileLoopsAreBusy(t *testing.T) {
	gate := newTestGate(t, nil)
	server := newServer(t, gate)
	gate.StandBack(func() bool { return true })
	for range 20 {
		p := newMeeting(server, gate)
		if err := p.shake(); err != nil {
			t.Fatal(err)
		}
		p.close()
	}
}
