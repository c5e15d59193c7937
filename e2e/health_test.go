package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/e2e/internal/rig"
)

// A patient is a backend that echoes in tunnels, and whose health a test
// chooses. Health does not touch the tunnels: only checks can see it.
type patient struct {
	*rig.Backend
	sick   atomic.Bool
	checks atomic.Int32
}

func newPatient(t *testing.T, address string) *patient {
	t.Helper()
	p := &patient{}
	p.Backend = rig.NewBackendAt(t, address, p.serve)
	return p
}

func (p *patient) serve(c *rig.BackendConn) {
	if c.ReadHead() != nil {
		return
	}
	if !strings.HasPrefix(c.Head.Target, "/health") {
		if c.Upgrade() == nil {
			c.Echo()
		}
		return
	}
	p.checks.Add(1)
	if c.Head.Get("Upgrade") != "" {
		p.openForCheck(c)
		return
	}
	status := "302 Found"
	if p.sick.Load() {
		status = "500 Sick"
	}
	_ = c.Answer("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n")
}

// openForCheck answers pings, or opens the WebSocket and is silent.
func (p *patient) openForCheck(c *rig.BackendConn) {
	if c.Upgrade() != nil {
		return
	}
	if p.sick.Load() {
		c.Drain()
		return
	}
	_, _, _ = wsutil.ReadData(struct {
		io.Reader
		io.Writer
	}{c.R, c.Conn}, ws.StateServerSide) // answers control frames; its error is the Close
}

// wantHealth waits for what the metrics say of a server.
func wantHealth(t *testing.T, proxy *rig.Proxy, p *patient, healthy float64) {
	t.Helper()
	label := fmt.Sprintf("server=%q", p.name())
	rig.Eventually(t, rig.Soon, fmt.Sprintf("wsplice_upstream_server_healthy of %s is %v", p.name(), healthy), func() bool {
		m := proxy.Metrics()
		return m.Has("wsplice_upstream_server_healthy") && m.Sum("wsplice_upstream_server_healthy", label) == healthy &&
			m.Sum("wsplice_health_checks_total", label, `result="passed"`)+
				m.Sum("wsplice_health_checks_total", label, `result="failed"`) > 0
	})
}

// name is how log and metrics call the server.
func (p *patient) name() string {
	if strings.HasPrefix(p.Addr(), "/") {
		return "unix:" + p.Addr()
	}
	return p.Addr()
}

// wantServers opens tunnels and ends the test unless all of the wanted servers,
// and no other, get some.
func wantServers(t *testing.T, proxy *rig.Proxy, all, want []*patient) {
	t.Helper()
	before := make(map[*patient]int)
	for _, p := range all {
		before[p] = p.tunnels()
	}
	for range 4 * len(all) {
		c := rig.MustOpenEcho(t, proxy, "/ws/x")
		c.WantEcho("hello")
		_ = c.Close()
	}
	for _, p := range all {
		wanted := false
		for _, w := range want {
			wanted = wanted || p == w
		}
		if got := p.tunnels() - before[p]; (got > 0) != wanted {
			t.Errorf("%s got %d tunnels, wanted some: %v", p.name(), got, wanted)
		}
	}
}

// tunnels counts the tunnels that the backend has had.
func (p *patient) tunnels() int { return strings.Count(p.Received(0), "GET /x ") }

// testHealth makes one of two servers sick and well again, and looks where
// tunnels go.
func testHealth(t *testing.T, check string, turn func(p *patient, sick bool)) {
	needsWsplice(t)
	first := newPatient(t, "127.0.0.1:0")
	second := newPatient(t, "unix:"+rig.TempDir(t, 0)+"/s")
	all := []*patient{first, second}
	proxy := rig.Start(t, rig.Config{
		Routes: `- {path: /ws/, upstream: all, rewrite: /}`,
		Upstreams: fmt.Sprintf("  all:\n    servers: [{url: %q}, {socket: %q}]\n    balance: round_robin\n    health: {%s}\n",
			first.URL(), second.Addr(), check),
	})
	for _, p := range all {
		wantHealth(t, proxy, p, 1)
	}
	wantServers(t, proxy, all, all)
	held := rig.MustOpenEcho(t, proxy, "/ws/x")
	for _, p := range all {
		other := all[0]
		if p == other {
			other = all[1]
		}
		mark := proxy.Logs.Mark()
		turn(p, true)
		wantHealth(t, proxy, p, 0)
		line := proxy.WaitLog(mark, "server is unhealthy", func(l rig.Line) bool { return l.Msg() == "server is unhealthy" })
		if line.Text("server") != p.name() || line.Text("upstream") != "all" || line.Text("because") == "" {
			t.Errorf("log line %v", line)
		}
		wantServers(t, proxy, all, []*patient{other})
		turn(p, false)
		wantHealth(t, proxy, p, 1)
		proxy.WaitLog(mark, "server is healthy", func(l rig.Line) bool {
			return l.Msg() == "server is healthy" && l.Text("server") == p.name()
		})
		wantServers(t, proxy, all, all)
	}
	held.WantEcho("an open tunnel goes on") // whichever server it has
}

