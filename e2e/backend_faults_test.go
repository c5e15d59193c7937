package e2e

import (
	"fmt"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// upstreamOf renders an upstream called "all" with the given servers.
func upstreamOf(balance string, urls ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  all:\n    balance: %s\n    servers:\n", balance)
	for _, url := range urls {
		fmt.Fprintf(&b, "      - {url: %q}\n", url)
	}
	return b.String()
}

const routeToAll = "- {path: /ws/, upstream: all}"

var balances = []string{"least_connection", "round_robin"}

// TestNextServer has two of three servers down, each in its own way.
func TestNextServer(t *testing.T) {
	needsWsplice(t)
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			backend := rig.NewBackend(t, nil)
			proxy := rig.Start(t, rig.Config{
				Routes: routeToAll,
				Upstreams: upstreamOf(balance, "ws://"+rig.RefusingAddress(t),
					"ws://"+rig.Blackhole(t), backend.URL()),
				Timeouts: rig.Settings{"dial": "300ms"},
			})
			for range 6 {
				client, server := rig.Open(proxy, backend, "/ws/x")
				client.Put("up")
				server.Want("up")
			}
		})
	}
}

// TestAllServersDown answers 503, and serves again when one comes back.
func TestAllServersDown(t *testing.T) {
	needsWsplice(t)
	address := rig.FreeAddress(t)
	rig.SecureBackendAt(address)
	proxy := rig.Start(t, rig.Config{
		Routes:    routeToAll,
		Upstreams: upstreamOf("round_robin", "ws://"+rig.RefusingAddress(t), "ws://"+address),
	})
	for range 3 {
		client := rig.Dial(t, proxy.Addr(0))
		client.Put(upgradeTo("/ws/x"))
		if a := client.Answer(); a.Status != 503 {
			t.Fatalf("answer %q, want 503", a.Raw)
		}
	}
	rig.NewBackendAt(t, address, func(c *rig.BackendConn) {
		if c.ReadHead() == nil && c.Upgrade() == nil {
			c.Echo()
		}
	})
	rig.Eventually(t, rig.Soon, "a tunnel to the server that came back", func() bool {
		client, err := rig.OpenEcho(proxy.Addr(0), "/ws/x")
		if err != nil {
			return false
		}
		_ = client.Close()
		return true
	})
}

// TestLeastConnection counts open tunnels, and gives back the count of those
// that have ended: when all of one backend end, it gets the next ones.
func TestLeastConnection(t *testing.T) {
	needsWsplice(t)
	backends := []*rig.Backend{rig.NewBackend(t, nil), rig.NewBackend(t, nil), rig.NewBackend(t, nil)}
	proxy := rig.Start(t, rig.Config{
		Routes:    routeToAll,
		Upstreams: upstreamOf("least_connection", backends[0].URL(), backends[1].URL(), backends[2].URL()),
	})
	var ofFirst []*rig.Client
	for range 12 {
		c := rig.Dial(t, proxy.Addr(0))
		c.Put(upgradeTo("/ws/x"))
		if i := answerAny(t, backends); i == 0 {
			ofFirst = append(ofFirst, c)
		}
	}
	wantAccepts(t, backends, 4, 4, 4)
	for _, c := range ofFirst {
		c.Reset()
	}
	proxy.WaitTunnels(8)
	for range 4 {
		rig.Dial(t, proxy.Addr(0)).Put(upgradeTo("/ws/x"))
		answerAny(t, backends)
	}
	wantAccepts(t, backends, 8, 4, 4)
}

// answerAny opens the tunnel that is asked for at one of the backends, and
// returns at which.
func answerAny(t *testing.T, backends []*rig.Backend) int {
	t.Helper()
	chosen := -1
	rig.Eventually(t, rig.Soon, "a backend is contacted", func() bool {
		for i, b := range backends {
			if b.Pending() > 0 {
				chosen = i
			}
		}
		return chosen >= 0
	})
	s := backends[chosen].Next()
	s.WantHead()
	if err := s.Upgrade(); err != nil {
		t.Fatal(err)
	}
	return chosen
}

func TestRoundRobin(t *testing.T) {
	needsWsplice(t)
	backends := []*rig.Backend{rig.EchoBackend(t), rig.EchoBackend(t), rig.EchoBackend(t)}
	proxy := rig.Start(t, rig.Config{
		Routes:    routeToAll,
		Upstreams: upstreamOf("round_robin", backends[0].URL(), backends[1].URL(), backends[2].URL()),
	})
	openMany(t, proxy, 12)
	wantAccepts(t, backends, 4, 4, 4)
}

func openMany(t *testing.T, proxy *rig.Proxy, n int) []*rig.Client {
	t.Helper()
	clients := make([]*rig.Client, n)
	for i := range clients {
		clients[i] = rig.MustOpenEcho(t, proxy, "/ws/x")
	}
	return clients
}

func wantAccepts(t *testing.T, backends []*rig.Backend, want ...int) {
	t.Helper()
	for i, b := range backends {
		if got := b.Accepts(); got != want[i] {
			t.Errorf("backend %d has had %d connections, want %d", i, got, want[i])
		}
	}
}

// TestBackendDiesMidTunnel ends a backend while both directions are in use.
func TestBackendDiesMidTunnel(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	ways := map[string]func(*rig.BackendConn){
		"FIN": func(c *rig.BackendConn) { _ = c.Close() },
		"RST": func(c *rig.BackendConn) { c.Reset() },
	}
	for name, die := range ways {
		t.Run(name+" when idle", func(t *testing.T) {
			client, server := rig.Open(proxy.In(t), backend.In(t), "/ws/x")
			mark := proxy.Logs.Mark()
			server.Put("last words")
			client.Want("last words")
			die(server)
			client.WantGone()
			if name == "FIN" {
				_ = client.Close() // it could go on sending for long
			}
			wantEnded(t, proxy.In(t), mark, "backend")
			proxy.In(t).WaitTunnels(0)
		})
		t.Run(name+" under load", func(t *testing.T) {
			client, server := rig.Open(proxy.In(t), backend.In(t), "/ws/x")
			sent := sendAll(client, 15, pressureBytes)
			receiveAll(t, server, 15, 4<<20)
			die(server)
			client.WantGone()
			if err := rig.Receive(t, sent, "the sender is cut off"); err == nil {
				t.Error("everything was taken after the backend had died")
			}
			proxy.In(t).WaitTunnels(0)
		})
	}
}

// TestLastBytesBeforeFIN has the backend send much and close at once: the
// client must get all of it although the backend is gone.
func TestLastBytesBeforeFIN(t *testing.T) {
	bothWays(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, first, second end) {
		const size = 16 << 20
		sent := make(chan error, 1)
		go func() {
			err := rig.Pattern(16).Send(first, 0, size, nil)
			_ = first.Close()
			sent <- err
		}()
		receiveAll(t, second, 16, size)
		second.WantEnd()
		if err := rig.Receive(t, sent, "the end of sending"); err != nil {
			t.Fatal(err)
		}
		_ = second.Close()
		p.WaitTunnels(0)
	})
}

// wantEnded ends the test unless the log says soon that a tunnel was ended by
// who.
func wantEnded(t *testing.T, p *rig.Proxy, mark int, who string) {
	t.Helper()
	line := p.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
	if got := line.Text("ended_by"); got != who {
		t.Errorf("the log says ended_by=%q (why=%q), want %q", got, line.Text("why"), who)
	}
}
