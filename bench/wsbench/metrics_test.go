package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/bench/load"
)

// metricsText is how wsplice tells four figures among others.
const metricsText = `# HELP wsplice_blind_total Directions.
# TYPE wsplice_blind_total counter
wsplice_blind_total %d
wsplice_frame_violations_total %d
wsplice_relayed_bytes_total{direction="up",lane="copy"} 1.5e+06
wsplice_sync_refused_total %d
wsplice_tunnels_open %d
`

func TestCountsAreJudged(t *testing.T) {
	small, long := &scenario{load: load.Echo, size: 128}, &scenario{load: load.Echo, size: bulkReadBytes}
	bulk := &scenario{load: load.Down, size: 128}
	for _, test := range []struct {
		counts frameCounts
		s      *scenario
		want   string
	}{
		{frameCounts{}, small, ""},
		{frameCounts{violations: 1}, small, "broke RFC 6455"},
		{frameCounts{violations: 1}, bulk, "broke RFC 6455"},
		{frameCounts{blind: 1}, small, "went blind"},
		{frameCounts{blind: 4}, bulk, ""},
		{frameCounts{blind: 4}, long, ""},
		{frameCounts{refused: 1}, small, "goroutines"},
	} {
		err := test.counts.judge(test.s)
		if test.want == "" && err == nil {
			continue
		}
		if test.want == "" || !errors.Is(err, errFrames) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.counts, err, test.want)
		}
	}
}

// TestCountsWaitForTheLastTunnel answers as a proxy does whose tunnels end
// late, and looks at the counts of the second run alone.
func TestCountsWaitForTheLastTunnel(t *testing.T) {
	var asked, blind atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, metricsText, blind.Load(), 0, 0, max(0, 3-asked.Add(1)))
	}))
	defer server.Close()
	l := &lane{peer: &peer{name: "x"}, scenario: &scenario{load: load.Down}, before: new(frameCounts)}
	l.admin = server.Listener.Addr().String()
	for _, want := range []int{4, 3} {
		blind.Add(int64(want))
		if err := l.countFrames(mustContext(t)); err != nil || l.counted.blind != want {
			t.Errorf("%+v, %v, want %d blind", l.counted, err, want)
		}
	}
	if asked.Load() != 4 {
		t.Errorf("asked %d times, want 3 and 1", asked.Load())
	}
}

func TestCountsThatCannotBeReadAreNone(t *testing.T) {
	for what, handler := range map[string]http.HandlerFunc{
		"wsplice_blind_total": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.ReplaceAll(fmt.Sprintf(metricsText, 0, 0, 0, 0), "blind", "other"))
		},
		"404 Not Found": http.NotFound,
		"still open": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, metricsText, 0, 0, 0, 7)
		},
	} {
		server := httptest.NewServer(handler)
		_, err := readCounts(mustContext(t), server.Listener.Addr().String(), 50*time.Millisecond)
		server.Close()
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestViolationsEndTheComparison sends what is no frame through wsplice
// itself.
func TestViolationsEndTheComparison(t *testing.T) {
	b, err := newBench(options{rounds: 1, duration: 50 * time.Millisecond, wsplice: builtWsplice(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx := mustContext(t)
	s := &scenario{name: "echo", load: load.Echo, tunnels: 1, size: 128, full: []string{"wsplice"}}
	if err := b.prepare(ctx, s); err != nil {
		t.Fatal(err)
	}
	backend, ports, err := b.startBackend(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	ours, err := choosePeers([]string{"wsplice"}, b.peers)
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.startProxy(ctx, ours[0], s, ports)
	if err != nil {
		t.Fatal(err)
	}
	defer l.stop()
	if _, err := b.drive(ctx, l, backend); err != nil {
		t.Fatalf("drive = %v of sound frames", err)
	}
	conn, _, _, err := ws.Dial(ctx, "ws://"+l.address+"/")
	if err != nil {
		t.Fatal(err)
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write([]byte{0x83, 0x80, 0, 0, 0, 0}); err != nil { // an opcode that is reserved
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // the backend closes
		t.Fatal(err)
	}
	_ = conn.Close()
	err = l.countFrames(ctx)
	if !errors.Is(err, errFrames) || !strings.Contains(err.Error(), "wsplice: ") {
		t.Errorf("counts of a reserved opcode: %v", err)
	}
	if err := b.leaveOut(ctx, s, l.peer, err); !errors.Is(err, errFrames) {
		t.Errorf("leaveOut = %v: the comparison goes on", err)
	}
}
