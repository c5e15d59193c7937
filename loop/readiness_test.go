package loop

import (
	"syscall"
	"testing"

	"wsplice/internal/sys"
)

// Contract line 10: readiness may come early, never late.
func TestPollInAndOut(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.PollIn(s, false)
		r.settle()
		if n := owner.count(s, PollIn); n != 0 {
			t.Fatalf("%d completions before anything came", n)
		}
		raw.Send([]byte("now"))
		r.until("readable", func() bool { return owner.count(s, PollIn) == 1 })
		if got := readAll(s.FD); got != "now" {
			t.Errorf("read %q", got)
		}
		fillSink(s.FD)
		r.PollOut(s)
		r.settle()
		if n := owner.count(s, PollOut); n != 0 {
			t.Fatal("writable although nothing was read")
		}
		r.until("writable", func() bool { readAll(raw); return owner.count(s, PollOut) == 1 })
	})
}

// Contract line 10: who stopped for fairness is called again without an edge.
func TestPollInAgain(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		raw.Send([]byte("left over"))
		turns := 0
		owner.on = func(s *Socket, _ *Op, _ Kind) {
			if turns++; turns < 5 {
				r.PollIn(s, true)
			}
		}
		r.PollIn(s, true)
		r.until("five turns", func() bool { return turns == 5 })
	})
}

// PollHangup is for resets and full closes; a FIN alone is a half-close.
func TestPollHangup(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		r.PollHangup(s)
		raw.Send([]byte("bytes are no hang-up"))
		raw.ShutdownWrite()
		r.settle()
		if len(owner.events) != 0 {
			t.Fatalf("a FIN completed it: %+v", owner.events)
		}
		raw.ResetOnClose()
		raw.Close()
		r.until("hang-up", func() bool { return owner.count(s, PollHangup) == 1 })
	})
}

// A FIN that came together with the last bytes is found although the read that
// took them was short.
func TestShortReadThenEnd(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		for range 200 {
			owner := &recorder{t: t}
			s, raw := r.pair(owner, true)
			r.Recv(s)
			raw.Send([]byte("bye"))
			raw.ShutdownWrite()
			r.until("end", func() bool { return !s.In.InFlight() })
			raw.Close()
			r.shut(s)
		}
	})
}

// Urgent data makes reads stop early: what follows it must not be left behind.
func TestUrgentDataDoesNotHideBytes(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		raw.Send([]byte("before"))
		if err := syscall.Sendto(int(raw), []byte("!"), syscall.MSG_OOB, nil); err != nil {
			t.Fatal(err)
		}
		raw.Send([]byte("after"))
		r.Recv(s)
		r.until("both parts", func() bool { return owner.received(s) == "beforeafter" })
	})
}

func TestConnect(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		listener, addr := listenTCP(t)
		owner := &recorder{t: t}
		connect := func() (*Socket, sys.Errno) {
			fd, errno := sys.StreamSocket(addr.Family())
			if errno != 0 {
				t.Fatal(errno)
			}
			s := new(Socket)
			r.Attach(s, fd, owner)
			t.Cleanup(func() { r.shut(s) })
			if !r.Connect(s, &addr, nil) {
				r.until("connect", func() bool { return !s.Out.InFlight() })
			}
			return s, s.Out.Err()
		}
		s, errno := connect()
		if errno != 0 {
			t.Errorf("connect: %v", errno)
		}
		if !r.Send(s, []byte("x"), false) {
			r.until("send", func() bool { return !s.Out.InFlight() })
		}
		if s.Out.N != 1 || s.Out.Err() != 0 {
			t.Errorf("a connected socket takes no byte: %v", s.Out.Err())
		}
		listener.Close()
		if _, errno := connect(); errno != sys.ECONNREFUSED {
			t.Errorf("connect to a closed port: %v, want ECONNREFUSED", errno)
		}
	})
}

// Contract line 11: accepting finds what is queued, and stops at EMFILE until
// it is asked again.
func TestAcceptStopsAtEMFILE(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		fd, addr := listenTCP(t)
		owner := &recorder{t: t}
		var listener Socket
		r.Attach(&listener, fd, owner)
		defer r.shut(&listener)
		owner.on = func(_ *Socket, op *Op, _ Kind) {
			if op.N >= 0 {
				sys.FD(op.N).Close()
			}
		}
		var clients []sys.FD
		for range 3 {
			clients = append(clients, dialRaw(t, &addr))
		}
		r.Accept(&listener)
		r.until("queue served", func() bool { return owner.count(&listener, Accept) == 3 })

		clients = append(clients, dialRaw(t, &addr))
		restore := exhaustDescriptors(t)
		r.until("EMFILE", func() bool { return !listener.In.InFlight() })
		if last := owner.events[len(owner.events)-1]; last.err != sys.EMFILE {
			t.Errorf("last completion %+v, want EMFILE", last)
		}
		before := r.Stats().Ticks
		r.settle()
		if owner.count(&listener, Accept) > 4 || r.Stats().Ticks-before > 5 {
			t.Error("the engine goes on accepting without being asked")
		}
		restore()
		r.Accept(&listener)
		r.until("served after all", func() bool { return owner.count(&listener, Accept) == 5 })
		for _, c := range clients {
			c.Close()
		}
	})
}

// exhaustDescriptors lowers the limit so far that no further descriptor can be
// opened, until restore is called.
func exhaustDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
}

// A steady echo allocates nothing.
func TestEchoDoesNotAllocate(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		e := &echoer{loop: r.Loop}
		s, raw := r.pair(e, true)
		defer raw.Close()
		r.Recv(s)
		message, answer := make([]byte, 128), make([]byte, 256)
		allocs := testing.AllocsPerRun(200, func() {
			raw.Send(message)
			for got := 0; got < len(message); {
				r.step(0) // this thread is the peer too: nothing would wake it
				n, _ := raw.Recv(answer)
				got += n
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations per message, want 0", allocs)
		}
	})
}

type echoer struct{ loop *Loop }

func (e *echoer) Complete(s *Socket, op *Op, kind Kind) {
	if kind == Recv && op.N > 0 {
		e.loop.Send(s, op.Buf(), true)
	}
}
