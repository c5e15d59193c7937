package e2e

import (
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// asking is a request that asks for protocols, without a WebSocket handshake.
func asking(method, target, protocols string, lines ...string) string {
	head := []string{
		method + " " + target + " HTTP/1.1", "Host: example.test",
		"Connection: Upgrade", "Upgrade: " + protocols,
	}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n\r\n"
}

// upgradingTo is a correct handshake whose Upgrade field says something else.
func upgradingTo(target, protocols string) string {
	return edited(target, "Upgrade: websocket", "Upgrade: "+protocols)
}

// wantUpgradeSeen ends the test unless the backend was asked for exactly that.
func wantUpgradeSeen(t *testing.T, m mirrored, protocols string) {
	t.Helper()
	if m.backend == "" {
		t.Fatalf("no backend saw the request; answer %q", m.Raw)
	}
	if got := m.head.Values("Upgrade"); len(got) != 1 || got[0] != protocols {
		t.Errorf("the backend sees Upgrade %q, want %q", got, protocols)
	}
	if got := m.head.Values("Connection"); len(got) != 1 || !strings.EqualFold(got[0], "upgrade") {
		t.Errorf("the backend sees Connection %q, want upgrade", got)
	}
}

// TestUpgradeWebSocketIsLowerCaseAtTheBackend is the summary's `Upgrade:
// WebSocket`: clients may spell it as they like, and strict backends need not.
func TestUpgradeWebSocketIsLowerCaseAtTheBackend(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /ws/, to: "ws://%[1]s/"}
- {path: /any/, upgrade: ANY, to: "ws://%[1]s/"}
- {path: /none/, upgrade: NONE, to: "ws://%[1]s/"}
- {path: /list/, upgrade: [WebSocket, tcp], to: "ws://%[1]s/"}`, newMirror(t, "b"))
	for _, path := range []string{"/ws/x", "/any/x", "/none/x", "/list/x"} {
		for _, spelling := range []string{"websocket", "WebSocket", "WEBSOCKET"} {
			t.Run(path+" "+spelling, func(t *testing.T) {
				client, m := lookThrough(t, proxy.In(t), upgradingTo(path, spelling))
				wantUpgradeSeen(t, m, "websocket")
				client.WantEcho("a tunnel")
			})
		}
	}
}

// TestUpgradeParameterAbsent is a route without `upgrade`: websocket alone.
func TestUpgradeParameterAbsent(t *testing.T) {
	proxy := startRoutes(t, `- {path: /ws/, to: "ws://%[1]s/"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"T1 a handshake":                      seen(upgradeTo("/ws/x"), "b", "/x"),
		"websocket in a list":                 seen(upgradingTo("/ws/x", "h2c, websocket"), "b", "/x"),
		"T9 another protocol":                 refused(asking("GET", "/ws/x", "h2c"), 426),
		"T16 Upgrade without Connection":      refused(edited("/ws/x", "Connection: Upgrade\r\n", ""), 400),
		"T16 Connection names something else": refused(edited("/ws/x", "Connection: Upgrade", "Connection: close"), 400),
		"Connection in a list":                seen(edited("/ws/x", "Connection: Upgrade", "Connection: a, UPGRADE"), "b", "/x"),
		"T19 a plain GET":                     refused(getRequest("/ws/x"), 426),
		"no route":                            refused(upgradeTo("/x"), 404),
		"no route for a plain GET":            refused(getRequest("/x"), 404),
	})
	for name, request := range map[string]string{"plain": getRequest("/ws/x"), "other": asking("GET", "/ws/x", "h2c")} {
		a := look(t, proxy, request)
		if !hasToken(a.Header.Values("Upgrade"), "websocket") || !hasToken(a.Header.Values("Connection"), "upgrade") {
			t.Errorf("%s: the answer does not say what to ask for: %q", name, a.Raw)
		}
	}
}

