package pool

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// A host accepts connections and hands them to the test.
type host struct {
	net.Listener
	server  *Server
	conns   chan net.Conn
	accepts atomic.Int32
}

// newHost listens on network; serve, if any, is called with each connection.
func newHost(t testing.TB, network string, serve func(net.Conn)) *host {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return hostOn(t, l, serve)
}

func hostOn(t testing.TB, l net.Listener, serve func(net.Conn)) *host {
	t.Helper()
	h := &host{Listener: l, conns: make(chan net.Conn, 4096)}
	var err error
	if h.server, err = NewServer(context.Background(), l.Addr().Network(), l.Addr().String(), ""); err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			h.accepts.Add(1)
			if serve != nil {
				serve(conn)
			}
			h.conns <- conn
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		for len(h.conns) > 0 {
			(<-h.conns).Close()
		}
	})
	return h
}

// wantAccepts waits until the host has had exactly n connections. The kernel
// completes a connection before it is accepted.
func (h *host) wantAccepts(t testing.TB, n int) {
	t.Helper()
	testutil.Eventually(t, patience, fmt.Sprintf("%d connections", n), func() bool { return int(h.accepts.Load()) >= n })
	if got := int(h.accepts.Load()); got != n {
		t.Errorf("%d connections, want %d", got, n)
	}
}

// A testBudget counts, and must be whole in the end.
type testBudget struct{ used, limit atomic.Int64 }

// Take takes n.
func (b *testBudget) Take(n int) bool {
	if b.used.Add(int64(n)) > b.limit.Load() {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

// Give takes n back.
func (b *testBudget) Give(n int) { b.used.Add(int64(-n)) }

// Left is what can be taken.
func (b *testBudget) Left() int { return int(b.limit.Load() - b.used.Load()) }

// A warmRig keeps connections to a host.
type warmRig struct {
	*Warm
	t      testing.TB
	budget *testBudget
	plain  bool // as the connections are taken
	log    bytes.Buffer
	end    sync.Once
}

func startWarm(t testing.TB, h *host, size int, speaksFirst bool) *warmRig {
	t.Helper()
	h.server.KeepWarm(size)
	r := &warmRig{Warm: h.server.Warm(), t: t, budget: &testBudget{}, plain: speaksFirst}
	r.budget.limit.Store(1 << 20)
	r.Start(WarmConfig{
		Dial: patience, Budget: r.budget, SpeaksFirst: speaksFirst,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	t.Cleanup(r.close)
	return r
}

func (r *warmRig) close() {
	r.end.Do(func() {
		r.Close()
		if n := r.budget.used.Load(); n != 0 {
			r.t.Errorf("%d descriptors were not given back", n)
		}
		if _, ok := r.Take(r.plain); ok || r.Idle() != 0 {
			r.t.Errorf("a connection is ready after the end (%d are)", r.Idle())
		}
	})
}

// until waits until n connections are ready, and counted.
func (r *warmRig) until(n int) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, "so many are ready", func() bool {
		return r.Idle() == n && int(r.budget.used.Load()) == n
	})
}

// take takes a connection, soon, as a file that reads and writes.
func (r *warmRig) take() (io.ReadWriteCloser, []byte) {
	r.t.Helper()
	var taken Taken
	testutil.Eventually(r.t, patience, "a connection is to be had", func() (ok bool) {
		taken, ok = r.Take(r.plain)
		return ok
	})
	file := taken.FD.File()
	r.t.Cleanup(func() { file.Close() })
	_ = file.SetDeadline(time.Now().Add(patience))
	return file, taken.Early
}

func TestWarmIsFilledAndTaken(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		h := newHost(t, network, func(c net.Conn) { go func() { _, _ = io.Copy(c, c) }() })
		r := startWarm(t, h, 3, false)
		for taken := range 5 {
			r.until(3)
			h.wantAccepts(t, 3+taken)
			conn, early := r.take()
			if _, err := io.WriteString(conn, "echo"); err != nil || len(early) > 0 {
				t.Fatalf("write: %v, early %q", err, early)
			}
			b := make([]byte, 4)
			if _, err := io.ReadFull(conn, b); err != nil || string(b) != "echo" {
				t.Errorf("%s: read %q, %v", network, b, err)
			}
		}
		r.close()
	}
}

func TestNoneAreKeptUnlessAsked(t *testing.T) {
	s := servers(t, 1)[0]
	s.KeepWarm(0)
	if s.Warm() != nil {
		t.Error("0 connections are kept warm")
	}
}

// What the server ends is dropped and replaced.
func TestServerHangsUp(t *testing.T) {
	for name, end := range map[string]func(c net.Conn){
		"FIN": func(c net.Conn) { c.Close() },
		"RST": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() },
		"half": func(c net.Conn) { // a server that sends no more cannot answer
			_ = c.(*net.TCPConn).CloseWrite()
		},
		"last words": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n")
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "tcp", nil)
			r := startWarm(t, h, 2, false)
			r.until(2)
			for round := range 2 {
				for range 2 {
					c := <-h.conns
					t.Cleanup(func() { c.Close() })
					end(c)
				}
				testutil.Eventually(t, patience, "they are replaced", func() bool {
					return int(h.accepts.Load()) >= 2*(round+2) && r.Idle() == 2
				})
			}
			r.until(2)
		})
	}
}

