package loop

import (
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"

	"wsplice/internal/sys"
)

// overRings runs test over the engines' variants that send from lent buffers.
func overRings(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("limited", func(t *testing.T) { test(t, uringRig(t, sizesFor(1024, LendMax))) })
	t.Run("without limit", func(t *testing.T) { test(t, uringRig(t, sizesFor(1024, LendMax)).withoutLimit()) })
	t.Run("scarce", func(t *testing.T) { test(t, uringRig(t, tight)) })
}

// A lent send that goes short gives the owner N and exactly the rest.
func TestUringShortSendGivesTheRest(t *testing.T) {
	for _, tcp := range []bool{true, false} {
		r := uringRig(t, sizesFor(1024, LendMax)).withoutLimit() // lends up to 64 KiB
		owner := &recorder{t: t}
		sink, out := r.pair(owner, tcp)
		defer out.Close()
		resize(t, sink.FD, 1)
		to := &checker{t: t, name: "sink"}
		sent, nothing, part := 0, 0, 0
		var lent []byte
		source := &recorder{t: t}
		source.on = func(_ *Socket, op *Op, _ Kind) {
			lent = append(lent[:0], op.Buf()...)
			r.Send(sink, op.Buf(), true)
		}
		owner.on = func(_ *Socket, op *Op, _ Kind) {
			if string(op.Buf()) != string(lent[op.N:]) {
				t.Fatalf("of %d bytes %d were sent, and the rest is %d others", len(lent), op.N, len(op.Buf()))
			}
			switch int(op.N) {
			case 0:
				nothing++
			case len(lent):
			default:
				part++
			}
			sent += int(op.N)
		}
		in, raw := r.pair(source, false)
		defer raw.Close()
		r.Recv(in)
		for round := range 200 {
			f := feeder{fd: raw, sent: sent} // what was not sent comes again
			f.feed(64 << 10)                 // one read, and more than one segment
			r.until("told", func() bool { return len(lent) > 0 && !sink.Out.InFlight() && !r.Pending(in) })
			lent = lent[:0]
			if round%4 == 3 {
				to.drain(out, 150000)
			}
		}
		r.until("all arrives", func() bool { to.drain(out, 1<<20); return to.got == sent })
		if nothing == 0 && tcp || part == 0 {
			t.Errorf("tcp=%v: nothing went %d times, a part %d times", tcp, nothing, part)
		}
	}
}

// A relay into a slow reader loses nothing, and while it is held back the
// sender's bytes stay in the kernel.
func TestUringSlowReaderHoldsBackItsSource(t *testing.T) {
	overRings(t, func(t *testing.T, r *rig) {
		e := r.uring()
		a, from, to, out := r.relay(true, false)
		resize(t, a.sink.FD, 1)
		resize(t, a.source.FD, 64<<10)
		resize(t, from.fd, 64<<10)
		r.until("held back", func() bool { from.feed(100 << 10); return len(a.parked) >= a.most })
		most := int(e.limit)
		if most == 0 {
			most = e.large.Size()
		}
		early := 0
		for range 100 {
			from.feed(100 << 10)
			r.step(0)
			if kept := e.early[a.source.id]; kept != nil {
				early = max(early, len(kept.bytes)-Headroom)
			}
		}
		if early > most {
			t.Errorf("%d bytes were taken for an owner who wants none, at most %d", early, most)
		}
		if lent := max(e.limit, uint32(e.large.Size())); a.peak > a.most+int(lent)+e.large.Size() {
			t.Errorf("%d bytes were parked", a.peak)
		}
		from.fd.ShutdownWrite()
		r.until("the end", func() bool { to.drain(out, 64<<10); return a.ended && to.got == from.sent })
		r.settle()
		r.checkBuffers(2)
	})
}

// A peer that dies is told of by the lent send.
func TestUringLentSendToADeadPeer(t *testing.T) {
	overRings(t, func(t *testing.T, r *rig) {
		for i := range 50 {
			a, from, _, out := r.relay(true, i%2 == 0)
			if i%4 < 2 {
				out.ResetOnClose()
			}
			out.Close()
			r.until("failure", func() bool { from.feed(10); return a.failed != 0 })
			if a.failed != sys.EPIPE && a.failed != sys.ECONNRESET {
				t.Fatalf("sink failed with %v", a.failed)
			}
			r.shut(a.source)
			r.shut(a.sink)
		}
		r.checkBuffers(2)
	})
}

// A send of the owner's bytes that is stopped says how far it came.
func TestStoppedSendSaysHowFarItCame(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		seed := stormSeed(t)
		random := rand.New(rand.NewPCG(seed, 1))
		stream := make([]byte, 4<<20)
		for i := range stream {
			stream[i] = pattern(i)
		}
		s, raw := r.pair(&recorder{t: t}, true)
		defer raw.Close()
		to := &checker{t: t, name: "peer"}
		sent, stops := 0, 0
		for sent < len(stream) {
			if !r.Send(s, stream[sent:], false) {
				for range random.IntN(3) {
					to.drain(raw, random.IntN(200<<10))
					r.step(0)
				}
				if s.Out.InFlight() {
					stops++
					if !r.StopOut(s) {
						r.until("stopped", func() bool { return !s.Out.InFlight() })
					}
				}
			}
			if err := s.Out.Err(); err != 0 && err != sys.ECANCELED {
				t.Fatal(err)
			}
			sent += int(s.Out.N)
			to.drain(raw, random.IntN(400<<10))
		}
		r.until("all arrives", func() bool { to.drain(raw, 1<<20); return to.got == len(stream) })
		if stops == 0 {
			t.Error("no send was stopped")
		}
	})
}

