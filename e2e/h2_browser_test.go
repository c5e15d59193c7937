package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"wsplice/e2e/internal/rig"
)

// TestH2Node has the http2 module of Node as client.
func TestH2Node(t *testing.T) {
	backend := rig.NewBackend(t, func(c *rig.BackendConn) {
		var lines []string
		if c.ReadHead() == nil && c.Head.Get("Sec-WebSocket-Protocol") != "" {
			lines = []string{"Sec-WebSocket-Protocol: beta"}
		}
		if c.Head != nil && c.Upgrade(lines...) == nil {
			c.Echo()
		}
	})
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"example.test"}, nil)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, "", "server"), Tunnel: rig.Settings{"frames": "off"},
		Routes: `- {path: /ws/, to: "` + backend.URL() + `/"}`,
	})
	const want = "extended CONNECT: true\nanswer: 200 beta\necho: hello, wörld\nat once: 20\nreset: 8\n" +
		"refused: 404\nping: answered\n"
	if got := strings.ReplaceAll(runNode(t, "h2.js", proxy.Addr(0), authority.CA()), "null", "answered"); got != want {
		t.Errorf("Node says\n%s\nwant\n%s", got, want)
	}
	if n := proxy.Metrics().Sum("wsplice_http2_connections_total"); n != 1 {
		t.Errorf("%v connections of HTTP/2, want 1", n)
	}
}

// h2Page opens a WebSocket to where it comes from, and shows what it hears.
const h2Page = `<!doctype html><title>h2</title><p id=state>waiting</p><p id=heard></p><script>
const socket = new WebSocket('wss://' + location.host + '/ws/x', ['beta']);
socket.onopen = () => { state.textContent = 'open ' + socket.protocol; socket.send('hello, w\u00f6rld'); };
socket.onmessage = (e) => { heard.textContent += e.data; if (e.data.length < 1000) socket.send('x'.repeat(200000)); };
socket.onerror = () => { state.textContent = 'failed'; };
socket.onclose = (e) => { state.textContent += ' closed ' + e.code; };
</script>`

// servePage is a backend for h2Page that closes after the second message.
func servePage(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/x") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(h2Page))
		return
	}
	upgrader := websocket.Upgrader{Subprotocols: []string{"beta"}, CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for range 2 {
		kind, data, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, data) != nil {
			return
		}
	}
	_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "enough"))
	_, _, _ = conn.ReadMessage()
}

// TestH2Chromium loads a page by HTTP/2 and has it open a WebSocket: Chromium does
// that on the connection it has. wsplice tells that it was so.
func TestH2Chromium(t *testing.T) {
	needsWsplice(t)
	chromium := findChromium(t)
	backend := httptest.NewServer(http.HandlerFunc(servePage))
	defer backend.Close()
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"localhost", "127.0.0.1"}, nil)
	address := backend.Listener.Addr().String()
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, "", "server"),
		Routes:    `- {path: /ws/, to: "ws://` + address + `/"}` + "\n" + `- {path: /, mode: http, to: "http://` + address + `/"}`,
	})
	_, port, err := net.SplitHostPort(proxy.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	mark := proxy.Logs.Mark()
	ctx := newBrowser(t, chromium, chromedp.Flag("ignore-certificate-errors", true))
	do(t, ctx, "open the page", chromedp.Navigate("https://localhost:"+port+"/page"))
	do(t, ctx, "see the WebSocket close", untilJS(`document.querySelector('#state').textContent.includes('closed')`))
	if state := read(t, ctx, `document.querySelector('#state').textContent`); state != "open beta closed 4321" {
		t.Errorf("the page says %q", state)
	}
	heard := read(t, ctx, `document.querySelector('#heard').textContent`)
	if want := "hello, w\u00f6rld" + strings.Repeat("x", 200_000); heard != want {
		t.Errorf("the page has heard %d bytes: %.40q", len(heard), heard)
	}
	if by := read(t, ctx, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); by != "h2" {
		t.Errorf("the page came by %q", by)
	}
	line := proxy.WaitLog(mark, "the tunnel is open", isMsg("tunnel open"))
	if line.Text("http") != "2" {
		t.Errorf("the WebSocket did not come by HTTP/2: %v", line)
	}
	m := proxy.Metrics()
	if n := m.Sum("wsplice_http2_connections_total"); n != 1 {
		t.Errorf("%v connections of HTTP/2, want one for the page and the WebSocket", n)
	}
	if n := m.Sum("wsplice_http2_requests_total"); n < 2 {
		t.Errorf("%v requests of HTTP/2, want at least 2", n)
	}
}
