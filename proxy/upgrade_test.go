package proxy

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wsplice/handshake"
	"wsplice/pool"
	"wsplice/route"
)

// upgrades makes the rig's route accept u.
func upgrades(u Upgrade) func(*Config) {
	return func(c *Config) { c.Routes[0].Upgrade = u }
}

// ask sends a head and returns what the backend gets.
func (r *rig) ask(head string) (client, backend *net.TCPConn, request *http.Request) {
	r.t.Helper()
	client = r.dial()
	write(r.t, client, head)
	backend, request = r.accept()
	return client, backend, request
}

// switchTo is a 101 to another protocol than websocket.
func switchTo(protocol string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"
}

// relays checks that the tunnel carries bytes both ways, and whether it expects
// WebSocket frames, which these are not.
func (r *rig) relays(client, backend *net.TCPConn, websocket bool) {
	r.t.Helper()
	write(r.t, client, "up")
	expect(r.t, backend, "up")
	write(r.t, backend, "down")
	expect(r.t, client, "down")
	if n := r.count(func(t *Tunnel) bool { return t.state == stateRelaying && t.up.violated == websocket }); n != 1 {
		r.t.Errorf("%d tunnels with websocket=%v, want 1", n, websocket)
	}
}

func TestUpgradeNoneAsksForWebSocket(t *testing.T) {
	for name, head := range map[string]string{
		"plain":          plainRequest,
		"other protocol": h2cRequest,
		"half":           withLines(plainRequest, "Upgrade: websocket"),
		"nominated key":  withLines(upgradeRequest, "Connection: Upgrade, Sec-WebSocket-Key"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, upgrades(upgradeNone))
			client, backend, request := r.ask(head)
			key := request.Header.Get("Sec-WebSocket-Key")
			if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 16 ||
				request.Header.Get("Upgrade") != "websocket" || request.Header.Get("Connection") != "Upgrade" ||
				request.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Fatalf("the backend got %v", request.Header)
			}
			answer := string(handshake.AppendSwitch(nil, []byte(key), "", ""))
			write(t, backend, answer)
			expect(t, client, answer)
			r.relays(client, backend, true)
		})
	}
}

func TestUpgradeNoneMakesANewKeyEachTime(t *testing.T) {
	r := newRig(t, upgrades(upgradeNone))
	seen := make(map[string]bool)
	for range 4 {
		_, _, request := r.ask(plainRequest)
		seen[request.Header.Get("Sec-WebSocket-Key")] = true
	}
	if len(seen) != 4 {
		t.Errorf("keys %v", seen)
	}
}

func TestUpgradeNoneKeepsTheClientsKey(t *testing.T) {
	r := newRig(t, upgrades(upgradeNone))
	client, backend, request := r.ask(upgradeRequest)
	if key := request.Header["Sec-Websocket-Key"]; len(key) != 1 || key[0] != testKey {
		t.Fatalf("key %q", key)
	}
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
	r.relays(client, backend, true)
}

func TestUpgradeNoneVerifiesTheAccept(t *testing.T) {
	r := newRig(t, upgrades(upgradeNone))
	client, backend, _ := r.ask(plainRequest)
	write(t, backend, upgradeAnswer) // answers the key of the test, not ours
	expectAnswer(t, client, "502")
}

func TestUpgradeAnyForwardsTheProtocol(t *testing.T) {
	r := newRig(t, upgrades(upgradeAny))
	client, backend, request := r.ask(withLines(mqttRequest, "Upgrade: MQTT/5, a b, amqp"))
	if got := request.Header["Upgrade"]; len(got) != 1 || got[0] != "MQTT/5, amqp" || request.Method != "POST" {
		t.Errorf("the backend got %s and Upgrade %q", request.Method, got)
	}
	write(t, backend, switchTo("mqtt/5"))
	expect(t, client, switchTo("mqtt/5"))
	r.relays(client, backend, false)
}

func TestUpgradeAnyHoldsWebSocketToItsRules(t *testing.T) {
	r := newRig(t, upgrades(upgradeAny))
	for want, head := range broken {
		client := r.dial()
		write(t, client, head)
		status := "400"
		if want == "bad_version" {
			status = "426"
		}
		expectAnswer(t, client, status)
	}
	client, backend, request := r.ask(withLines(upgradeRequest, "Upgrade: WebSocket, mqtt"))
	if got := request.Header.Get("Upgrade"); got != "websocket, mqtt" {
		t.Errorf("the backend got %q", got)
	}
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
	r.relays(client, backend, true)
}

