package handshake

import (
	"strings"
	"testing"
)

var forwardCases = map[string]struct {
	head    string
	forward Forward
	want    string
}{
	"verbatim, ours last": {
		upgradeHead("x-LOWER:  spaced \t", "X: 1", "x: 2", "Content-Length: 0", "TE: trailers", "Keep-Alive: 5",
			"Proxy-Connection: x", "Proxy-Authorization: Basic x", "Proxy-Authenticate: x", "HTTP2-Settings: AA",
			"Trailer: X", "Cookie: a=b", "Authorization: Bearer x"),
		Forward{Target: []byte("/b?x=1"), Host: "b:9000", ClientAddr: []byte("192.0.2.1"), Proto: "http"},
		lines("GET /b?x=1 HTTP/1.1", "Host: b:9000", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "x-LOWER:  spaced \t", "X: 1", "x: 2", "Cookie: a=b",
			"Authorization: Bearer x", "Connection: Upgrade", "Upgrade: websocket", "X-Forwarded-For: 192.0.2.1",
			"X-Forwarded-Proto: http", "X-Forwarded-Host: example.com",
			"Forwarded: for=192.0.2.1;host=example.com;proto=http"),
	},
	"T14 nominated, underscores, forged": {
		without(upgradeHead("Connection: X-Real-IP, upgrade, X-Forwarded-For,Forwarded", "X-Real-IP: 6.6.6.6", "X_Real_IP: 6.6.6.6",
			"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "x-forwarded-host: evil", "X-Forwarded-Port: 1",
			"X_Forwarded_For: 6.6.6.6", "Forwarded: for=6.6.6.6", "x-real-ip: 7.7.7.7"), "Connection: Upgrade"),
		Forward{Target: []byte("/"), ClientAddr: []byte("2001:db8::1"), Proto: "https"},
		lines("GET / HTTP/1.1", "Host: example.com", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Connection: Upgrade", "Upgrade: websocket",
			"X-Forwarded-For: 2001:db8::1", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.com",
			`Forwarded: for="[2001:db8::1]";host=example.com;proto=https`),
	},
	"unix client, host with port": {
		strings.Replace(upgradeHead("X-Forwarded-For: 6.6.6.6"), "Host: example.com", "Host: [::1]:8080", 1),
		Forward{Target: []byte("/"), Proto: "http"},
		lines("GET / HTTP/1.1", "Host: [::1]:8080", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Connection: Upgrade", "Upgrade: websocket",
			"X-Forwarded-Proto: http", "X-Forwarded-Host: [::1]:8080",
			`Forwarded: for=unknown;host="[::1]:8080";proto=http`),
	},
	"trusted proxy before us": {
		upgradeHead("X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: www", "Forwarded: for=1.1.1.1",
			"X-Forwarded-For: 2.2.2.2"),
		Forward{Target: []byte("/"), ClientAddr: []byte("10.0.0.1"), Proto: "http", Trusted: true},
		lines("GET / HTTP/1.1", "Host: example.com", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Connection: Upgrade", "Upgrade: websocket",
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: www",
			"Forwarded: for=1.1.1.1, for=10.0.0.1;host=example.com;proto=http"),
	},
	"other protocol, set and remove": {
		"POST /x HTTP/1.1\r\nHost: h\r\nUpgrade: mqtt\r\nConnection: upgrade\r\n" +
			"X-Site: forged\r\nx-debug: 1\r\nSec-WebSocket-Key: x\r\n\r\n",
		Forward{
			Target: []byte("/x"), ClientAddr: []byte("fe80::1%eth0"), Proto: "http", Protocol: []byte("mqtt"),
			Set: []ForwardField{
				{"X-Site", "a"},
				{"Connection", "close"},
				{"Host", "evil"},
				{"Content-Length", "5"},
				{"X-Bad", "a\r\nX: y"},
			},
			Remove: []string{"X-Debug", "Host"},
		},
		lines("POST /x HTTP/1.1", "Host: h", "Sec-WebSocket-Key: x", "X-Site: a", "X-Bad: aX: y", "Connection: Upgrade",
			"Upgrade: mqtt", "X-Forwarded-For: fe80::1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h",
			`Forwarded: for="[fe80::1]";host=h;proto=http`),
	},
	"key and version of ours": {
		good + "\r\n",
		Forward{Target: []byte("/"), Proto: "http", Key: []byte("dGhlIHNhbXBsZSBub25jZQ==")},
		lines("GET / HTTP/1.1", "Host: h", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"Connection: Upgrade", "Upgrade: websocket", "X-Forwarded-Proto: http", "X-Forwarded-Host: h",
			"Forwarded: for=unknown;host=h;proto=http"),
	},
	"no splitting through the target": {
		good + "\r\n",
		Forward{Target: []byte("a b\r\n\r\nGET /#\xff"), Host: "b\r\nX: y", Proto: "http"},
		lines("GET /a%20b%0D%0A%0D%0AGET%20/%23%FF HTTP/1.1", "Host: bX: y", "Connection: Upgrade", "Upgrade: websocket",
			"X-Forwarded-Proto: http", "X-Forwarded-Host: h", "Forwarded: for=unknown;host=h;proto=http"),
	},
	"HTTP/1.0 without Host": {
		"GET / HTTP/1.0\r\n\r\n",
		Forward{Target: []byte("/"), Host: "b", Proto: "http"},
		lines("GET / HTTP/1.1", "Host: b", "Connection: Upgrade", "Upgrade: websocket",
			"X-Forwarded-Proto: http", "Forwarded: for=unknown;proto=http"),
	},
}

