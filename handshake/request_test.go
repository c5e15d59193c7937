package handshake

import (
	"testing"
)

func TestParseReadsTheParts(t *testing.T) {
	r := mustParse(t, chromeHead)
	for what, c := range map[string][2]string{
		"method":     {string(r.Method()), "GET"},
		"target":     {string(r.Target()), "/ws/chat?room=42"},
		"path":       {string(r.Path()), "/ws/chat"},
		"query":      {string(r.Query()), "?room=42"},
		"host":       {string(r.Host()), "chat.example.com"},
		"user agent": {string(r.UserAgent()[:11]), "Mozilla/5.0"},
		"upgrade":    {string(r.UpgradeField()), "websocket"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %q, want %q", what, c[0], c[1])
		}
	}
	if origin, ok := r.Origin(); !ok || string(origin) != "https://chat.example.com" {
		t.Errorf("origin: %q, %v", origin, ok)
	}
	if r.Minor() != 1 || !r.KeepAlive() || r.HasBody() || r.Upgrade() != WebSocket || r.Fields() != 14 {
		t.Errorf("minor %d, keep-alive %v, body %v, %v, %d fields", r.Minor(), r.KeepAlive(), r.HasBody(), r.Upgrade(), r.Fields())
	}
	if v, ok := r.Cookie("theme"); !ok || string(v) != "dark" {
		t.Errorf("cookie: %q, %v", v, ok)
	}
	if _, ok := r.Cookie("the"); ok {
		t.Error("found a cookie that is not there")
	}
	if v, ok := r.Field("ACCEPT-language"); !ok || string(v[:2]) != "de" {
		t.Errorf("field: %q, %v", v, ok)
	}
	if name, value := r.FieldAt(0); string(name) != "Host" || string(value) != "chat.example.com" {
		t.Errorf("field 0: %q %q", name, value)
	}
	if s := r.SelectSubprotocol([]string{"superchat", "chat"}); s != "chat" {
		t.Errorf("subprotocol %q: the first offered wins", s)
	}
	if s := r.SelectSubprotocol([]string{"Chat"}); s != "" {
		t.Errorf("subprotocol %q", s)
	}
}

func TestParseAccepts(t *testing.T) {
	for name, c := range map[string]struct{ head, path, query, host string }{
		"HTTP/1.0 without Host":    {"GET / HTTP/1.0\r\n\r\n", "/", "", ""},
		"absolute form":            {"GET http://H.example:80/a?b HTTP/1.1\r\nHost: h.EXAMPLE:80\r\n\r\n", "/a", "?b", "h.EXAMPLE:80"},
		"absolute form, no path":   {"GET ws://h HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h"},
		"absolute form, query":     {"GET wss://h?a=/b HTTP/1.1\r\nHost: h\r\n\r\n", "/", "?a=/b", "h"},
		"IPv6 host":                {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "/", "", "[2001:db8::1]:8080"},
		"IPv4 host":                {"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", "/", "", "10.0.0.1"},
		"underscore in host":       {"GET / HTTP/1.1\r\nHost: my_app\r\n\r\n", "/", "", "my_app"},
		"obs-text in a value":      {good + "X: caf\xe9\r\n\r\n", "/", "", "h"},
		"empty value":              {good + "X:\r\n\r\n", "/", "", "h"},
		"blank value":              {good + "X: \t \r\n\r\n", "/", "", "h"},
		"no space after the colon": {"GET / HTTP/1.1\r\nHost:h\r\n\r\n", "/", "", "h"},
		"two question marks":       {"GET /a??b?c HTTP/1.1\r\nHost: h\r\n\r\n", "/a", "??b?c", "h"},
		"browser's raw bytes":      {"GET /|[a]?{b}^`\\ HTTP/1.1\r\nHost: h\r\n\r\n", "/|[a]", "?{b}^`\\", "h"},
		"two slashes first":        {"GET //evil.example/a HTTP/1.1\r\nHost: h\r\n\r\n", "//evil.example/a", "", "h"},
		"unusual method":           {"M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h"},
		"two Connections":          {good + "Connection: keep-alive\r\nConnection: , upgrade ,\r\n\r\n", "/", "", "h"},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustParse(t, c.head)
			if string(r.Path()) != c.path || string(r.Query()) != c.query || string(r.Host()) != c.host {
				t.Errorf("path %q query %q host %q", r.Path(), r.Query(), r.Host())
			}
		})
	}
}

func TestParseResets(t *testing.T) {
	r := mustParse(t, "POST /%7ea?q HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"+
		"Connection: close, x\r\nX: 1\r\nUpgrade: websocket\r\n\r\n")
	if !r.HasBody() || r.KeepAlive() || string(r.Path()) != "/~a" {
		t.Fatalf("body %v keep-alive %v path %q", r.HasBody(), r.KeepAlive(), r.Path())
	}
	if refusal := r.Parse([]byte(good + "X: 2\r\n\r\n")); refusal != nil {
		t.Fatal(refusal)
	}
	if r.HasBody() || !r.KeepAlive() || len(r.Query()) > 0 || r.Upgrade() != NoUpgrade || r.Fields() != 2 {
		t.Errorf("the last request shows through: %+v", r.table.tokens)
	}
	if out := string(r.AppendForward(nil, &Forward{})); !contains(out, "\r\nX: 2\r\n") {
		t.Errorf("X is still nominated:\n%s", out)
	}
}

func TestRequestBody(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		kind BodyKind
		n    int64
	}{
		"none":     {good + "\r\n", BodyNone, 0},
		"length 0": {good + "Content-Length: 0\r\n\r\n", BodyNone, 0},
		"length":   {good + "Content-Length: 007\r\n\r\n", BodyLength, 7},
		"largest":  {good + "Content-Length: 9223372036854775807\r\n\r\n", BodyLength, 1<<63 - 1},
		"chunked":  {good + "Transfer-Encoding: Chunked\r\n\r\n", BodyChunked, 0},
	} {
		body := mustParse(t, c.head).Body()
		if body.Kind() != c.kind || body.Length() != c.n {
			t.Errorf("%s: %v %d", name, body.Kind(), body.Length())
		}
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"h": true, "h:0": true, "h:65535": true, "a.b-c_d~e": true, "[::]": true, "[::ffff:1.2.3.4]:1": true,
		"xn--bcher-kva.example": true,
		"":                      false, ":80": false, "h:": false, "h:000080": false, "h:-1": false, "[]": false,
		"[::1]x": false, "[::1]x:1": false,
		"::1": false, "[v1.a]": false, "h%41": false, "a;b": false, "[::1%lo]": false, "[1.2.3.4]": false, "]": false, "[": false,
	} {
		if validHost([]byte(host)) != want {
			t.Errorf("validHost(%q) = %v", host, !want)
		}
	}
}

func TestAppendField(t *testing.T) {
	r := mustParse(t, good+"X-Two: a\r\nOther: o\r\nx-two:\r\nX-TWO:  b, c \r\n\r\n")
	for name, want := range map[string]string{"x-two": "a, , b, c", "OTHER": "o", "absent": ""} {
		if got := string(r.AppendField([]byte("..."), name)); got != "..."+want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
