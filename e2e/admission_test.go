package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// wantLimited ends the test unless a request was refused with that status for a
// limit, and says when to come again.
func wantLimited(t *testing.T, a *rig.Answer, status int) {
	t.Helper()
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != status || err != nil || wait < 1 || wait > 60 || !a.Closes() {
		t.Fatalf("answer %q, want a closing %d with Retry-After in seconds", a.Raw, status)
	}
}

// from is a handshake of a client that a balancer announces.
func from(address string) string {
	family := "TCP4"
	if strings.Contains(address, ":") {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s 1 2\r\n%s", family, address, address, upgradeTo("/ws/x"))
}

// opened ends the test unless the request opens a tunnel.
func opened(t *testing.T, p *rig.Proxy, request string) *rig.Client {
	t.Helper()
	client := rig.Dial(t, p.Addr(0))
	client.Put(request)
	if a := client.Answer(); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
	return client
}

// TestTunnelsPerIP counts for each IPv4 address, and for each IPv6 network that
// one customer has (a /64).
func TestTunnelsPerIP(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{
		ListenerX: "proxy_protocol: required", Limits: rig.Settings{"tunnels_per_ip": "2"},
	})
	for name, c := range map[string]struct{ same, more, other string }{
		"IPv4":             {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		"IPv6":             {"2001:db8:0:1::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"},
		"IPv4 within IPv6": {"198.51.100.7", "::ffff:198.51.100.7", "198.51.100.8"},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxy.In(t)
			before, refusals := backend.Accepts(), p.Metrics().Sum("wsplice_refusals_total", `reason="tunnels_per_ip"`)
			first, second := opened(t, p, from(c.same)), opened(t, p, from(c.more))
			wantLimited(t, look(t, p, from(c.same)).Answer, 429)
			opened(t, p, from(c.other)).WantEcho("somebody else")
			if n := backend.Accepts() - before; n != 3 {
				t.Errorf("the backend was contacted %d times, want 3", n)
			}
			if n := p.Metrics().Sum("wsplice_refusals_total", `reason="tunnels_per_ip"`) - refusals; n != 1 {
				t.Errorf("%v refusals are counted, want 1", n)
			}
			// A refused request takes no place, and one that ends gives its own back.
			_ = first.Close()
			rig.Eventually(t, rig.Soon, "a place for the same client", func() bool {
				a := look(t, p, from(c.more))
				return a.Status == 101
			})
			second.WantEcho("still here")
		})
	}
}

// TestTunnelsPerIPWithoutTunnels does not count what became no tunnel.
func TestTunnelsPerIPWithoutTunnels(t *testing.T) {
	backend := rig.NewBackend(t, playHostileScript)
	proxy := startWith(t, rig.Config{
		Limits: rig.Settings{"tunnels_per_ip": "1"}, Timeouts: rig.Settings{"upgrade": "300ms"},
	}, `- {path: /ws/, to: "ws://%[1]s/"}`, backend)
	for _, script := range []string{"refuse", "close", "101-h2c", "200-upgrade", "half-head"} {
		for range 3 {
			// The place is given back when the answer is out, which the client may
			// read a moment before.
			rig.Eventually(t, rig.Soon, "a place after "+script, func() bool {
				a := look(t, proxy, upgradeTo("/ws/"+script))
				if a.Status == 101 {
					t.Fatalf("%s: answer %q", script, a.Raw)
				}
				return a.Status != 429
			})
		}
	}
	rig.Eventually(t, rig.Soon, "a place for a tunnel", func() bool { return look(t, proxy, upgradeTo("/ws/open")).Status == 101 })
}

// TestTunnelsLimitNamesItself gives 503, for it is the server that is full.
func TestTunnelsLimitNamesItself(t *testing.T) {
	proxy := startWith(t, rig.Config{Limits: rig.Settings{"tunnels": "1"}},
		`- {path: /ws/, to: "ws://%[1]s/"}`, rig.EchoBackend(t))
	first := opened(t, proxy, upgradeTo("/ws/x"))
	wantLimited(t, look(t, proxy, upgradeTo("/ws/x")).Answer, 503)
	if n := proxy.Metrics().Sum("wsplice_refusals_total", `reason="tunnel_limit"`); n != 1 {
		t.Errorf("%v refusals are counted, want 1", n)
	}
	_ = first.Close()
	rig.Eventually(t, rig.Soon, "a place for another", func() bool {
		return look(t, proxy, upgradeTo("/ws/x")).Status == 101
	})
}

