package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/net/http2"

	"wsplice/e2e/internal/rig"
)

// TestH2Endpoint has bytes behind frames, as the routes of HTTP/1.1 have them.
func TestH2Endpoint(t *testing.T) {
	backend := rig.NewBackend(t, (*rig.BackendConn).Echo)
	proxy, c := dialH2(t, backend, rig.Config{Routes: fmt.Sprintf(
		`- {path: /, mode: endpoint, frame_type: binary, subprotocols: [binary], to: "tcp://%s"}`, backend.Addr())})
	mark := proxy.Logs.Mark()
	client := c.Connect("/x", h2Field("sec-websocket-protocol", "base64, binary"))
	if a := client.Answer(); a.Status != http.StatusOK || a.Header.Get("Sec-WebSocket-Protocol") != "binary" {
		t.Fatalf("answered %q", a.Raw)
	}
	client.Put(frameOf(client, ws.OpBinary, "hello"))
	wantFrame(t, client, ws.OpBinary, "hello")
	client.Put(frameOf(client, ws.OpPing, "knock"))
	wantFrame(t, client, ws.OpPong, "knock")
	client.Put(frameOf(client, ws.OpClose, "\x03\xe8"))
	wantClose(t, client, ws.StatusNormalClosure)
	client.WantEnd()
	wantFields(t, closedLine(proxy, mark), map[string]any{"http": "2", "client_close_code": 1000})
	bad := c.Connect("/x")
	bad.Put("\x82\x05hello") // not masked
	if a := bad.Answer(); a.Status != http.StatusOK {
		t.Fatalf("answered %q", a.Raw)
	}
	wantClose(t, bad, ws.StatusProtocolError)
	bad.WantEnd()
}

// TestH2Frames follows frames, and counts a client that breaks their rules.
func TestH2Frames(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{Tunnel: rig.Settings{"frames": "always"}})
	mark := proxy.Logs.Mark()
	client, server := rig.OpenH2(c, backend, "/ws/x")
	for _, text := range []string{"one", "two"} {
		raw := frameOf(client, ws.OpText, text)
		client.Put(raw)
		server.Want(raw)
	}
	client.Put(closeFrame(client, ws.StatusNormalClosure, ""))
	wantClose(t, server, ws.StatusNormalClosure)
	server.Put(closeFrame(server, ws.StatusNormalClosure, ""))
	wantClose(t, client, ws.StatusNormalClosure)
	_ = server.Close()
	client.WantEnd()
	client.CloseWrite()
	wantFields(t, closedLine(proxy, mark), map[string]any{
		"http": "2", "frames": "followed", "up_messages": 2, "closed_first": "client", "client_close_code": 1000,
	})
	mark = proxy.Logs.Mark()
	before := proxy.Metrics().Sum("wsplice_frame_violations_total")
	client, server = rig.OpenH2(c, backend, "/ws/x")
	client.Put("\x8f\x80abcd") // there is no such opcode
	server.Want("\x8f\x80abcd")
	client.Reset()
	server.WantGone()
	wantFields(t, closedLine(proxy, mark), map[string]any{"frames": "violation"})
	if n := proxy.Metrics().Sum("wsplice_frame_violations_total") - before; n != 1 {
		t.Errorf("%v violations counted, want 1", n)
	}
}

// TestH2IdleTimeout ends one stream of a connection.
func TestH2IdleTimeout(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{Tunnel: rig.Settings{"idle_timeout": "400ms"}})
	client, server := rig.OpenH2(c, backend, "/ws/x")
	within(t, shortTimeout-100*time.Millisecond, shortLate, func() { wantCloseAndEnd(t, client, goingAway) })
	wantClose(t, server, ws.StatusGoingAway)
	c.WantPong()
	client, server = rig.OpenH2(c, backend, "/ws/x")
	client.Put("\x82\x80abcd")
	server.Want("\x82\x80abcd")
}

