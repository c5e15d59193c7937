package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"wsplice/internal/testutil"
	"wsplice/pool"
)

// tookTimes waits until a transition was taken n times.
func (r *rig) tookTimes(from, to tunnelState, n int) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, fmt.Sprintf("%d times %v → %v", n, from, to), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.moves[[2]tunnelState{from, to}] >= n
	})
}

// count asks every loop for how many of its tunnels something holds.
func (r *rig) count(holds func(t *Tunnel) bool) (n int) {
	for _, w := range r.server.workers {
		answer := make(chan int, 1)
		if w.loop.Post(func() {
			here := 0
			w.each(func(t *Tunnel) {
				if holds(t) {
					here++
				}
			})
			answer <- here
		}) == nil {
			n += <-answer
		}
	}
	return n
}

// awaitTunnel waits until something holds for a tunnel.
func (r *rig) awaitTunnel(what string, holds func(t *Tunnel) bool) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, what, func() bool { return r.count(holds) > 0 })
}

// everyTurn calls look for each tunnel at the end of each turn of its loop, on the
// goroutine of the loop, until stop is called.
func (r *rig) everyTurn(look func(t *Tunnel)) (stop func()) {
	var stopped atomic.Bool
	for _, w := range r.server.workers {
		var turn func()
		turn = func() {
			w.each(look)
			if !stopped.Load() {
				_ = w.loop.Post(turn) // fails when the loop ends
			}
		}
		_ = w.loop.Post(turn)
	}
	return func() { stopped.Store(true) }
}

// upBytes returns how many bytes the tunnels have relayed to backends.
func (r *rig) upBytes() (n uint64) {
	for _, lane := range r.server.Stats().Bytes {
		if lane.Direction == "up" {
			n += lane.Bytes
		}
	}
	return n
}

// oneServer is an upstream of one server that the rig does not play.
func oneServer(t testing.TB, network, address string) *pool.Upstream {
	t.Helper()
	server, err := pool.NewServer(context.Background(), network, address, address)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := pool.NewUpstream("test", pool.RoundRobin, []*pool.Server{server})
	if err != nil {
		t.Fatal(err)
	}
	return upstream
}

