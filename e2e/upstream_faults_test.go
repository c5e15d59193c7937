package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// bothKinds runs a test with handshakes and with ordinary requests.
func bothKinds(t *testing.T, test func(t *testing.T, request string, status int)) {
	t.Helper()
	t.Run("a tunnel", func(t *testing.T) { test(t, upgradeTo("/x"), 101) })
	t.Run("HTTP", func(t *testing.T) { test(t, getRequest("/x"), 200) })
}

// serverMetric is a figure of a server of the upstream "all".
func serverMetric(p *rig.Proxy, name, address string) float64 {
	return p.Metrics().Sum("wsplice_upstream_server_"+name, `upstream="all"`, fmt.Sprintf("server=%q", address))
}

// TestRetries counts the servers that a request tries: the first, and as many
// as retries says.
func TestRetries(t *testing.T) {
	bothKinds(t, func(t *testing.T, request string, status int) {
		first, second := rig.RefusingAddress(t), rig.RefusingAddress(t)
		servers := append([]string{serverLine(first, "set: 0"), serverLine(second, "set: 1")}, namedMirrors(t, "a set: 2")...)
		for retries, want := range map[int]int{0: 503, 1: 503, 2: status, 5: status} {
			c := upstreamCase{
				settings: []string{fmt.Sprintf("retries: %d", retries), "disable_time: 0s"}, servers: servers, route: ", mode: http",
			}
			proxy := c.start(t)
			for range 2 { // nothing is left out
				if m := look(t, proxy, request); m.Status != want {
					t.Errorf("retries: %d: answer %q, want %d", retries, m.Raw, want)
				}
			}
			if n := serverMetric(proxy, "failures_total", first); n != 2 {
				t.Errorf("retries: %d: %v failures of the first server, want 2", retries, n)
			}
			if n := serverMetric(proxy, "up", first); n != 1 {
				t.Errorf("a server is down with disable_time: 0s")
			}
		}
	})
}

// TestDisableTime leaves a server out after one failure, and says so once.
func TestDisableTime(t *testing.T) {
	bothKinds(t, func(t *testing.T, request string, status int) {
		dead := rig.RefusingAddress(t)
		servers := append(namedMirrors(t, "a set: 1"), serverLine(dead, "set: 0"))
		c := upstreamCase{settings: []string{"disable_time: 1h"}, servers: servers, route: ", mode: http"}
		proxy := c.start(t)
		for range 6 {
			if m := look(t, proxy, request); m.Status != status {
				t.Fatalf("answer %q, want %d", m.Raw, status)
			}
		}
		for name, want := range map[string]float64{"picks_total": 1, "failures_total": 1, "up": 0, "open": 0} {
			if n := serverMetric(proxy, name, dead); n != want {
				t.Errorf("%s of the dead server is %v, want %v", name, n, want)
			}
		}
		line := proxy.WaitLog(0, "the server is down", isMsg("server is down"))
		if line.Text("server") != dead || line.Text("upstream") != "all" || line.Text("level") != "WARN" || line.Text("error") == "" {
			t.Errorf("log line %v", line)
		}
	})
}

// TestServerComesBack has a server return after its disable time.
func TestServerComesBack(t *testing.T) {
	bothKinds(t, func(t *testing.T, request string, _ int) {
		address := away(t)
		servers := append(namedMirrors(t, "other set: 1"), serverLine(address, "set: 0"))
		c := upstreamCase{settings: []string{"disable_time: 100ms"}, servers: servers, route: ", mode: http"}
		proxy := c.start(t)
		if m := look(t, proxy, request); m.backend != "other" {
			t.Fatalf("answer %q, want the other server's", m.Raw)
		}
		rig.NewBackendAt(t, address, func(c *rig.BackendConn) { playMirror("back", c) })
		rig.Eventually(t, rig.Soon, "the server is used again", func() bool { return look(t, proxy, request).backend == "back" })
		proxy.WaitLog(0, "the server is back", func(l rig.Line) bool {
			return l.Msg() == "server is back" && l.Text("server") == address
		})
		if n := serverMetric(proxy, "up", address); n != 1 {
			t.Errorf("up is %v after the server came back", n)
		}
		for range 3 {
			if m := look(t, proxy, request); m.backend != "back" {
				t.Errorf("answer %q, want that of the server that is back", m.Raw)
			}
		}
	})
}

