package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/internal/testutil"
	"wsplice/pool"
)

func TestMain(m *testing.M) { testutil.Main(m) }

const patience = 10 * time.Second

// plenty is a budget that never ends, and counts.
type plenty struct{ taken chan int }

func (p plenty) Take(n int) bool { p.taken <- n; return true }
func (p plenty) Give(n int)      { p.taken <- -n }

// A visit is one job, with the client's end of its connection.
type visit struct {
	client *os.File
	cut    func()
	done   chan Result
}

func start(t *testing.T, handler http.HandlerFunc) (*Gateway, *pool.Upstream) {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	server, err := pool.NewServer(context.Background(), "tcp", web.Listener.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := pool.NewUpstream("u", pool.RoundRobin, []*pool.Server{server})
	if err != nil {
		t.Fatal(err)
	}
	budget := plenty{make(chan int, 100)}
	w := New(Config{Dial: patience, Budget: budget, Head: 16 << 10, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		w.Close(ctx)
		if server.Open() != 0 {
			t.Errorf("%d leases left", server.Open())
		}
		for balance := 0; ; {
			select {
			case n := <-budget.taken:
				balance += n
				continue
			default:
			}
			if balance != 0 {
				t.Errorf("%d descriptors not given back", balance)
			}
			return
		}
	})
	return w, upstream
}

// serve makes a job of request, whose bytes behind the head have come already.
func serve(t *testing.T, w *Gateway, upstream *pool.Upstream, request string) *visit {
	t.Helper()
	near, far, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	twin, errno := near.Dup() // near stays open, as in a loop
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(near.Close)
	v := &visit{client: far.File(), done: make(chan Result, 2)}
	t.Cleanup(func() { v.client.Close() })
	n := strings.Index(request, "\r\n\r\n") + 4
	var r handshake.Request
	if refusal := r.Parse([]byte(request[:n])); refusal != nil {
		t.Fatal(refusal)
	}
	forward := handshake.Forward{Target: r.Target(), Proto: "http"}
	v.cut = w.Serve(Job{
		FD: twin, Head: r.AppendOrdinary(nil, &forward), Body: r.Body(), Behind: []byte(request[n:]),
		Upstream: upstream, Done: func(r Result) { v.done <- r },
	})
	return v
}

func (v *visit) result(t *testing.T) Result {
	t.Helper()
	select {
	case r := <-v.done:
		return r
	case <-time.After(patience):
		t.Fatal("Done was not called")
	}
	return Result{}
}

// What stands behind a request comes back byte for byte, wherever it is split
// between what came before and after.
func TestLeftoverIsExact(t *testing.T) {
	w, upstream := start(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		_, _ = w.Write(body)
	})
	head := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	body, next := "3\r\nabc\r\n0\r\n\r\n", "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
	rest := body + next
	for i := range len(rest) + 1 {
		v := serve(t, w, upstream, head+rest[:i])
		if _, err := io.WriteString(v.client, rest[i:]); err != nil {
			t.Fatal(err)
		}
		r := v.result(t)
		if !r.Keep || r.Status != 200 || r.Aborted || !strings.HasPrefix(next, string(r.Leftover)) {
			t.Fatalf("split at %d: %+v", i, r)
		}
		left, err := io.ReadAll(io.LimitReader(v.client, 1)) // the answer is there
		if err != nil || len(left) != 1 {
			t.Fatalf("split at %d: %q, %v", i, left, err)
		}
		v.client.Close()
	}
}

// An answer over a connection that was kept says that the server is back, too.
func TestAnswerEndsAFailure(t *testing.T) {
	w, simple := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	server := simple.Servers()[0]
	upstream, err := pool.New(pool.Config{
		Name: "u", Members: []pool.Member{{Server: server, Weight: 1}}, DisableTime: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	if r := serve(t, w, upstream, request).result(t); r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	server.Failed(sys.ECONNREFUSED)
	testutil.Eventually(t, patience, "the server is up", func() bool {
		serve(t, w, upstream, request).result(t)
		return server.Up()
	})
	if picks := upstream.Stats()[0]; picks.Failures != 1 || picks.Open != 0 {
		t.Errorf("figures %+v", picks)
	}
}

// However long a job takes, Done is called once, and after cut it says so.
func TestCutEndsAJob(t *testing.T) {
	in := make(chan struct{}, 1)
	w, upstream := start(t, func(_ http.ResponseWriter, q *http.Request) { in <- struct{}{}; <-q.Context().Done() })
	early := serve(t, w, upstream, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	early.cut() // perhaps before net/http has seen it
	late := serve(t, w, upstream, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-in
	late.cut()
	late.cut()
	for _, v := range []*visit{early, late} {
		if r := v.result(t); r.Keep || !r.Aborted {
			t.Errorf("result %+v", r)
		}
	}
	if len(early.done)+len(late.done) != 0 {
		t.Error("Done was called twice")
	}
}

// writePaced gives up only where nothing goes any more.
func TestWritePaced(t *testing.T) {
	slow := &slowWriter{}
	n, err := writePaced(slow, make([]byte, 10), func() error { return nil })
	if n != 10 || err != nil {
		t.Errorf("a slow writer took %d, %v", n, err)
	}
	slow.stuck = true
	if n, err = writePaced(slow, make([]byte, 10), func() error { return nil }); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stuck one took %d, %v", n, err)
	}
}

// A slowWriter takes a byte, or nothing, until its deadline.
type slowWriter struct {
	stuck bool
	got   bytes.Buffer
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.stuck {
		return 0, os.ErrDeadlineExceeded
	}
	w.got.WriteByte(p[0])
	return 1, os.ErrDeadlineExceeded
}

// The target is written byte for byte.
func TestTargetURL(t *testing.T) {
	for _, target := range []string{"/", "/?", "/a%2fb?c=%7e", "//", "//a//b?q", "/|{}", "//h/%2f?a?b", "//a?"} {
		if got := targetURL(target).RequestURI(); got != target {
			t.Errorf("%s became %s", target, got)
		}
	}
}
