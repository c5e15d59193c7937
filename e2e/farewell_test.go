package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// What wsplice says when it ends a tunnel (RFC 6455 section 7.4.1): that it is
// going away, and that the other side is gone. 1005, 1006 and 1015 are for
// programs among themselves and must never be sent.
const (
	goingAway     = 1001
	internalError = 1011
)

// wantCloseAndEnd ends the test unless a Close frame with that code, masked for a
// backend alone, is all that comes before the end in good order.
func wantCloseAndEnd(t *testing.T, e end, code uint16) {
	t.Helper()
	_ = e.SetReadDeadline(time.Now().Add(rig.Soon))
	got, err := io.ReadAll(e)
	if err != nil {
		t.Fatalf("after %q, instead of the end: %v", got, err)
	}
	_, isBackend := e.(*rig.BackendConn)
	is, reason, err := rig.ParseClose(got, isBackend)
	if err != nil || is != code || reason == "" {
		t.Fatalf("%q, which is a Close with %d %q, %v; want %d and a reason", got, is, reason, err, code)
	}
}

// eachTunnelService runs test on a proxy for each way to serve tunnels, with
// further settings.
func eachTunnelService(t *testing.T, cfg rig.Config, test func(*testing.T, *rig.Proxy, *rig.Backend)) {
	t.Helper()
	for _, service := range services {
		t.Run(service.name, func(t *testing.T) {
			backend := rig.NewBackend(t, nil)
			own := cfg
			own.Tunnel = service.tunnel
			test(t, startToBackend(t, backend, own), backend)
		})
	}
}

// An unfinished frame, and a Close, as a backend sends them.
const (
	partOfFrame  = "\x82\x7e\x10\x00 some of 4096 bytes"
	backendClose = "\x88\x05\x03\xe8bye"
)

// TestSideDies has one side end its connection without a Close: the other one
// is told, where that can be said between two frames, and not otherwise.
func TestSideDies(t *testing.T) {
	eachTunnelService(t, rig.Config{}, func(t *testing.T, proxy *rig.Proxy, backend *rig.Backend) {
		open := func(t *testing.T) (*rig.Client, *rig.BackendConn) {
			return rig.Open(proxy.In(t), backend.In(t), "/ws/x")
		}
		t.Run("backend FIN", func(t *testing.T) {
			client, server := open(t)
			server.CloseWrite()
			wantCloseAndEnd(t, client, internalError)
			wantCloseAndEnd(t, server, internalError)
		})
		t.Run("backend RST", func(t *testing.T) {
			client, server := open(t)
			server.Reset()
			wantCloseAndEnd(t, client, internalError)
		})
		t.Run("client RST", func(t *testing.T) {
			client, server := open(t)
			client.Reset()
			wantCloseAndEnd(t, server, internalError)
		})
		t.Run("backend FIN after a message", func(t *testing.T) {
			client, server := open(t)
			server.Put("\x81\x02hi")
			client.Want("\x81\x02hi")
			_ = server.Close()
			wantCloseAndEnd(t, client, internalError)
		})
		t.Run("backend FIN within a frame", func(t *testing.T) {
			client, server := open(t)
			server.Put(partOfFrame)
			_ = server.Close()
			client.Want(partOfFrame)
			client.WantEnd()
		})
		t.Run("backend FIN after its own Close", func(t *testing.T) {
			client, server := open(t)
			server.Put(backendClose)
			server.CloseWrite()
			client.Want(backendClose)
			client.WantEnd()
			client.Put("late") // a half-closed tunnel goes on
			server.Want("late")
		})
		proxy.WaitTunnels(0)
	})
}

// TestDrainSaysGoodbye looks at the wire.
func TestDrainSaysGoodbye(t *testing.T) {
	cfg := rig.Config{Timeouts: rig.Settings{"drain": "200ms"}}
	eachTunnelService(t, cfg, func(t *testing.T, proxy *rig.Proxy, backend *rig.Backend) {
		const count = 20
		var ends []end
		for range count {
			client, server := rig.Open(proxy, backend, "/ws/x")
			ends = append(ends, client, server)
		}
		client, server := rig.Open(proxy, backend, "/ws/x")
		server.Put(partOfFrame)
		client.Want(partOfFrame)
		proxy.Signal(syscall.SIGTERM)
		for _, e := range ends {
			wantCloseAndEnd(t, e, goingAway)
			_ = e.Close()
		}
		client.WantEnd() // nothing can be said within a frame
		wantCloseAndEnd(t, server, goingAway)
		_, _ = client.Close(), server.Close()
		if code := proxy.WaitExit(rig.Soon); code != 0 {
			t.Errorf("exit status %d", code)
		}
	})
}

