package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"wsplice/e2e/internal/rig"
)

// h2Field is one header field.
func h2Field(name, value string) rig.Field { return rig.Field{Name: name, Value: value} }

// h2Ordinary returns the fields of an ordinary request.
func h2Ordinary(method, target string) []rig.Field {
	return []rig.Field{
		h2Field(":method", method), h2Field(":scheme", "https"), h2Field(":path", target), h2Field(":authority", "example.test"),
	}
}

// without returns fields without those of one name.
func without(fields []rig.Field, name string) []rig.Field {
	var rest []rig.Field
	for _, field := range fields {
		if field.Name != name {
			rest = append(rest, field)
		}
	}
	return rest
}

// instead returns fields with another value of one of them.
func instead(fields []rig.Field, name, value string) []rig.Field {
	changed := append([]rig.Field(nil), fields...)
	for i := range changed {
		if changed[i].Name == name {
			changed[i].Value = value
		}
	}
	return changed
}

// TestH2Malformed sends what makes no request (RFC 9113 section 8, RFC 8441 section
// 4): the stream is reset with PROTOCOL_ERROR or answered 400, the backend hears
// nothing, and the connection goes on.
func TestH2Malformed(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{})
	sound := rig.ConnectFields("/ws/x")
	get := h2Ordinary("GET", "/ws/x")
	with := func(fields []rig.Field, more ...rig.Field) []rig.Field {
		return append(fields[:len(fields):len(fields)], more...)
	}
	for name, fields := range map[string][]rig.Field{
		"connection":                      with(sound, h2Field("connection", "upgrade")),
		"upgrade":                         with(sound, h2Field("upgrade", "websocket")),
		"keep-alive":                      with(sound, h2Field("keep-alive", "timeout=5")),
		"proxy-connection":                with(sound, h2Field("proxy-connection", "keep-alive")),
		"transfer-encoding":               with(sound, h2Field("transfer-encoding", "chunked")),
		"te":                              with(sound, h2Field("te", "gzip")),
		"upgrade in an ordinary request":  with(get, h2Field("connection", "upgrade"), h2Field("upgrade", "websocket")),
		":protocol without CONNECT":       with(get[:4:4], h2Field(":protocol", "websocket")),
		"no :method":                      without(sound, ":method"),
		"no :scheme":                      without(sound, ":scheme"),
		"no :path":                        without(sound, ":path"),
		"no :authority":                   without(sound, ":authority"),
		"an empty :path":                  instead(sound, ":path", ""),
		"a :path that is no path":         instead(sound, ":path", "ws/x"),
		"a :path with a space":            instead(sound, ":path", "/ws/x HTTP/1.1"),
		"a :path with a line break":       instead(sound, ":path", "/ws/x\r\nX-Evil: 1"),
		"an :authority with a line break": instead(sound, ":authority", "a\r\nX-Evil: 1"),
		"an :authority with a user":       instead(sound, ":authority", "user@example.test"),
		"a :method that is none":          instead(get, ":method", "GET /evil HTTP/1.1\r\n"),
		"a value with a line break":       with(sound, h2Field("x-a", "1\r\nx-evil: 1")),
		"a value with a zero":             with(sound, h2Field("x-a", "1\x00")),
		"a name with a capital letter":    with(sound, h2Field("X-A", "1")),
		"a name with a colon":             with(sound, h2Field("x:a", "1")),
		"an unknown pseudo-header field":  with([]rig.Field{h2Field(":evil", "1")}, sound...),
		"two :path":                       with([]rig.Field{h2Field(":path", "/ws/y")}, sound...),
		"a pseudo-header field at the end": with(without(sound, ":path"),
			h2Field("x-a", "1"), h2Field(":path", "/ws/x")),
		"a host that differs": with(sound, h2Field("host", "evil.test")),
	} {
		t.Run(name, func(t *testing.T) {
			s := c.In(t).Request(false, fields...)
			if status := s.Status(); status != 0 && status != http.StatusBadRequest {
				t.Errorf("answered %d", status)
			} else if status == 0 {
				if code := s.WantReset(); code != http2.ErrCodeProtocol {
					t.Errorf("reset with %v", code)
				}
			}
		})
	}
	if n := backend.Accepts(); n != 0 {
		t.Errorf("the backend was asked %d times: %q", n, backend.Received(0))
	}
	client, server := rig.OpenH2(c, backend, "/ws/sound")
	client.Put("a sound one")
	server.Want("a sound one")
}

