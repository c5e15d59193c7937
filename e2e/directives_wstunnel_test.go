package e2e

import (
	"encoding/base64"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// The tests of this file bear the names of what the page about lighttpd's
// mod_wstunnel describes.

// TestWstunnelServer is wstunnel.server with `host` and `port`, and with `socket`:
// the first that matches the path takes the connection, which the backend sees as
// bytes.
func TestWstunnelServer(t *testing.T) {
	tcp := rig.NewBackend(t, nil)
	unix := rig.NewBackendAt(t, "unix:"+filepath.Join(t.TempDir(), "s"), nil)
	proxy := startRoutes(t, `
- {path: /ws/a, mode: endpoint, to: "unix:%[2]s"}
- {path: /ws, mode: endpoint, to: "tcp://%[1]s"}
- {suffix: .ws3, mode: endpoint, to: "unix:%[2]s"}`, tcp, unix)
	for target, backend := range map[string]*rig.Backend{
		"/ws": tcp, "/ws/b?x=1": tcp, "/ws/a": unix, "/other/chat.ws3": unix,
	} {
		t.Run(target, func(t *testing.T) {
			client := openEndpoint(t, proxy.In(t), target)
			server := backend.In(t).Next()
			client.Put(textFrame("no head, no frame"))
			server.Want("no head, no frame")
			server.Put("an answer")
			wantFrame(t, client, ws.OpText, "an answer")
			client.Put(closingFrame(codeBody(1000, "")))
			server.WantEnd()
			_ = server.Close()
			wantFarewell(t, client, ws.StatusNormalClosure)
		})
	}
	for request, status := range map[string]int{
		getRequest("/ws"):                              426,
		upgradeTo("/wsx"):                              404,
		edited("/ws", "Version: 13", "Version: 8"):     426,
		edited("/ws", keyLine, ""):                     400,
		asking("GET", "/ws", "h2c"):                    426,
		rig.UpgradeRequest("/ws", "Content-Length: 5"): 400,
	} {
		client := rig.Dial(t, proxy.Addr(0))
		client.Put(request)
		if a := client.Answer(); a.Status != status {
			t.Errorf("%q: answer %q, want %d", request, a.Raw, status)
		}
		_ = client.Close()
	}
	if tcp.Pending() > 0 {
		t.Error("a backend was contacted for a request that was refused")
	}
}

// TestWstunnelFrameType is wstunnel.frame-type: what messages are made of the
// backend's bytes. The client may send either.
func TestWstunnelFrameType(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startRoutes(t, `
- {path: /default, mode: endpoint, to: "tcp://%[1]s"}
- {path: /text, mode: endpoint, frame_type: text, to: "tcp://%[1]s"}
- {path: /binary, mode: endpoint, frame_type: binary, to: "tcp://%[1]s"}`, backend)
	for target, opcode := range map[string]ws.OpCode{
		"/default": ws.OpText, "/text": ws.OpText, "/binary": ws.OpBinary,
	} {
		t.Run(target, func(t *testing.T) {
			client := openEndpoint(t, proxy.In(t), target)
			server := backend.In(t).Next()
			client.Put(textFrame("te") + binaryFrame("xt"))
			server.Want("text")
			server.Put("é")
			wantFrame(t, client, opcode, "é")
			if opcode == ws.OpBinary {
				server.Put("\xff\xfe")
				wantFrame(t, client, opcode, "\xff\xfe")
				return
			}
			server.Put("\xc3") // half of a character waits for the other
			server.Put("\xa9\xff")
			wantFrame(t, client, opcode, "é")
			wantFarewell(t, client, ws.StatusInvalidFramePayloadData)
			server.WantEnd()
		})
	}
}

// TestWstunnelOrigins is wstunnel.origins.
func TestWstunnelOrigins(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startRoutes(t, `- {path: /ws, mode: endpoint, origins: [example.com, "https://a.test"], to: "tcp://%[1]s"}`, backend)
	for origin, status := range map[string]int{
		"https://example.com": 101, "http://sub.example.com": 101, "https://a.test": 101,
		"https://evilexample.com": 403, "http://a.test": 403, "https://sub.a.test": 403, "null": 403, "": 400,
	} {
		t.Run(origin, func(t *testing.T) {
			before := backend.Accepts()
			client := rig.Dial(t, proxy.In(t).Addr(0))
			client.Put(rig.UpgradeRequest("/ws", "Origin: "+origin))
			if a := client.Answer(); a.Status != status {
				t.Errorf("answer %q, want %d", a.Raw, status)
			}
			if status == 101 {
				backend.In(t).Next()
				return
			}
			client.WantEnd()
			if backend.Accepts() > before {
				t.Error("a backend was contacted")
			}
		})
	}
}

// TestWstunnelPingInterval is wstunnel.ping-interval, with the deadline for the
// answer that lighttpd lacks. The backend hears nothing of it.
func TestWstunnelPingInterval(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startWith(t, rig.Config{Tunnel: rig.Settings{"ping_interval": "50ms", "pong_timeout": "400ms"}, Warned: true},
		`- {path: /ws, mode: endpoint, to: "tcp://%[1]s"}`, backend)
	client := openEndpoint(t, proxy, "/ws")
	server := backend.Next()
	begin := time.Now()
	for time.Since(begin) < 600*time.Millisecond { // longer than a missing pong is waited for
		f := nextFrame(t, client)
		if f.Header.OpCode != ws.OpPing {
			t.Fatalf("a frame with opcode %d", f.Header.OpCode)
		}
		client.Put(pongFrame(string(f.Payload)))
	}
	client.Put(textFrame("alive"))
	server.Want("alive")
	for { // now it keeps silent
		f := nextFrame(t, client)
		if f.Header.OpCode == ws.OpPing {
			continue
		}
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != internalError {
			t.Fatalf("a frame with opcode %d and %q, want Close 1011", f.Header.OpCode, f.Payload)
		}
		break
	}
	server.WantEnd()
	_ = server.Close()
	client.WantEnd()
}

// TestWstunnelSubprotocols are `binary`, which makes binary messages, and `base64`,
// whose messages hold base64 in both directions, as noVNC and websockify have it.
// Others are accepted where the route lists them.
func TestWstunnelSubprotocols(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startRoutes(t, `
- {path: /default, mode: endpoint, to: "tcp://%[1]s"}
- {path: /mqtt, mode: endpoint, frame_type: binary, subprotocols: [mqtt, mqttv3.1], to: "tcp://%[1]s"}
- {path: /none, mode: endpoint, subprotocols: [], to: "tcp://%[1]s"}`, backend)
	const anything = "\x00\x01\xfe\xff any bytes"
	encoded := base64.StdEncoding.EncodeToString([]byte(anything))
	for _, c := range []struct {
		target, offered, chosen string
		opcode                  ws.OpCode
	}{
		{"/default", "binary", "binary", ws.OpBinary},
		{"/default", "base64", "base64", ws.OpText},
		{"/default", "binary, base64", "binary", ws.OpBinary},
		{"/default", "chat, base64", "base64", ws.OpText},
		{"/mqtt", "mqttv3.1, mqtt", "mqttv3.1", ws.OpBinary},
		{"/mqtt", "binary", "", ws.OpBinary},
		{"/none", "binary", "", ws.OpText},
	} {
		t.Run(c.target+" "+c.offered, func(t *testing.T) {
			client := rig.Dial(t, proxy.In(t).Addr(0))
			client.Put(rig.UpgradeRequest(c.target, "Sec-WebSocket-Protocol: "+c.offered))
			if a := client.Answer(); a.Status != 101 || a.Header.Get("Sec-WebSocket-Protocol") != c.chosen {
				t.Fatalf("answer %q, want subprotocol %q", a.Raw, c.chosen)
			}
			server := backend.In(t).Next()
			switch {
			case c.chosen == "base64":
				client.Put(begun(encoded[:5]) + finished(encoded[5:]))
				server.Want(anything)
				server.Put(anything)
				wantFrame(t, client, c.opcode, encoded)
			case c.opcode == ws.OpBinary:
				client.Put(binaryFrame(anything))
				server.Want(anything)
				server.Put(anything)
				wantFrame(t, client, c.opcode, anything)
			default:
				server.Put("text")
				wantFrame(t, client, c.opcode, "text")
			}
		})
	}
}

// TestWstunnelClosings are how the end of one side is told to the other.
func TestWstunnelClosings(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	const route = `- {path: /ws, mode: endpoint, to: "tcp://%[1]s"}`
	proxy := startRoutes(t, route, backend)
	open := func(t *testing.T) (*rig.Client, *rig.BackendConn) {
		return openEndpoint(t, proxy.In(t), "/ws"), backend.In(t).Next()
	}
	t.Run("the backend ends", func(t *testing.T) {
		client, server := open(t)
		server.Put("last words")
		_ = server.Close()
		wantFrame(t, client, ws.OpText, "last words")
		wantFarewell(t, client, goingAway)
	})
	t.Run("the backend is reset", func(t *testing.T) {
		client, server := open(t)
		server.Reset()
		wantFarewell(t, client, internalError)
	})
	t.Run("the client ends without a Close", func(t *testing.T) {
		client, server := open(t)
		client.CloseWrite()
		server.WantEnd()
		server.Put("late")
		wantFrame(t, client, ws.OpText, "late")
		_ = server.Close()
		wantFarewell(t, client, goingAway)
	})
	t.Run("the client is reset", func(t *testing.T) {
		client, server := open(t)
		client.Reset()
		server.WantGone()
	})
	t.Run("the log", func(t *testing.T) {
		fresh := startRoutes(t, route, backend) // whose log has no lines of the others, which may come late
		client, server := openEndpoint(t, fresh, "/ws"), backend.In(t).Next()
		client.Put(textFrame("1") + textFrame("2") + closingFrame(codeBody(4001, "")))
		server.Want("12")
		_ = server.Close()
		wantFarewell(t, client, 4001)
		wantFields(t, closedLine(fresh, 0), map[string]any{
			"ended_by": "client", "up_messages": 2, "up_bytes": 2, "down_messages": 0,
			"client_close_code": 4001, "sent_close_code": 4001, "closed_first": "client",
		})
	})
	proxy.WaitTunnels(0)
}

// TestWstunnelClients has real WebSocket clients talk to a server that knows no
// WebSocket.
func TestWstunnelClients(t *testing.T) {
	needsWsplice(t)
	backend := rig.NewBackend(t, (*rig.BackendConn).Echo)
	proxy := startRoutes(t, `- {path: /ws, mode: endpoint, to: "tcp://%[1]s"}`, backend)
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			pair := interopPair{client: l, url: proxy.In(t).URL(0) + "/ws"}
			c, _ := pair.open(t, "", offer{deflate: true})
			if c.deflates() {
				t.Error("an extension was agreed on")
			}
			for _, size := range []int{1, 125, 126, 4000} {
				echo(t, c, textMessage(size), 1)
			}
			pingAndClose(t, c)
		})
	}
}
