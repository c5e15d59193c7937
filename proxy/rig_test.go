package proxy

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"

	"wsplice/internal/testutil"
	"wsplice/pool"
	"wsplice/route"
)

func TestMain(m *testing.M) { testutil.Main(m, netpoll.Initialize) }

const (
	testKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	testAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

	upgradeRequest = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + testKey + "\r\n\r\n"
	upgradeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + testAccept + "\r\n\r\n"
	patience = 10 * time.Second
)

// A rig is a server in this process with one route to a backend that the test
// plays itself.
type rig struct {
	t       testing.TB
	server  *Server
	backend *net.TCPListener
	address string

	mu    sync.Mutex
	moves map[[2]tunnelState]int
	stop  sync.Once
}

// newRig starts a server; change may alter the configuration before.
func newRig(t testing.TB, change func(c *Config)) *rig {
	t.Helper()
	return newRigWith(t, change, nil)
}

// newRigWith starts a server that prepare, if any, has altered before.
func newRigWith(t testing.TB, change func(c *Config), prepare func(s *Server)) *rig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, backend: listener.(*net.TCPListener), moves: make(map[[2]tunnelState]int)}
	c := Config{
		Loops:     2,
		Engine:    cmp.Or(os.Getenv("WSPLICE_ENGINE"), "auto"),
		Listeners: []Listener{{Network: "tcp", Address: "127.0.0.1:0"}},
		Routes:    []Route{newRoute(t, route.Pattern{Prefix: "/"}, "/", r.upstream(listener.Addr().String()))},
		Limits:    Limits{Head: 16 << 10, Parked: 64 << 10},
		Timeouts:  Timeouts{Head: patience, Dial: patience, Upgrade: patience},
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&c)
	}
	if r.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(r.server)
	}
	r.server.onMove = func(from, to tunnelState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.moves[[2]tunnelState{from, to}]++
	}
	r.server.Start()
	r.address = r.server.Addresses()[0]
	t.Cleanup(func() {
		r.close(patience)
		listener.Close()
	})
	return r
}

// newRoute is a tunnel route for websocket.
func newRoute(t testing.TB, p route.Pattern, to string, u *pool.Upstream) Route {
	t.Helper()
	target, err := route.NewTarget(&p, to)
	if err != nil {
		t.Fatal(err)
	}
	return Route{Name: p.Prefix, Pattern: p, Target: target, Upstream: u, Upgrade: Upgrade{Protocols: []string{"websocket"}}}
}

func (r *rig) upstream(addresses ...string) *pool.Upstream {
	r.t.Helper()
	var servers []*pool.Server
	for _, address := range addresses {
		s, err := pool.NewServer(context.Background(), "tcp", address, address)
		if err != nil {
			r.t.Fatal(err)
		}
		servers = append(servers, s)
	}
	u, err := pool.NewUpstream("test", pool.RoundRobin, servers)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// close stops the server and returns how many tunnels were cut.
func (r *rig) close(wait time.Duration) (cut int) {
	r.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		cut = r.server.Stop(ctx)
		if left, tunnels := r.server.budget.Pipes(), r.server.tunnels.Load(); left != 0 || tunnels != 0 {
			r.t.Errorf("after the end: %d pipes, %d admitted tunnels", left, tunnels)
		}
		if clients := r.server.addresses.Clients(); clients != 0 {
			r.t.Errorf("after the end: %d clients are counted", clients)
		}
		for i := range r.server.config.Routes {
			if r.server.config.Routes[i].Upstream == nil {
				continue
			}
			for _, s := range r.server.config.Routes[i].Upstream.Servers() {
				if s.Open() != 0 {
					r.t.Errorf("after the end: %d leases on %s", s.Open(), s.Name())
				}
			}
		}
	})
	return cut
}

// took waits until a transition was taken.
func (r *rig) took(from, to tunnelState) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, from.String()+" → "+to.String(), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.moves[[2]tunnelState{from, to}] > 0
	})
}

// dial connects to the proxy.
func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return withDeadline(r.t, conn.(*net.TCPConn))
}

func withDeadline(t testing.TB, conn *net.TCPConn) *net.TCPConn {
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// acceptBytes takes the proxy's connection to the backend.
func (r *rig) acceptBytes() *net.TCPConn {
	r.t.Helper()
	if err := r.backend.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.backend.AcceptTCP()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return withDeadline(r.t, conn)
}

// accept takes the proxy's connection to the backend and reads its head.
func (r *rig) accept() (*net.TCPConn, *http.Request) {
	r.t.Helper()
	conn := r.acceptBytes()
	// Nothing follows the head before the 101, so the reader holds nothing back.
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, request
}

// tunnel opens one.
func (r *rig) tunnel() (client, backend *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	write(r.t, client, upgradeRequest)
	backend, _ = r.accept()
	write(r.t, backend, upgradeAnswer)
	expect(r.t, client, upgradeAnswer)
	return client, backend
}

func write(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly text.
func expect(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if n, err := io.ReadFull(conn, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b[:n], err, text)
	}
}

// expectEnd reads until the end of the stream.
func expectEnd(t testing.TB, conn net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %q: %v, want the end of the stream", b, err)
	}
	return string(b)
}

// expectAnswer reads an answer that ends the connection, and closes it.
func expectAnswer(t testing.TB, conn net.Conn, status string) {
	t.Helper()
	if text := expectEnd(t, conn); !strings.HasPrefix(text, "HTTP/1.1 "+status) {
		t.Fatalf("answer %q, want status %s", text, status)
	}
	conn.Close()
}

// reset makes the peer see RST.
func reset(t testing.TB, conn *net.TCPConn) {
	t.Helper()
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// closeWrite half-closes.
func closeWrite(t testing.TB, conn *net.TCPConn) {
	t.Helper()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}