// listenUnix opens a unix listener that a test plays a backend with.
func listenUnix(t testing.TB) *net.UnixListener {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// acceptFrom takes a connection and leaves the head in it.
func acceptFrom(t testing.TB, listener net.Listener) net.Conn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// bigRequest asks for a tunnel with a field of n times filler.
func bigRequest(filler string, n int) string {
	return strings.TrimSuffix(upgradeRequest, "\r\n") + "X-Filler: " + strings.Repeat(filler, n) + "\r\n\r\n"
}

func headInFlight(t *Tunnel) bool { return t.state == stateUpgrading && t.backend.Out.InFlight() }

// playHeadInFlight lets a backend answer with 101 before it has read the head.
// What is still on its way must be neither another client's head, for which the
// memory would have been used again, nor counted as bytes of the tunnel.
func playHeadInFlight(t *testing.T, r *rig, backends net.Listener, filler int) {
	first := r.dial()
	write(t, first, bigRequest("A", filler))
	slow := acceptFrom(t, backends)
	r.awaitTunnel("the head in flight", headInFlight)
	write(t, slow, upgradeAnswer)
	expect(t, first, upgradeAnswer)

	second := r.dial()
	write(t, second, bigRequest("B", filler))
	other := acceptFrom(t, backends)
	r.tookTimes(stateDialing, stateUpgrading, 2)
	r.awaitTunnel("the second head in flight", headInFlight)

	write(t, first, "hello")
	reader := bufio.NewReader(slow)
	request, err := http.ReadRequest(reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := request.Header.Get("X-Filler"); got != strings.Repeat("A", filler) {
		t.Errorf("the first backend got %d bytes of the first client's field and %d of the second's",
			strings.Count(got, "A"), strings.Count(got, "B"))
	}
	hello := make([]byte, len("hello"))
	if _, err := io.ReadFull(reader, hello); err != nil || string(hello) != "hello" {
		t.Errorf("behind the head came %q, %v", hello, err)
	}
	if n := r.upBytes(); n != uint64(len(hello)) {
		t.Errorf("%d bytes counted as relayed, want %d", n, len(hello))
	}
	other.Close()
}

// A head that does not fit into the backend's socket outlives the 101.
func TestHeadStaysUntilItIsSent(t *testing.T) {
	backends := listenUnix(t)
	r := newRig(t, func(c *Config) {
		c.Loops = 1
		c.Limits.Head = 1 << 20
		c.Routes[0].Upstream = oneServer(t, "unix", backends.Addr().String())
	})
	playHeadInFlight(t, r, backends, 900<<10)
}

const inSmallBuffers = "WSPLICE_TEST_SMALL_BUFFERS"

// The buffers of ordinary heads go back to a stock, from which the next request
// takes one. Only with the least send buffers does a head so small stay in
// flight; they are set for a network namespace, in a process of its own.
func TestSmallHeadStaysUntilItIsSent(t *testing.T) {
	if os.Getenv(inSmallBuffers) != "" {
		backends := shrinkBuffers(t)
		r := newRig(t, func(c *Config) {
			c.Loops = 1
			c.Routes[0].Upstream = oneServer(t, "tcp", backends.Addr().String())
		})
		playHeadInFlight(t, r, backends, 14<<10)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestSmallHeadStaysUntilItIsSent$", "-test.v")
	cmd.Env = append(os.Environ(), inSmallBuffers+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC):
		testutil.Missing(t, "needs CAP_SYS_ADMIN, or user namespaces, to make a network namespace: %v", err)
	case err != nil:
		t.Fatalf("in a network namespace: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		testutil.Missing(t, "in a network namespace:\n%s", out)
	case !bytes.Contains(out, []byte("--- PASS")):
		t.Fatalf("in a network namespace the test did not run:\n%s", out)
	}
}

// shrinkBuffers sets the namespace of this process up: loopback, the least send
// buffers, and a listener with the least receive buffers.
func shrinkBuffers(t *testing.T) net.Listener {
	const settings = "/proc/sys/net/ipv4/tcp_wmem"
	if err := os.WriteFile(settings, []byte("4096 4096 4096"), 0); err != nil {
		testutil.Missing(t, "needs the right to write %s in a namespace of its own: %v", settings, err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	var request [40]byte // struct ifreq, netdevice(7)
	copy(request[:], "lo")
	binary.NativeEndian.PutUint16(request[syscall.IFNAMSIZ:], syscall.IFF_UP|syscall.IFF_RUNNING)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS,
		uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatalf("set lo up: %v", errno)
	}
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if controlErr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
		}); controlErr != nil {
			return controlErr
		}
		return err
	}}
	listener, err := small.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// A refusal that is relayed while the head is still being sent must not be
// written over it: the backend would read its own answer.
func TestReplyDoesNotOverwriteTheHead(t *testing.T) {
	backends := listenUnix(t)
	r := newRig(t, func(c *Config) {
		c.Loops = 1
		c.Limits.Head = 1 << 20
		c.Routes[0].Upstream = oneServer(t, "unix", backends.Addr().String())
	})
	client := r.dial()
	write(t, client, bigRequest("A", 900<<10))
	backend := acceptFrom(t, backends)
	r.awaitTunnel("the head in flight", headInFlight)
	// It says that a body is to come, so the connection stays.
	write(t, backend, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Secret: "+strings.Repeat("S", 850<<10)+"\r\n\r\n")
	r.took(stateUpgrading, stateReplying)
	request, err := http.ReadRequest(bufio.NewReader(backend))
	if err != nil {
		t.Fatal(err)
	}
	if got := request.Header.Get("X-Filler"); got != strings.Repeat("A", 900<<10) {
		t.Errorf("the backend got %d bytes of the client's field and %d of its own answer",
			strings.Count(got, "A"), strings.Count(got, "S"))
	}
	write(t, backend, "no")
	if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil {
		t.Error(err)
	}
}

// What a client sends behind its request was meant for the tunnel. When the
// backend refuses, it must not become a request: whoever chooses the bytes of a
// WebSocket message would choose a request head.
func TestEarlyDataAfterARefusalIsNoRequest(t *testing.T) {
	const head = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n"
	early := strings.Replace(upgradeRequest, "/x", "/smuggled", 1)
	send := func(t *testing.T, r *rig, client net.Conn) {
		write(t, client, early)
		r.awaitTunnel("early data", func(t *Tunnel) bool { return t.worker.loop.Pending(&t.client) })
	}
	for name, play := range map[string]func(t *testing.T, r *rig, client, backend net.Conn){
		"before the answer": func(t *testing.T, r *rig, client, backend net.Conn) {
			send(t, r, client)
			write(t, backend, head+"\r\nno")
			expect(t, client, head+"Connection: close\r\n\r\nno")
		},
		// The client may have sent it before it saw the first half.
		"within the answer": func(t *testing.T, r *rig, client, backend net.Conn) {
			write(t, backend, head+"\r\nn")
			expect(t, client, head+"Connection: keep-alive\r\n\r\nn")
			send(t, r, client)
			write(t, backend, "o")
			expect(t, client, "o")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Timeouts.Upgrade = time.Second })
			client := r.dial()
			write(t, client, upgradeRequest)
			backend, _ := r.accept()
			play(t, r, client, backend)
			if text := expectEnd(t, client); text != "" {
				t.Errorf("after the refusal came %q", text)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if n := r.moves[[2]tunnelState{stateReading, stateDialing}]; n != 1 {
				t.Errorf("%d requests were sent to backends, want 1", n)
			}
		})
	}
}

// A lenient route forwards a HEAD. The length in its refusal is that of a body
// that never comes, and the client may ask again at once.
func TestRefusalOfAHeadHasNoBody(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].Lenient = true
		c.Timeouts.Upgrade = 500 * time.Millisecond
	})
	client := r.dial()
	write(t, client, strings.Replace(upgradeRequest, "GET", "HEAD", 1))
	backend, _ := r.accept()
	write(t, backend, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n")
	expect(t, client, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n")
	r.took(stateReplying, stateReading)
	write(t, client, upgradeRequest)
	backend, _ = r.accept()
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
}

// A body that ends with the connection is complete when that ends orderly. When
// the backend dies instead, an orderly end would make half a page look whole.
func TestRefusalCutShortDoesNotSeemComplete(t *testing.T) {
	r := newRig(t, nil)
	client := r.dial()
	write(t, client, upgradeRequest)
	backend, _ := r.accept()
	write(t, backend, "HTTP/1.1 403 Forbidden\r\n\r\nhalf a page")
	expect(t, client, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nhalf a page")
	reset(t, backend)
	if text, err := io.ReadAll(client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after half a page came %q and %v, want a reset", text, err)
	}
}