func makeSick(p *patient, sick bool) { p.sick.Store(sick) }

// TestHealthHTTP has a server that answers the GET with 500, and tunnels as well
// as ever.
func TestHealthHTTP(t *testing.T) {
	testHealth(t, "type: http, path: '/health?deep=1', interval: 20ms, timeout: 5s, rise: 2, fall: 2", makeSick)
}

// TestHealthWebSocket has a server that opens WebSockets but answers no ping.
func TestHealthWebSocket(t *testing.T) {
	testHealth(t, "type: websocket, path: /health, interval: 20ms, timeout: 300ms, rise: 1, fall: 1", makeSick)
}

// TestHealthTCP has a server that comes up late, and goes.
func TestHealthTCP(t *testing.T) {
	needsWsplice(t)
	first := newPatient(t, "127.0.0.1:0")
	late := &patient{}
	address := rig.FreeAddress(t)
	rig.SecureBackendAt(address)
	proxy := rig.Start(t, rig.Config{
		Routes: `- {path: /ws/, upstream: all, rewrite: /}`,
		Upstreams: fmt.Sprintf("  all:\n    servers: [{url: %q}, {url: \"ws://%s\"}]\n    balance: round_robin\n"+
			"    health: {type: tcp, interval: 20ms}\n", first.URL(), address),
	})
	proxy.WaitLog(0, "the late server is unhealthy", func(l rig.Line) bool {
		return l.Msg() == "server is unhealthy" && l.Text("server") == address &&
			strings.Contains(l.Text("because"), "connection refused")
	})
	failures := proxy.Metrics().Sum("wsplice_dial_failures_total")
	wantServers(t, proxy, []*patient{first}, []*patient{first})
	if n := proxy.Metrics().Sum("wsplice_dial_failures_total"); n != failures {
		t.Errorf("%.0f tunnels tried the server that is unhealthy", n-failures)
	}
	late.Backend = rig.NewBackendAt(t, address, late.serve)
	wantHealth(t, proxy, late, 1)
	wantServers(t, proxy, []*patient{first, late}, []*patient{first, late})
	late.Close()
	wantHealth(t, proxy, late, 0)
}

// TestHealthNoneLeft answers 503 when no server is healthy, whatever it could
// still do.
func TestHealthNoneLeft(t *testing.T) {
	needsWsplice(t)
	p := newPatient(t, "127.0.0.1:0")
	p.sick.Store(true)
	proxy := rig.Start(t, rig.Config{
		Routes: `- {path: /ws/, upstream: all, rewrite: /}`,
		Upstreams: fmt.Sprintf("  all:\n    servers: [{url: %q}]\n    health: {type: http, path: /health, interval: 20ms, fall: 9}\n",
			p.URL()),
	})
	wantHealth(t, proxy, p, 0) // by its first check, whatever fall says
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	if a := client.Answer(); a.Status != 503 {
		t.Fatalf("answer %q, want 503", a.Raw)
	}
	p.sick.Store(false)
	wantHealth(t, proxy, p, 1)
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("back")
}

// TestHealthLeavesNothing looks at what checks take, and at what they leave when
// the proxy stops in the middle of them.
func TestHealthLeavesNothing(t *testing.T) {
	needsWsplice(t)
	for _, kind := range []string{"type: tcp", "type: http, path: /health", "type: websocket, path: /health"} {
		p := newPatient(t, "127.0.0.1:0")
		silent := rig.NewBackend(t, (*rig.BackendConn).Drain)
		proxy := rig.Start(t, rig.Config{
			Routes: `- {path: /ws/, upstream: all, rewrite: /}`,
			Upstreams: fmt.Sprintf("  all:\n    servers: [{url: %q}, {url: %q}]\n    health: {%s, interval: 10ms, timeout: 1h}\n",
				p.URL(), silent.URL(), kind),
		})
		rig.Eventually(t, rig.Soon, kind+" checks run", func() bool { return p.Accepts() > 20 && silent.Accepts() > 0 })
		if m := proxy.Metrics(); m.Sum("process_open_fds") > 60 {
			t.Errorf("%s: %.0f descriptors", kind, m.Sum("process_open_fds"))
		}
	}
}