// TestDrainIsUnderstood asks the libraries, on both sides, what they were told.
func TestDrainIsUnderstood(t *testing.T) {
	needsWsplice(t)
	targets := map[string]string{}
	for _, l := range libraries() {
		targets[l.name] = l.serve(t)
	}
	for _, service := range services {
		t.Run(service.name, func(t *testing.T) {
			proxy := startToLibraries(t, targets, rig.Config{
				Tunnel: service.tunnel, Timeouts: rig.Settings{"drain": "200ms"},
			})
			sessions := openSessions(t, proxy)
			proxy.Signal(syscall.SIGTERM)
			for _, s := range sessions {
				s.wantEnd(t, goingAway)
				if got := rig.Receive(t, serverEnds.of(s.id), "the end at the server"); got.code != goingAway {
					t.Errorf("the server of %s was told %v", s.name, got)
				}
			}
			if code := proxy.WaitExit(rig.Soon); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

// TestKilledBackendIsUnderstood kills the process behind the tunnels.
func TestKilledBackendIsUnderstood(t *testing.T) {
	needsWsplice(t)
	for _, service := range services {
		t.Run(service.name, func(t *testing.T) {
			server := rig.StartHelper(t, "coder server")
			targets := map[string]string{}
			address := server.AskToListen()
			for _, l := range libraries() {
				targets[l.name] = address
			}
			proxy := startToLibraries(t, targets, rig.Config{Tunnel: service.tunnel})
			sessions := openSessions(t, proxy)
			raw := rig.Dial(t, proxy.Addr(0))
			raw.Put(upgradeTo("/coder/?id=raw"))
			if a := raw.Answer(); a.Status != 101 {
				t.Fatalf("answer %q, want 101", a.Raw)
			}
			server.Kill()
			for _, s := range sessions {
				s.wantEnd(t, internalError)
			}
			wantCloseAndEnd(t, raw, internalError)
			_ = raw.Close()
			proxy.WaitTunnels(0)
		})
	}
}

// A session is one client of a library, after an echo.
type session struct {
	peerConn
	name string
	id   string
}

// startToLibraries serves /NAME/ for each library's target.
func startToLibraries(t *testing.T, targets map[string]string, cfg rig.Config) *rig.Proxy {
	t.Helper()
	var routes strings.Builder
	for name, address := range targets {
		fmt.Fprintf(&routes, "- {path: /%s/, to: \"ws://%s/\"}\n", name, address)
	}
	cfg.Routes = routes.String()
	return rig.Start(t, cfg)
}

// openSessions opens one session for each library, to its own route.
func openSessions(t *testing.T, proxy *rig.Proxy) []session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rig.Soon)
	defer cancel()
	var all []session
	for _, l := range libraries() {
		id := fmt.Sprint(lastSession.Add(1))
		c, err := l.dial(ctx, fmt.Sprintf("%s/%s/?id=%s", proxy.URL(0), l.name, id), offer{})
		if err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
		t.Cleanup(func() { _ = c.close(1000, "") })
		echo(t, c, textMessage(100), 1)
		all = append(all, session{c, l.name, id})
	}
	return all
}

// wantEnd ends the test unless the client's library was told that code.
func (s session) wantEnd(t *testing.T, code int) {
	t.Helper()
	if !rig.Poll(rig.Soon, func() bool { return drained(s) }) {
		t.Fatalf("the client of %s does not see the end", s.name)
	}
	if got := s.end(); got.code != code {
		t.Errorf("the client of %s was told %v, want %d", s.name, got, code)
	}
}

// newCoderServerRole serves coder/websocket in a process of its own, which can
// be killed. "listen" answers with its address.
func newCoderServerRole() rig.Role {
	return func(string) string {
		address, err := listenAndServe(serveCoderSession)
		if err != nil {
			return "error: " + err.Error()
		}
		return address
	}
}
