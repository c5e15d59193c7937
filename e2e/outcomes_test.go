package e2e

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// The tests of this file are the cases in which Apache, HAProxy, nginx and
// lighttpd were measured to differ, with the outcome an operator would want.

// TestOutcomeOfOneWayTraffic has messages flow in one direction only, for
// several times the timeout: that is no idle tunnel, in whichever direction.
func TestOutcomeOfOneWayTraffic(t *testing.T) {
	onEachService(t, idleConfig, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		upClient, upServer := rig.Open(p, b, "/ws/up")
		downClient, downServer := rig.Open(p, b, "/ws/down")
		idle, idleServer := rig.Open(p, b, "/ws/idle")
		pace := time.NewTicker(idleTimeout / 4)
		defer pace.Stop()
		for range 12 {
			<-pace.C
			say(t, upClient, upServer, "to the backend")
			say(t, downServer, downClient, "to the client")
		}
		wantFarewell(t, idle, ws.StatusGoingAway)
		wantFarewell(t, idleServer, ws.StatusGoingAway)
		for _, e := range []end{upClient, upServer, downClient, downServer} {
			wantFarewell(t, e, ws.StatusGoingAway)
		}
		p.WaitTunnels(0)
	})
}

// TestOutcomeOfHandshakes has backends and clients stop before a tunnel opens.
func TestOutcomeOfHandshakes(t *testing.T) {
	cfg := rig.Config{Timeouts: rig.Settings{"head": "400ms", "upgrade": "500ms"}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		for name, c := range map[string]struct {
			backend func(*rig.BackendConn)
			status  int
		}{
			"the backend closes before it answers": {func(s *rig.BackendConn) { _ = s.Close() }, 502},
			"the backend resets before it answers": {func(s *rig.BackendConn) { s.Reset() }, 502},
			"the backend closes within its answer": {func(s *rig.BackendConn) { s.Put("HTTP/1.1 10"); _ = s.Close() }, 502},
			"the backend never answers":            {func(*rig.BackendConn) {}, 504},
			"the backend never ends its answer":    {func(s *rig.BackendConn) { s.Put("HTTP/1.1 101 Switching") }, 504},
		} {
			t.Run(name, func(t *testing.T) {
				client := rig.Dial(t, p.In(t).Addr(0))
				client.Put(upgradeTo("/ws/x"))
				server := b.In(t).Next()
				server.WantHead()
				c.backend(server)
				if a := client.Answer(); a.Status != c.status || !a.Closes() {
					t.Errorf("answer %q, want a closing %d", a.Raw, c.status)
				}
				client.WantEnd()
			})
		}
		t.Run("half a request", func(t *testing.T) {
			client := rig.Dial(t, p.In(t).Addr(0))
			client.Put(upgradeTo("/ws/x")[:100])
			want408(t, client)
		})
	})
}

// TestOutcomeOfLifetime opens ten tunnels, keeps them talking, and reads in the
// log how old they became: 10% less or more than was configured, and not all
// the same, so that they do not all come back at once.
func TestOutcomeOfLifetime(t *testing.T) {
	const tunnels = 10
	cfg := rig.Config{Tunnel: rig.Settings{"lifetime": "1s"}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		var talking sync.WaitGroup
		failures := make(chan error, tunnels)
		for range tunnels {
			client, server := rig.Open(p, b, "/ws/x")
			talking.Go(func() { failures <- talkUntilClose(client, server) })
		}
		talking.Wait()
		for range tunnels {
			if err := <-failures; err != nil {
				t.Error(err)
			}
		}
		p.WaitTunnels(0)
		ages := lifetimes(t, p, mark, tunnels)
		t.Log(ages)
		// A busy machine may make an end late, but never early.
		if ages[0] < 900*time.Millisecond || ages[0] > 1500*time.Millisecond || ages[tunnels-1] > 3*time.Second {
			t.Errorf("the tunnels lived for %v to %v, want 0.9 to 1.1 s", ages[0], ages[tunnels-1])
		}
		if spread := ages[tunnels-1] - ages[0]; spread < 50*time.Millisecond {
			t.Errorf("all tunnels ended within %v", spread)
		}
	})
}

// talkUntilClose sends messages one way until the other end reads a Close, and
// then ends the tunnel properly.
func talkUntilClose(client *rig.Client, server *rig.BackendConn) error {
	defer func() { _ = client.Close() }()
	defer func() { _ = server.Close() }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-stop:
				return
			case <-pace.C:
				_ = server.Answer(frameOf(server, ws.OpText, "tick"))
			}
		}
	}()
	for {
		f, err := readFrame(client)
		if err != nil {
			return err
		}
		if f.Header.OpCode == ws.OpClose {
			if code, reason := ws.ParseCloseFrameData(f.Payload); code != ws.StatusGoingAway {
				return fmt.Errorf("close %d %q, want 1001", code, reason)
			}
			return nil
		}
	}
}