func TestUpgradeListForwardsOnlyWhatItAccepts(t *testing.T) {
	r := newRig(t, upgrades(upgradeMQTT))
	client, backend, request := r.ask(withLines(mqttRequest, "Upgrade: h2c, AMQP/1, websocket, mqtt"))
	if got := request.Header.Get("Upgrade"); got != "AMQP/1, mqtt" {
		t.Errorf("the backend got %q", got)
	}
	write(t, backend, switchTo("mqtt"))
	expect(t, client, switchTo("mqtt"))
	r.relays(client, backend, false)
}

// T5 for each kind of upgrade: only what was asked for opens a tunnel.
func TestAnswerMustNameWhatWasAskedFor(t *testing.T) {
	both := Upgrade{Protocols: []string{"mqtt", "websocket"}}
	offer := withLines(upgradeRequest, "Upgrade: mqtt, websocket")
	for _, c := range []struct {
		name         string
		upgrade      Upgrade
		head, answer string
		status       string // "" for a tunnel
	}{
		{"any, another", upgradeAny, mqttRequest, switchTo("h2c"), "502"},
		{"any, websocket", upgradeAny, mqttRequest, upgradeAnswer, "502"},
		{"any, two", upgradeAny, withLines(mqttRequest, "Upgrade: a, b"), switchTo("a, b"), "502"},
		{"any, none", upgradeAny, mqttRequest, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n", "502"},
		{"list, not forwarded", upgradeMQTT, withLines(mqttRequest, "Upgrade: mqtt, h2c"), switchTo("h2c"), "502"},
		{"list, accepted but not asked for", upgradeMQTT, mqttRequest, switchTo("amqp/1"), "502"},
		{"websocket among others, wrong accept", both, offer, strings.Replace(upgradeAnswer, "s3pP", "AAAA", 1), "502"},
		{"websocket among others", both, offer, upgradeAnswer, ""},
		{"other beside websocket", both, offer, switchTo("mqtt"), ""},
		{"none, another", upgradeNone, plainRequest, switchTo("mqtt"), "502"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, upgrades(c.upgrade))
			client, backend, _ := r.ask(c.head)
			write(t, backend, c.answer)
			if c.status != "" {
				expectAnswer(t, client, c.status)
				return
			}
			expect(t, client, c.answer)
			r.relays(client, backend, c.answer == upgradeAnswer)
		})
	}
}

