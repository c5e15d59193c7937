package loop

import (
	"runtime"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// An accept that failed has no descriptor: 0 would be somebody's.
func TestUringFailedAcceptHasNoDescriptor(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		fd, addr := listenTCP(t)
		owner := &recorder{t: t}
		owner.on = func(_ *Socket, op *Op, kind Kind) {
			if kind == Accept && op.Err() == 0 {
				sys.FD(op.N).Close() // io_uring goes by the limit when it was armed
			}
		}
		var listener Socket
		r.Attach(&listener, fd, owner)
		defer r.shut(&listener)
		r.Accept(&listener)
		r.step(0)
		client := dialRaw(t, &addr)
		defer client.Close()
		restore := exhaustDescriptors(t)
		r.until("EMFILE", func() bool { return !listener.In.InFlight() })
		restore()
		if last := owner.events[len(owner.events)-1]; last.err != sys.EMFILE || last.n != int(sys.NoFD) {
			t.Errorf("last completion %+v, want EMFILE without a descriptor", last)
		}
	})
}

// Before the kernel was asked whether it can end a stream after some bytes, no
// stream may be armed: Linux before 6.17 would answer EINVAL to the owner.
func TestUringArmsNoStreamBeforeTheProbe(t *testing.T) {
	r := uringRig(t, tight)
	s, raw := r.pair(&recorder{t: t}, false)
	defer raw.Close()
	r.Recv(s)
	if !r.uring().enabled && s.armed == armedStream {
		t.Error("a stream was armed before the probe")
	}
}

// Pending, asked while sends are being told of, sees the first completion too.
func TestUringPendingSeesTheFirstCompletion(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	held, rawHeld := r.pair(&recorder{t: t}, true)
	defer rawHeld.Close()
	r.Recv(held)
	r.step(0)
	r.Pause(held) // its receive is still armed

	owner := &recorder{t: t}
	sink, rawSink := r.pair(owner, true)
	source, rawSource := r.pair(owner, true)
	defer rawSink.Close()
	defer rawSource.Close()
	asked := false
	owner.on = func(s *Socket, op *Op, kind Kind) {
		if kind == Recv && op.N > 0 {
			r.Send(sink, op.Buf(), true)
			r.Await(sink)
			rawHeld.Send([]byte("waits"))
		}
		if kind == Send {
			asked = true
			if !r.Pending(held) {
				t.Error("bytes are there and Pending says no")
			}
		}
	}
	r.Recv(source)
	r.step(0)
	rawSource.Send([]byte("x"))
	r.until("sent", func() bool { return asked })
}

// servedAlike fails if one socket had less than a tenth of what another had.
func servedAlike(t *testing.T, sockets []*Socket, served map[*Socket]int) {
	t.Helper()
	least, most := served[sockets[0]], 0
	for _, s := range sockets {
		least, most = min(least, served[s]), max(most, served[s])
	}
	if least < most/10 {
		t.Errorf("the least served had %d, the most %d", least, most)
	}
}

// A flooder that has just been served does not take the only buffers again and
// again while others find none.
func TestUringFloodersShareScarceBuffers(t *testing.T) {
	z := tight
	z.entries, z.completions, z.large, z.smallBytes, z.largeBytes = 64, 64, 1, 64, 4096
	r := uringRig(t, z)
	const flooders = 4
	served := map[*Socket]int{}
	owner := &recorder{t: t}
	owner.on = func(s *Socket, op *Op, _ Kind) {
		served[s] += int(op.N)
		owner.events = owner.events[:0]
	}
	var feeders []*feeder
	var sockets []*Socket
	for range flooders {
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		feeders, sockets = append(feeders, &feeder{fd: raw}), append(sockets, s)
	}
	for range 400 {
		for _, f := range feeders {
			f.feed(64 << 10)
		}
		r.step(time.Millisecond)
	}
	servedAlike(t, sockets, served)
}

// The same with messages that fit the small buffers: one chatty socket and two
// buffers.
func TestUringFlooderLeavesSmallBuffers(t *testing.T) {
	z := tight
	z.entries, z.completions, z.small, z.smallBytes, z.limit = 64, 64, 2, 4096, 64<<10
	r := uringRig(t, z)
	served := map[*Socket]int{}
	owner := &recorder{t: t}
	owner.on = func(s *Socket, _ *Op, _ Kind) {
		served[s]++
		owner.events = owner.events[:0]
	}
	var raws []sys.FD
	var sockets []*Socket
	for range 8 {
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Recv(s)
		raws, sockets = append(raws, raw), append(sockets, s)
	}
	for range 300 {
		for _, raw := range raws {
			raw.Send([]byte("a message"))
		}
		r.step(time.Millisecond)
	}
	servedAlike(t, sockets, served)
}

// A close that was queued before the loop ever ran is not forgotten by Release.
func TestUringReleaseClosesWhatWasClosed(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := New(Config{Engine: "io_uring", Pin: -1})
	needUring(t, err)
	if err != nil {
		t.Fatal(err)
	}
	near, raw, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var s Socket
	l.Attach(&s, near, &recorder{t: t})
	if !l.Close(&s) {
		t.Fatal("an idle socket was not closed at once")
	}
	l.Release()
	if n, errno := raw.Recv(make([]byte, 1)); n != 0 || errno != 0 {
		near.Close()
		t.Errorf("Close said done, but the descriptor is open: %v", errno)
	}
}

// That a wait has just brought nothing is forgotten when there is work again: a
// send after that must not stay untold while the loop sleeps for good.
func TestUringQuietIsForgotten(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	a, from, _, _ := r.relay(true, true)
	ready, raw := r.pair(&recorder{t: t}, true)
	defer raw.Close()
	r.step(0)
	from.feed(100)
	r.until("lent send on its way", func() bool { return a.sink.Out.InFlight() })
	r.engine.wait(-1) // brings nothing, so the send is told of
	r.tick()
	if a.sink.Out.InFlight() {
		t.Fatal("not told")
	}
	from.feed(100)
	for !a.sink.Out.InFlight() {
		r.PollIn(ready, true) // somebody has work without a completion
		r.engine.wait(-1)
		r.tick()
	}
	alarm := time.AfterFunc(time.Second, r.engine.wake)
	begin := time.Now()
	r.engine.wait(-1)
	r.tick()
	alarm.Stop()
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("the loop slept for %v with a send untold", took)
	}
}

// Who pauses at the bytes that came early is still told how the stream ended.
func TestUringErrorOutlivesAPauseInDelivery(t *testing.T) {
	r := uringRig(t, sizesFor(1024, LendMax))
	owner := &recorder{t: t}
	s, raw := r.pair(owner, true)
	r.Recv(s)
	r.step(0)
	r.Pause(s)
	raw.Send([]byte("x"))
	r.until("kept", func() bool { return s.flags&flagEarly != 0 })
	raw.ResetOnClose()
	raw.Close()
	r.until("the error", func() bool {
		kept := r.uring().early[s.id]
		return kept != nil && kept.errno != 0 || s.armed == armedNone
	})
	owner.on = func(s *Socket, _ *Op, _ Kind) { r.Pause(s) }
	r.Recv(s)
	r.until("early bytes", func() bool { return owner.received(s) == "x" })
	owner.on = nil
	r.Recv(s)
	r.until("the end", func() bool { return !s.In.InFlight() })
}
