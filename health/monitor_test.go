package health

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

func TestStanding(t *testing.T) {
	tests := map[string]struct {
		rise, fall int
		results    string // + passed, - failed
		want       string // after each: H healthy, U unhealthy
	}{
		"falls at once by the first": {2, 3, "-", "U"},
		"falls after fall":           {1, 3, "+---", "HHHU"},
		"a pass starts anew":         {1, 3, "+--+---", "HHHHHHU"},
		"rises after rise":           {3, 1, "-+++", "UUUH"},
		"a failure starts anew":      {3, 1, "-++-+++", "UUUUUUH"},
		"both at one":                {1, 1, "+-+-", "HUHU"},
	}
	for name, test := range tests {
		s := standing{healthy: true}
		got := ""
		for _, r := range test.results {
			before := s.healthy
			if turned := s.note(r == '+', test.rise, test.fall); turned != (s.healthy != before) {
				t.Errorf("%s: note says %v", name, turned)
			}
			got += map[bool]string{true: "H", false: "U"}[s.healthy]
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// A server that turns is told of to the pool, once to the log, and counted.
func TestServerTurns(t *testing.T) {
	var broken atomic.Bool
	b := newBackend(t, "tcp", func(c net.Conn) {
		if broken.Load() {
			answering("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")(c)
			return
		}
		answering("HTTP/1.1 204 Yes\r\n\r\n")(c)
	})
	check := fast(HTTP)
	check.Rise, check.Fall = 2, 3
	r := start(t, check, b)
	r.until(t, "two checks passed", passedTwice)
	if !b.server.Up() || r.log.String() != "" {
		t.Errorf("a healthy server is not picked, or is logged: %s", r.log)
	}
	broken.Store(true)
	r.until(t, "unhealthy", unhealthy)
	if report := r.Reports()[0]; report.Failed < 3 {
		t.Errorf("turned after %d failures, want 3", report.Failed)
	}
	if b.server.Up() {
		t.Error("an unhealthy server is picked")
	}
	passed := r.Reports()[0].Passed
	broken.Store(false)
	r.until(t, "healthy again", passedTwice)
	if n := r.Reports()[0].Passed - passed; n < 2 {
		t.Errorf("turned after %d checks, want 2", n)
	}
	r.close(t)
	if !b.server.Up() {
		t.Error("a server that is healthy again is not picked")
	}
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN msg="server is unhealthy" upstream=u server=`+b.server.Name()) ||
		!strings.Contains(lines[0], "the status is 503") || !strings.Contains(lines[1], `level=INFO msg="server is healthy"`) {
		t.Errorf("log:\n%s", r.log)
	}
	if strings.Contains(r.log.String(), "a=b") {
		t.Errorf("the query is logged:\n%s", r.log)
	}
}

// The first checks begin at once, however long the interval.
func TestFirstCheckIsAtOnce(t *testing.T) {
	check := fast(TCP)
	check.Interval = time.Hour
	check.Fall = 5
	up, down := newBackend(t, "tcp", nil), newBackend(t, "tcp", nil)
	down.Close()
	r := start(t, check, up, down)
	r.until(t, "the first passed", func(r Report) bool { return r.Passed == 1 })
	testutil.Eventually(t, patience, "the second failed", func() bool { return unhealthy(r.Reports()[1]) })
}

// Checks of one server do not overlap, and no more run at once than may.
func TestChecksAreBounded(t *testing.T) {
	release := make(chan struct{})
	var now, most atomic.Int32
	hold := func(net.Conn) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n) // approximately, which is enough: it only has to show 65
		}
		<-release
		now.Add(-1)
	}
	var list []*backend
	for range checksAtOnceMax + 8 {
		list = append(list, newBackend(t, "tcp", hold))
	}
	r := start(t, fast(HTTP), list...)
	testutil.Eventually(t, patience, "as many checks as may run", func() bool { return now.Load() == checksAtOnceMax })
	if taken := r.budget.taken.Load(); taken != checksAtOnceMax {
		t.Errorf("%d descriptors taken, want %d", taken, checksAtOnceMax)
	}
	for _, b := range list {
		if n := b.accepts.Load(); n > 1 {
			t.Errorf("%d checks of one server at once", n)
		}
	}
	if most.Load() > checksAtOnceMax {
		t.Errorf("%d checks at once", most.Load())
	}
	close(release)
	testutil.Eventually(t, patience, "every server was checked", func() bool {
		for _, b := range list {
			if b.accepts.Load() == 0 {
				return false
			}
		}
		return true
	})
}

// Without a descriptor nothing is asked, and nobody to blame.
func TestShortageBlamesNobody(t *testing.T) {
	b := newBackend(t, "tcp", nil)
	r := start(t, fast(HTTP), b) // fails: the connection is closed
	r.until(t, "unhealthy", unhealthy)
	r.budget.empty.Store(true)
	skipped := r.Reports()[0].Skipped
	r.until(t, "checks are skipped", func(r Report) bool { return r.Skipped > skipped+2 })
	failed := r.Reports()[0].Failed
	r.until(t, "more checks are skipped", func(r Report) bool { return r.Skipped > skipped+5 })
	if report := r.Reports()[0]; report.Failed != failed || report.Passed != 0 {
		t.Errorf("%+v, want nothing new but skipped ones", report)
	}
}

// Close ends a check that would wait for long, and says nothing of it.
func TestCloseEndsChecks(t *testing.T) {
	for _, kind := range []Kind{HTTP, WebSocket} {
		asked, end := make(chan struct{}), make(chan struct{})
		b := newBackend(t, "tcp", func(net.Conn) { close(asked); <-end })
		check := fast(kind)
		check.Interval = time.Hour
		check.Timeout = time.Hour
		r := start(t, check, b)
		<-asked
		r.close(t)
		if report := r.Reports()[0]; report != (Report{Upstream: "u", Server: b.server.Name(), Healthy: true}) {
			t.Errorf("kind %d: %+v", kind, report)
		}
		close(end)
	}
}

// The pauses are an interval long, give or take an eighth; the first spreads
// the servers over it.
func TestPauses(t *testing.T) {
	const interval = 800 * time.Millisecond
	w := &watch{target: Target{Check: Check{Interval: interval}}}
	least, most := interval, time.Duration(0)
	for range 2000 {
		w.begun = false
		first := w.pause()
		least, most = min(least, first), max(most, first)
		if next := w.pause(); next < interval*7/8 || next > interval*9/8 {
			t.Fatalf("a pause of %v", next)
		}
	}
	if least > interval/20 || most < interval*19/20 || most > interval {
		t.Errorf("the first pauses are from %v to %v", least, most)
	}
}

func TestPathMustBeAbsolute(t *testing.T) {
	b := newBackend(t, "tcp", nil)
	for _, path := range []string{"", "x", "http://elsewhere/", "/\x01", "/a b", "/%zz", "/?é"} {
		check := fast(HTTP)
		check.Path = path
		if _, err := New([]Target{{"u", b.server, check}}, &budget{}, nil); err == nil {
			t.Errorf("the path %q was accepted", path)
		}
	}
}
