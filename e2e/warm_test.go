package e2e

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

// warmTo is a process that keeps warm connections to each of the servers.
func warmTo(t *testing.T, warm int, cfg rig.Config, servers ...string) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	cfg.Routes = `- {path: /ws/, upstream: all, rewrite: /}`
	cfg.Upstreams = fmt.Sprintf("  all:\n    warm: %d\n    balance: round_robin\n    servers:\n", warm)
	for _, server := range servers {
		cfg.Upstreams += "      - {" + server + "}\n"
	}
	return rig.Start(t, cfg)
}

func urlOf(address string) string { return fmt.Sprintf("url: \"ws://%s\"", address) }

// wantWarm waits until so many connections are ready.
func wantWarm(t *testing.T, proxy *rig.Proxy, n int) {
	t.Helper()
	rig.Eventually(t, rig.Soon, fmt.Sprintf("wsplice_warm_connections is %d", n), func() bool {
		return proxy.Metrics().Sum("wsplice_warm_connections") == float64(n)
	})
}

// TestWarm holds that connections are there before anybody asks for them, that
// tunnels take them, that they are replaced, and that nothing is left over.
func TestWarm(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = "unix:" + rig.TempDir(t, 0) + "/s"
			}
			backend := rig.NewBackendAt(t, address, func(c *rig.BackendConn) {
				if c.ReadHead() == nil && c.Upgrade() == nil {
					c.Echo()
				}
			})
			server := urlOf(backend.Addr())
			if network == "unix" {
				server = "socket: " + backend.Addr()
			}
			proxy := warmTo(t, 3, rig.Config{}, server)
			wantWarm(t, proxy, 3)
			start := proxy.SettledUsage()
			var clients []*rig.Client
			for i := range 10 {
				wantWarm(t, proxy, 3)
				rig.Eventually(t, rig.Soon, fmt.Sprintf("%d connections at the backend before tunnel %d", 3+i, i), func() bool {
					return backend.Accepts() == 3+i
				})
				c := rig.MustOpenEcho(t, proxy, "/ws/x")
				c.WantEcho("hello")
				clients = append(clients, c)
			}
			wantTaken(t, proxy, 10)
			for _, c := range clients {
				_ = c.Close()
			}
			wantWarm(t, proxy, 3)
			proxy.WaitUsage(rigSettle, start)
		})
	}
}

// A fickle backend ends connections on which nothing was asked yet.
type fickle struct {
	*rig.Backend
	mu   sync.Mutex // protects idle
	idle map[*rig.BackendConn]bool
}

// newFickle echoes what comes behind that for which begin waits, and behind the
// answer that answer makes.
func newFickle(t *testing.T, begin, answer func(c *rig.BackendConn) error) *fickle {
	t.Helper()
	f := &fickle{idle: make(map[*rig.BackendConn]bool)}
	f.Backend = rig.NewBackend(t, func(c *rig.BackendConn) {
		f.mu.Lock()
		f.idle[c] = true
		f.mu.Unlock()
		err := begin(c)
		f.mu.Lock()
		delete(f.idle, c)
		f.mu.Unlock()
		if err == nil && answer(c) == nil {
			c.Echo()
		}
	})
	return f
}

// drop ends them.
func (f *fickle) drop(end func(c *rig.BackendConn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.idle {
		end(c)
	}
}

// wantTaken holds that so many warm connections were taken, none of them dead.
func wantTaken(t *testing.T, p *rig.Proxy, n float64) {
	t.Helper()
	m := p.Metrics()
	if taken, dead := m.Sum("wsplice_warm_taken_total"), m.Sum("wsplice_warm_dead_total"); taken != n || dead != 0 {
		t.Errorf("%.0f taken, %.0f of them dead; want %.0f, 0", taken, dead, n)
	}
}

// TestWarmConnectionsDie ends them in the instant in which tunnels take them: no
// client may see that.
func TestWarmConnectionsDie(t *testing.T) {
	const size = 64
	for name, end := range map[string]func(c *rig.BackendConn){
		"closed": func(c *rig.BackendConn) { _ = c.Close() },
		"reset":  (*rig.BackendConn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			backend := newFickle(t, (*rig.BackendConn).ReadHead, func(c *rig.BackendConn) error { return c.Upgrade() })
			proxy := warmTo(t, size, rig.Config{}, urlOf(backend.Addr()))
			wantWarm(t, proxy, size)
			start, address := proxy.SettledUsage(), proxy.Addr(0)
			for range 3 {
				wantWarm(t, proxy, size)
				rig.Lapse(1100 * time.Millisecond) // what ends younger is dialed again with a pause
				opened := make(chan error, size)
				for range size {
					go func() {
						c, err := rig.OpenEcho(address, "/ws/x") // an error unless the answer is 101
						if err == nil {
							err = c.Close()
						}
						opened <- err
					}()
				}
				backend.drop(end)
				for range size {
					if err := rig.Receive(t, opened, "a tunnel"); err != nil {
						t.Error(err)
					}
				}
			}
			m := proxy.Metrics()
			t.Logf("%.0f taken, %.0f dead", m.Sum("wsplice_warm_taken_total"), m.Sum("wsplice_warm_dead_total"))
			proxy.WaitTunnels(0)
			wantWarm(t, proxy, size)
			proxy.WaitUsage(rigSettle, start)
		})
	}
}

