package loop

import (
	"testing"
	"time"

	"wsplice/internal/sys"
)

// tight makes everything scarce: queues, buffers, and what a stream may bring.
var tight = uringSizes{entries: 4, completions: 8, small: 4, smallBytes: 64, large: 2, largeBytes: 256, limit: 128}

// uringRig drives a loop over an io_uring of these sizes.
func uringRig(t testing.TB, z uringSizes) *rig {
	t.Helper()
	l := &Loop{start: time.Now(), pin: -1}
	l.wheel.init()
	e, err := newUring(l, z)
	needUring(t, err)
	if err != nil {
		t.Fatal(err)
	}
	l.engine = e
	return rigOf(t, l)
}

// uring returns the engine of a rig that has one.
func (r *rig) uring() *uringEngine { return r.engine.(*uringEngine) }

// withoutLimit makes an io_uring behave as before Linux 6.17, which cannot end
// a receive after so many bytes.
func (r *rig) withoutLimit() *rig {
	r.uring().enable()
	r.uring().limit = 0
	return r
}

// pattern is the byte at a position of a test's stream: what is lost, doubled
// or exchanged shows.
func pattern(at int) byte {
	x := uint32(at) * 2654435761
	return byte(x>>24 ^ x>>13)
}

// A feeder writes the pattern to a socket.
type feeder struct {
	fd   sys.FD
	sent int
	buf  []byte
}

// feed writes up to n bytes, as far as they fit.
func (f *feeder) feed(n int) {
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	b := f.buf[:n]
	for i := range b {
		b[i] = pattern(f.sent + i)
	}
	for len(b) > 0 {
		n, errno := f.fd.Send(b)
		if errno != 0 {
			return
		}
		f.sent += n
		b = b[n:]
	}
}

// A checker compares what arrives with the pattern.
type checker struct {
	t    testing.TB
	name string
	got  int
}

func (c *checker) take(b []byte) {
	for i, v := range b {
		if v != pattern(c.got+i) {
			c.t.Fatalf("%s: byte %d is wrong", c.name, c.got+i)
		}
	}
	c.got += len(b)
}

// drain reads at most n bytes from fd.
func (c *checker) drain(fd sys.FD, n int) {
	b := make([]byte, 4096)
	for n > 0 {
		got, errno := fd.Recv(b[:min(n, len(b))])
		if errno != 0 || got == 0 {
			return
		}
		c.take(b[:got])
		n -= got
	}
}

// A testRelay forwards as proxy does: lent bytes at once, the rest of a slow
// sink is parked, and a source with much parked is held back.
type testRelay struct {
	r            *rig
	source, sink *Socket
	parked       []byte
	sending      []byte // what of parked is being sent
	most         int    // parked bytes from which the source is held back
	short        int    // lent sends that left a rest
	peak         int    // most that was ever parked
	ended        bool
	failed       sys.Errno // of the sink
}

func (a *testRelay) Complete(s *Socket, op *Op, kind Kind) {
	switch {
	case kind == Recv && op.N > 0:
		a.forward(op.Buf())
		if a.sink.Out.InFlight() && len(a.parked) >= a.most && s.Open() {
			a.r.Pause(s)
			a.r.PollHangup(s)
		}
	case kind == Recv:
		a.ended = true
	case kind == Send:
		a.sent(op)
	}
}

func (a *testRelay) forward(b []byte) {
	if a.failed != 0 {
		return
	}
	if a.sink.Out.InFlight() {
		a.park(b)
		return
	}
	if a.r.Send(a.sink, b, true) {
		a.park(b[a.sink.Out.N:])
		a.sendParked()
	}
}

func (a *testRelay) park(b []byte) {
	a.parked = append(a.parked, b...)
	a.peak = max(a.peak, len(a.parked))
	a.r.Await(a.sink)
}

func (a *testRelay) sent(op *Op) {
	if a.failed = op.Err(); a.failed != 0 {
		return
	}
	if a.sending != nil {
		a.parked, a.sending = a.parked[op.N:], nil
	} else if len(op.Buf()) > 0 {
		a.short++
		a.parked = append(append([]byte(nil), op.Buf()...), a.parked...)
	}
	a.sendParked()
	if !a.sink.Out.InFlight() && a.source.In.Kind != Recv && a.source.Open() && !a.ended {
		a.r.Pause(a.source)
		a.r.Recv(a.source)
	}
}

func (a *testRelay) sendParked() {
	for len(a.parked) > 0 && !a.sink.Out.InFlight() {
		a.sending = append([]byte(nil), a.parked...)
		if !a.r.Send(a.sink, a.sending, false) {
			return
		}
		a.parked, a.sending = a.parked[a.sink.Out.N:], nil
	}
}

// relay joins a new source and a new sink, each a TCP or a unix socket.
func (r *rig) relay(sourceTCP, sinkTCP bool) (a *testRelay, from *feeder, to *checker, out sys.FD) {
	r.t.Helper()
	a = &testRelay{r: r, most: 4096}
	var in sys.FD
	a.source, in = r.pair(a, sourceTCP)
	a.sink, out = r.pair(a, sinkTCP)
	r.t.Cleanup(func() { in.Close(); out.Close() })
	r.Recv(a.source)
	return a, &feeder{fd: in}, &checker{t: r.t, name: "relay"}, out
}
