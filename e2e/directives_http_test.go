package e2e

import (
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestProxyPassWebSocketAndHTTPTogether is the documents' pair on one URL,
// `ProxyPass / ws://backend:9080/` and `ProxyPass / http://backend:9080/`: what
// asks for a WebSocket goes to the first, all else to the second.
func TestProxyPassWebSocketAndHTTPTogether(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /, to: "ws://%[1]s/"}
- {path: /, to: "http://%[2]s/"}`, newMirror(t, "ws"), newMirror(t, "http"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"an upgrade":                    seen(upgradeTo("/chat?x=1"), "ws", "/chat?x=1"),
		"an upgrade, spelled WebSocket": seen(upgradingTo("/chat", "WebSocket"), "ws", "/chat"),
		"a GET":                         served(getRequest("/chat?x=1"), "http", "/chat?x=1"),
		"a GET of the root":             served(getRequest("/"), "http", "/"),
		"a POST":                        served("POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "http", "/form"),
		"a HEAD":                        served("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n", "http", "/x"),
		"an OPTIONS":                    served("OPTIONS /x HTTP/1.1\r\nHost: x\r\n\r\n", "http", "/x"),
		"another protocol":              served(asking("GET", "/x", "h2c"), "http", "/x"),
		"T16 Upgrade alone":             served(edited("/x", "Connection: Upgrade\r\n", ""), "http", "/x"),
		"Connection alone":              served(edited("/x", upgradeLine, ""), "http", "/x"),
		"T2 a bad version is refused":   refused(edited("/x", versionLine, "Sec-WebSocket-Version: 8\r\n"), 426),
		"T7 a bad key is refused":       refused(edited("/x", keyLine, ""), 400),
		"T8 a POST is refused":          refused(strings.Replace(upgradeTo("/x"), "GET", "POST", 1), 400),
		"T13 a body is refused":         refused(edited("/x", versionLine, versionLine+"Content-Length: 2\r\n")+"hi", 400),
	})
	m := look(t, proxy, asking("GET", "/x", "h2c", "HTTP2-Settings: AAMAAABk", "X-Kept: 1"))
	for _, name := range []string{"Upgrade", "HTTP2-Settings"} {
		if m.backend != "http" || len(m.head.Values(name)) > 0 {
			t.Errorf("T9: %s reaches the backend %q: %q", name, m.backend, m.head.Raw)
		}
	}
}

// TestProxyMatchBeforeProxy is `ProxyMatch ^/(myApp/ws)$ ws://backend:9080/$1`
// in front of `Proxy / http://backend:9080/`: one URL is WebSocket-only.
func TestProxyMatchBeforeProxy(t *testing.T) {
	proxy := startRoutes(t, `
- {regex: ^/(myApp/ws)$, to: "ws://%[1]s/$1"}
- {path: /, to: "http://%[2]s/", upgrade: []}`, newMirror(t, "ws"), newMirror(t, "http"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"the WebSocket":              seen(upgradeTo("/myApp/ws?x"), "ws", "/myApp/ws?x"),
		"beside it":                  served(getRequest("/myApp/page"), "http", "/myApp/page"),
		"below it":                   served(getRequest("/myApp/ws/page"), "http", "/myApp/ws/page"),
		"a plain request for it":     served(getRequest("/myApp/ws"), "http", "/myApp/ws"),
		"an upgrade elsewhere is no": served(upgradeTo("/myApp/page"), "http", "/myApp/page"),
	})
	if m := look(t, proxy, upgradeTo("/myApp/page")); m.backend != "http" || m.head.Get("Upgrade") != "" {
		t.Errorf("the backend is asked to upgrade: %q", m.head.Raw)
	}
}

// TestRewriteCondAndRewriteRule is the recipe for WebSockets at URLs that are
// not known in advance:
//
//	RewriteCond %{HTTP:Upgrade} websocket [NC]
//	RewriteCond %{HTTP:Connection} upgrade [NC]
//	RewriteRule ^/?(.*) "ws://backend:9080/$1" [P,L]
//	ProxyPass / http://backend:9080/
func TestRewriteCondAndRewriteRule(t *testing.T) {
	proxy := startRoutes(t, `
- regex: ^/?(.*)
  headers: {Upgrade: "(?i)websocket", Connection: "(?i)upgrade"}
  to: "ws://%[1]s/$1"
- {path: /, to: "http://%[2]s/"}
- {path: /never, to: "ws://%[1]s/"}`, newMirror(t, "ws"), newMirror(t, "http"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"both conditions":        seen(upgradeTo("/any/where?x=1"), "ws", "/any/where?x=1"),
		"in another case":        seen(upgradingTo("/x", "WEBSOCKET"), "ws", "/x"),
		"Connection with more":   seen(edited("/x", "Connection: Upgrade", "Connection: keep-alive, upgrade"), "ws", "/x"),
		"the root":               seen(upgradeTo("/"), "ws", "/"),
		"neither":                served(getRequest("/any/where"), "http", "/any/where"),
		"another protocol":       served(asking("GET", "/x", "h2c"), "http", "/x"),
		"Upgrade alone":          served(getRequest("/x", "Upgrade: websocket"), "http", "/x"),
		"Connection alone":       served(getRequest("/x", "Connection: Upgrade"), "http", "/x"),
		"encoded bytes stay so":  seen(upgradeTo("/a%20b%3fc"), "ws", "/a%20b%3Fc"),
		"a request in it is not": refused(upgradeTo("/a%20HTTP/1.1%0d%0a%0d%0aGET%20/b"), 400),
	})
}

// TestRewriteCondWithOtherFields has conditions on what is no upgrade.
func TestRewriteCondWithOtherFields(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /, headers: {X-Version: "^2$", Sec-WebSocket-Protocol: "\\bchat\\b"}, to: "ws://%[2]s/"}
- {path: /, headers: {X-Absent: "^$"}, to: "ws://%[1]s/"}`, newMirror(t, "first"), newMirror(t, "second"))
	with := func(lines ...string) string { return rig.UpgradeRequest("/x", lines...) }
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"all match":                 seen(with("X-Version: 2", "Sec-WebSocket-Protocol: a, chat"), "second", "/x"),
		"one matches":               seen(with("X-Version: 2"), "first", "/x"),
		"the other matches":         seen(with("Sec-WebSocket-Protocol: chat"), "first", "/x"),
		"more than the value":       seen(with("X-Version: 20", "Sec-WebSocket-Protocol: chat"), "first", "/x"),
		"absent is the empty value": seen(with(), "first", "/x"),
		"present is not":            refused(with("X-Absent: no"), 404),
	})
}

// TestProxyPassExclamationMarkForHTTP denies on the way of both.
func TestProxyPassExclamationMarkForHTTP(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /private, mode: deny}
- {path: /, to: "http://%[1]s/"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"a GET":           refused(getRequest("/private/x"), 403),
		"by dots":         refused(getRequest("/x/../private"), 403),
		"an upgrade":      refused(upgradeTo("/private/x"), 403),
		"beside it":       served(getRequest("/privately"), "b", "/privately"),
		"upgrade beside":  seen(upgradeTo("/privately"), "b", "/privately"),
		"slashes of both": refused(getRequest("///private"), 403),
	})
}

// TestUpgradeOnHTTPRoutes is `upgrade=` of a worker with an http:// URL.
func TestUpgradeOnHTTPRoutes(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /default/, to: "http://%[1]s/"}
- {path: /none/, to: "http://%[1]s/", upgrade: []}
- {path: /any/, to: "http://%[1]s/", upgrade: ANY, mode: http}
- {path: /list/, to: "http://%[1]s/", upgrade: [tcp], mode: http}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"default, a WebSocket":     seen(upgradeTo("/default/x"), "b", "/x"),
		"default, a GET":           served(getRequest("/default/x"), "b", "/x"),
		"default, tcp":             served(asking("POST", "/default/x", "tcp"), "b", "/x"),
		"off, a WebSocket":         served(upgradeTo("/none/x"), "b", "/x"),
		"any, a WebSocket":         seen(upgradeTo("/any/x"), "b", "/x"),
		"any, tcp":                 seen(asking("POST", "/any/x", "tcp"), "b", "/x"),
		"any, a GET":               served(getRequest("/any/x"), "b", "/x"),
		"a list, what is in it":    seen(asking("POST", "/list/x", "tcp"), "b", "/x"),
		"a list, what is not":      served(upgradeTo("/list/x"), "b", "/x"),
		"a list, a GET":            served(getRequest("/list/x"), "b", "/x"),
		"a list, a WebSocket POST": served(strings.Replace(upgradeTo("/list/x"), "GET", "POST", 1), "b", "/x"),
	})
}

// TestKeptAliveRequestsAreRoutedAnew has one connection ask for everything in
// turn, each request on a route of its own, and become a tunnel at last.
func TestKeptAliveRequestsAreRoutedAnew(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /ws/, to: "ws://%[1]s/"}
- {path: /a/, to: "http://%[2]s/"}
- {path: /b/, to: "http://%[3]s/other/"}`, newMirror(t, "ws"), newMirror(t, "a"), newMirror(t, "b"))
	client := rig.Dial(t, proxy.Addr(0))
	for _, c := range []mirrorCase{
		served(getRequest("/a/1"), "a", "/1"),
		served(getRequest("/b/2"), "b", "/other/2"),
		served("POST /a/3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "a", "/3"),
		served(getRequest("/a/4"), "a", "/4"),
		seen(upgradeTo("/ws/5"), "ws", "/5"),
	} {
		client.Put(c.request)
		m := readMirrored(t, client)
		if m.Status != c.status || m.backend != c.backend || m.head.Target != c.target {
			t.Fatalf("status %d of %q, want %+v; answer %q", m.Status, m.backend, c, m.Raw)
		}
	}
	client.WantEcho("a tunnel in the end")
}

