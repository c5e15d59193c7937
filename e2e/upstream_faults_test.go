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

// A killing is a server that is closed with all its connections, again and
// again, while clients come and go and another server stays.
type killing struct {
	proxy   *rig.Proxy
	victim  string // address
	stopped atomic.Bool
	opened  atomic.Int64 // tunnels that were, at both servers
	cut     atomic.Int64 // tunnels that died with the victim
	faults  chan error
}

// client opens tunnels one after the other until it is told to stop. Only a
// tunnel of the victim may end early, and only one that it was given may fail
// to open.
func (k *killing) client(id int) error {
	for i := 0; !k.stopped.Load(); i++ {
		client, err := rig.DialErr(k.proxy.Addr(0))
		if err != nil {
			return err
		}
		client.Offer(upgradeTo("/x"), 0)
		a, err := client.AnswerErr()
		switch {
		case err != nil:
			return fmt.Errorf("no answer: %w", err)
		case a.Status == 502: // the victim has died with the request
		case a.Status != 101:
			return fmt.Errorf("answer %q though a server is up", a.Raw)
		default:
			k.opened.Add(1)
			err := echoes(client, fmt.Sprintf("client %d tunnel %d;", id, i))
			switch {
			case err == nil:
			case a.Header.Get(mirrorName) == "stays":
				return fmt.Errorf("a tunnel at the server that stays: %w", err)
			default:
				k.cut.Add(1)
			}
		}
		_ = client.Close()
	}
	return nil
}

// echoes sends text a few times, and returns an error unless it comes back.
func echoes(client *rig.Client, text string) error {
	b := make([]byte, len(text))
	for range 20 {
		if _, err := client.Write([]byte(text)); err != nil {
			return err
		}
		for n := 0; n < len(b); {
			m, err := client.Read(b[n:])
			if n += m; err != nil {
				return err
			}
		}
		if string(b) != text {
			return fmt.Errorf("%q came back, want %q", b, text)
		}
	}
	return nil
}

// TestKillsUnderLoad kills a server under load and has it return, many times:
// no tunnel of the other server is lost, and open counts are exact afterwards.
func TestKillsUnderLoad(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 10
	}
	address := away(t)
	stays := newMirror(t, "stays")
	c := upstreamCase{
		settings: []string{"disable_time: 20ms"}, servers: []string{serverLine(stays.Addr(), ""), serverLine(address, "")},
		config: rig.Config{LogTunnel: "off"},
	}
	k := &killing{proxy: c.start(t), victim: address, faults: make(chan error, 8)}
	var clients sync.WaitGroup
	for id := range cap(k.faults) {
		clients.Go(func() {
			if err := k.client(id); err != nil {
				k.faults <- err
			}
		})
	}
	for i := range kills {
		victim := rig.NewBackendAt(t, address, func(c *rig.BackendConn) { playMirror("victim", c) })
		rig.Eventually(t, rig.Soon, fmt.Sprintf("return %d is noticed", i), func() bool {
			return victim.Accepts() >= 3 || len(k.faults) > 0
		})
		victim.Close()
	}
	rig.NewBackendAt(t, address, func(c *rig.BackendConn) { playMirror("victim", c) })
	k.stopped.Store(true)
	clients.Wait()
	for len(k.faults) > 0 {
		t.Error(<-k.faults)
	}
	t.Logf("%d tunnels, %d kills, %d tunnels cut", k.opened.Load(), kills, k.cut.Load())
	if k.cut.Load() == 0 {
		t.Error("no kill met a tunnel")
	}
	k.settled(t, stays.Addr())
}

// settled ends the test unless nothing is open any more, and then counts exactly
// what is opened anew.
func (k *killing) settled(t *testing.T, stays string) {
	t.Helper()
	k.proxy.WaitTunnels(0)
	open := func(address string) float64 { return serverMetric(k.proxy, "open", address) }
	if a, b := open(stays), open(k.victim); a != 0 || b != 0 {
		t.Fatalf("%v and %v tunnels are counted when none is open", a, b)
	}
	rig.Eventually(t, rig.Soon, "the victim is used again", func() bool {
		m := look(t, k.proxy, upgradeTo("/x"))
		return m.backend == "victim"
	})
	before := open(stays) + open(k.victim)
	openMany(t, k.proxy, 10)
	if after := open(stays) + open(k.victim); after != before+10 {
		t.Errorf("%v tunnels are counted, want %v", after, before+10)
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