// TestUpgradeRequiredListsWhatTheRouteAccepts reads the Upgrade of our 426.
func TestUpgradeRequiredListsWhatTheRouteAccepts(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /two, upgrade: [websocket, tcp], to: "ws://%[1]s/"}
- {path: /both, upgrade: [tcp], to: "ws://%[1]s/"}
- {path: /both, upgrade: [websocket], to: "ws://%[1]s/"}`, newMirror(t, "b"))
	for target, want := range map[string][]string{
		"/two": {"websocket", "tcp"}, "/both": {"tcp"},
	} {
		a := look(t, proxy, asking("GET", target, "h2c"))
		if a.Status != 426 {
			t.Errorf("%s: answer %q, want 426", target, a.Raw)
		}
		for _, protocol := range want {
			if !hasToken(a.Header.Values("Upgrade"), protocol) {
				t.Errorf("%s: Upgrade %q lacks %s", target, a.Header.Values("Upgrade"), protocol)
			}
		}
	}
}

// TestUpgradeANY has the client choose, and what is no WebSocket be bytes.
func TestUpgradeANY(t *testing.T) {
	proxy := startRoutes(t, `- {path: /, upgrade: ANY, to: "ws://%[1]s/"}`, newMirror(t, "b"))
	for _, protocol := range []string{"tcp", "IRC/6.9", "SPDY/3.1", "x-custom"} {
		t.Run(protocol, func(t *testing.T) {
			client, m := lookThrough(t, proxy.In(t), asking("POST", "/containers/1/attach", protocol))
			if m.Status != 101 || !strings.EqualFold(m.Header.Get("Upgrade"), protocol) {
				t.Fatalf("answer %q, want a 101 with Upgrade: %s", m.Raw, protocol)
			}
			wantUpgradeSeen(t, m, protocol)
			client.WantEcho("bytes that are no frames")
		})
	}
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"the rules of websocket hold for it":       refused(edited("/x", keyLine, ""), 400),
		"in a list too":                            refused(asking("GET", "/x", "tcp, websocket"), 400),
		"a body":                                   refused(asking("POST", "/x", "tcp", "Content-Length: 2")+"hi", 400),
		"a plain GET asks for nothing":             refused(getRequest("/x"), 426),
		"Upgrade without Connection":               refused(getRequest("/x", "Upgrade: tcp"), 400),
		"Upgrade with something that is no name":   refused(asking("GET", "/x", "a b"), 426),
		"the HTTP2-Settings of h2c are not passed": seen(asking("GET", "/x", "h2c"), "b", "/x"),
	})
	settings := strings.Replace(asking("GET", "/x", "h2c", "HTTP2-Settings: AAMAAABk"),
		"Connection: ", "Connection: HTTP2-Settings, ", 1)
	if m := look(t, proxy, settings); m.backend != "" && m.head.Get("HTTP2-Settings") != "" {
		t.Errorf("the backend sees %q", m.head.Raw)
	}
}

// TestUpgradeNONE has the meaning that the document gives it, which Apache lost
// in 2.4.47: the client's header does not matter, the backend's does.
func TestUpgradeNONE(t *testing.T) {
	proxy := startRoutes(t, `- {path: /, upgrade: NONE, to: "ws://%[1]s/"}`, newMirror(t, "b"))
	for name, request := range map[string]string{
		"a plain GET":                      getRequest("/x"),
		"a GET with its own key":           getRequest("/x", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+rig.Key),
		"Upgrade without Connection":       edited("/x", "Connection: Upgrade\r\n", ""),
		"Connection without Upgrade":       edited("/x", upgradeLine, ""),
		"a complete handshake":             upgradeTo("/x"),
		"a protocol that is not websocket": asking("GET", "/x", "tcp"),
	} {
		t.Run(name, func(t *testing.T) {
			client, m := lookThrough(t, proxy.In(t), request)
			if m.Status != 101 {
				t.Fatalf("answer %q, want 101", m.Raw)
			}
			wantUpgradeSeen(t, m, "websocket")
			key := m.head.Get("Sec-WebSocket-Key")
			if key == "" || m.head.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("the backend sees no handshake: %q", m.head.Raw)
			}
			if strings.Contains(request, rig.Key) != (key == rig.Key) {
				t.Errorf("the backend sees the key %q", key)
			}
			if got := m.Header.Get("Sec-WebSocket-Accept"); got != rig.Accept(key) {
				t.Errorf("Accept %q, want that of the backend, %q", got, rig.Accept(key))
			}
			client.WantEcho("a tunnel")
		})
	}
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"T2 a wrong version where there is one": refused(getRequest("/x", "Sec-WebSocket-Version: 8"), 426),
		"T7 a wrong key where there is one":     refused(getRequest("/x", "Sec-WebSocket-Key: short"), 400),
		"T8 a POST":                             refused("POST /x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
		"T13 a body":                            refused(getRequest("/x", "Content-Length: 2")+"hi", 400),
	})
}

// TestUpgradeList is what docker and others do over one port.
func TestUpgradeList(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /docker/, upgrade: [tcp], to: "http://%[1]s/", mode: tunnel}
- {path: /mixed/, upgrade: [websocket, tcp, irc/6.9], to: "ws://%[1]s/"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"POST without a body":           seen(asking("POST", "/docker/1/attach?stream=1", "tcp"), "b", "/1/attach?stream=1"),
		"POST with an empty body":       seen(asking("POST", "/docker/x", "tcp", "Content-Length: 0"), "b", "/x"),
		"POST with a body":              refused(asking("POST", "/docker/x", "tcp", "Content-Length: 2")+"{}", 400),
		"POST with chunks":              refused(asking("POST", "/docker/x", "tcp", "Transfer-Encoding: chunked")+"0\r\n\r\n", 400),
		"another case":                  seen(asking("GET", "/docker/x", "TCP"), "b", "/x"),
		"websocket is not in the list":  refused(upgradeTo("/docker/x"), 426),
		"websocket is in the list":      seen(upgradeTo("/mixed/x"), "b", "/x"),
		"websocket obeys its own rules": refused(strings.Replace(upgradeTo("/mixed/x"), "GET", "POST", 1), 400),
		"another of the list":           seen(asking("GET", "/mixed/x", "tcp"), "b", "/x"),
		"one with a version":            seen(asking("GET", "/mixed/x", "IRC/6.9"), "b", "/x"),
		"one with another version":      refused(asking("GET", "/mixed/x", "irc/7"), 426),
		"one without its version":       refused(asking("GET", "/mixed/x", "irc"), 426),
	})
	// What is not in the list is not asked for, though the client offers it.
	wantUpgradeSeen(t, look(t, proxy, asking("GET", "/mixed/x", "h2c, tcp, quic")), "tcp")
	client, _ := lookThrough(t, proxy, asking("POST", "/docker/x", "tcp"))
	client.WantEcho("\x01\x00\x00\x00\x00\x00\x00\x02hi")
}

// TestUpgradeAnswerNamesTheProtocol has the backend's 101 be held to what was
// asked for: anything else is a tunnel into something unknown (T4, T5).
func TestUpgradeAnswerNamesTheProtocol(t *testing.T) {
	backend := rig.NewBackend(t, func(c *rig.BackendConn) {
		if c.ReadHead() != nil {
			return
		}
		protocol := strings.TrimPrefix(c.Head.Path(), "/")
		_ = c.Answer(switchingTo(strings.ReplaceAll(protocol, "_", "/"), c.Head.Get("Sec-WebSocket-Key")))
		c.Drain()
	})
	proxy := startRoutes(t, `