// lifetimes returns how old the tunnels became that the log says have ended of
// age, the youngest first.
func lifetimes(t *testing.T, p *rig.Proxy, mark, n int) []time.Duration {
	t.Helper()
	var ages []time.Duration
	p.WaitLog(mark, "all tunnels are closed", func(l rig.Line) bool {
		if l.Msg() != "tunnel closed" {
			return false
		}
		age, err := time.ParseDuration(l.Text("duration"))
		if err != nil || l.Text("why") != "lifetime" {
			t.Errorf("a tunnel ended in another way: %v", l)
		}
		ages = append(ages, age)
		return len(ages) == n
	})
	slices.Sort(ages)
	return ages
}

// TestOutcomeOfHalfClose has a client say that it is done, and the backend go
// on: for as long as it likes while it talks, and then for the timeout.
func TestOutcomeOfHalfClose(t *testing.T) {
	const timeout = 400 * time.Millisecond
	cfg := rig.Config{Tunnel: rig.Settings{"half_close_timeout": timeout.String()}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "done")
		client.CloseWrite()
		server.WantEnd()
		pace := time.NewTicker(timeout / 4)
		defer pace.Stop()
		for range 6 {
			<-pace.C
			say(t, server, client, "not yet")
		}
		within(t, timeout-100*time.Millisecond, shortLate, func() { wantClose(t, client, ws.StatusGoingAway) })
		client.WantEnd()
		_, _ = client.Close(), server.Close()
		wantFields(t, closedLine(p, mark), map[string]any{
			"ended_by": "proxy", "why": "half-close timeout", "sent_close_code": 1001,
		})
	})
}

// TestOutcomeOfStop has tunnels be told when the process ends.
func TestOutcomeOfStop(t *testing.T) {
	cfg := rig.Config{Timeouts: rig.Settings{"drain": "300ms"}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "hello")
		p.Signal(syscall.SIGTERM)
		wantFarewell(t, client, ws.StatusGoingAway)
		wantFarewell(t, server, ws.StatusGoingAway)
		if code := p.WaitExit(rig.Soon); code != 0 {
			t.Errorf("exit status %d", code)
		}
	})
}

// TestOutcomeOfLoss has one side vanish without a Close: the other is told that
// something went wrong, instead of finding a stream that just ends (1006).
func TestOutcomeOfLoss(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		for name, lose := range map[string]func(*rig.Client, *rig.BackendConn) (left end){
			"the client resets":       func(c *rig.Client, s *rig.BackendConn) end { c.Reset(); return s },
			"the backend resets":      func(c *rig.Client, s *rig.BackendConn) end { s.Reset(); return c },
			"the backend closes":      func(c *rig.Client, s *rig.BackendConn) end { _ = s.Close(); return c },
			"the backend half-closes": func(c *rig.Client, s *rig.BackendConn) end { s.CloseWrite(); return c },
		} {
			t.Run(name, func(t *testing.T) {
				client, server := rig.Open(p.In(t), b.In(t), "/ws/x")
				say(t, client, server, "hello")
				wantFarewell(t, lose(client, server), ws.StatusInternalServerError)
			})
		}
	})
}

// TestOutcomeOfGoodbyes has the peers close as RFC 6455 says: both frames pass
// untouched, and nothing of ours comes between or behind.
func TestOutcomeOfGoodbyes(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		eachWay(t, p, b, func(t *testing.T, p *rig.Proxy, first, second end) {
			mark := p.Logs.Mark()
			say(t, first, second, "one")
			say(t, second, first, "two")
			say(t, second, first, "three")
			first.Put(closeFrame(first, 4001, "had enough"))
			wantClose(t, second, 4001)
			second.Put(closeFrame(second, ws.StatusNormalClosure, "fine"))
			wantClose(t, first, ws.StatusNormalClosure)
			_ = second.Close()
			first.WantEnd()
			_ = first.Close()
			want := map[string]any{
				"closed_first": "client", "client_close_code": 4001, "backend_close_code": 1000,
				"up_messages": 1, "down_messages": 2, "frames": "followed",
			}
			if isBackend(first) {
				want = map[string]any{
					"closed_first": "backend", "client_close_code": 1000, "backend_close_code": 4001,
					"up_messages": 2, "down_messages": 1, "frames": "followed",
				}
			}
			line := closedLine(p, mark)
			wantFields(t, line, want)
			wantAbsent(t, line, "sent_close_code")
		})
	})
}
