package proxy

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"wsplice/handshake"
	"wsplice/pool"
	"wsplice/route"
)

// withLines returns a head with further lines, or with a line replaced that
// begins with the same name.
func withLines(head string, lines ...string) string {
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		if old := regexp.MustCompile(`(?i)\r\n` + name + `:[^\r]*`).FindString(head); old != "" {
			head = strings.Replace(head, old, "", 1)
		}
		if !strings.HasSuffix(line, ":") {
			head = strings.TrimSuffix(head, "\r\n") + line + "\r\n\r\n"
		}
	}
	return head
}

// plainRequest asks for no upgrade.
const plainRequest = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

// chooser is a server that only chooses.
func chooser(t testing.TB, routes ...Route) *Server {
	t.Helper()
	s := &Server{config: Config{Routes: routes}}
	if err := s.compileRoutes(); err != nil {
		t.Fatal(err)
	}
	return s
}

// chosen names the route that takes the head and what it does, or the reason
// of the refusal.
func (s *Server) chosen(t testing.TB, head string) string {
	t.Helper()
	var request handshake.Request
	if refusal := request.Parse([]byte(head)); refusal != nil {
		t.Fatalf("%q: %v", head, refusal)
	}
	var subject route.Subject
	r, outcome, refusal := s.choose(&subject, &request)
	switch outcome {
	case outcomeTunnel:
		return "tunnel " + r.Name
	case outcomeHTTP:
		return "http " + r.Name
	}
	return refusal.Reason
}

var (
	upgradeWebSocket = Upgrade{Protocols: []string{"websocket"}}
	upgradeMQTT      = Upgrade{Protocols: []string{"mqtt", "amqp/1"}}
	upgradeAny       = Upgrade{Any: true}
	upgradeNone      = Upgrade{Unasked: true}
)

func slash(name string, mode Mode, u Upgrade) Route {
	return Route{Name: name, Pattern: route.Pattern{Prefix: "/"}, Mode: mode, Upgrade: u}
}

// broken are handshakes that name websocket and break a rule: T2, T7, T8, T13,
// T15, T20 of the security cases.
var broken = map[string]string{
	"bad_version":     withLines(upgradeRequest, "Sec-WebSocket-Version: 1777"),
	"version_missing": withLines(upgradeRequest, "Sec-WebSocket-Version:"),
	"key_missing":     withLines(upgradeRequest, "Sec-WebSocket-Key:"),
	"bad_key":         withLines(upgradeRequest, "Sec-WebSocket-Key: short"),
	"upgrade_method":  strings.Replace(upgradeRequest, "GET", "POST", 1),
	"upgrade_body":    withLines(upgradeRequest, "Content-Length: 5"),
	"upgrade_http10":  strings.Replace(upgradeRequest, "HTTP/1.1", "HTTP/1.0", 1),
}

var (
	h2cRequest = withLines(upgradeRequest, "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
		"Connection: Upgrade, HTTP2-Settings")
	halfRequest = withLines(upgradeRequest, "Connection: keep-alive") // T16
	mqttRequest = "POST /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: MQTT\r\n\r\n"
)