// A connection that dies in the instant in which it is taken is not given out:
// here netpoll has not been told yet. What the server said before does not count.
func TestDeadConnectionIsNotGivenOut(t *testing.T) {
	for _, words := range []string{"", "421 too many connections\r\n"} {
		h := newHost(t, "tcp", nil)
		r := startWarm(t, h, 1, true)
		r.until(1)
		var c *warmConn
		testutil.Eventually(t, patience, "it is to be had", func() bool {
			c = r.pop()
			return c != nil
		})
		conn := <-h.conns
		_, _ = io.WriteString(conn, words)
		conn.Close()
		testutil.Eventually(t, patience, "netpoll knows", func() bool { return !c.conn.IsActive() })
		fd, ok := c.detach()
		r.budget.Give(1)
		if string(c.early) != words || !ok || c.promised(fd, false) || c.promised(fd, true) {
			t.Errorf("a closed connection counts as usable, or had %q, want %q", c.early, words)
		}
		fd.Close()
		r.poke()
		r.until(1)
	}
}

// Of what a server sends unasked, a WebSocket server's connection is spoiled,
// and that of a server that speaks first goes with its bytes.
func TestServerSpeaksFirst(t *testing.T) {
	const banner = "220 ready\r\n"
	speak := func(c net.Conn) { _, _ = io.WriteString(c, banner) }
	h := newHost(t, "tcp", speak)
	r := startWarm(t, h, 1, true)
	r.until(1)
	conn, early := r.take()
	rest := make([]byte, len(banner)-len(early))
	if _, err := io.ReadFull(conn, rest); err != nil || string(early)+string(rest) != banner {
		t.Errorf("got %q and %q, %v", early, rest, err)
	}
	r.close()

	h = newHost(t, "tcp", speak)
	r = startWarm(t, h, 1, false)
	conn = <-h.conns // it has spoken
	if _, ok := r.Take(r.plain); ok {
		t.Fatal("a connection was given out that the server has spoken on")
	}
	testutil.Eventually(t, patience, "it is replaced", func() bool { return h.accepts.Load() > 1 })
	conn.Close()
}

// What a server sends without end is not read without end, nor asked for again.
func TestTooMuchIsSentEarly(t *testing.T) {
	for _, speaksFirst := range []bool{true, false} {
		h := newHost(t, "tcp", func(c net.Conn) {
			go func() { _, _ = c.Write(make([]byte, 4*warmEarlyMax)) }()
		})
		r := startWarm(t, h, 3, speaksFirst)
		for range 3 {
			c := <-h.conns
			_, _ = io.Copy(io.Discard, c) // until it is closed at the other end
			c.Close()
		}
		if !speaksFirst { // a piece may have been seen before it was too much
			continue
		}
		r.forgive() // whatever else keeps it from dialing
		testutil.Eventually(t, patience, "it has looked again", func() bool { return len(r.wake) == 0 })
		r.close()
		if n := h.accepts.Load(); n != 3 {
			t.Errorf("the server was dialed %d times", n)
		}
		if n := strings.Count(r.log.String(), "set warm: 0"); n != 1 {
			t.Errorf("%d lines in the log: %s", n, &r.log)
		}
	}
}

// Loops that want an answer of HTTP and loops that want bytes take from one
// server. What it has said spoils a connection for the former alone.
func TestTwoKindsOfTakers(t *testing.T) {
	const banner = "RFB 003.008\n"
	h := newHost(t, "tcp", func(c net.Conn) { _, _ = io.WriteString(c, banner) })
	r := startWarm(t, h, 2, true)
	r.until(2)
	<-h.conns
	<-h.conns // both have spoken
	if _, ok := r.Take(false); ok {
		t.Error("a connection on which the server has spoken was given out for HTTP")
	}
	conn, early := r.take()
	rest := make([]byte, len(banner)-len(early))
	if _, err := io.ReadFull(conn, rest); err != nil || string(early)+string(rest) != banner {
		t.Errorf("got %q and %q, %v", early, rest, err)
	}
}

// A server that is down is dialed less and less often, and found again.
func TestServerComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s") // which nobody else takes meanwhile, unlike a port
	h := &host{}
	var err error
	if h.server, err = NewServer(context.Background(), "unix", path, ""); err != nil {
		t.Fatal(err)
	}
	r := startWarm(t, h, 2, false)
	testutil.Eventually(t, patience, "dials fail", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.failures >= 2
	})
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	hostOn(t, l, nil)
	r.until(2)
	r.close()
}

// A server that closes what it accepts is not dialed in a loop.
func TestNoSpin(t *testing.T) {
	start := time.Now()
	h := newHost(t, "tcp", func(c net.Conn) { c.Close() })
	startWarm(t, h, 1, false)
	const dials = 4
	testutil.Eventually(t, patience, "further dials", func() bool { return h.accepts.Load() >= dials })
	// Between them lie at least half of 100, 200 and 400 ms.
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("%d dials took only %v", h.accepts.Load(), took)
	}
}

