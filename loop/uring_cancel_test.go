package loop

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// A storm is a crowd of actors: sockets whose peers flood, end and die while
// their owners stop, pause, resume and close them at random.
type storm struct {
	r      *rig
	t      *testing.T
	rand   *rand.Rand
	actors []*actor
	closes int
}

// An actor owns a socket and checks everything that it is told.
type actor struct {
	storm  *storm
	socket Socket
	raw    sys.FD
	feeder feeder
	in     checker

	wants    Kind // what In is for
	stopping bool // StopIn was called and not answered yet
	ended    bool // the stream's end or an error was told
	broken   bool // the peer has reset the connection
	finished bool // the peer sends no more
	joined   bool // nobody but us reads the descriptor
	closing  bool
	gone     bool

	lent   []byte // what is being echoed
	echoed []byte // what was
	heard  []byte // what arrived of it
}

func newStorm(t *testing.T, r *rig, seed uint64, actors int) *storm {
	st := &storm{r: r, t: t, rand: rand.New(rand.NewPCG(seed, 0))}
	for range actors {
		a := &actor{storm: st, gone: true}
		st.actors = append(st.actors, a)
		a.begin()
	}
	return st
}

func (a *actor) begin() {
	r, t := a.storm.r, a.storm.t
	var near, raw sys.FD
	if a.storm.rand.IntN(2) == 0 {
		near, raw = tcpPair(t)
	} else {
		var err error
		if near, raw, err = sys.SocketPair(); err != nil {
			t.Fatal(err)
		}
	}
	*a = actor{storm: a.storm, raw: raw, feeder: feeder{fd: raw}, in: checker{t: t, name: "storm"}, joined: true}
	r.Attach(&a.socket, near, a)
}

// Complete checks that this may come now.
func (a *actor) Complete(s *Socket, op *Op, kind Kind) {
	t := a.storm.t
	if err := op.Err(); err == sys.EAGAIN || err == sys.EINTR {
		t.Errorf("owner saw %v", err)
	}
	switch {
	case a.gone:
		t.Fatalf("kind %d after Close was over", kind)
	case kind == Close:
		if !a.closing {
			t.Fatal("closed without being asked")
		}
		a.over()
	case a.closing:
		t.Fatalf("kind %d after Close", kind)
	case kind == Send:
		a.told(op)
	case kind != a.wants:
		t.Fatalf("kind %d although the owner wants %d", kind, a.wants)
	case kind == Recv && op.N > 0:
		a.in.take(op.Buf())
		if a.storm.rand.IntN(3) == 0 {
			a.echo(op.Buf())
		}
		a.storm.sometimes()
	default:
		a.final(op, kind)
	}
}

// final takes the last completion of an operation.
func (a *actor) final(op *Op, kind Kind) {
	t := a.storm.t
	if op.More || op.InFlight() {
		t.Fatalf("kind %d goes on without bytes", kind)
	}
	a.wants = None
	switch {
	case op.Err() == sys.ECANCELED:
		if !a.stopping {
			t.Fatal("cancelled without being asked")
		}
		a.joined = a.joined || kind == Recv
	case kind == Recv:
		a.ended = true
		if op.Err() == 0 && !a.broken && a.in.got != a.feeder.sent {
			t.Fatalf("the end after %d bytes of %d", a.in.got, a.feeder.sent)
		}
	case kind == PollIn:
		a.readDirectly()
	case kind == PollHangup:
		if !a.broken {
			t.Fatal("a hang-up although the peer lives")
		}
	}
	a.stopping = false
	a.storm.sometimes()
}

// readDirectly is what splice(2) does: it must not overtake what a receive took.
func (a *actor) readDirectly() {
	b := make([]byte, 1+a.storm.rand.IntN(3000))
	if n, errno := a.socket.FD.Recv(b); errno == 0 {
		a.in.take(b[:n])
	}
}

func (a *actor) echo(b []byte) {
	if a.socket.Out.InFlight() {
		return
	}
	a.lent = append(a.lent[:0], b...)
	if a.storm.r.Send(&a.socket, b, true) {
		a.echoed = append(a.echoed, b[:a.socket.Out.N]...)
	}
}

func (a *actor) told(op *Op) {
	if n := int(op.N); !bytes.Equal(op.Buf(), a.lent[n:]) {
		a.storm.t.Fatalf("%d of %d bytes sent, and the rest has %d", n, len(a.lent), len(op.Buf()))
	}
	a.echoed = append(a.echoed, a.lent[:op.N]...)
}

// sometimes lets some actor act from within a delivery.
func (st *storm) sometimes() {
	if st.rand.IntN(4) == 0 {
		st.actors[st.rand.IntN(len(st.actors))].act()
	}
}

// act does one thing that an owner may do.
func (a *actor) act() {
	r, s := a.storm.r, &a.socket
	if a.gone || a.closing {
		return
	}
	switch a.storm.rand.IntN(12) {
	case 0, 1:
		r.Pause(s)
		a.wants, a.stopping = None, false
	case 2, 3, 4:
		if s.In.InFlight() && !a.stopping {
			receiving := a.wants == Recv
			if a.stopping = !r.StopIn(s); !a.stopping {
				a.wants = None
				a.joined = a.joined || receiving
			}
		}
	case 5:
		if a.storm.rand.IntN(4) == 0 {
			a.close()
		}
	case 6:
		if a.stopping || r.StopOut(s) {
			return
		}
	case 7:
		if a.wants == None && a.joined && !a.ended {
			a.wants = PollIn
			r.PollIn(s, a.storm.rand.IntN(2) == 0)
		}
	case 8:
		if a.wants == None && !a.ended {
			a.wants = PollHangup
			r.PollHangup(s)
		}
	default:
		a.receive()
	}
}