- {path: /list/, upgrade: [tcp, websocket], to: "ws://%[1]s/"}
- {path: /any/, upgrade: any, to: "ws://%[1]s/"}
- {path: /none/, upgrade: none, to: "ws://%[1]s/"}
- {path: /ws/, to: "ws://%[1]s/"}`, backend)
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"the one of the list":              {asking("GET", "/list/tcp", "tcp"), 101},
		"in another case":                  {asking("GET", "/list/TCP", "tcp"), 101},
		"another of the list":              {asking("GET", "/list/websocket", "tcp"), 502},
		"one of two that were asked for":   {asking("GET", "/any/x", "tcp, x"), 101},
		"one that nobody asked for":        {asking("GET", "/any/h2c", "tcp"), 502},
		"one with another version":         {asking("GET", "/any/irc_7", "irc/6"), 502},
		"none at all":                      {asking("GET", "/any/", "tcp"), 502},
		"tcp where websocket was asked":    {upgradeTo("/ws/tcp"), 502},
		"tcp where none means websocket":   {getRequest("/none/tcp"), 502},
		"the one that none stands for":     {getRequest("/none/websocket"), 101},
		"h2c where websocket was asked":    {upgradeTo("/list/h2c"), 502},
		"websocket where it was asked for": {upgradeTo("/list/websocket"), 101},
	} {
		t.Run(name, func(t *testing.T) {
			if a := look(t, proxy.In(t), c.request); a.Status != c.status {
				t.Errorf("answer %q, want %d", a.Raw, c.status)
			}
		})
	}
}

// TestProxyWebsocketFallbackToProxyHttp is the safe half of that directive, the
// only one there is: what is no 101 opens no tunnel (CVE-2019-17567).
func TestProxyWebsocketFallbackToProxyHttp(t *testing.T) {
	bench := newHostileBench(t, nil)
	for name, c := range map[string]hostileCase{
		"T2 a version that the backend would refuse": {
			request: edited("/ws/426-keep-alive", versionLine, "Sec-WebSocket-Version: 1777\r\n"), status: []int{426},
		},
		"T2 the backend's 426":          {request: upgradeTo("/ws/426-keep-alive"), status: []int{426}, reaches: true},
		"T2 and what follows at once":   {request: upgradeTo("/ws/426-keep-alive") + probe, status: []int{426}, reaches: true},
		"T3 the backend's 200":          {request: upgradeTo("/ws/200-upgrade"), status: []int{200}, reaches: true},
		"T3 with everything of a 101":   {request: upgradeTo("/ws/200-accept"), status: []int{200}, reaches: true},
		"T3 and what follows at once":   {request: upgradeTo("/ws/200-upgrade") + probe, status: []int{200}, reaches: true},
		"a backend that closes":         {request: upgradeTo("/ws/close"), status: []int{502}, reaches: true},
		"a backend that speaks no HTTP": {request: upgradeTo("/ws/garbage"), status: []int{502}, reaches: true},
	} {
		c.name = name
		bench.run(t, c)
	}
}