func TestAppendForward(t *testing.T) {
	for name, c := range forwardCases {
		t.Run(name, func(t *testing.T) {
			got := string(mustParse(t, c.head).AppendForward([]byte("..."), &c.forward))
			if got != "..."+c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got[3:], c.want)
			}
		})
	}
}

func TestAppendOrdinary(t *testing.T) {
	body := func(extra ...string) string {
		return without(upgradeHead(append([]string{"Transfer-Encoding: chunked", "Trailer: A"}, extra...)...), "Connection: U")
	}
	for name, c := range map[string]struct {
		head    string
		forward Forward
		want    string
	}{
		"upgrade and hop-by-hop fields end here": {
			body("Connection: upgrade, HTTP2-Settings, X-Hop, Transfer-Encoding, Host", "HTTP2-Settings: AA", "X-Hop: 1",
				"X_a: 1", "TE: trailers", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Port: 1"),
			Forward{Target: []byte("/b?c"), ClientAddr: []byte("9.9.9.9"), Proto: "http"},
			lines("GET /b?c HTTP/1.1", "Host: example.com", "Sec-WebSocket-Version: 13",
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Transfer-Encoding: chunked", "Trailer: A",
				"X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: example.com",
				"Forwarded: for=9.9.9.9;host=example.com;proto=http"),
		},
		"trusted, with fields of the configuration": {
			lines("POST /x HTTP/1.1", "Host: h", "Content-Length: 3", "X-Debug: 1", "X-Site: b", "X-Forwarded-For: 1.1.1.1"),
			Forward{
				Target: []byte("/"), Host: "b:1", ClientAddr: []byte("9.9.9.9"), Proto: "https", Trusted: true,
				Set:    []ForwardField{{"X-Site", "a"}, {"Content-Length", "9"}, {"Connection", "x"}, {"Host", "y"}},
				Remove: []string{"x-debug", "content-length"},
			},
			lines("POST / HTTP/1.1", "Host: b:1", "Content-Length: 3", "X-Site: a", "X-Forwarded-For: 1.1.1.1, 9.9.9.9",
				"X-Forwarded-Proto: https", "X-Forwarded-Host: h", "Forwarded: for=9.9.9.9;host=h;proto=https"),
		},
		"nominated length": {
			lines("POST /x HTTP/1.1", "Host: h", "Content-Length: 3", "Connection: close, Content-Length"),
			Forward{Proto: "http"},
			lines("POST / HTTP/1.1", "Host: h", "Content-Length: 3", "Connection: close", "X-Forwarded-Proto: http",
				"X-Forwarded-Host: h", "Forwarded: for=unknown;host=h;proto=http"),
		},
		"HTTP/1.0 without Host": {
			"GET / HTTP/1.0\r\n\r\n",
			Forward{Proto: "http"},
			lines("GET / HTTP/1.0", "Connection: close", "X-Forwarded-Proto: http", "Forwarded: for=unknown;proto=http"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(mustParse(t, c.head).AppendOrdinary([]byte("..."), &c.forward)); got != "..."+c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got[3:], c.want)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	var v Verifier
	f := Forward{Target: []byte("/"), Proto: "http"}
	for name, c := range map[string]struct {
		head string
		want *Refusal
	}{
		"correct":           {upgradeHead(), nil},
		"Chrome":            {chromeHead, nil},
		"long cookie":       {upgradeHead("Cookie: a=" + strings.Repeat("x", 3*verifyBufferBytes)), nil},
		"nominated key":     {upgradeHead("Connection: Sec-WebSocket-Key"), RefusalVerify},
		"nominated version": {upgradeHead("Connection: sec-websocket-version"), RefusalVerify},
		"POST":              {strings.Replace(upgradeHead(), "GET", "POST", 1), RefusalVerify},
		"short key":         {strings.Replace(upgradeHead(), "dGhl", "", 1), RefusalVerify},
		"version 8":         {strings.Replace(upgradeHead(), "13", "8", 1), RefusalVerify},
	} {
		out := mustParse(t, c.head).AppendForward(nil, &f)
		if got := v.Verify(out); got != c.want {
			t.Errorf("%s: %q, want %q", name, reason(got), reason(c.want))
		}
	}
	for _, head := range []string{"", "GET / HTTP/1.1\r\n", "x", "\r\n\r\n"} {
		if v.Verify([]byte(head)) == nil {
			t.Errorf("accepted %q", head)
		}
	}
}

func TestAccept(t *testing.T) {
	// The example of RFC 6455 section 1.3.
	got := string(AppendAccept(nil, []byte("dGhlIHNhbXBsZSBub25jZQ==")))
	if got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept %s", got)
	}
	switched := string(AppendSwitch(nil, []byte("dGhlIHNhbXBsZSBub25jZQ=="), "chat", "permessage-deflate"))
	r := mustParse(t, chromeHead)
	offer := Offer{Sent: r.AppendForward(nil, &Forward{Target: []byte("/")})}
	if refusal := mustParseResponse(t, switched).CheckUpgrade(&offer, false); refusal != nil {
		t.Errorf("our own 101: %v", refusal)
	}
	if plain := string(AppendSwitch(nil, []byte("k"), "", "")); contains(plain,
		"Sec-WebSocket-Protocol") || contains(plain, "Extensions") {
		t.Errorf("%q", plain)
	}
}