// What comes behind a plain GET on such a route waits for the 101 too (T10).
func TestUpgradeNoneHoldsEarlyDataBack(t *testing.T) {
	r := newRig(t, upgrades(upgradeNone))
	client := r.dial()
	write(t, client, plainRequest+"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	backend, _ := r.accept()
	write(t, backend, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	expectAnswer(t, client, "403")
	if text := expectEnd(t, backend); text != "" {
		t.Errorf("the backend got %q", text)
	}
}

func TestRequestHeaders(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].Set = []handshake.ForwardField{{Name: "X-Site", Value: "a"}, {Name: "X-Forwarded-For", Value: "9.9.9.9"}}
		c.Routes[0].Remove = []string{"x-debug", "X-Forwarded-Proto"}
	})
	_, _, request := r.ask(withLines(upgradeRequest, "X-Site: forged", "X-Debug: 1", "X-Other: kept"))
	for name, want := range map[string]string{
		"X-Site": "a", "X-Debug": "", "X-Other": "kept", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http",
	} {
		if got := strings.Join(request.Header[name], ", "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestTrustedNetworks(t *testing.T) {
	forwarded := withLines(upgradeRequest, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: www", "Forwarded: for=1.1.1.1")
	const own, trusted = "X-Forwarded-For: 127.0.0.1; http; h; for=127.0.0.1;host=h;proto=http",
		"X-Forwarded-For: 1.1.1.1, 127.0.0.1; https; www; for=1.1.1.1, for=127.0.0.1;host=h;proto=http"
	const local, localTrusted = "X-Forwarded-For: ; http; h; for=unknown;host=h;proto=http",
		"X-Forwarded-For: 1.1.1.1; https; www; for=1.1.1.1, for=unknown;host=h;proto=http"
	for _, c := range []struct {
		networks  string
		tcp, unix string
	}{
		{"", own, local},
		{"10.0.0.0/8 ::/0", own, localTrusted},
		{"192.0.2.0/24 127.0.0.0/8", trusted, localTrusted},
		{"2001:db8::/32", own, local},
	} {
		t.Run(c.networks, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l.sock")
			r := newRig(t, func(config *Config) {
				config.Listeners = append(config.Listeners, Listener{Network: "unix", Address: path, UID: -1, GID: -1})
				for _, network := range strings.Fields(c.networks) {
					config.Trusted = append(config.Trusted, netip.MustParsePrefix(network))
				}
			})
			see := func(request *http.Request) string {
				h := request.Header
				return "X-Forwarded-For: " + strings.Join([]string{
					strings.Join(h["X-Forwarded-For"], "|"),
					h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"), strings.Join(h["Forwarded"], "|"),
				}, "; ")
			}
			if _, _, request := r.ask(forwarded); see(request) != c.tcp {
				t.Errorf("%q, TCP: %s", c.networks, see(request))
			}
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			write(t, conn, forwarded)
			if _, request := r.accept(); see(request) != c.unix {
				t.Errorf("%q, unix: %s", c.networks, see(request))
			}
		})
	}
}

// regexRoute sends what e matches to the target that to makes.
func regexRoute(t *testing.T, e, to string) func(*Config) {
	return func(c *Config) {
		c.Routes[0] = newRoute(t, route.Pattern{Regexp: regexp.MustCompile(e)}, to, c.Routes[0].Upstream)
	}
}

// CVE-2023-25690, CVE-2024-38474 and kin: whatever a path has encoded, the
// backend gets one request line, with its own '?'.
func TestSubstitutionCannotSplitTheRequest(t *testing.T) {
	r := newRig(t, regexRoute(t, "^/here/(.*)", "/elsewhere?$1"))
	for path, want := range map[string]string{ // "" is refused
		"/here/a%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0aGET%20/smug": "",
		"/here/a%00b":              "",
		"/here/%5c":                "",
		"/here/a%20HTTP/1.1":       "/elsewhere?a%20HTTP/1.1",
		"/here/a%3fb&c=d?q=%0d%0a": "/elsewhere?a%3Fb%26c%3Dd&q=%0d%0a",
		"/here/@evil.test/":        "/elsewhere?%40evil.test/",
	} {
		client := r.dial()
		write(t, client, strings.Replace(upgradeRequest, "/x", path, 1))
		if want == "" {
			expectAnswer(t, client, "400")
			continue
		}
		backend := acceptFrom(t, r.backend)
		line, err := bufio.NewReader(backend).ReadString('\n')
		if err != nil || line != "GET "+want+" HTTP/1.1\r\n" {
			t.Errorf("%s: %q, %v", path, line, err)
		}
		client.Close()
	}
}

// Dot segments are gone before a route sees the path, and none may come back.
func TestSubstitutionMakesNoDotSegments(t *testing.T) {
	r := newRig(t, regexRoute(t, `^/(\.?)x?(.*)$`, "/base/$1$2"))
	for path, want := range map[string]string{
		"/a/%2e%2e/b":  "/base/b",
		"/%2e%2e/a":    "",
		"/.x.":         "",
		"/.x./secret":  "",
		"/.x%2e/../..": "",
		"/.x../a":      "/base/.../a",
	} {
		client := r.dial()
		write(t, client, strings.Replace(upgradeRequest, "/x", path, 1))
		if want == "" {
			expectAnswer(t, client, "400")
			continue
		}
		if _, request := r.accept(); request.RequestURI != want {
			t.Errorf("%s: %q, want %q", path, request.RequestURI, want)
		}
		client.Close()
	}
	refusals := r.server.Stats().Refusals
	if refusals["bad_path"] != 2 || refusals["dot_segment"] != 2 {
		t.Errorf("refused: %v", refusals)
	}
}

// The head for the next server is made of the client's request once more.
func TestRedialKeepsTheTarget(t *testing.T) {
	r := newRig(t, func(c *Config) {
		dead, live := closedPort().String(), c.Routes[0].Upstream.Servers()[0].Name()
		regexRoute(t, "^/(.*)/(.*)$", "/$2/$1")(c)
		c.Routes[0].Upstream = oneServer(t, "tcp", dead)
		server := oneServer(t, "tcp", live).Servers()[0]
		both, err := pool.NewUpstream("both", pool.RoundRobin, append(c.Routes[0].Upstream.Servers(), server))
		if err != nil {
			t.Fatal(err)
		}
		c.Routes[0].Upstream = both
	})
	for range 4 {
		_, _, request := r.ask(strings.Replace(upgradeRequest, "/x", "//a%20b/../a%2Fb/c?q", 1))
		if request.RequestURI != "/c/a%2Fb?q" {
			t.Errorf("target %q", request.RequestURI)
		}
	}
	if r.server.Stats().DialFailures == 0 {
		t.Error("no server was given up")
	}
}