// TestPipelinedRequestsAreRoutedEach sends them all in one segment, with the
// upgrade and the first bytes of its tunnel at the end.
func TestPipelinedRequestsAreRoutedEach(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /ws/, to: "ws://%[1]s/"}
- {path: /private, mode: deny}
- {path: /, to: "http://%[2]s/"}`, newMirror(t, "ws"), newMirror(t, "http"))
	t.Run("up to a tunnel", func(t *testing.T) {
		client := rig.Dial(t, proxy.In(t).Addr(0))
		client.Put(getRequest("/1") + getRequest("/2") + upgradeTo("/ws/3") + "first bytes")
		for _, want := range []string{"http /1", "http /2", "ws /3"} {
			if m := readMirrored(t, client); m.backend == "" || m.backend+" "+m.head.Target != want {
				t.Fatalf("answer %q, want that of %s", m.Raw, want)
			}
		}
		client.Want("first bytes")
	})
	t.Run("up to a refusal", func(t *testing.T) {
		client := rig.Dial(t, proxy.In(t).Addr(0))
		client.Put(getRequest("/1") + getRequest("/private") + getRequest("/3"))
		if m := readMirrored(t, client); m.backend != "http" {
			t.Fatalf("answer %q", m.Raw)
		}
		if a := client.Answer(); a.Status != 403 || !a.Closes() {
			t.Fatalf("answer %q, want a closing 403", a.Raw)
		}
		client.WantEnd()
	})
}

// TestHTTPBackendFaults are the answers of an ordinary request that fails, and
// T17: nobody becomes a tunnel who did not ask.
func TestHTTPBackendFaults(t *testing.T) {
	refusing := rig.RefusingAddress(t)
	for name, c := range map[string]struct {
		target string
		status int
	}{
		"T17 a 101 that nobody asked for": {"/open", 502},
		"T18 it closes":                   {"/close", 502},
		"T18 it closes within its head":   {"/half-head", 502},
		"it speaks no HTTP":               {"/garbage", 502},
		"its head is too large":           {"/big-head", 502},
		"it cannot be reached":            {"/gone/x", 503},
		"it never answers":                {"/silent/x", 504},
		"it refuses":                      {"/refuse", 401},
		"it answers with Upgrade":         {"/200-upgrade", 200},
	} {
		t.Run(name, func(t *testing.T) {
			// A backend of its own, because some of them are silent after an answer
			// that lets the proxy keep the connection.
			proxy := startWith(t, rig.Config{Timeouts: rig.Settings{"upgrade": "400ms", "dial": "400ms"}}, `