// A broken handshake must not end on a later route, which might let it through.
func TestBrokenHandshakeIsNotPassedOver(t *testing.T) {
	for name, s := range map[string]*Server{
		"websocket alone":  chooser(t, slash("ws", ModeTunnel, upgradeWebSocket)),
		"http behind":      chooser(t, slash("ws", ModeTunnel, upgradeWebSocket), slash("http", ModeHTTP, Upgrade{})),
		"any":              chooser(t, slash("any", ModeTunnel, upgradeAny), slash("none", ModeTunnel, upgradeNone)),
		"http":             chooser(t, slash("http", ModeHTTP, upgradeWebSocket)),
		"other list first": chooser(t, slash("mqtt", ModeTunnel, upgradeMQTT), slash("ws", ModeTunnel, upgradeWebSocket)),
	} {
		for want, head := range broken {
			if got := s.chosen(t, head); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
}

func TestTunnelRouteIsPassedOver(t *testing.T) {
	alone := chooser(t, slash("ws", ModeTunnel, upgradeWebSocket))
	pair := chooser(t, slash("ws", ModeTunnel, upgradeWebSocket), slash("http", ModeHTTP, Upgrade{}))
	mixed := chooser(t, slash("mqtt", ModeTunnel, upgradeMQTT), slash("ws", ModeTunnel, upgradeWebSocket))
	one := chooser(t, slash("http", ModeHTTP, upgradeWebSocket))
	off := chooser(t, slash("http", ModeHTTP, Upgrade{}))
	for _, c := range []struct {
		name, head                   string
		alone, pair, mixed, one, off string
	}{
		{"T1", upgradeRequest, "tunnel ws", "tunnel ws", "tunnel ws", "tunnel http", "http http"},
		{"T9", h2cRequest, "other_protocol", "http http", "upgrade_required", "http http", "http http"},
		{"T16", halfRequest, "upgrade_without_connection", "http http", "upgrade_required", "http http", "http http"},
		{"T19", plainRequest, "upgrade_required", "http http", "upgrade_required", "http http", "http http"},
		{"mqtt", mqttRequest, "other_protocol", "http http", "tunnel mqtt", "http http", "http http"},
		{
			"both", withLines(upgradeRequest, "Upgrade: h2c, WebSocket"),
			"tunnel ws", "tunnel ws", "tunnel ws", "tunnel http", "http http",
		},
	} {
		for _, on := range []struct {
			name   string
			server *Server
			want   string
		}{{"alone", alone, c.alone}, {"pair", pair, c.pair}, {"mixed", mixed, c.mixed}, {"one", one, c.one}, {"off", off, c.off}} {
			if got := on.server.chosen(t, c.head); got != on.want {
				t.Errorf("%s on %s: %s, want %s", c.name, on.name, got, on.want)
			}
		}
	}
}

// The 426 names what the first route that was passed over accepts.
func TestUpgradeRequiredNamesTheProtocols(t *testing.T) {
	r := newRig(t, func(c *Config) {
		other := c.Routes[0]
		other.Upgrade = upgradeMQTT
		c.Routes = []Route{other, c.Routes[0]}
	})
	for _, head := range []string{plainRequest, h2cRequest} {
		client := r.dial()
		write(t, client, head)
		text := expectEnd(t, client)
		if !strings.HasPrefix(text, "HTTP/1.1 426 ") || !strings.Contains(text, "\r\nUpgrade: mqtt, amqp/1\r\n") ||
			!strings.Contains(text, "\r\nConnection: Upgrade, close\r\n") {
			t.Errorf("got %q", text)
		}
		client.Close()
	}
}

func TestUpgradeNoneTakesEveryPlainGet(t *testing.T) {
	none := chooser(t, slash("none", ModeTunnel, upgradeNone))
	pair := chooser(t, slash("none", ModeTunnel, upgradeNone), slash("http", ModeHTTP, Upgrade{}))
	post := strings.Replace(plainRequest, "GET", "POST", 1)
	for head, want := range map[string][2]string{
		plainRequest:   {"tunnel none", "tunnel none"},
		upgradeRequest: {"tunnel none", "tunnel none"},
		halfRequest:    {"tunnel none", "tunnel none"},
		h2cRequest:     {"tunnel none", "tunnel none"},
		post:           {"upgrade_method", "http http"},
		withLines(plainRequest, "Content-Length: 5"):         {"upgrade_body", "http http"},
		strings.Replace(plainRequest, "1.1", "1.0", 1):       {"upgrade_http10", "http http"},
		withLines(plainRequest, "Sec-WebSocket-Version: 8"):  {"bad_version", "bad_version"},
		withLines(plainRequest, "Sec-WebSocket-Key: x"):      {"bad_key", "bad_key"},
		withLines(upgradeRequest, "Sec-WebSocket-Version:"):  {"tunnel none", "tunnel none"},
		withLines(upgradeRequest, "Sec-WebSocket-Key: AAAA"): {"bad_key", "bad_key"},
	} {
		for i, s := range []*Server{none, pair} {
			if got := s.chosen(t, head); got != want[i] {
				t.Errorf("%q on %d routes: %s, want %s", head, i+1, got, want[i])
			}
		}
	}
}

func TestUpgradeAnyTakesEveryProtocol(t *testing.T) {
	s := chooser(t, slash("any", ModeTunnel, upgradeAny))
	for head, want := range map[string]string{
		upgradeRequest: "tunnel any",
		mqttRequest:    "tunnel any",
		h2cRequest:     "tunnel any",
		plainRequest:   "upgrade_required",
		withLines(mqttRequest, "Upgrade: a b, ,"):          "upgrade_required",
		withLines(mqttRequest, "Connection: close"):        "upgrade_without_connection",
		withLines(mqttRequest, "Content-Length: 5"):        "upgrade_body",
		strings.Replace(mqttRequest, "1.1", "1.0", 1):      "upgrade_http10",
		withLines(mqttRequest, "Upgrade: mqtt, websocket"): "upgrade_method",
	} {
		if got := s.chosen(t, head); got != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	deny := Route{Name: "deny", Pattern: route.Pattern{Prefix: "/x"}, Mode: ModeDeny}
	ws := slash("ws", ModeTunnel, upgradeWebSocket)
	private := Route{Name: "private", Pattern: route.Pattern{
		Prefix: "/x", Headers: []route.Header{{Name: "X-Pass", Match: regexp.MustCompile("^open$")}},
	}, Upgrade: upgradeWebSocket}
	s := chooser(t, private, deny, ws)
	for head, want := range map[string]string{
		upgradeRequest: "denied",
		plainRequest:   "denied",
		withLines(upgradeRequest, "X-Pass: open"):  "tunnel private",
		withLines(plainRequest, "X-Pass: open"):    "denied", // private passes it over
		withLines(upgradeRequest, "X-Pass: opens"): "denied",
		// What names the same place is denied the same way.
		strings.Replace(upgradeRequest, "/x", "//x", 1):       "denied",
		strings.Replace(upgradeRequest, "/x", "/a/..//x/", 1): "denied",
		strings.Replace(upgradeRequest, "/x", "/%78/y", 1):    "denied",
		strings.Replace(upgradeRequest, "/x", "/xy", 1):       "tunnel ws",
		strings.Replace(plainRequest, "/x", "/xy", 1):         "upgrade_required",
	} {
		if got := s.chosen(t, head); got != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
	if got := chooser(t, private).chosen(t, upgradeRequest); got != "no_route" {
		t.Errorf("without a match: %s", got)
	}
}

// The routes' answers as a client sees them.
func TestModesAnswer(t *testing.T) {
	r := newRig(t, func(c *Config) {
		tunnel := c.Routes[0]
		tunnel.Pattern.Prefix = "/ws"
		http := newRoute(t, route.Pattern{Prefix: "/http"}, "/", tunnel.Upstream)
		http.Mode = ModeHTTP
		c.Routes = []Route{tunnel, http, {Name: "/no", Pattern: route.Pattern{Prefix: "/no"}, Mode: ModeDeny}}
	})
	for path, status := range map[string]string{"/ws": "426", "/no": "403", "/other": "404"} {
		client := r.dial()
		write(t, client, strings.Replace(plainRequest, "/x", path, 1))
		expectAnswer(t, client, status)
	}
	client := r.dial()
	write(t, client, strings.Replace(plainRequest, "/x", "/http", 1))
	backend, _ := r.accept()
	write(t, backend, "HTTP/1.1 204 No Content\r\n\r\n")
	expect(t, client, "HTTP/1.1 204 No Content\r\n\r\n")
	write(t, client, strings.Replace(upgradeRequest, "/x", "/http", 1))
	backend, _ = r.accept()
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
	if n := r.server.Stats().HTTP["2xx"]; n != 1 {
		t.Errorf("%d requests were handed over as HTTP, want 1", n)
	}
}

func TestNewRefusesWrongPatterns(t *testing.T) {
	_, err := New(Config{Loops: 1, Engine: "epoll", Routes: []Route{{Name: "x", Pattern: route.Pattern{Prefix: "x"}}}})
	if !errors.Is(err, route.ErrPrefix) {
		t.Errorf("%v", err)
	}
}

// Choosing a route and writing the head for its backend is done for every
// handshake.
func TestChoosingDoesNotAllocate(t *testing.T) {
	server, err := pool.NewServer(t.Context(), "tcp", "127.0.0.1:9", "backend:9")
	if err != nil {
		t.Fatal(err)
	}
	heads := []string{upgradeRequest, strings.Replace(upgradeRequest, "/x", "//x/%20?q", 1), mqttRequest}
	for name, u := range map[string]Upgrade{"websocket": upgradeWebSocket, "any": upgradeAny, "none": upgradeNone} {
		last := newRoute(t, route.Pattern{Prefix: "/"}, "/base", nil)
		last.Upgrade = u
		last.Set = []handshake.ForwardField{{Name: "X-Site", Value: "a"}}
		s := chooser(t, slash("mqtt", ModeTunnel, Upgrade{Protocols: []string{"other"}}), last)
		w := &worker{server: s}
		for _, head := range heads {
			if strings.HasPrefix(head, "POST") && name != "any" {
				continue
			}
			tunnel := &Tunnel{worker: w, server: server, listener: &Listener{}, x: &exchange{request: []byte(head), head: len(head)}}
			choose := func() {
				refusal := w.request.Parse(tunnel.x.request)
				if refusal == nil {
					tunnel.route, _, refusal = s.choose(&w.subject, &w.request)
				}
				if refusal != nil {
					t.Fatal(refusal)
				}
			}
			write := func() {
				if refusal := tunnel.makeHead(true); refusal != nil {
					t.Fatal(refusal)
				}
			}
			choose()
			if n := testing.AllocsPerRun(200, choose); n != 0 {
				t.Errorf("%s: %v allocations to choose for %q", name, n, head)
			}
			write()
			if n := testing.AllocsPerRun(200, write); n > 1 { // see handshake's test about gobwas/ws
				t.Errorf("%s: %v allocations to write %q", name, n, tunnel.x.out)
			}
		}
	}
}
