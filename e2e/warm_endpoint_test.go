package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// greeting is what a VNC server says before anybody else.
const greeting = "RFB 003.008\n"

// warmEndpoint is a process that keeps warm connections to a server that speaks no
// WebSocket.
func warmEndpoint(t *testing.T, warm int, server string) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	return rig.Start(t, rig.Config{
		Routes:    `- {path: /ws/, mode: endpoint, frame_type: binary, upstream: all}`,
		Upstreams: fmt.Sprintf("  all:\n    warm: %d\n    servers:\n      - {%s}\n", warm, server),
	})
}

// TestWarmEndpointServerSpeaksFirst has a server that greets whoever connects. What
// it said to a warm connection is the first message of the client that takes it.
func TestWarmEndpointServerSpeaksFirst(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = "unix:" + rig.TempDir(t, 0) + "/s"
			}
			backend := rig.NewBackendAt(t, address, func(c *rig.BackendConn) {
				if c.Answer(greeting) == nil {
					c.Echo()
				}
			})
			server := fmt.Sprintf("url: \"tcp://%s\"", backend.Addr())
			if network == "unix" {
				server = "socket: " + backend.Addr()
			}
			proxy := warmEndpoint(t, 3, server)
			wantWarm(t, proxy, 3)
			start := proxy.SettledUsage()
			var clients []*rig.Client
			for i := range 10 {
				wantWarm(t, proxy, 3)
				rig.Eventually(t, rig.Soon, fmt.Sprintf("%d connections at the backend before client %d", 3+i, i), func() bool {
					return backend.Accepts() == 3+i
				})
				c := openEndpoint(t, proxy, "/ws/x")
				said := &payloads{t: t, client: c}
				said.want(greeting)
				c.Put(binaryFrame("hello"))
				said.want("hello")
				clients = append(clients, c)
			}
			wantTaken(t, proxy, 10)
			for _, c := range clients {
				_ = c.Close()
			}
			wantWarm(t, proxy, 3)
			proxy.WaitUsage(rigSettle, start)
		})
	}
}

// newImpatient is a fickle backend that speaks bytes.
func newImpatient(t *testing.T) *fickle {
	t.Helper()
	begin := func(c *rig.BackendConn) error {
		_, err := c.R.Peek(1)
		return err
	}
	return newFickle(t, begin, func(*rig.BackendConn) error { return nil })
}

// TestWarmEndpointIdleClientsAreHungUp ends all connections on which nothing was
// said, as they are taken and after that. Nobody who speaks later may notice.
func TestWarmEndpointIdleClientsAreHungUp(t *testing.T) {
	const size = 64
	for name, end := range map[string]func(c *rig.BackendConn){
		"closed": func(c *rig.BackendConn) { _ = c.Close() },
		"reset":  (*rig.BackendConn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			backend := newImpatient(t)
			proxy := warmEndpoint(t, size, fmt.Sprintf("url: \"tcp://%s\"", backend.Addr()))
			wantWarm(t, proxy, size)
			start, address := proxy.SettledUsage(), proxy.Addr(0)
			for range 3 {
				wantWarm(t, proxy, size)
				rig.Lapse(1100 * time.Millisecond) // what ends younger is dialed again with a pause
				opened, speak, done := make(chan error, size), make(chan struct{}), make(chan error, size)
				for range size {
					go func() {
						c, err := openBytes(address)
						opened <- err
						<-speak
						if err == nil {
							err = speakOnce(c)
						}
						done <- err
					}()
				}
				backend.drop(end)
				for range size {
					if err := rig.Receive(t, opened, "a 101"); err != nil {
						t.Error(err)
					}
				}
				close(speak)
				for range size {
					if err := rig.Receive(t, done, "an echo"); err != nil {
						t.Error(err)
					}
				}
			}
			m := proxy.Metrics()
			t.Logf("%.0f taken, %.0f dead", m.Sum("wsplice_warm_taken_total"), m.Sum("wsplice_warm_dead_total"))
			proxy.WaitTunnels(0)
			wantWarm(t, proxy, size)
			proxy.WaitUsage(rigSettle, start)
		})
	}
}

// openBytes opens an endpoint, in any goroutine.
func openBytes(address string) (*rig.Client, error) {
	c, err := rig.DialErr(address)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(rig.Soon))
	if _, err = io.WriteString(c, rig.UpgradeRequest("/ws/x")); err != nil {
		return nil, err
	}
	for {
		line, err := c.R.ReadString('\n')
		switch {
		case err != nil:
			return nil, err
		case strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 101 "):
			return nil, errors.New(line)
		case line == "\r\n":
			return c, nil
		}
	}
}

// speakOnce says something, wants it back, and closes.
func speakOnce(c *rig.Client) error {
	const word = "hello"
	_, err := io.WriteString(c, binaryFrame(word))
	if err != nil {
		return err
	}
	f, err := ws.ReadFrame(c.R)
	if err != nil {
		return err
	}
	if f.Header.OpCode != ws.OpBinary || string(f.Payload) != word {
		return fmt.Errorf("a frame with opcode %d and %q", f.Header.OpCode, f.Payload)
	}
	return c.Close()
}

// TestWarmEndpointServerIsEndless has a server that sends on and on. It is served,
// but not kept warm: it is not connected to again and again, and what it sends does
// not fill memory.
func TestWarmEndpointServerIsEndless(t *testing.T) {
	backend := rig.NewBackend(t, func(c *rig.BackendConn) {
		_, _ = io.Copy(c.Conn, strings.NewReader(strings.Repeat("0123456789abcdef", 64<<10)))
		c.Drain()
	})
	proxy := warmEndpoint(t, 2, fmt.Sprintf("url: \"tcp://%s\"", backend.Addr()))
	proxy.WaitLog(0, "that it is not kept warm", func(l rig.Line) bool { return strings.Contains(l.Msg(), "set warm: 0") })
	rig.Eventually(t, rig.Soon, "both connections are there", func() bool { return backend.Accepts() == 2 })
	wantWarm(t, proxy, 0)
	before := backend.Accepts()
	said := &payloads{t: t, client: openEndpoint(t, proxy, "/ws/x")}
	said.want(strings.Repeat("0123456789abcdef", 64<<10))
	rig.Lapse(1500 * time.Millisecond) // it would have been dialed by now
	if n := backend.Accepts(); n != before+1 {
		t.Errorf("%d connections with one client, want 1", n-before)
	}
}
