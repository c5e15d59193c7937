package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// drainSignals are the ones that stop a process in good order.
var drainSignals = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}

// TestDrainLetsTunnelsEnd stops a process with tunnels open: they go on, new
// clients are turned away, and the end of the last tunnel is the end.
func TestDrainLetsTunnelsEnd(t *testing.T) {
	for _, signal := range drainSignals {
		t.Run(signal.String(), func(t *testing.T) {
			backend := rig.NewBackend(t, nil)
			proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "60s"}})
			c1, s1 := rig.Open(proxy, backend, "/ws/x")
			c2, s2 := rig.Open(proxy, backend, "/ws/x")
			address := proxy.Addr(0)
			proxy.Signal(signal)
			rig.Eventually(t, rig.Soon, "new clients are turned away", func() bool {
				c, err := rig.DialErr(address)
				if err == nil {
					_ = c.Close()
				}
				return err != nil
			})
			transfer(t, c1, s1, 18, 8<<20)
			transfer(t, s2, c2, 19, 8<<20)
			_ = c1.Close()
			s1.WantEnd()
			_ = s1.Close()
			c2.Put("still here")
			s2.Want("still here")
			_ = s2.Close()
			c2.WantEnd()
			_ = c2.Close()
			if code := proxy.WaitExit(rig.Soon); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

func TestDrainTimeout(t *testing.T) {
	for _, drain := range []string{"400ms", "0s"} {
		t.Run(drain, func(t *testing.T) {
			backend := rig.NewBackend(t, nil)
			proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": drain}})
			client, server := rig.Open(proxy, backend, "/ws/x")
			mark := proxy.Logs.Mark()
			limit, _ := time.ParseDuration(drain)
			within(t, limit, limit+shortLate, func() {
				proxy.Signal(syscall.SIGTERM)
				client.WantGone()
				server.WantGone()
				if code := proxy.WaitExit(rig.Soon); code != 0 {
					t.Errorf("exit status %d", code)
				}
			})
			line := proxy.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
			t.Logf("closed: ended_by=%q why=%q", line.Text("ended_by"), line.Text("why"))
		})
	}
}

// TestDrainWithStalledTunnel has a tunnel that cannot be flushed: it must not
// hold up the end beyond the timeout.
func TestDrainWithStalledTunnel(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "400ms"}})
	_, server := rig.Open(proxy, backend, "/ws/x")
	fill(t, server)
	proxy.Signal(syscall.SIGTERM)
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestDrainServesTheQueue stops a process whose listening sockets hold clients
// that it has not accepted yet. Each had a completed connect, so closing the
// sockets under them would reset them.
func TestDrainServesTheQueue(t *testing.T) {
	const queued = 2000 // more than a loop accepts before it hears of the signal
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "60s"}})
	rig.MustOpenEcho(t, proxy, "/ws/first").WantEcho("warm")
	proxy.Signal(syscall.SIGSTOP)
	clients := make([]*rig.Client, queued)
	for i := range clients {
		clients[i] = rig.Dial(t, proxy.Addr(0))
		clients[i].Put(upgradeTo("/ws/x"))
	}
	proxy.Signal(syscall.SIGTERM)
	proxy.Signal(syscall.SIGCONT)
	for i, c := range clients {
		a, err := c.AnswerErr()
		if err != nil {
			t.Fatalf("queued client %d: %v", i, err)
		}
		if a.Status != 101 {
			t.Fatalf("queued client %d: %q", i, a.Raw)
		}
		c.WantEcho(fmt.Sprintf("queued client %d", i))
		_ = c.Close()
	}
}

// TestSecondSignal must neither crash the process nor make it stay.
func TestSecondSignal(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "1s"}})
	client, _ := rig.Open(proxy, backend, "/ws/x")
	mark := proxy.Logs.Mark()
	proxy.Signal(syscall.SIGTERM)
	proxy.WaitLog(mark, "the process says that it stops", func(rig.Line) bool { return true })
	proxy.Signal(syscall.SIGTERM)
	client.WantGone()
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestReloadIsNotSupportedYet sends SIGHUP: one line in the log, and nothing
// else.
func TestReloadIsNotSupportedYet(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.MustOpenEcho(t, proxy, "/ws/x")
	mark := proxy.Logs.Mark()
	proxy.Signal(syscall.SIGHUP)
	proxy.WaitLog(mark, "reload is not supported yet", func(l rig.Line) bool {
		return strings.Contains(l.Msg(), "reload is not supported yet")
	})
	client.WantEcho("still here")
	rig.MustOpenEcho(t, proxy, "/ws/x").WantEcho("and for new ones")
}

// TestStopWhileClientsAreInTheHandshake has clients in the states before a
// tunnel: none of them may keep the process alive for longer than the drain.
func TestStopWhileClientsAreInTheHandshake(t *testing.T) {
	needsWsplice(t)
	backend := rig.NewBackend(t, nil)
	proxy := rig.Start(t, rig.Config{
		Timeouts: rig.Settings{"drain": "500ms", "head": "60s", "upgrade": "60s", "dial": "60s"},
		Routes: fmt.Sprintf(`
- {path: /ws/, to: "%s/"}
- {path: /pending/, to: "ws://%s/"}`, backend.URL(), rig.Blackhole(t)),
	})
	for range 3 {
		rig.Dial(t, proxy.Addr(0)).Put("GET /ws/x HTTP/1.1\r\nHost")
		rig.Dial(t, proxy.Addr(0)).Put(upgradeTo("/pending/x"))
		rig.Dial(t, proxy.Addr(0)).Put(upgradeTo("/ws/x"))
		backend.Next().WantHead()
	}
	proxy.Signal(syscall.SIGTERM)
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
