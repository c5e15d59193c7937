package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// TestWellFormedVariants sends handshakes that look unusual and are correct:
// strictness must not turn away what RFC 9110 and RFC 6455 allow.
func TestWellFormedVariants(t *testing.T) { eachService(t, wellFormedVariants) }

func wellFormedVariants(t *testing.T, bench *hostileBench) {
	edit := func(old, replacement string) string { return edited("/ws/open", old, replacement) }
	whole := upgradeTo("/ws/open")
	for name, request := range map[string]string{
		"names in lower case":            eachName(whole, strings.ToLower),
		"names in upper case":            eachName(whole, strings.ToUpper),
		"no space after colons":          strings.ReplaceAll(whole, ": ", ":"),
		"much space after colons":        strings.ReplaceAll(whole, ": ", ": \t  "),
		"space at the end of values":     edit("Upgrade: websocket", "Upgrade: websocket \t"),
		"Upgrade as browsers spelled it": edit("Upgrade: websocket", "Upgrade: WebSocket"),
		"Connection as Firefox sends it": edit("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
		"Connection with empty elements": edit("Connection: Upgrade", "Connection: ,, upgrade ,"),
		"Connection in two fields":       edit("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
		"an empty value":                 edit(hostLine, hostLine+"X-Empty:\r\n"),
		"a value beyond ASCII":           edit(hostLine, hostLine+"X-Name: caf\xe9 \xc3\xa9\r\n"),
		"a value with a tab":             edit(hostLine, hostLine+"X-Name: a\tb\r\n"),
		"every letter of a token":        edit(hostLine, hostLine+"!#$%&'*+-.^`|~09aZ: 1\r\n"),
		"Content-Length of zero":         edit(hostLine, hostLine+"Content-Length: 0\r\n"),
		"Host with a port":               edit("Host: example.test", "Host: example.test:8080"),
		"Host as an IPv6 address":        edit("Host: example.test", "Host: [::1]:8080"),
		"a query with everything":        edited("/ws/open", "GET /ws/open", "GET /ws/open?a=/?:@!$&'()*+,;=-._~%20"),
		"two extension fields": rig.UpgradeRequest("/ws/open",
			"Sec-WebSocket-Extensions: foo", "Sec-WebSocket-Extensions: bar; baz=1"),
		"two protocol fields": rig.UpgradeRequest("/ws/open", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
		"100 fields":          rig.UpgradeRequest("/ws/open", slices.Repeat([]string{"X-Many: 1"}, 100)...),
	} {
		t.Run(name, func(t *testing.T) { bench.in(t).opens(t, request) })
	}
	t.Run("an offer of several protocols", func(t *testing.T) {
		bench.in(t).opens(t, edit("Upgrade: websocket", "Upgrade: websocket, h2c"))
	})
}

// TestOtherProtocolsInAnOfferStayHere has the backend see websocket alone.
func TestOtherProtocolsInAnOfferStayHere(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(strings.Replace(upgradeTo("/ws/x"), "Upgrade: websocket", "Upgrade: h2c, websocket", 1))
	head := backend.Next().WantHead()
	if got := head.Values("Upgrade"); len(got) != 1 || got[0] != "websocket" {
		t.Errorf("the backend sees Upgrade %q", got)
	}
}

// TestForwardedAddresses says whom the backend takes the client for.
func TestForwardedAddresses(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	socket := "unix:" + rig.TempDir(t, 0) + "/front.sock"
	listeners := []string{socket, "127.0.0.1:0"}
	if haveIPv6() {
		listeners = append(listeners, "[::1]:0", "[::]:0")
	} else {
		t.Log("this machine has no IPv6, so it is not tested")
	}
	proxy := startToBackend(t, backend, rig.Config{Listeners: listeners})
	see := func(address string) *rig.Head {
		client := rig.Dial(t, address)
		client.Put(upgradeTo("/ws/x"))
		return backend.Next().WantHead()
	}
	if got := see(proxy.Addr(0)).Get("X-Forwarded-For"); strings.ContainsAny(got, "/\x00@") {
		t.Errorf("from a unix socket: X-Forwarded-For %q", got)
	}
	wantClient(t, see(proxy.Addr(1)), "127.0.0.1", "for=127.0.0.1")
	if len(listeners) < 4 {
		return
	}
	wantClient(t, see(proxy.Addr(2)), "::1", `for="[::1]"`)
	_, port, err := net.SplitHostPort(proxy.Addr(3))
	if err != nil {
		t.Fatal(err)
	}
	// The kernel reports an IPv4 client of an IPv6 socket as ::ffff:127.0.0.1.
	wantClient(t, see(fmt.Sprintf("127.0.0.1:%s", port)), "127.0.0.1", "for=127.0.0.1")
	wantClient(t, see(fmt.Sprintf("[::1]:%s", port)), "::1", `for="[::1]"`)
}

func wantClient(t *testing.T, head *rig.Head, address, forwarded string) {
	t.Helper()
	if got := head.Values("X-Forwarded-For"); len(got) != 1 || got[0] != address {
		t.Errorf("X-Forwarded-For %q, want %q", got, address)
	}
	if got := head.Get("Forwarded"); !strings.Contains(strings.ToLower(got), forwarded) {
		t.Errorf("Forwarded %q, want %s in it", got, forwarded)
	}
}

// TestPathsThatClimb must not reach a backend under a name that its route does
// not have.
func TestPathsThatClimb(t *testing.T) { eachService(t, pathsThatClimb) }

func pathsThatClimb(t *testing.T, bench *hostileBench) {
	for name, target := range map[string]string{
		"dots":             "/ws/../internal",
		"encoded dots":     "/ws/%2e%2e/internal",
		"half encoded":     "/ws/.%2E/internal",
		"several":          "/ws/a/../../internal",
		"a backslash":      "/ws/..\\internal",
		"above the root":   "/../../internal",
		"an encoded slash": "/ws%2f..%2finternal",
	} {
		t.Run(name, func(t *testing.T) {
			b := bench.in(t)
			before := b.backend.Accepts()
			client := rig.Dial(t, b.proxy.Addr(0))
			client.Put(upgradeTo(target))
			if a := client.Answer(); a.Status != 400 && a.Status != 404 {
				t.Errorf("answer %q, want 400 or 404", a.Raw)
			}
			b.checkBackend(t, hostileCase{}, before)
		})
	}
}

// TestAbsoluteTarget is how a request looks that was meant for a proxy; a
// server must accept it (RFC 9112 section 3.2.2), and the backend gets the
// form that it expects.
func TestAbsoluteTarget(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(strings.Replace(upgradeTo("/ws/x?y"), "/ws/x?y", "http://example.test/ws/x?y", 1))
	if got := backend.Next().WantHead().Target; got != "/x?y" {
		t.Errorf("the backend sees %q, want /x?y", got)
	}
}

// TestIdleCostsNothing looks at a process without tunnels, and with some.
func TestIdleCostsNothing(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	for _, tunnels := range []int{0, 100} {
		openMany(t, proxy, tunnels)
		if share := proxy.CPUShare(time.Second); share > 0.05 {
			t.Errorf("with %d idle tunnels the proxy uses %.0f%% of a CPU", tunnels, 100*share)
		}
	}
}

// eachName changes the names of all fields of a head, not their values.
func eachName(head string, change func(string) string) string {
	lines := strings.Split(head, "\r\n")
	for i, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[i+1] = change(name) + ":" + value
		}
	}
	return strings.Join(lines, "\r\n")
}
