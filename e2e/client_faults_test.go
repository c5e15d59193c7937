package e2e

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// A faultState brings a new tunnel into one state and returns its client, and
// the backend's connection where there is one.
type faultState struct {
	name string
	// owed: something is still to be said to somebody, so that the tunnel may
	// outlive the client's reset, within the half-close timeout.
	owed  bool
	reach func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn)
}

const (
	// faultSettle bounds how long a tunnel may outlive its client: a lingering
	// close takes two seconds.
	faultSettle = 4 * time.Second
	// faultHalfClose is longer, so that nothing else hides behind it. A tunnel
	// may take twice as long, until it is sure that nothing moves.
	faultHalfClose = 5 * time.Second
)

// TestClientGoesInEveryState ends clients by RST and by FIN wherever a tunnel
// can be. The backend must hear of it, and nothing may be left behind.
func TestClientGoesInEveryState(t *testing.T) {
	needsWsplice(t)
	backend := rig.NewBackend(t, nil)
	proxy := rig.Start(t, rig.Config{
		Timeouts: rig.Settings{"dial": "1s", "upgrade": "1s", "head": "3s"},
		Tunnel:   rig.Settings{"half_close_timeout": faultHalfClose.String()},
		Routes: fmt.Sprintf(`
- {path: /ws/, to: "%[1]s/"}
- {path: /unread/, to: "%[1]s/", tunnel: {frames: off}}
- {path: /pending/, to: "ws://%[2]s/"}`, backend.URL(), rig.Blackhole(t)),
	})
	start := proxy.SettledUsage()
	leave := map[string]func(*rig.Client){
		"RST": func(c *rig.Client) { c.Reset() },
		"FIN": func(c *rig.Client) { _ = c.Close() },
	}
	for _, state := range faultStates {
		for name, end := range leave {
			t.Run(state.name+"/"+name, func(t *testing.T) {
				client, server := state.reach(t, proxy.In(t), backend.In(t))
				end(client)
				// After FIN the backend may go on; after RST there is nobody
				// it could go on for.
				if server != nil && name == "FIN" {
					server.WantGone()
					_ = server.Close()
				}
				limit := faultSettle
				if state.owed {
					limit += 2 * faultHalfClose
				}
				proxy.In(t).WaitUsage(limit, start)
			})
		}
	}
}

var faultStates = []faultState{
	{"connected", false, func(t *testing.T, p *rig.Proxy, _ *rig.Backend) (*rig.Client, *rig.BackendConn) {
		return rig.Dial(t, p.Addr(0)), nil
	}},
	{"in the head", false, func(t *testing.T, p *rig.Proxy, _ *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c := rig.Dial(t, p.Addr(0))
		c.Put(upgradeTo("/ws/x")[:80])
		return c, nil
	}},
	{"connect pending", false, func(t *testing.T, p *rig.Proxy, _ *rig.Backend) (*rig.Client, *rig.BackendConn) {
		idle := p.Usage().Files
		c := rig.Dial(t, p.Addr(0))
		c.Put(upgradeTo("/pending/x"))
		rig.Eventually(t, rig.Soon, "the proxy has a socket to the backend too", func() bool {
			return p.Usage().Files >= idle+2
		})
		return c, nil
	}},
	{"waiting for the 101", false, func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c := rig.Dial(t, p.Addr(0))
		c.Put(upgradeTo("/ws/x"))
		s := b.Next()
		s.WantHead()
		return c, s
	}},
	{"waiting for the 101 with early data", false, func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c := rig.Dial(t, p.Addr(0))
		c.Put(upgradeTo("/ws/x") + pattern(1, 4096))
		s := b.Next()
		s.WantHead()
		return c, s
	}},
	{"half of the 101", false, func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c := rig.Dial(t, p.Addr(0))
		c.Put(upgradeTo("/ws/x"))
		s := b.Next()
		s.WantHead()
		s.Put("HTTP/1.1 101 Switching Protocols\r\nUpg")
		return c, s
	}},
	{"relaying", false, func(_ *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Open(p, b, "/ws/x")
		c.Put("up")
		s.Want("up")
		return c, s
	}},
	{"relaying, pipe full towards the client", false, func(
		t *testing.T, p *rig.Proxy, b *rig.Backend,
	) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Join(rig.DialNarrow(t, p.Addr(0), 4096), b, "/ws/x")
		fill(t, s)
		return c, s
	}},
	{"relaying, pipe full towards the backend", true, func(
		t *testing.T, p *rig.Proxy, b *rig.Backend,
	) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Open(p, b, "/ws/x")
		fill(t, c)
		return c, s
	}},
	{"draining, backend silent", true, func(_ *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Open(p, b, "/ws/x")
		c.CloseWrite()
		s.WantEnd()
		return c, s
	}},
	{"draining, backend has closed", false, func(_ *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Open(p, b, "/unread/x")
		s.CloseWrite()
		c.WantEnd()
		return c, s
	}},
	{"parting, backend has died", false, func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Open(p, b, "/ws/x")
		s.CloseWrite()
		wantCloseAndEnd(t, c, internalError)
		return c, s
	}},
	{"draining, pipe full", true, func(t *testing.T, p *rig.Proxy, b *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c, s := rig.Join(rig.DialNarrow(t, p.Addr(0), 4096), b, "/ws/x")
		c.CloseWrite()
		s.WantEnd()
		fill(t, s)
		return c, s
	}},
	{"lingering after a refusal", false, func(t *testing.T, p *rig.Proxy, _ *rig.Backend) (*rig.Client, *rig.BackendConn) {
		c := rig.Dial(t, p.Addr(0))
		c.Put("no HTTP at all\r\n\r\n")
		if a := c.Answer(); a.Status != 400 {
			t.Fatalf("answer %q, want 400", a.Raw)
		}
		return c, nil
	}},
}

// fill sends from one end until nothing more is taken, and goes on trying in
// the background.
func fill(t *testing.T, from end) {
	t.Helper()
	var moved atomic.Int64
	go func() { _ = rig.Pattern(17).Send(from, 0, pressureBytes, &moved) }()
	waitStalled(t, &moved)
}