// TestH2TunnelsLimit counts streams as it counts connections, and refuses one by one.
func TestH2TunnelsLimit(t *testing.T) {
	const limit = 5
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{Limits: rig.Settings{"tunnels": fmt.Sprint(limit)}})
	var last *rig.H2Stream
	var end *rig.BackendConn
	open := 0
	for ; open <= limit; open++ {
		s := c.Connect("/ws/x")
		if backend.Pending() == 0 {
			if done := rig.Poll(rig.Soon, func() bool { return backend.Pending() > 0 || s.Answered() }); !done {
				t.Fatal("neither an answer nor a connection")
			}
		}
		if s.Answered() {
			if a := s.Answer(); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
				t.Errorf("answered %q, want 503 with Retry-After", a.Raw)
			}
			break
		}
		last, end = s, backend.Next()
		end.WantHead()
		if err := end.Upgrade(); err != nil {
			t.Fatal(err)
		}
		s.Answer()
	}
	if open < limit-h2Connection || open > limit {
		t.Errorf("%d tunnels were opened, want %d, or one less for their connection", open, limit)
	}
	last.Put("still open")
	end.Want("still open")
	last.Reset()
	end.WantGone()
	_ = end.Close()
	rig.Eventually(t, rig.Soon, "there is room again", func() bool {
		s := c.Connect("/ws/x")
		rig.Poll(rig.Soon, func() bool { return backend.Pending() > 0 || s.Answered() })
		if s.Answered() {
			return false
		}
		backend.Next()
		return true
	})
}

// TestH2HeadBytes refuses a header list that is larger than heads may be, alone.
func TestH2HeadBytes(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{Limits: rig.Settings{"head_bytes": "4KiB"}})
	for _, size := range []int{5 << 10, 12 << 10} {
		s := c.Connect("/ws/x", h2Field("x-large", strings.Repeat("x", size)))
		if status := s.Status(); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d bytes: answered %d, want 431", size, status)
		}
	}
	if n := backend.Accepts(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
	client, server := rig.OpenH2(c, backend, "/ws/x", h2Field("x-medium", strings.Repeat("x", 3<<10)))
	client.Put("goes on")
	server.Want("goes on")
}

// TestH2Drain says GOAWAY, lets open streams end, and takes no new ones.
func TestH2Drain(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{Timeouts: rig.Settings{"drain": "60s"}, Tunnel: rig.Settings{"frames": "off"}})
	c1, s1 := rig.OpenH2(c, backend, "/ws/x")
	c2, s2 := rig.OpenH2(c, backend, "/ws/x")
	proxy.Signal(syscall.SIGTERM)
	if bye := c.WantGoAway(); bye.Code != http2.ErrCodeNo {
		t.Errorf("GOAWAY with %v", bye.Code)
	}
	transfer(t, c1, s1, 18, 8<<20)
	transfer(t, s2, c2, 19, 8<<20)
	c1.CloseWrite()
	s1.WantEnd()
	_ = s1.Close()
	c1.WantEnd()
	c2.Put("still here")
	s2.Want("still here")
	_ = s2.Close()
	c2.WantEnd()
	c2.CloseWrite()
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
	c.WantGone()
}

// TestH2DrainTimeout ends what does not end by itself.
func TestH2DrainTimeout(t *testing.T) {
	const drain = 400 * time.Millisecond
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{Timeouts: rig.Settings{"drain": drain.String()}})
	client, server := rig.OpenH2(c, backend, "/ws/x")
	proxy.Signal(syscall.SIGTERM)
	client.WantGone()
	server.WantGone()
	_ = server.Close()
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestH2StopsWithIdleConnections does not wait for a connection without streams.
func TestH2StopsWithIdleConnections(t *testing.T) {
	proxy, c := dialH2(t, rig.NewBackend(t, nil), rig.Config{Timeouts: rig.Settings{"drain": "60s"}})
	c.WantPong()
	proxy.Signal(syscall.SIGTERM)
	c.WantGoAway()
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
