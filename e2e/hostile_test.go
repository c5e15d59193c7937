package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A hostileCase is one row of the first table in SECURITY-CASES.md: what the
// client sends, and what it must get. The last segment of the target chooses
// what the backend does with it (see hostileScripts).
type hostileCase struct {
	name    string
	request string
	status  []int             // admissible answers
	header  map[string]string // fields that the answer must have, with a token
	absent  []string          // fields that it must not have
	reaches bool              // the backend decides; otherwise it must see nothing
	closes  bool              // nothing but the end may come after the answer
}

// probe is a request that no route takes. It is sent after an answer, and it
// stands for the smuggled request of the attacks: it must be answered by us,
// or not at all, and the backend must not see it.
const probe = "GET /internal HTTP/1.1\r\nHost: example.test\r\n\r\n"

// splitBytes is how many bytes of a request come in one segment.
const splitBytes = 5

// A hostileBench is one proxy that all hostile cases run against, one after
// the other, so that the backend's count of connections tells them apart.
type hostileBench struct {
	proxy   *rig.Proxy
	backend *rig.Backend
}

// services are the ways in which a tunnel can be served. None of them may
// change what opens one.
var services = []struct {
	name   string
	tunnel rig.Settings
}{
	{"ProxyWebsocketAsync ON", rig.Settings{"async": "on"}},
	{"ProxyWebsocketAsync OFF", rig.Settings{"async": "off"}},
	{"ProxyWebsocketAsyncDelay 50ms", rig.Settings{"async_delay": "50ms"}},
}

// eachService runs test on a bench for each way to serve tunnels.
func eachService(t *testing.T, test func(*testing.T, *hostileBench)) {
	needsWsplice(t)
	for _, service := range services {
		t.Run(service.name, func(t *testing.T) { test(t, newHostileBench(t, service.tunnel)) })
	}
}

func newHostileBench(t *testing.T, tunnel rig.Settings) *hostileBench {
	backend := rig.NewBackend(t, playHostileScript)
	proxy := rig.Start(t, rig.Config{
		// A head that should be refused but is waited for shows up as 408.
		Timeouts: rig.Settings{"head": "3s"},
		Tunnel:   tunnel,
		Routes: fmt.Sprintf(`
- {path: /ws/, to: "%[1]s/"}
- {path: /origin/, to: "%[1]s/", origins: [example.com, "https://a.test"]}
- {path: /lenient/, to: "%[1]s/", handshake: lenient}`, backend.URL()),
	})
	return &hostileBench{proxy, backend}
}

// in returns the same bench for a sub-test.
func (b *hostileBench) in(t testing.TB) *hostileBench {
	return &hostileBench{b.proxy.In(t), b.backend.In(t)}
}

// run tries a case in one piece, in many, and on a kept-alive connection.
func (b *hostileBench) run(t *testing.T, c hostileCase) {
	t.Run(c.name, func(t *testing.T) {
		t.Run("whole", func(t *testing.T) { b.in(t).try(t, c, 0, false) })
		t.Run("split", func(t *testing.T) { b.in(t).try(t, c, splitBytes, false) })
		t.Run("kept alive", func(t *testing.T) { b.in(t).try(t, c, 0, true) })
	})
}

func (b *hostileBench) try(t *testing.T, c hostileCase, step int, keptAlive bool) {
	client := rig.Dial(t, b.proxy.Addr(0))
	if keptAlive && !b.refuseFirst(t, client) {
		return
	}
	before := b.backend.Accepts()
	client.Offer(c.request, step)
	answer := client.Answer()
	c.check(t, answer)
	if c.closes || answer.Closes() {
		client.WantEnd()
	} else {
		checkProbe(t, client)
	}
	b.checkBackend(t, c, before)
}

// refuseFirst has the backend refuse a proper upgrade, in a way that keeps
// the connection alive. It reports false when the proxy closed it, in good
// order and announced, which is allowed: there is no second request then.
func (b *hostileBench) refuseFirst(t *testing.T, client *rig.Client) bool {
	client.Put(rig.UpgradeRequest("/ws/refuse"))
	answer := client.Answer()
	if answer.Status != 401 || answer.Body != "no entry" {
		t.Fatalf("the backend's refusal arrives as %q %q", answer.Raw, answer.Body)
	}
	if !answer.Closes() {
		return true
	}
	client.WantEnd()
	t.Log("the proxy closes after a refusal, so there is no second request")
	return false
}

