package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

func synchronous(c *Config) { c.Routes[0].Sync = true }

// With async off, goroutines serve a tunnel from the 101 to its end, and the
// bytes are the same.
func TestAsyncOffServesByGoroutines(t *testing.T) {
	r := newRig(t, synchronous)
	before := runtime.NumGoroutine()
	client, backend := r.tunnel()
	r.took(stateRelaying, stateSync)
	for range 3 {
		send(t, client, masked(text("up")))
		expect(t, backend, string(masked(text("up"))))
		send(t, backend, plain(text("down")))
		expect(t, client, string(plain(text("down"))))
	}
	if n := runtime.NumGoroutine(); n < before+2 {
		t.Errorf("%d goroutines, %d before the tunnel", n, before)
	}
	closeWrite(t, client)
	expectEnd(t, backend)
	r.took(stateDraining, stateSync) // the half-closed tunnel goes back to its goroutine
	send(t, backend, plain(text("late")))
	backend.Close()
	if got := expectEnd(t, client); got != string(plain(text("late"))) {
		t.Errorf("the client got %q", got)
	}
}

// async_delay keeps a tunnel in synchronous service until it has been quiet for
// so long, then parks it, and takes it back when bytes come.
func TestAsyncDelayParksAndTakesBack(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Routes[0].AsyncDelay = 50 * time.Millisecond })
	client, backend := r.tunnel()
	for round := 1; round <= 3; round++ {
		testutil.Eventually(t, patience, "parked", func() bool { return r.times(stateSync, stateRelaying) >= round })
		send(t, client, masked(text("wake")))
		expect(t, backend, string(masked(text("wake"))))
		testutil.Eventually(t, patience, "taken back", func() bool { return r.times(stateRelaying, stateSync) > round })
	}
}

// times returns how often a transition was taken.
func (r *rig) times(from, to tunnelState) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moves[[2]tunnelState{from, to}]
}

// Tunnels that move between loop and goroutines thousands of times under load
// lose no byte and mix none.
func TestSyncMovesBackAndForth(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].AsyncDelay = time.Millisecond
		c.Routes[0].PingInterval = 5 * time.Millisecond // a reason to come back under load
	})
	var all sync.WaitGroup
	for i := range 8 {
		client, backend := r.tunnel()
		all.Add(4)
		up, down := newPattern(uint64(i)), newPattern(uint64(i)+100)
		go func() { defer all.Done(); up.write(t, client, true) }()
		go func() { defer all.Done(); up.read(t, backend) }()
		go func() { defer all.Done(); down.write(t, backend, false) }()
		go func() { defer all.Done(); down.read(t, client) }()
	}
	all.Wait()
	if n := r.times(stateSync, stateRelaying); n < 1000 {
		t.Errorf("moved back only %d times", n)
	}
}

// A pattern is a sequence of messages that both ends can make: of random sizes,
// with random pauses.
type pattern struct{ seed uint64 }

func newPattern(seed uint64) pattern { return pattern{seed} }

const patternMessages = 1500

func (p pattern) each(f func(i int, payload []byte, random *rand.Rand)) {
	random := rand.New(rand.NewPCG(p.seed, 1))
	buffer := make([]byte, 300<<10)
	for i := range patternMessages {
		n := random.IntN(2000)
		if random.IntN(100) == 0 {
			n = random.IntN(len(buffer))
		}
		payload := buffer[:n]
		for j := range payload {
			payload[j] = byte(uint64(j)*7 + p.seed*31 + uint64(i))
		}
		f(i, payload, random)
	}
}

func (p pattern) write(t *testing.T, conn net.Conn, mask bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pauses := rand.New(rand.NewPCG(p.seed, 2))
	p.each(func(_ int, payload []byte, _ *rand.Rand) {
		f := ws.NewBinaryFrame(bytes.Clone(payload))
		if mask {
			f = ws.MaskFrameInPlace(f)
		}
		if _, err := conn.Write(ws.MustCompileFrame(f)); err != nil {
			t.Errorf("write: %v", err)
		}
		if pauses.IntN(4) == 0 {
			timer.Reset(time.Duration(pauses.IntN(4000)) * time.Microsecond)
			<-timer.C
		}
	})
}

func (p pattern) read(t *testing.T, conn net.Conn) {
	p.each(func(i int, payload []byte, _ *rand.Rand) {
		for {
			f, err := ws.ReadFrame(conn)
			if err != nil {
				t.Errorf("message %d of pattern %d: %v", i, p.seed, err)
				return
			}
			if f.Header.OpCode == ws.OpPing {
				continue
			}
			if f = ws.UnmaskFrameInPlace(f); !bytes.Equal(f.Payload, payload) {
				t.Errorf("message %d of pattern %d is another", i, p.seed)
			}
			return
		}
	})
}

// What ends a tunnel ends one in synchronous service in the same way.
func TestClosesSayWhyInSync(t *testing.T) { testClosesSayWhy(t, synchronous) }

// Bulk is spliced by the goroutines too, large frames exactly.
func TestSyncSplices(t *testing.T) {
	for _, size := range []int{8 << 10, 4 << 20} {
		r := newRig(t, synchronous)
		client, backend := r.tunnel()
		stream := bytes.Repeat(plain(ws.NewBinaryFrame(make([]byte, size))), 64<<20/size)
		go func() {
			_, _ = backend.Write(stream)
			backend.Close()
		}()
		got, err := io.Copy(io.Discard, client)
		if err != nil || int(got) < len(stream) {
			t.Errorf("frames of %d: %d bytes of %d, %v", size, got, len(stream), err)
		}
		if n := r.server.Stats().Splices; n == 0 {
			t.Errorf("frames of %d: nothing was spliced", size)
		}
		r.close(patience)
	}
}

// A slow reader in synchronous service holds its source back, and gets every
// byte when it reads again.
func TestSyncSlowReader(t *testing.T) {
	r := newRig(t, synchronous)
	client, backend := r.tunnel()
	message := plain(ws.NewBinaryFrame(make([]byte, 1000)))
	total := 0
	for {
		_ = backend.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // a failure shows in Write
		n, err := backend.Write(message)
		if total += n; err != nil {
			break
		}
	}
	_ = backend.CloseWrite() // in the middle of a message: no Close follows
	if got, err := io.Copy(io.Discard, client); err != nil || int(got) < total {
		t.Errorf("the client got %d bytes of %d: %v", got, total, err)
	}
}

// A connection that waits for descriptors gets those of tunnels in synchronous
// service, which the loop then serves.
func TestSyncMakesRoom(t *testing.T) {
	const tunnels = 8
	r := newRigWith(t, synchronous, func(s *Server) {
		for s.budget.Left() > tunnels*descriptorsPerTunnel {
			s.budget.Take(1)
		}
	})
	for range tunnels {
		client, backend := r.tunnel()
		for range 2 { // in synchronous service or not
			send(t, client, masked(text("up")))
			expect(t, backend, string(masked(text("up"))))
		}
	}
}

// Without descriptors for it, a tunnel is served by the loop like any other.
func TestSyncWithoutDescriptors(t *testing.T) {
	r := newRigWith(t, synchronous, func(s *Server) {
		for s.budget.Left() >= 2*descriptorsPerTunnel {
			s.budget.Take(1)
		}
	})
	client, backend := r.tunnel()
	send(t, client, masked(text("up")))
	expect(t, backend, string(masked(text("up"))))
	if n := r.server.Stats().SyncRefused; n == 0 {
		// The budget left room for the tunnel's own descriptors only.
		t.Error("no refusal was counted")
	}
}
