package loop

import (
	"net/netip"
	"testing"

	"wsplice/internal/sys"
)

// An acceptRecorder checks that each connection comes once, with its peer.
type acceptRecorder struct {
	t     *testing.T
	loop  *Loop
	peers map[netip.AddrPort]sys.FD
	ended []sys.Errno
	on    func(s *Socket)
}

func (a *acceptRecorder) Complete(s *Socket, op *Op, kind Kind) {
	switch {
	case kind == Close:
	case op.Err() != 0:
		a.ended = append(a.ended, op.Err())
	case kind == Accept:
		peer := a.loop.AcceptedAddr().AddrPort()
		if _, twice := a.peers[peer]; twice {
			a.t.Errorf("%v was delivered twice", peer)
		}
		a.peers[peer] = sys.FD(op.N)
		if a.on != nil {
			a.on(s)
		}
	}
}

func (a *acceptRecorder) shut() {
	for _, fd := range a.peers {
		fd.Close()
	}
}

// burst connects n clients to addr.
func burst(t *testing.T, addr *sys.Sockaddr, n int) (clients []sys.FD) {
	for range n {
		clients = append(clients, dialRaw(t, addr))
	}
	return clients
}

func hasPeers(t *testing.T, a *acceptRecorder, clients []sys.FD) {
	t.Helper()
	for _, c := range clients {
		local, err := c.LocalAddr()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := a.peers[local.AddrPort()]; !ok {
			t.Errorf("%v was not delivered", local.AddrPort())
		}
		c.Close()
	}
}

// Each connection of a burst is delivered once, over turns and two listeners.
func TestAcceptDeliversABurst(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		var recorders [2]*acceptRecorder
		var clients [2][]sys.FD
		for i := range recorders {
			fd, addr := listenTCP(t)
			recorders[i] = &acceptRecorder{t: t, loop: r.Loop, peers: map[netip.AddrPort]sys.FD{}}
			listener := new(Socket)
			r.Attach(listener, fd, recorders[i])
			defer r.shut(listener)
			r.Accept(listener)
			clients[i] = burst(t, &addr, 120) // the backlog has room for 128
			defer recorders[i].shut()
		}
		for i, a := range recorders {
			r.until("all accepted", func() bool { return len(a.peers) == len(clients[i]) })
		}
		r.settle()
		for i, a := range recorders {
			if len(a.peers) != len(clients[i]) || len(a.ended) != 0 {
				t.Errorf("listener %d: %d of %d, ends %v", i, len(a.peers), len(clients[i]), a.ended)
			}
			hasPeers(t, a, clients[i])
		}
	})
}

// Connections that come one tick after the other are delivered too: what stops
// a turn is not lost.
func TestAcceptDeliversAStream(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		fd, addr := listenTCP(t)
		a := &acceptRecorder{t: t, loop: r.Loop, peers: map[netip.AddrPort]sys.FD{}}
		defer a.shut()
		var listener Socket
		r.Attach(&listener, fd, a)
		defer r.shut(&listener)
		r.Accept(&listener)
		var clients []sys.FD
		for size := range 90 {
			clients = append(clients, burst(t, &addr, size%9)...)
			r.step(0)
		}
		r.until("all accepted", func() bool { return len(a.peers) == len(clients) })
		hasPeers(t, a, clients)
	})
}

// A listener that is stopped after each connection, as when descriptors run
// out, delivers the others when it is started again.
func TestAcceptStoppedInsideDelivery(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		fd, addr := listenTCP(t)
		a := &acceptRecorder{t: t, loop: r.Loop, peers: map[netip.AddrPort]sys.FD{}}
		defer a.shut()
		var listener Socket
		r.Attach(&listener, fd, a)
		defer r.shut(&listener)
		a.on = func(s *Socket) { r.StopIn(s) }
		clients := burst(t, &addr, 100)
		r.until("all accepted", func() bool {
			if !listener.In.InFlight() {
				r.Accept(&listener)
			}
			return len(a.peers) == len(clients)
		})
		hasPeers(t, a, clients)
	})
}

// Closing a listener while connections arrive leaks none of them.
func TestAcceptClosedWhileConnectionsArrive(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		r.step(0)
		before, err := sys.OpenDescriptors()
		if err != nil {
			t.Fatal(err)
		}
		for round := range 40 {
			fd, addr := listenTCP(t)
			a := &acceptRecorder{t: t, loop: r.Loop, peers: map[netip.AddrPort]sys.FD{}}
			var listener Socket
			r.Attach(&listener, fd, a)
			r.Accept(&listener)
			if round%2 == 0 {
				a.on = func(s *Socket) {
					if s.Open() {
						r.Close(s)
					}
				}
			}
			clients := burst(t, &addr, 30)
			for range round % 3 {
				r.step(0)
			}
			if round%4 == 1 {
				r.engine.wait(0) // accepted, not delivered
			}
			r.shut(&listener)
			for _, c := range clients {
				c.Close()
			}
			a.shut()
		}
		r.settle()
		after, err := sys.OpenDescriptors()
		if err != nil {
			t.Fatal(err)
		}
		if after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}