// connecting begins to connect a new socket to addr.
func (r *rig) connecting(owner Owner, addr *sys.Sockaddr, first []byte) (s *Socket, done bool) {
	r.t.Helper()
	fd, errno := sys.StreamSocket(addr.Family())
	if errno != 0 {
		r.t.Fatal(errno)
	}
	s = new(Socket)
	r.Attach(s, fd, owner)
	r.t.Cleanup(func() { r.shut(s) })
	return s, r.Connect(s, addr, first)
}

// What a connect carries arrives first; what did not fit is the owner's.
func TestConnectSendsFirstBytes(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		listener, addr := listenTCP(t)
		for _, size := range []int{1, 4096, 16 << 20} {
			first := make([]byte, size)
			for i := range first {
				first[i] = pattern(i)
			}
			s, done := r.connecting(&recorder{t: t}, &addr, first)
			if !done {
				r.until("connected", func() bool { return !s.Out.InFlight() })
			}
			n := int(s.Out.N)
			if s.Out.Err() != 0 || n == 0 || n < size && size < 1<<20 || n == size && size > 1<<20 {
				t.Fatalf("%d of %d bytes sent, %v", n, size, s.Out.Err())
			}
			var peer sys.Sockaddr
			raw, errno := listener.Accept(&peer)
			if errno != 0 {
				t.Fatal(errno)
			}
			to := &checker{t: t, name: "peer"}
			if n < size && r.Send(s, first[n:], false) {
				t.Fatal("16 MiB fitted")
			}
			r.until("all arrives", func() bool { to.drain(raw, 1<<20); return to.got == size })
			r.shut(s)
			raw.Close()
		}
		listener.Close()
		s, done := r.connecting(&recorder{t: t}, &addr, []byte("nobody"))
		if !done {
			r.until("refused", func() bool { return !s.Out.InFlight() })
		}
		if s.Out.Err() != sys.ECONNREFUSED || s.Out.N != 0 {
			t.Errorf("n=%d, %v, want ECONNREFUSED", s.Out.N, s.Out.Err())
		}
	})
}

// A connect that is stopped or closed ends once, whatever else was under way.
func TestConnectIsCancelled(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		random := rand.New(rand.NewPCG(stormSeed(t), 2))
		open, addrOpen := listenTCP(t)
		defer open.Close()
		full, addrFull := listenFull(t)
		defer full()
		for i := range 300 {
			owner := &recorder{t: t}
			addr, first := &addrOpen, []byte("first")
			if i%3 == 0 {
				addr = &addrFull
			}
			if i%2 == 0 {
				first = nil
			}
			s, done := r.connecting(owner, addr, first)
			for range random.IntN(3) {
				r.step(0)
			}
			if i%5 < 2 {
				r.shut(s)
			} else if !done && !r.StopOut(s) {
				r.until("stopped", func() bool { return !s.Out.InFlight() })
			}
			r.shut(s)
			r.step(0)
			if n := owner.count(s, Connect); n > 1 || owner.count(s, Close) > 1 {
				t.Fatalf("%+v", owner.events)
			}
			var peer sys.Sockaddr
			if raw, errno := open.Accept(&peer); errno == 0 {
				raw.Close()
			}
		}
	})
}

// listenFull returns the address of a listener that answers no SYN, because
// its queue is full.
func listenFull(t *testing.T) (end func(), addr sys.Sockaddr) {
	t.Helper()
	any := sys.TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	fd, err := sys.ListenTCP(&any, sys.ListenOptions{Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	if addr, err = fd.LocalAddr(); err != nil {
		t.Fatal(err)
	}
	fds := []sys.FD{fd}
	for range 8 {
		fds = append(fds, dialRaw(t, &addr))
	}
	return func() {
		for _, fd := range fds {
			fd.Close()
		}
	}, addr
}

// The one EAGAIN that owners see: a unix socket's queue is full.
func TestConnectToAFullUnixQueue(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		addr, err := sys.UnixAddr(filepath.Join(t.TempDir(), "full"))
		if err != nil {
			t.Fatal(err)
		}
		listener, err := sys.ListenUnix(&addr, 0o600, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		connected := 0
		for range 5 {
			s, done := r.connecting(&recorder{t: t}, &addr, []byte("first"))
			if !done {
				r.until("over", func() bool { return !s.Out.InFlight() })
			}
			switch s.Out.Err() {
			case 0:
				connected++
				if string(s.Out.Buf()) != "first"[s.Out.N:] {
					t.Errorf("n=%d, left %q", s.Out.N, s.Out.Buf())
				}
			case sys.EAGAIN:
			default:
				t.Errorf("connect: %v", s.Out.Err())
			}
		}
		if connected == 0 || connected == 5 {
			t.Errorf("%d of 5 were connected", connected)
		}
	})
}