- {path: /gone/, to: "http://`+refusing+`/"}
- {path: /silent/, to: "http://%[2]s/"}
- {path: /, to: "http://%[1]s/"}`,
				rig.NewBackend(t, playHostileScript), rig.NewBackend(t, func(c *rig.BackendConn) { c.Drain() }))
			client := rig.Dial(t, proxy.Addr(0))
			client.Put(getRequest(c.target))
			a := client.Answer()
			if a.Status != c.status {
				t.Errorf("answer %q, want %d", a.Raw, c.status)
			}
			if a.Header.Get("Upgrade") != "" {
				t.Errorf("the client is told to upgrade: %q", a.Raw)
			}
		})
	}
}

// TestForwardedHeadOfHTTP is T14 for ordinary requests: what ends at this hop,
// or claims what is ours to say, does not reach the backend.
func TestForwardedHeadOfHTTP(t *testing.T) {
	proxy := startRoutes(t, `- {path: /, to: "http://%[1]s/"}`, newMirror(t, "b"))
	m := look(t, proxy, getRequest("/x", "Connection: keep-alive, X-Real-IP,x-user, X-Forwarded-For,,Forwarded",
		"X-Real-IP: 6.6.6.6", "X_Real_IP: 6.6.6.6", "X-User: admin", "X-Forwarded_For: 6.6.6.6", "X-Forwarded-For: 6.6.6.6",
		"X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6;host=evil.test", "Keep-Alive: 5",
		"Proxy-Connection: keep-alive", "TE: trailers", "X-Custom: a  b", "Cookie: a=1; b=2", "Authorization: Basic eDp5"))
	if m.Status != 200 {
		t.Fatalf("answer %q", m.Raw)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": clientScheme(), "X-Forwarded-Host": "example.test",
		"Cookie": "a=1; b=2", "Authorization": "Basic eDp5", "X-Custom": "a  b",
		"X-Real-IP": "", "X_Real_IP": "", "X-User": "", "X-Forwarded_For": "", "Keep-Alive": "", "Proxy-Connection": "", "TE": "",
	} {
		if got := strings.Join(m.head.Values(name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(m.head.Raw, "6.6.6.6") || strings.Contains(m.head.Raw, "evil.test") {
		t.Errorf("the client's own claims reach the backend: %q", m.head.Raw)
	}
}