// TestH2Refusals gives the status that clients of HTTP/1.1 get.
func TestH2Refusals(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{Routes: fmt.Sprintf(`
- {path: /ws/, to: "%[1]s/"}
- {path: /origin/, to: "%[1]s/", origins: ["https://good.test"]}
- {path: /deny/, mode: deny}
- {path: /dead/, to: "ws://%[2]s/"}`, backend.URL(), rig.RefusingAddress(t))})
	for name, test := range map[string]struct {
		fields []rig.Field
		want   int
	}{
		"no route":          {rig.ConnectFields("/none"), 404},
		"denied":            {rig.ConnectFields("/deny/x"), 403},
		"a foreign origin":  {rig.ConnectFields("/origin/x", h2Field("origin", "https://evil.test")), 403},
		"no origin":         {rig.ConnectFields("/origin/x"), 400},
		"a dead backend":    {rig.ConnectFields("/dead/x"), 503},
		"no version":        {without(rig.ConnectFields("/ws/x"), "sec-websocket-version"), 400},
		"another version":   {instead(rig.ConnectFields("/ws/x"), "sec-websocket-version", "8"), 426},
		"another protocol":  {instead(rig.ConnectFields("/ws/x"), ":protocol", "connect-udp"), 501},
		"no protocol":       {[]rig.Field{h2Field(":method", "CONNECT"), h2Field(":authority", "example.test:443")}, 501},
		"another scheme":    {instead(rig.ConnectFields("/ws/x"), ":scheme", "http"), 400},
		"a path that jumps": {rig.ConnectFields("/ws/../../etc/passwd"), 400},
		"not an upgrade":    {h2Ordinary("GET", "/ws/x"), 426},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.In(t).Request(false, test.fields...)
			a := s.Answer()
			if a.Status != test.want {
				t.Errorf("answered %q, want %d", a.Raw, test.want)
			}
			if text := s.Body(); len(text) < 10 {
				t.Errorf("the text is %q", text)
			}
		})
	}
	if n := backend.Accepts(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestH2RefusedByTheBackend passes the backend's own answer on, and takes nothing for
// an acceptance that is none.
func TestH2RefusedByTheBackend(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{})
	for name, test := range map[string]struct {
		answer string
		want   int
		body   string
	}{
		"401":  {"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?", 401, "who?"},
		"302":  {"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302, ""},
		"503":  {"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n", 503, "busy"},
		"200":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 502, "-"},
		"junk": {"what?\r\n\r\n", 502, "-"},
		"a wrong Accept": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", 502, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.In(t).Connect("/ws/x")
			server := backend.In(t).Next()
			server.WantHead()
			server.Put(test.answer)
			if a := s.Answer(); a.Status != test.want {
				t.Fatalf("answered %q, want %d", a.Raw, test.want)
			}
			if body := s.Body(); test.body != "-" && body != test.body {
				t.Errorf("the body is %q, want %q", body, test.body)
			}
		})
	}
	client, server := rig.OpenH2(c, backend, "/ws/sound")
	client.Put("the connection goes on")
	server.Want("the connection goes on")
}

// TestH2ForwardedHead is what the backend sees: a sound upgrade of HTTP/1.1 with a
// key of its own, and of the client what it may say.
func TestH2ForwardedHead(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{})
	keys := map[string]bool{}
	for i := range 3 {
		mark := proxy.Logs.Mark()
		client := c.Connect("/ws/x?a=1&b=2", h2Field("sec-websocket-protocol", "alpha, beta"),
			h2Field("sec-websocket-extensions", "permessage-deflate"), h2Field("origin", "https://example.test"),
			h2Field("cookie", "a=1"), h2Field("cookie", "b=2"), h2Field("x-custom", "c  d"), h2Field("sec-websocket-key", rig.Key),
			h2Field("x-forwarded-for", "6.6.6.6"), h2Field("x-forwarded-proto", "http"), h2Field("forwarded", "for=6.6.6.6"))
		server := backend.Next()
		head := server.WantHead()
		if head.Method != "GET" || head.Target != "/x?a=1&b=2" || head.Proto != "HTTP/1.1" {
			t.Errorf("the backend is asked %s %s %s", head.Method, head.Target, head.Proto)
		}
		for name, want := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Protocol": "alpha, beta", "Sec-WebSocket-Extensions": "permessage-deflate",
			"Origin": "https://example.test", "Cookie": "a=1; b=2", "X-Custom": "c  d",
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.test",
			":protocol": "", "Protocol": "",
		} {
			if got := strings.Join(head.Values(name), "|"); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if strings.Contains(head.Raw, "6.6.6.6") {
			t.Errorf("the client's own claims reach the backend: %q", head.Raw)
		}
		key := head.Get("Sec-WebSocket-Key")
		if len(key) != len(rig.Key) || key == rig.Key || keys[key] || len(head.Values("Sec-WebSocket-Key")) != 1 {
			t.Errorf("key %d is %q", i, head.Values("Sec-WebSocket-Key"))
		}
		keys[key] = true
		if err := server.Upgrade("Sec-WebSocket-Protocol: beta", "X-Answer: yes", "Set-Cookie: a=1", "Set-Cookie: b=2"); err != nil {
			t.Fatal(err)
		}
		a := client.Answer()
		if a.Status != http.StatusOK || a.Header.Get("Sec-WebSocket-Protocol") != "beta" || a.Header.Get("X-Answer") != "yes" ||
			len(a.Header.Values("Set-Cookie")) != 2 || a.Header.Get("Sec-WebSocket-Accept") != "" {
			t.Errorf("answered %q", a.Raw)
		}
		line := proxy.WaitLog(mark, "the tunnel is open", isMsg("tunnel open"))
		if line.Text("http") != "2" || !strings.HasPrefix(line.Text("client"), "127.0.0.1") {
			t.Errorf("the log says %v", line)
		}
	}
}

