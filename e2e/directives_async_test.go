package e2e

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// asyncTunnels is how many tunnels the tests open whose goroutines they count:
// so many that those of a scrape do not matter.
const asyncTunnels = 20

func goroutines(p *rig.Proxy) int { return int(p.Metrics().Sum("go_goroutines")) }

// TestProxyWebsocketAsync counts goroutines: an asynchronous tunnel has none,
// a synchronous one has two, and either gives back what it had.
func TestProxyWebsocketAsync(t *testing.T) {
	for name, c := range map[string]struct {
		settings rig.Settings
		each     int
	}{
		"ON, the default": {rig.Settings{}, 0},
		"ON":              {rig.Settings{"async": "on"}, 0},
		"OFF":             {rig.Settings{"async": "off"}, 2},
		"OFF, and a delay that means nothing then": {rig.Settings{"async": "off", "async_delay": "1ms"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			needsWsplice(t)
			backend := rig.EchoBackend(t)
			proxy := startWith(t, rig.Config{Tunnel: c.settings, Warned: true}, `- {path: /ws/, to: "ws://%[1]s/"}`, backend)
			before := goroutines(proxy)
			clients := openMany(t, proxy, asyncTunnels)
			for _, client := range clients {
				client.WantEcho("spoken")
			}
			const few = 8
			want := before + c.each*asyncTunnels
			rig.Eventually(t, rig.Soon, "as many goroutines as the tunnels need", func() bool {
				now := goroutines(proxy)
				return now >= want && now <= want+few
			})
			for _, client := range clients {
				_ = client.Close()
			}
			proxy.WaitTunnels(0)
			rig.Eventually(t, rig.Soon, "as many goroutines as before", func() bool { return goroutines(proxy) <= before+few })
		})
	}
}

// TestProxyWebsocketAsyncDelay has tunnels be synchronous while they talk, and
// asynchronous when they have been silent for that long, again and again.
func TestProxyWebsocketAsyncDelay(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Tunnel: rig.Settings{"async_delay": "600ms"}})
	before := goroutines(proxy)
	clients := openMany(t, proxy, asyncTunnels)
	for range 2 {
		for _, client := range clients {
			client.WantEcho("awake")
		}
		rig.Eventually(t, rig.Soon, "the talking tunnels have goroutines", func() bool {
			return goroutines(proxy) >= before+2*asyncTunnels
		})
		rig.Eventually(t, rig.Soon, "the silent tunnels have none", func() bool { return goroutines(proxy) < before+asyncTunnels })
	}
}

// TestEveryServiceMovesTheSameBytes says that only who waits differs.
func TestEveryServiceMovesTheSameBytes(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "up")
		say(t, server, client, "down")
		up := sendAll(client, 60, 8<<20)
		transfer(t, server, client, 61, 8<<20)
		receiveAll(t, server, 60, 8<<20)
		if err := rig.Receive(t, up, "the end of sending"); err != nil {
			t.Fatal(err)
		}
		// Quiet for longer than the delay, and then the end of one direction.
		rig.Lapse(quiet)
		client.Put("last words")
		client.CloseWrite()
		server.Want("last words")
		server.WantEnd()
		transfer(t, server, client, 62, 1<<20)
		_ = server.Close()
		client.WantEnd()
		p.WaitTunnels(0)
	})
}

// TestEveryServiceSaysHowTunnelsEnd has peers end tunnels in each way.
func TestEveryServiceSaysHowTunnelsEnd(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		for name, c := range map[string]struct {
			who string
			end func(c *rig.Client, s *rig.BackendConn)
		}{
			"client closes":  {"client", func(c *rig.Client, _ *rig.BackendConn) { _ = c.Close() }},
			"client resets":  {"client", func(c *rig.Client, _ *rig.BackendConn) { c.Reset() }},
			"backend closes": {"backend", func(_ *rig.Client, s *rig.BackendConn) { _ = s.Close() }},
			"backend resets": {"backend", func(_ *rig.Client, s *rig.BackendConn) { s.Reset() }},
		} {
			t.Run(name, func(t *testing.T) {
				client, server := rig.Open(p.In(t), b.In(t), "/ws/x")
				say(t, client, server, "hello")
				mark := p.Logs.Mark()
				c.end(client, server)
				for _, e := range []end{client, server} {
					if isBackend(e) == (c.who == "client") {
						e.WantGone()
						_ = e.Close()
					}
				}
				wantEnded(t, p.In(t), mark, c.who)
			})
		}
	})
}

// TestProxyWebsocketIdleTimeout is honoured in both modes, which the document
// does not promise, and ends in the words of the protocol, which no other does.
func TestProxyWebsocketIdleTimeout(t *testing.T) {
	onEachService(t, idleConfig, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "one message")
		within(t, idleTimeout-50*time.Millisecond, shortLate, func() {
			wantClose(t, client, ws.StatusGoingAway)
			wantClose(t, server, ws.StatusGoingAway)
		})
		// The answers that RFC 6455 wants are not met by a reset.
		client.Put(closeFrame(client, ws.StatusGoingAway, ""))
		server.Put(closeFrame(server, ws.StatusGoingAway, ""))
		for _, e := range []end{client, server} {
			e.WantEnd()
			_ = e.Close()
		}
		wantFields(t, closedLine(p, mark), map[string]any{
			"ended_by": "proxy", "why": "idle timeout", "closed_first": "proxy", "sent_close_code": 1001,
			"up_messages": 1, "down_messages": 0,
		})
		p.WaitTunnels(0)
	})
}

// TestProxyWebsocketIdleTimeoutZero is no limit, whatever Apache made of it.
func TestProxyWebsocketIdleTimeoutZero(t *testing.T) {
	onEachService(t, rig.Config{Tunnel: rig.Settings{"idle_timeout": "0s"}}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "before")
		rig.Lapse(2 * idleTimeout)
		say(t, client, server, "after")
		say(t, server, client, "after")
	})
}

// TestProxyWebsocketIdleTimeoutIsInherited has a route of its own settings keep
// the others, which a <Location> of Apache loses.
func TestProxyWebsocketIdleTimeoutIsInherited(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startWith(t, idleConfig, `
- {path: /inherits/, to: "ws://%[1]s/", tunnel: {half_close_timeout: 9s}}
- {path: /own/, to: "ws://%[1]s/", tunnel: {idle_timeout: 0s}}
- {path: /sync/, to: "ws://%[1]s/", tunnel: {async: off}}`, backend)
	inherits, _ := rig.Open(proxy, backend, "/inherits/x")
	own, server := rig.Open(proxy, backend, "/own/x")
	sync, _ := rig.Open(proxy, backend, "/sync/x")
	wantFarewell(t, inherits, ws.StatusGoingAway)
	wantFarewell(t, sync, ws.StatusGoingAway)
	say(t, own, server, "still here")
}
