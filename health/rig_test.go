package health

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/internal/testutil"
	"wsplice/pool"
)

func TestMain(m *testing.M) { testutil.Main(m) }

const patience = 10 * time.Second

// fast is a check of kind with times that suit a test.
func fast(kind Kind) Check {
	return Check{Kind: kind, Path: "/health?a=b", Interval: 5 * time.Millisecond, Timeout: patience, Rise: 1, Fall: 1}
}

// A backend accepts connections and plays serve on each.
type backend struct {
	net.Listener
	server  *pool.Server
	accepts atomic.Int32
	conns   sync.WaitGroup
}

// newBackend listens on network. serve may be nil: the connection is closed.
func newBackend(t testing.TB, network string, serve func(c net.Conn)) *backend {
	t.Helper()
	address, host := "127.0.0.1:0", "backend.test"
	if network == "unix" {
		address, host = filepath.Join(t.TempDir(), "s"), ""
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Listener: l}
	if b.server, err = pool.NewServer(context.Background(), network, l.Addr().String(), host); err != nil {
		t.Fatal(err)
	}
	b.conns.Go(func() { b.accept(serve) })
	t.Cleanup(func() { l.Close(); b.conns.Wait() })
	return b
}

func (b *backend) accept(serve func(c net.Conn)) {
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		b.accepts.Add(1)
		b.conns.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if serve != nil {
				serve(conn)
			}
		})
	}
}

// answering returns a backend's part: it reads a request and sends text.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// A budget that is never short, and must be whole in the end.
type budget struct {
	taken atomic.Int64
	empty atomic.Bool
}

// Take takes n.
func (b *budget) Take(n int) bool {
	if b.empty.Load() {
		return false
	}
	b.taken.Add(int64(n))
	return true
}

// Give takes n back.
func (b *budget) Give(n int) { b.taken.Add(int64(-n)) }

// A journal keeps the lines of a log.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write keeps a line.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A rig is a monitor that runs.
type rig struct {
	*Monitor
	budget *budget
	log    *journal
	end    sync.Once
}

// start checks the backends, each in the same way.
func start(t testing.TB, check Check, backends ...*backend) *rig {
	t.Helper()
	var targets []Target
	for _, b := range backends {
		targets = append(targets, Target{Upstream: "u", Server: b.server, Check: check})
	}
	r := &rig{budget: &budget{}, log: &journal{}}
	var err error
	r.Monitor, err = New(targets, r.budget, slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.Start()
	t.Cleanup(func() { r.close(t) })
	return r
}

func (r *rig) close(t testing.TB) {
	r.end.Do(func() {
		r.Close()
		if n := r.budget.taken.Load(); n != 0 {
			t.Errorf("%d descriptors were not given back", n)
		}
	})
}

// until waits for what the first report says.
func (r *rig) until(t testing.TB, what string, condition func(Report) bool) {
	t.Helper()
	testutil.Eventually(t, patience, what, func() bool { return condition(r.Reports()[0]) })
}

func passedTwice(r Report) bool { return r.Healthy && r.Passed >= 2 }
func unhealthy(r Report) bool   { return !r.Healthy }