// TestH2ClientCertificates tells backends whose certificate the connection has shown.
func TestH2ClientCertificates(t *testing.T) {
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"example.test"}, nil)
	pair := authority.MustIssue(t, "client", nil, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	backend := rig.NewBackend(t, nil)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, ", client_ca: "+authority.CA()+
			", subject_header: X-Subject, fingerprint_header: X-Fingerprint", "server"),
		Routes: `- {path: /, to: "` + backend.URL() + `/"}`,
	})
	c := rig.DialH2(t, proxy.Addr(0), &tls.Config{
		RootCAs: authority.Roots(), ServerName: "example.test", Certificates: []tls.Certificate{pair},
	}, rig.H2Options{})
	for range 2 {
		c.Connect("/x", h2Field("x-subject", "forged"), h2Field("x-fingerprint", "forged"))
		head := backend.Next().WantHead()
		if subject, print := head.Values("X-Subject"), head.Values("X-Fingerprint"); len(subject) != 1 ||
			subject[0] != "CN=client" || len(print) != 1 || len(print[0]) != 64 {
			t.Errorf("the backend was told %q %q", subject, print)
		}
	}
}

// TestH2OrdinaryRequests has bodies both ways, of a length that is said and one that
// is not, and answers without any.
func TestH2OrdinaryRequests(t *testing.T) {
	const size = 3 << 20
	backend := rig.NewBackend(t, func(c *rig.BackendConn) { _ = http.Serve(oneConn(c), http.HandlerFunc(serveBodies)) })
	proxy, c := dialH2(t, backend, rig.Config{Routes: fmt.Sprintf(`- {path: /, mode: http, to: "http://%s/"}`, backend.Addr())})
	for _, length := range []string{"", fmt.Sprint(size)} {
		fields := h2Ordinary("POST", "/echo")
		if length != "" {
			fields = append(fields, h2Field("content-length", length))
		}
		s := c.Request(false, fields...)
		sent := make(chan error, 1)
		go func() {
			err := rig.Pattern(70).Send(s, 0, size, nil)
			if err == nil {
				err = s.CloseWriteErr()
			}
			sent <- err
		}()
		receiveAll(t, s, 70, size)
		s.WantEnd()
		if err := rig.Receive(t, sent, "the end of sending"); err != nil {
			t.Fatal(err)
		}
		if a := s.Answer(); a.Status != 200 || a.Header.Get("X-Method") != "POST" {
			t.Errorf("answered %q", a.Raw)
		}
	}
	if s := c.Get("/nothing"); s.Answer().Status != http.StatusNoContent || s.Body() != "" {
		t.Errorf("answered %q", s.Answer().Raw)
	}
	head := c.Request(true, h2Ordinary("HEAD", "/length")...)
	if a := head.Answer(); a.Status != 200 || a.Header.Get("Content-Length") != "1000" || head.Body() != "" {
		t.Errorf("answered %q", a.Raw)
	}
	m := proxy.Metrics()
	if n, all := m.Sum("wsplice_http2_connections_total"), m.Sum("wsplice_http2_requests_total"); n != 1 || all != 4 {
		t.Errorf("%v connections and %v requests of HTTP/2 are counted, want 1 and 4", n, all)
	}
}
