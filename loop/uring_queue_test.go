package loop

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// resize asks for socket buffers of so many bytes; 1 makes them as small as the
// kernel lets them be.
func resize(t testing.TB, fd sys.FD, bytes int) {
	t.Helper()
	for _, name := range []int{syscall.SO_SNDBUF, syscall.SO_RCVBUF} {
		if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, name, bytes); err != nil {
			t.Fatal(err)
		}
	}
}

// A completion queue that overflows loses nothing, not even the news that a
// send went short.
func TestUringOverflowLosesNothing(t *testing.T) {
	z := tight
	z.entries, z.completions, z.small, z.smallBytes, z.limit = 32, 32, 64, 512, 4096
	z.large, z.largeBytes = 64, 2048
	for _, limited := range []bool{true, false} {
		r := uringRig(t, z)
		if !limited {
			r.withoutLimit()
		}
		var relays []*testRelay
		var feeders []*feeder
		var checkers []*checker
		var outs []sys.FD
		for i := range 100 {
			a, from, to, out := r.relay(true, i%2 == 0)
			resize(t, a.sink.FD, 1)
			resize(t, out, 1)
			relays, feeders = append(relays, a), append(feeders, from)
			checkers, outs = append(checkers, to), append(outs, out)
		}
		const each = 15000
		r.until("all bytes", func() bool {
			over := true
			for i, f := range feeders {
				f.feed(min(each-f.sent, 3000))
				checkers[i].drain(outs[i], 600)
				over = over && checkers[i].got == each
			}
			return over
		})
		short := 0
		for _, a := range relays {
			short += a.short
		}
		if s := r.Stats(); s.Overflows == 0 || short == 0 {
			t.Errorf("limited=%v: %d overflows, %d short sends: nothing was provoked", limited, s.Overflows, short)
		}
	}
}

// The kernel ends the watch of the eventfd when the queue overflows: wake-ups
// work afterwards.
func TestUringWakesAfterOverflow(t *testing.T) {
	z := tight
	z.small = 64
	r := uringRig(t, z)
	owner := &recorder{t: t}
	var raws []sys.FD
	for range 64 {
		s, raw := r.pair(owner, false)
		defer raw.Close()
		r.Recv(s)
		raws = append(raws, raw)
	}
	r.step(0)
	for round := range 50 {
		var posted sync.WaitGroup
		came := 0
		for range 3 {
			posted.Go(func() {
				if err := r.Post(func() { came++ }); err != nil {
					t.Error(err)
				}
			})
		}
		for _, raw := range raws {
			raw.Send([]byte("x"))
		}
		posted.Wait()
		r.until("posts run", func() bool { return came == 3 })
		r.until("bytes", func() bool { return len(owner.events) == (round+1)*len(raws) })
	}
	if r.Stats().Overflows == 0 {
		t.Error("the queue did not overflow")
	}
	// And with nothing else going on: a wait without end is ended.
	go func() { _ = r.Post(func() {}) }()
	r.engine.wait(-1)
	r.tick()
}

// A tick may submit more than the submission queue holds.
func TestUringSmallSubmissionQueue(t *testing.T) {
	z := tight
	z.completions, z.small = 1024, 256
	r := uringRig(t, z)
	const sockets = 200
	var relays []*testRelay
	var feeders []*feeder
	var checkers []*checker
	var outs []sys.FD
	for range sockets {
		a, from, to, out := r.relay(false, false)
		relays, feeders = append(relays, a), append(feeders, from)
		checkers, outs = append(checkers, to), append(outs, out)
	}
	for round := range 20 {
		for _, f := range feeders {
			f.feed(50)
		}
		r.until("round", func() bool {
			over := true
			for i, c := range checkers {
				c.drain(outs[i], 1000)
				over = over && c.got == (round+1)*50
			}
			return over
		})
	}
	for _, a := range relays { // hundreds of closes, cancels and receives at once
		r.Close(a.source)
		r.Close(a.sink)
	}
	r.until("closed", func() bool { return r.Stats().Sockets == 0 })
}

// Signals interrupt waits that have something to submit.
func TestUringInterruptedSubmissions(t *testing.T) {
	r := uringRig(t, tight)
	stop, done := make(chan struct{}), make(chan struct{})
	thread := syscall.Gettid()
	go func() {
		defer close(done)
		ticker := time.NewTicker(50 * time.Microsecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				_ = syscall.Tgkill(syscall.Getpid(), thread, syscall.SIGURG)
			}
		}
	}()
	var feeders []*feeder
	var checkers []*checker
	var outs []sys.FD
	for range 8 {
		_, from, to, out := r.relay(true, true)
		feeders, checkers, outs = append(feeders, from), append(checkers, to), append(outs, out)
	}
	for round := range 100 {
		for _, f := range feeders {
			f.feed(40)
		}
		r.until("round", func() bool {
			over := true
			for i, c := range checkers {
				c.drain(outs[i], 1000)
				over = over && c.got == (round+1)*40
			}
			return over
		})
	}
	close(stop)
	<-done
}

// An owner that waits for its send is told although nothing else happens, and
// without waiting for rawWaitMax.
func TestUringAwaitedSendIsTold(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	for range 50 {
		a, from, _, _ := r.relay(true, true)
		from.feed(100)
		r.until("lent send on its way", func() bool { return a.sink.Out.InFlight() })
		r.Await(a.sink)
		begin := time.Now()
		r.engine.wait(-1)
		r.tick()
		if a.sink.Out.InFlight() {
			t.Fatal("not told with the next tick")
		}
		if took := time.Since(begin); took > time.Second {
			t.Fatalf("told after %v", took)
		}
		r.shut(a.source)
		r.shut(a.sink)
	}
}

// A send that nobody waits for is told of before the loop sleeps for good.
func TestUringUntoldSendIsToldBeforeSleep(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	a, from, _, _ := r.relay(true, true)
	for range 5 {
		from.feed(100)
		r.until("lent send on its way", func() bool { return a.sink.Out.InFlight() })
		r.engine.wait(-1) // ends by itself: nobody wakes it
		r.tick()
		if a.sink.Out.InFlight() {
			t.Fatal("not told before sleeping")
		}
	}
}