func (a *actor) receive() {
	if a.wants == None && !a.ended {
		a.wants, a.joined = Recv, false
		a.storm.r.Recv(&a.socket)
	}
}

func (a *actor) close() {
	a.closing = true
	if a.storm.r.Close(&a.socket) {
		a.over()
	}
}

func (a *actor) over() {
	a.closing, a.gone = false, true
	a.storm.closes++
	a.raw.Close()
}

// peer does one thing that a peer may do.
func (a *actor) peer() {
	if a.gone {
		return
	}
	if a.heard = append(a.heard, readAll(a.raw)...); !a.closing && !bytes.HasPrefix(a.heard, a.echoed) {
		if !bytes.HasPrefix(a.echoed, a.heard) && !a.socket.Out.InFlight() {
			a.storm.t.Fatal("the echo has other bytes")
		}
	}
	if a.finished {
		return
	}
	switch n := a.storm.rand.IntN(100); {
	case n < 50:
		a.feeder.feed(1 + a.storm.rand.IntN(300))
	case n < 60:
		a.feeder.feed(5000)
	case n < 61:
		a.finished = true
		a.raw.ShutdownWrite()
	case n < 62:
		a.finished, a.broken = true, true
		a.raw.ResetOnClose()
		a.raw.Close()
		a.raw = sys.NoFD
	}
}

func (st *storm) round() {
	for _, a := range st.actors {
		a.peer()
		if st.rand.IntN(2) == 0 {
			a.act()
		}
	}
	st.r.step(time.Duration(st.rand.IntN(2)) * 100 * time.Microsecond)
	for _, a := range st.actors {
		switch {
		case a.gone:
			a.begin()
		case a.ended && !a.closing:
			a.close()
		}
	}
}

// end lets every stream come to its end and closes everything.
func (st *storm) end() {
	for _, a := range st.actors {
		if !a.gone && !a.finished {
			a.finished = true
			a.raw.ShutdownWrite()
		}
	}
	st.r.until("all ends", func() bool {
		over := true
		for _, a := range st.actors {
			if a.wants == PollHangup || a.wants == PollIn {
				st.r.Pause(&a.socket)
				a.wants, a.stopping = None, false
			}
			if !a.gone && !a.closing {
				a.receive()
			}
			if a.ended && !a.gone && !a.closing {
				a.close()
			}
			a.peer()
			over = over && a.gone
		}
		return over
	})
	if n := st.r.Stats().Sockets; n != 0 {
		st.t.Errorf("%d sockets are still known", n)
	}
}

// stormSeed comes from the environment, to see a failure again.
func stormSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("STORM_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("STORM_SEED=%d", seed)
	return seed
}

// Whatever is stopped, paused, resumed and closed at whatever moment: bytes come
// once and in order, every operation ends once, and nothing comes after Close.
func TestStormOfCancellations(t *testing.T) {
	wide := sizesFor(1024, LendMax)
	cases := map[string]struct {
		sizes   uringSizes
		limited bool
	}{
		"epoll":                  {},
		"io_uring":               {wide, true},
		"without limit":          {wide, false},
		"everything scarce":      {tight, true},
		"scarce, without limit":  {tight, false},
		"one buffer of each":     {oneOfEach(), true},
		"large as small buffers": {allEqual(), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var r *rig
			switch {
			case c.sizes.entries == 0:
				r = newRig(t, "epoll")
			case c.limited:
				r = uringRig(t, c.sizes)
			default:
				r = uringRig(t, c.sizes).withoutLimit()
			}
			st := newStorm(t, r, stormSeed(t), 24)
			for range 400 {
				st.round()
			}
			st.end()
			if st.closes < 100 {
				t.Errorf("only %d closes", st.closes)
			}
			if c.limited {
				r.checkBuffers(c.sizes.small)
			} else if c.sizes.entries > 0 {
				r.checkBuffers(c.sizes.large)
			}
		})
	}
}

func oneOfEach() uringSizes {
	z := tight
	z.small, z.large = 1, 1
	return z
}

func allEqual() uringSizes {
	z := tight
	z.largeBytes = z.smallBytes
	return z
}

// checkBuffers proves that no buffer was lost: as many sockets as there are
// buffers receive in one tick, and none finds none.
func (r *rig) checkBuffers(count int) {
	r.t.Helper()
	r.settle()
	e := r.uring()
	if len(e.held) != 0 || len(e.sends) != 0 || len(e.hungry) != 0 || len(e.early) != 0 {
		r.t.Errorf("left: %d leases, %d sends, %d hungry, %d early", len(e.held), len(e.sends), len(e.hungry), len(e.early))
	}
	owner := &recorder{t: r.t}
	var raws []sys.FD
	for range count {
		s, raw := r.pair(owner, true)
		raws = append(raws, raw)
		r.Recv(s)
	}
	r.settle()
	dry := r.Stats().Dry
	for range 3 {
		seen := len(owner.events)
		for _, raw := range raws {
			raw.Send([]byte("!"))
		}
		r.until("all received", func() bool { return len(owner.events) == seen+count })
	}
	if r.Stats().Dry != dry {
		r.t.Errorf("there are fewer than %d buffers", count)
	}
	for _, raw := range raws {
		raw.Close()
	}
}
