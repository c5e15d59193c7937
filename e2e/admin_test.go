package e2e

import (
	"net/http"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

func TestHealth(t *testing.T) {
	backend := rig.EchoBackend(t)
	for _, address := range []string{"", rig.FreeAddress(t)} {
		proxy := startToBackend(t, backend, rig.Config{Admin: address})
		if status, body := proxy.Get("/healthz"); status != http.StatusOK {
			t.Errorf("GET /healthz: %d %q", status, body)
		}
		if status, _ := proxy.Get("/no-such-page"); status != http.StatusNotFound {
			t.Errorf("GET /no-such-page: %d, want 404", status)
		}
	}
}

// TestMetricNames holds the names that dashboards rely on.
func TestMetricNames(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client, server := rig.Open(proxy, backend, "/ws/x")
	transfer(t, client, server, 30, 1<<20)
	refused := rig.Dial(t, proxy.Addr(0))
	refused.Put("no HTTP at all\r\n\r\n")
	refused.Answer()
	m := proxy.Metrics()
	for _, name := range []string{
		"wsplice_tunnels_open", "wsplice_tunnels_opened_total", "wsplice_refusals_total",
		"wsplice_relayed_bytes_total", "wsplice_splices_total", "wsplice_blind_total",
		"wsplice_loop_ticks_total", "wsplice_descriptors_left", "go_goroutines",
		"wsplice_upstream_server_up", "wsplice_upstream_server_open",
		"wsplice_upstream_server_picks_total", "wsplice_upstream_server_failures_total",
	} {
		if !m.Has(name) {
			t.Errorf("no metric %s", name)
		}
	}
	for series := range m {
		if strings.HasPrefix(series, "wsplice_refusals_total") && !strings.Contains(series, `reason="`) {
			t.Errorf("%s has no reason", series)
		}
	}
}

// TestTunnelMetrics follows the counts of tunnels, refusals and descriptors.
func TestTunnelMetrics(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	before := proxy.Metrics()
	clients := openMany(t, proxy, 5)
	m := proxy.Metrics()
	if n := m.Sum("wsplice_tunnels_open"); n != 5 {
		t.Errorf("%.0f tunnels are open, want 5", n)
	}
	if n := m.Sum("wsplice_tunnels_opened_total"); n != 5 {
		t.Errorf("%.0f tunnels were opened, want 5", n)
	}
	if n := before.Sum("wsplice_descriptors_left") - m.Sum("wsplice_descriptors_left"); n < 10 {
		t.Errorf("five tunnels take %.0f descriptors from the budget, want at least 10", n)
	}
	for _, c := range clients {
		_ = c.Close()
	}
	proxy.WaitTunnels(0)
	for range 3 {
		c := rig.Dial(t, proxy.Addr(0))
		c.Put("no HTTP at all\r\n\r\n")
		c.Answer()
	}
	m = proxy.Metrics()
	if n := m.Sum("wsplice_tunnels_opened_total"); n != 5 {
		t.Errorf("%.0f tunnels were opened, want still 5", n)
	}
	if n := m.Sum("wsplice_refusals_total"); n != 3 {
		t.Errorf("%.0f requests were refused, want 3", n)
	}
}

// TestLaneMetrics sends small messages and bulk: each counts in its own lane
// and direction, and no byte is counted twice or not at all.
func TestLaneMetrics(t *testing.T) {
	const bulk, small = 64 << 20, 1000
	bothWays(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, first, second end) {
		name := `direction="up"`
		if _, fromBackend := first.(*rig.BackendConn); fromBackend {
			name = `direction="down"`
		}
		start := p.Metrics()
		for range small {
			first.Put("0123456789")
			second.Want("0123456789")
		}
		afterSmall := p.Metrics()
		if n := laneBytes(afterSmall, "copy", name) - laneBytes(start, "copy", name); n != 10*small {
			t.Errorf("small messages add %.0f bytes to the copy lane, want %d", n, 10*small)
		}
		if n := laneBytes(afterSmall, "splice") - laneBytes(start, "splice"); n != 0 {
			t.Errorf("small messages add %.0f bytes to the splice lane, want none", n)
		}
		transfer(t, first, second, 31, bulk)
		second.Put("x") // and back, so that the counters are up to date
		first.Want("x")
		afterBulk := p.Metrics()
		spliced := laneBytes(afterBulk, "splice", name) - laneBytes(afterSmall, "splice", name)
		copied := laneBytes(afterBulk, "copy", name) - laneBytes(afterSmall, "copy", name)
		t.Logf("bulk: %.0f bytes spliced, %.0f copied", spliced, copied)
		if spliced+copied != bulk {
			t.Errorf("bulk adds %.0f bytes, want %d", spliced+copied, bulk)
		}
		grown := afterBulk.Sum("wsplice_splices_total") > afterSmall.Sum("wsplice_splices_total")
		switch {
		case !rig.Splices():
			if spliced > 0 || grown {
				t.Errorf("%.0f bytes are spliced that have to be sealed", spliced)
			}
		case spliced < bulk/2:
			t.Errorf("less than half of the bulk is spliced: %.0f of %d bytes", spliced, bulk)
		case !grown:
			t.Error("wsplice_splices_total does not grow")
		}
		if afterBulk.Sum("wsplice_loop_ticks_total") <= start.Sum("wsplice_loop_ticks_total") {
			t.Error("wsplice_loop_ticks_total does not grow")
		}
	})
}