func (c *hostileCase) check(t *testing.T, a *rig.Answer) {
	t.Helper()
	if !slices.Contains(c.status, a.Status) {
		t.Fatalf("status %d, want %v; answer %q", a.Status, c.status, a.Raw)
	}
	for name, want := range c.header {
		if got := a.Header.Values(name); !hasToken(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range c.absent {
		if got := a.Header.Values(name); len(got) > 0 {
			t.Errorf("%s: %q, want none", name, got)
		}
	}
}

// hasToken reports whether one of the comma-separated values is token.
func hasToken(values []string, token string) bool {
	for value := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if strings.EqualFold(strings.TrimSpace(value), token) {
			return true
		}
	}
	return false
}

// checkProbe sends a request that only the proxy itself can answer, on a
// connection whose first request was refused.
func checkProbe(t *testing.T, client *rig.Client) {
	t.Helper()
	client.Offer(probe, 0)
	answer, err := client.AnswerErr()
	if err == nil && answer.Status != 404 {
		t.Errorf("the next request was answered %q, want 404 or the end", answer.Raw)
	}
}

// checkBackend opens a tunnel that is known to reach the backend. It comes
// after whatever the case caused there, so that what has not come by then
// never comes.
func (b *hostileBench) checkBackend(t *testing.T, c hostileCase, before int) {
	t.Helper()
	last, err := rig.OpenEcho(b.proxy.Addr(0), "/ws/open")
	if err != nil {
		t.Fatalf("after the case: %v", err)
	}
	defer func() { _ = last.Close() }()
	contacts := b.backend.Accepts() - before - 1
	if c.reaches && contacts == 0 {
		t.Errorf("the backend was not contacted")
	}
	if !c.reaches && contacts != 0 {
		t.Errorf("the backend was contacted; it received %q", b.backend.Received(before))
	}
	if got := b.backend.Received(before); strings.Contains(got, "/internal") {
		t.Errorf("the next request reached the backend, which received %q", got)
	}
}

// hostileScripts is what the backend does, by the last segment of the path.
// The connection is closed when a script returns; Drain keeps it open for
// what must not come.
var hostileScripts = map[string]func(*rig.BackendConn){
	"open":           func(c *rig.BackendConn) { _ = c.Upgrade(); c.Echo() },
	"refuse":         answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nno entry"),
	"426-keep-alive": answering("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"),
	"200-upgrade":    answering("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nhi"),
	"200-accept": func(c *rig.BackendConn) {
		head := rig.SwitchingProtocols(c.Head.Get("Sec-WebSocket-Key"), "Content-Length: 0")
		_ = c.Answer(strings.Replace(head, "101 Switching Protocols", "200 OK", 1))
		c.Drain()
	},
	"101-no-upgrade":    func(c *rig.BackendConn) { answerEdited(c, "Upgrade: websocket\r\n", "") },
	"101-no-connection": func(c *rig.BackendConn) { answerEdited(c, "Connection: Upgrade\r\n", "") },
	"101-h2c":           func(c *rig.BackendConn) { answerEdited(c, "Upgrade: websocket", "Upgrade: h2c") },
	"101-no-accept":     func(c *rig.BackendConn) { answerEdited(c, "Sec-WebSocket-Accept: ", "X-Accept: ") },
	"101-wrong-accept":  func(c *rig.BackendConn) { answerEdited(c, "Accept: ", "Accept: x") },
	"101-other-key":     func(c *rig.BackendConn) { _ = c.Answer(rig.SwitchingProtocols("AAAAAAAAAAAAAAAAAAAAAA==")); c.Drain() },
	"101-bare-lf":       func(c *rig.BackendConn) { answerEdited(c, "\r\n", "\n") },
	"101-obs-fold":      func(c *rig.BackendConn) { answerEdited(c, "Accept: ", "Accept:\r\n ") },
	"101-http-1.0":      func(c *rig.BackendConn) { answerEdited(c, "HTTP/1.1", "HTTP/1.0") },
	"close":             func(*rig.BackendConn) {},
	"reset":             func(c *rig.BackendConn) { c.Reset() },
	"half-head":         func(c *rig.BackendConn) { _ = c.Answer("HTTP/1.1 101 Switching Pro") },
	"garbage":           answering("\x00\x01\x02 no HTTP at all\r\n\r\n"),
	"big-head": func(c *rig.BackendConn) {
		_ = c.Upgrade("X-Filler: " + strings.Repeat("x", 128<<10))
		c.Drain()
	},
}

func playHostileScript(c *rig.BackendConn) {
	if c.ReadHead() != nil {
		return
	}
	path := c.Head.Path()
	if play, ok := hostileScripts[path[strings.LastIndexByte(path, '/')+1:]]; ok {
		play(c)
		return
	}
	_ = c.Answer("HTTP/1.1 500 No Such Script\r\nContent-Length: 0\r\n\r\n")
}

func answering(text string) func(*rig.BackendConn) {
	return func(c *rig.BackendConn) {
		_ = c.Answer(text)
		c.Drain()
	}
}

// answerEdited answers a correct 101 in which every old is replaced.
func answerEdited(c *rig.BackendConn, old, replacement string) {
	head := rig.SwitchingProtocols(c.Head.Get("Sec-WebSocket-Key"))
	_ = c.Answer(strings.ReplaceAll(head, old, replacement))
	c.Drain()
}

// edited returns a correct handshake for target in which old is replaced. A
// case whose edit changes nothing would test nothing, hence the panic.
func edited(target, old, replacement string) string {
	head := rig.UpgradeRequest(target)
	if strings.Count(head, old) != 1 {
		panic(fmt.Sprintf("%q is not once in %q", old, head))
	}
	return strings.Replace(head, old, replacement, 1)
}

// needsWsplice skips a test that says nothing about another proxy.
func needsWsplice(t testing.TB) {
	t.Helper()
	if nginxInstead() {
		t.Skip("needs wsplice, and WSPLICE_E2E_PROXY=nginx runs the interop tests alone")
	}
}
