package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
	"wsplice/splice"
)

// echo plays backends that answer 101 and send everything back, until the
// listener is closed. wait returns when all of them have ended.
func echo(listener net.Listener) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				b := make([]byte, 16<<10)
				if _, err := conn.Read(b); err != nil { // the head
					return
				}
				if _, err := io.WriteString(conn, upgradeAnswer); err != nil {
					return
				}
				for n, err := conn.Read(b); err == nil; n, err = conn.Read(b) {
					if _, err := conn.Write(b[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return all.Wait
}

// restored checks that a stopped server has got every descriptor back.
func (r *rig) restored() {
	r.t.Helper()
	if left := r.server.budget.Left() / descriptorsPerTunnel; left != r.server.room {
		r.t.Errorf("after the end there is room for %d tunnels, before for %d", left, r.server.room)
	}
}

// A connection that sends nothing has nothing to lose: the drain time is for
// those that relay.
func TestStopDoesNotWaitForSilentConnections(t *testing.T) {
	r := newRig(t, nil)
	keptAlive := r.dial()
	write(t, keptAlive, upgradeRequest)
	backend, _ := r.accept()
	write(t, backend, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
	expect(t, keptAlive, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
	silent := r.dial()
	testutil.Eventually(t, patience, "both accepted", func() bool { return r.server.Stats().Accepted == 2 })
	begin := time.Now()
	cut := r.close(patience)
	if took := time.Since(begin); cut != 0 || took > silenceAtStop+time.Second {
		t.Errorf("stopped after %v with %d connections cut, want 0 after about %v", took, cut, silenceAtStop)
	}
	for _, conn := range []net.Conn{keptAlive, silent} {
		if text := expectEnd(t, conn); text != "" {
			t.Errorf("a connection that asked for nothing got %q", text)
		}
	}
	r.restored()
}

// A client that was in its TLS handshake at the stop still gets to its request: when
// the moment for silent ones has passed, that handshake may have ended only now. One
// that keeps silent behind it is not waited for much longer.
func TestStopLetsHandshakesComeToTheirRequest(t *testing.T) {
	r, config := newSecureRig(t)
	echo(r.backend)
	talks, silent := tls.Client(r.dial(), config), tls.Client(r.dial(), config)
	testutil.Eventually(t, patience, "both accepted", func() bool { return r.server.Stats().Accepted == 2 })
	begin := time.Now()
	done := make(chan int)
	go func() { done <- r.close(patience) }()
	for _, client := range []*tls.Conn{talks, silent} {
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
	}
	testutil.Eventually(t, patience, "time passes", func() bool { return time.Since(begin) > silenceAtStop*5/4 })
	write(t, talks, upgradeRequest)
	expect(t, talks, upgradeAnswer)
	talks.Close()
	if cut := <-done; cut != 0 || time.Since(begin) > 3*silenceAtStop {
		t.Errorf("stopped after %v with %d connections cut, want 0 after about %v", time.Since(begin), cut, 2*silenceAtStop)
	}
}

// Clients come, go and die, loops hand connections to each other and are asked
// for their counters, and in the midst of it the server stops. It must do so in
// time, and nothing may be left of any connection.
func TestStopInAStorm(t *testing.T) {
	for range 4 {
		playStorm(t)
	}
}

func playStorm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.sock")
	r := newRig(t, func(c *Config) {
		c.Loops = 3
		c.Timeouts.Head = time.Second
		alsoUnix(c, path)
	})
	wait := echo(r.backend)
	var opened atomic.Int64
	var clients, reader sync.WaitGroup
	for i := range 12 {
		network, address := "tcp", r.address
		if i%2 == 0 {
			network, address = "unix", path
		}
		clients.Go(func() {
			for n := 0; stormClient(network, address, i+n, &opened); n++ {
			}
		})
	}
	stopped := make(chan struct{})
	reader.Go(func() {
		for {
			select {
			case <-stopped:
				return
			default:
				r.server.Stats()
			}
		}
	})
	testutil.Eventually(t, patience, "tunnels", func() bool { return opened.Load() > 50 })
	begin := time.Now()
	r.close(20 * time.Millisecond)
	if took := time.Since(begin); took > silenceAtStop+lingerTimeout {
		t.Errorf("stopped after %v", took)
	}
	close(stopped)
	clients.Wait()
	reader.Wait()
	r.backend.Close()
	wait()
	r.restored()
}

// stormClient opens a tunnel and leaves it in one way or another. It reports
// whether there still is somebody to connect to.
func stormClient(network, address string, way int, opened *atomic.Int64) bool {
	conn, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	answer := make([]byte, len(upgradeAnswer))
	if _, err := io.WriteString(conn, upgradeRequest); err != nil {
		return true
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		return true // the listener was closed before this one was in its queue
	}
	opened.Add(1)
	_, _ = conn.Write(make([]byte, way*7919%100_000)) // the server may be gone
	if way%3 == 1 && opened.Load() > 40 {
		_, _ = io.Copy(io.Discard, conn) // until the server cuts it
	}
	if tcp, ok := conn.(*net.TCPConn); ok && way%3 != 2 {
		_ = tcp.SetLinger(0) // as above
	}
	return true
}

// A connection in a listener's queue is open for its client. Closing the
// listener would reset it, so what waits there is served first, also by loops
// that have nothing left to do when others hand it to them.
func TestStopServesTheQueues(t *testing.T) {
	t.Run("of every loop", func(t *testing.T) { playQueuesAtStop(t, 3, 200, 200) })
	t.Run("with idle loops", func(t *testing.T) { playQueuesAtStop(t, 1, 0, 200) })
}

// playQueuesAtStop fills the queues while some loops are busy, and stops.
func playQueuesAtStop(t *testing.T, busy, tcp, unix int) {
	path := filepath.Join(t.TempDir(), "l.sock")
	r := newRig(t, func(c *Config) {
		c.Loops = 3
		alsoUnix(c, path)
	})
	wait := echo(r.backend)
	release := make(chan struct{})
	for _, w := range r.server.workers[:busy] {
		entered := make(chan struct{})
		w.post(func() { close(entered); <-release })
		<-entered
	}
	cut := make(chan int)
	go func() { cut <- r.close(patience) }()
	// More than a listener is served at a time, so that the queues are not
	// empty when the loops hear of the stop.
	var clients []net.Conn
	for range tcp {
		clients = append(clients, r.dial())
	}
	for range unix {
		clients = append(clients, dialUnix(t, path))
	}
	for _, client := range clients {
		write(t, client, upgradeRequest)
	}
	close(release)
	for i, client := range clients {
		answer := make([]byte, len(upgradeAnswer))
		if n, err := io.ReadFull(client, answer); err != nil || string(answer) != upgradeAnswer {
			t.Fatalf("client %d of %d, which waited in a queue, got %q, %v", i, len(clients), answer[:n], err)
		}
		client.Close()
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d tunnels cut, want 0", n)
	}
	r.backend.Close()
	wait()
	r.restored()
}

// shortQueue opens a unix listener whose queue holds two connections.
func shortQueue(t testing.TB) (listener net.Listener, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "b.sock")
	addr, err := sys.UnixAddr(path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.ListenUnix(&addr, 0o600, 1)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if listener, err = net.FileListener(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener, path
}

// connect(2) to a unix socket whose queue is full fails at once instead of
// waiting like TCP does. A burst must not be refused because of that.
func TestFullUnixQueueIsTriedAgain(t *testing.T) {
	const burst = 8
	backends, path := shortQueue(t)
	r := newRig(t, func(c *Config) { c.Routes[0].Upstream = oneServer(t, "unix", path) })
	var clients []net.Conn
	for range burst {
		client := r.dial()
		write(t, client, upgradeRequest)
		clients = append(clients, client)
	}
	r.tookTimes(stateReading, stateDialing, burst)
	if n := r.count(func(t *Tunnel) bool { return t.state == stateDialing }); n < burst-2 {
		t.Errorf("%d dials wait for room in the queue, want %d", n, burst-2)
	}
	wait := echo(backends)
	for _, client := range clients {
		expect(t, client, upgradeAnswer)
		client.Close()
	}
	backends.Close()
	wait()
}

// The dial time bounds how often a full queue is tried.
func TestFullUnixQueueIsGivenUp(t *testing.T) {
	const limit = 150 * time.Millisecond
	_, path := shortQueue(t)
	r := newRig(t, func(c *Config) {
		c.Routes[0].Upstream = oneServer(t, "unix", path)
		c.Timeouts.Dial = limit
	})
	for range 2 {
		waiting := r.dial()
		write(t, waiting, upgradeRequest)
		defer reset(t, waiting) // nobody will answer it
	}
	r.tookTimes(stateDialing, stateUpgrading, 2)
	client := r.dial()
	begin := time.Now()
	write(t, client, upgradeRequest)
	expectAnswer(t, client, "503")
	if took := time.Since(begin); took < limit/2 || took > limit+time.Second {
		t.Errorf("given up after %v, want about %v", took, limit)
	}
}

// scarce leaves a server descriptors for n tunnels.
func scarce(n int) func(s *Server) {
	return func(s *Server) {
		s.room = n
		s.budget = splice.NewBudget(n*descriptorsPerTunnel, 0)
		for _, w := range s.workers {
			w.pipes = splice.NewPipes(s.budget)
		}
	}
}

func eightLoopsAndAPage(c *Config) {
	c.Loops = 8
	c.Pages = []Page{{Path: "/page", ContentType: "text/plain", Body: []byte("a page")}}
}

// The kernel chooses the loop that a connection waits for. With descriptors for
// fewer tunnels than there are loops, each of them must still get its turn: one
// that reserved some for connections to come would keep them from the others.
func TestFewDescriptorsServeEveryLoop(t *testing.T) {
	r := newRigWith(t, eightLoopsAndAPage, scarce(3))
	for i := range 24 {
		client := r.dial()
		if err := client.SetDeadline(time.Now().Add(2 * acceptPauseMax)); err != nil {
			t.Fatal(err)
		}
		write(t, client, "GET /page HTTP/1.1\r\nHost: h\r\n\r\n")
		if text, err := io.ReadAll(client); err != nil || len(text) == 0 {
			t.Fatalf("connection %d got %q, %v although there is room", i, text, err)
		}
		client.Close()
	}
	r.close(patience)
	r.restored()
}

// A connection for which there is no room waits, and is served by its loop soon
// after any loop's tunnel has ended.
func TestConnectionWaitsForDescriptors(t *testing.T) {
	r := newRigWith(t, eightLoopsAndAPage, scarce(1))
	for range 3 {
		first, backend := r.tunnel()
		next := r.dial()
		write(t, next, "GET /page HTTP/1.1\r\nHost: h\r\n\r\n")
		if err := next.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := next.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d bytes and %v beyond the limit of open files", n, err)
		}
		if err := next.SetReadDeadline(time.Now().Add(2 * acceptPauseMax)); err != nil {
			t.Fatal(err)
		}
		first.Close()
		backend.Close()
		expectAnswer(t, next, "200")
	}
	r.close(patience)
	r.restored()
}