// TestWarmBackendIsKilled kills the process behind the warm connections.
func TestWarmBackendIsKilled(t *testing.T) {
	helper := rig.StartHelper(t, "echo server")
	doomed := helper.AskToListen()
	backend := rig.EchoBackend(t)
	proxy := warmTo(t, 8, rig.Config{}, urlOf(doomed), urlOf(backend.Addr()))
	wantWarm(t, proxy, 16)
	for range 4 {
		rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("hello")
	}
	helper.Kill()
	// Until its listener is gone too, a new connection can be cut off like any.
	rig.Eventually(t, rig.Soon, "the process is gone", func() bool {
		c, err := rig.DialErr(doomed)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	for range 40 {
		_ = rig.MustOpenEcho(t, proxy, "/ws/x").Close()
	}
	wantWarm(t, proxy, 8)
	if share := proxy.CPUShare(rig.Soon / 20); share > idleCPUMax {
		t.Errorf("the proxy uses %.0f%% of a CPU while a backend is down", 100*share)
	}
}

// TestWarmBackendComesLate has a backend that is down at first: nothing spins,
// nothing fails, and connections are there soon after it is.
func TestWarmBackendComesLate(t *testing.T) {
	address := rig.FreeAddress(t)
	rig.SecureBackendAt(address)
	proxy := warmTo(t, 4, rig.Config{}, urlOf(address))
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	if a := client.Answer(); a.Status != 503 {
		t.Fatalf("answer %q, want 503", a.Raw)
	}
	rig.NewBackendAt(t, address, func(c *rig.BackendConn) {
		if c.ReadHead() == nil && c.Upgrade() == nil {
			c.Echo()
		}
	})
	wantWarm(t, proxy, 4)
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("hello")
}

// TestWarmGivesWay has more warm connections than the open-files limit leaves
// room for, once tunnels come.
func TestWarmGivesWay(t *testing.T) {
	const files = 600
	backend := rig.EchoBackend(t)
	proxy := warmTo(t, 300, rig.Config{Files: files}, urlOf(backend.Addr()))
	wantWarm(t, proxy, 300)
	left := int(proxy.Metrics().Sum("wsplice_descriptors_left"))
	room := (left + 300) / 2
	var clients []*rig.Client
	for range room - 4 { // the loops hold some for whom they accept next
		clients = append(clients, rig.MustOpenEcho(t, proxy, "/ws/x"))
	}
	for _, c := range clients {
		c.WantEcho("hello")
	}
}

// TestWarmNeedsNoConnect has a backend that nobody can connect to any more. A
// tunnel opens at once on the connection that was there before.
func TestWarmNeedsNoConnect(t *testing.T) {
	listener, name := narrowListener(t)
	proxy := warmTo(t, 1, rig.Config{Timeouts: rig.Settings{"dial": "300ms"}}, urlOf(name))
	wantWarm(t, proxy, 1)
	fd, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "backend")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fillQueue(t, listener)

	client, cold := rig.Dial(t, proxy.Addr(0)), rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	server := rig.NewBackendConn(t, conn)
	server.WantHead()
	if err := server.Upgrade(); err != nil {
		t.Fatal(err)
	}
	if a := client.Answer(); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
	cold.Put(upgradeTo("/ws/x"))
	if a := cold.Answer(); a.Status != 503 {
		t.Fatalf("without a warm connection the answer is %q, want 503: the queue is not full", a.Raw)
	}
}

// narrowListener listens with the shortest queue.
func narrowListener(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// fillQueue connects until the kernel ignores further attempts.
func fillQueue(t *testing.T, listener int) {
	t.Helper()
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		_ = unix.Connect(fd, name) // in progress, for ever in the end
	}
}