// TestHandshakesPerSecond allows one second's worth at once, then refuses, and
// allows again when time has passed.
func TestHandshakesPerSecond(t *testing.T) {
	const rate = 5
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{Limits: rig.Settings{"handshakes_per_second": strconv.Itoa(rate)}})
	start := time.Now()
	allowed := 0
	var refused *rig.Answer
	for refused == nil && allowed < 10*rate {
		if a := look(t, proxy, upgradeTo("/ws/x")); a.Status == 101 {
			allowed++
		} else {
			refused = a.Answer
		}
	}
	if refused == nil {
		t.Fatalf("%d handshakes were allowed in %v", allowed, time.Since(start))
	}
	wantLimited(t, refused, 429)
	if most := rate + int(time.Since(start)*rate/time.Second) + 1; allowed < rate || allowed > most {
		t.Errorf("%d were allowed in %v, want %d to %d", allowed, time.Since(start), rate, most)
	}
	if n := backend.Accepts(); n != allowed {
		t.Errorf("the backend was contacted %d times, want %d", n, allowed)
	}
	rig.Eventually(t, rig.Soon, "handshakes again", func() bool { return look(t, proxy, upgradeTo("/ws/x")).Status == 101 })
	// What is no handshake is not counted.
	for range 3 * rate {
		if a := look(t, proxy, getRequest("/none")); a.Status != 404 {
			t.Fatalf("answer %q, want 404", a.Raw)
		}
	}
}

// TestSecretsAreNotLogged sends what must stay secret, in all the ways in which
// a request can end, at the level that says most.
func TestSecretsAreNotLogged(t *testing.T) {
	const secret = "s3cr3t"
	needsWsplice(t)
	backend := rig.NewBackend(t, playHostileScript)
	request := func(target string) string {
		return rig.UpgradeRequest(target+"?token="+secret+"&x=1", "Cookie: session="+secret,
			"Authorization: Bearer "+secret, "Proxy-Authorization: Basic "+secret,
			"Sec-WebSocket-Protocol: bearer."+secret, "X-Api-Key: "+secret, "Origin: https://x.test")
	}
	for _, format := range []string{"json", "text"} {
		proxy := startWith(t, rig.Config{LogFormat: format, LogLevel: "debug", Warned: true}, `
- {path: /ws/, to: "ws://%[1]s/", request_headers: {set: {X-Backend-Key: `+secret+`}}}
- {path: /closed/, mode: deny}
- {path: /origin/, to: "ws://%[1]s/", origins: [other.test]}
- {regex: ^/regex/(.*), to: "ws://%[1]s/$1?key=`+secret+`"}`, backend)
		mark := proxy.Logs.Mark()
		targets := []string{
			"/ws/open", "/ws/refuse", "/ws/close", "/ws/garbage", "/ws/101-h2c", "/ws/big-head", "/closed/x", "/origin/x",
			"/regex/open", "/none", "/ws/%zz",
		}
		for _, target := range targets {
			client := rig.Dial(t, proxy.Addr(0))
			client.Put(request(target))
			client.Answer()
			_ = client.Close()
		}
		broken := rig.Dial(t, proxy.Addr(0))
		broken.Put(strings.Replace(request("/ws/x"), "Cookie:", "Cookie :", 1))
		broken.Answer()
		ends := 0
		proxy.WaitLog(mark, "every request has its line", func(l rig.Line) bool {
			if l.Msg() == "tunnel closed" || strings.HasSuffix(l.Msg(), " refused") {
				ends++
			}
			return ends == len(targets)+1
		})
		if strings.Contains(proxy.Logs.Tail(1<<20), secret) {
			t.Errorf("%s: the log has the secret:\n%s", format, proxy.Logs.Tail(1<<20))
		}
	}
}