// TestSlowStart has a server come back and get next to nothing at first.
func TestSlowStart(t *testing.T) {
	address := away(t)
	servers := append(namedMirrors(t, "other"), serverLine(address, ""))
	c := upstreamCase{
		settings: []string{"balance: round_robin", "disable_time: 50ms", "slow_start: 1h"}, servers: servers,
	}
	proxy := c.start(t)
	wantCounts(t, wentTo(t, proxy, repeated(upgradeTo("/x"), 4)...), "other:4")
	rig.NewBackendAt(t, address, func(c *rig.BackendConn) { playMirror("back", c) })
	rig.Eventually(t, rig.Soon, "a request tries whether it is back", func() bool {
		return look(t, proxy, upgradeTo("/x")).backend == "back"
	})
	if n := serverMetric(proxy, "up", address); n != 1 {
		t.Errorf("up is %v", n)
	}
	if got := wentTo(t, proxy, repeated(upgradeTo("/x"), 20)...); got["back"] > 1 {
		t.Errorf("requests went to %v, want hardly any to the server that starts slowly", got)
	}
}

// away returns an address that nobody listens on, and that no connection takes
// for its own end meanwhile: those begin at 127.0.0.1.
func away(t *testing.T) string {
	t.Helper()
	gone := rig.NewBackendAt(t, "127.0.0.77:0", nil)
	defer gone.Close()
	return gone.Addr()
}

// TestEveryServerOut answers 503 without trying anything.
func TestEveryServerOut(t *testing.T) {
	bothKinds(t, func(t *testing.T, request string, _ int) {
		dead := []string{rig.RefusingAddress(t), rig.RefusingAddress(t)}
		c := upstreamCase{
			settings: []string{"disable_time: 1h"}, servers: []string{serverLine(dead[0], ""), serverLine(dead[1], "")},
			route: ", mode: http",
		}
		proxy := c.start(t)
		for range 4 {
			m := look(t, proxy, request)
			wantLimited(t, m.Answer, 503)
		}
		for _, address := range dead {
			if n := serverMetric(proxy, "picks_total", address); n != 1 {
				t.Errorf("%v picks of a server that was out after the first", n)
			}
		}
	})
}

// TestTargetIsNeverOut: a route with one target has nowhere else to go.
func TestTargetIsNeverOut(t *testing.T) {
	address := away(t)
	proxy := startRoutes(t, `- {path: /, to: "ws://`+address+`"}`)
	if m := look(t, proxy, upgradeTo("/x")); m.Status != 503 {
		t.Fatalf("answer %q, want 503", m.Raw)
	}
	rig.NewBackendAt(t, address, func(c *rig.BackendConn) { playMirror("back", c) })
	if m := look(t, proxy, upgradeTo("/x")); m.backend != "back" {
		t.Errorf("answer %q, want that of the target, which is back", m.Raw)
	}
}

// TestSilentServerDelaysFew has a server that swallows connects: now and then
// one request finds out whether it still does, and the others are not delayed.
func TestSilentServerDelaysFew(t *testing.T) {
	const clients, disableTime, lapse = 20, 200 * time.Millisecond, 2500 * time.Millisecond
	silent := rig.Blackhole(t)
	c := upstreamCase{
		settings: []string{"balance: round_robin", "disable_time: " + disableTime.String()},
		servers:  append(namedMirrors(t, "a"), serverLine(silent, "")),
		config:   rig.Config{Timeouts: rig.Settings{"dial": "300ms"}, LogTunnel: "off"},
	}
	proxy := c.start(t)
	var stopped atomic.Bool
	var all sync.WaitGroup
	faults := make(chan error, clients)
	for range clients {
		all.Go(func() {
			for !stopped.Load() {
				client, err := rig.OpenEcho(proxy.Addr(0), "/x")
				if err != nil {
					faults <- err
					return
				}
				_ = client.Close()
			}
		})
	}
	rig.Lapse(lapse)
	stopped.Store(true)
	all.Wait()
	for len(faults) > 0 {
		t.Error(<-faults)
	}
	// All that came before the first one had waited in vain, and one each disable_time since.
	most := float64(clients + lapse/disableTime + 2)
	if n := serverMetric(proxy, "picks_total", silent); n > most || n < 3 {
		t.Errorf("%v requests were sent to the silent server, want at most %v", n, most)
	}
}