func TestFailuresBackOff(t *testing.T) {
	w := &Warm{}
	now := time.Now()
	want := warmRetry
	for range warmRetryDoublings + 40 {
		w.noteFailure(now)
		pause := w.notBefore.Sub(now)
		if pause < want/2 || pause > want {
			t.Fatalf("failure %d: a pause of %v, want %v to %v", w.failures, pause, want/2, want)
		}
		before := w.failures
		w.noteFailure(now) // of a dial beside it
		if w.failures != before || w.notBefore.Sub(now) != pause {
			t.Fatal("a failure beside another one counts")
		}
		now = w.notBefore
		want = min(2*want, warmRetryMax)
	}
}

func TestGiveWay(t *testing.T) {
	h := newHost(t, "tcp", nil)
	r := startWarm(t, h, 5, false)
	r.until(5)
	r.GiveWay()
	r.until(0)
	r.mu.Lock()
	pause := time.Until(r.notBefore)
	r.mu.Unlock()
	if pause < warmYieldPause/2 {
		t.Errorf("dialed again after %v", pause)
	}
}

// The last descriptors are for tunnels.
func TestHeadroom(t *testing.T) {
	h := newHost(t, "tcp", nil)
	h.server.KeepWarm(4 * warmDialsMax)
	r := &warmRig{Warm: h.server.Warm(), t: t, budget: &testBudget{}}
	r.budget.limit.Store(warmHeadroom + 3)
	r.Start(WarmConfig{Dial: patience, Budget: r.budget})
	t.Cleanup(r.close)
	testutil.Eventually(t, patience, "it has none to spare", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.failures > 0 && r.dialing == 0
	})
	// Dials side by side may look before the others take.
	if n := int(r.budget.used.Load()); n < 3 || n > 3+warmDialsMax {
		t.Errorf("%d descriptors taken, want about 3", n)
	}
}

// Old ones are replaced.
func TestAge(t *testing.T) {
	h := newHost(t, "tcp", nil)
	r := startWarm(t, h, 2, false)
	r.until(2)
	r.mu.Lock()
	for _, c := range r.ready {
		if age := c.until.Sub(c.since); age > warmAgeMax || age < warmAgeMax*3/4 {
			t.Errorf("an age of %v", age)
		}
	}
	old := r.ready[0]
	old.until = time.Now().Add(-time.Second)
	r.mu.Unlock()
	r.poke()
	testutil.Eventually(t, patience, "it is replaced", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range r.ready {
			if c == old {
				return false
			}
		}
		return len(r.ready) == 2
	})
	h.wantAccepts(t, 3)
}

// forgive lets it dial at once, whatever the server did.
func (r *warmRig) forgive() {
	r.mu.Lock()
	r.failures, r.notBefore = 0, time.Time{}
	r.mu.Unlock()
	r.poke()
}

// Many take while the server hangs up: each connection has one owner.
func TestTakeFromManyGoroutines(t *testing.T) {
	h := newHost(t, "tcp", nil)
	r := startWarm(t, h, 16, false)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case c := <-h.conns:
				if i%3 == 0 {
					_ = c.(*net.TCPConn).SetLinger(0)
				}
				if i%2 == 0 {
					c.Close()
				} else {
					t.Cleanup(func() { c.Close() })
				}
			case <-stop:
				return
			}
		}
	})
	var count atomic.Int32
	for range 8 {
		all.Go(func() {
			for count.Load() < 200 {
				r.forgive()
				if taken, ok := r.Take(r.plain); ok {
					count.Add(1)
					if _, errno := taken.FD.Peek(); errno == syscall.EBADF || errno == syscall.ENOTSOCK {
						t.Errorf("a descriptor is somebody else's: %v", errno)
					}
					taken.FD.Close()
				}
			}
		})
	}
	testutil.Eventually(t, 3*patience, "200 were taken", func() bool { return count.Load() >= 200 })
	close(stop)
	all.Wait()
	r.close()
}

// Taking one costs a bounded few objects, which are netpoll's.
func TestTakeAllocatesLittle(t *testing.T) {
	h := newHost(t, "tcp", nil)
	const size = 120
	r := startWarm(t, h, size, false)
	r.until(size)
	r.mu.Lock()
	r.notBefore = time.Now().Add(time.Hour) // it would allocate at the same time
	r.mu.Unlock()
	count := 0
	if allocs := testing.AllocsPerRun(size-20, func() {
		if taken, ok := r.Take(r.plain); ok {
			count++
			taken.FD.Close()
		}
	}); allocs > 4 {
		t.Errorf("%v allocations, want at most 4", allocs)
	}
	if count < size/2 {
		t.Errorf("only %d were taken", count)
	}
}

// A loop must not wait for whoever else looks at the connections.
func TestTakeDoesNotWait(t *testing.T) {
	h := newHost(t, "tcp", nil)
	r := startWarm(t, h, 1, false)
	r.until(1)
	r.mu.Lock()
	_, ok := r.Take(r.plain) // would hang
	r.mu.Unlock()
	if ok {
		t.Error("a connection was taken while somebody else held the lock")
	}
}
