package handshake

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// The cases are those of SECURITY-CASES.md.
func TestCheckWebSocket(t *testing.T) {
	version := func(v string) string {
		return without(upgradeHead("Sec-WebSocket-Version: "+v), "Sec-WebSocket-Version: 13")
	}
	key := func(k string) string { return without(upgradeHead("Sec-WebSocket-Key: "+k), "Sec-WebSocket-Key: dG") }
	upgrade := func(u string) string { return without(upgradeHead("Upgrade: "+u), "Upgrade: w") }
	for name, c := range map[string]struct {
		head    string
		strict  *Refusal
		lenient *Refusal
	}{
		"T1 correct":               {upgradeHead(), nil, nil},
		"Chrome":                   {chromeHead, nil, nil},
		"Firefox's Connection":     {without(upgradeHead("Connection: keep-alive, Upgrade"), "Connection: U"), nil, nil},
		"other case":               {strings.ReplaceAll(upgradeHead(), "websocket", "WebSocket"), nil, nil},
		"length 0":                 {upgradeHead("Content-Length: 0"), nil, nil},
		"websocket in a list":      {upgrade("h2c, websocket"), nil, nil},
		"T2 version 1777":          {version("1777"), RefusalVersion, RefusalVersion},
		"T2 version 8":             {version("8"), RefusalVersion, RefusalVersion},
		"version 013":              {version("013"), RefusalVersion, RefusalVersion},
		"version 13, 8":            {version("13, 8"), RefusalVersion, RefusalVersion},
		"no version":               {without(upgradeHead(), "Sec-WebSocket-Version"), RefusalVersionMissing, RefusalVersionMissing},
		"empty version":            {version(""), RefusalVersion, RefusalVersion},
		"T2 wrong version, no key": {without(version("1777"), "Sec-WebSocket-Key"), RefusalVersion, RefusalVersion},
		"T7 no key":                {without(upgradeHead(), "Sec-WebSocket-Key"), RefusalKeyMissing, RefusalKeyMissing},
		"T7 empty key":             {key(""), RefusalKeyMissing, RefusalKeyMissing},
		"T7 short key":             {key("dGhlIHNhbXBsZQ=="), RefusalKey, nil},
		"T7 key of 17 bytes":       {key("AAAAAAAAAAAAAAAAAAAAAAA="), RefusalKey, nil},
		"T7 key of 18 bytes":       {key("AAAAAAAAAAAAAAAAAAAAAAAA"), RefusalKey, nil},
		"T7 key not base64":        {key("dGhl!HNhbXBsZSBub25jZQ=="), RefusalKey, nil},
		"T7 key in base64url":      {key("dGhl-HNhbXBsZSBub25jZQ=="), RefusalKey, nil},
		"T8 POST":                  {strings.Replace(upgradeHead(), "GET", "POST", 1), RefusalUpgradeMethod, nil},
		"get in lower case":        {strings.Replace(upgradeHead(), "GET", "get", 1), RefusalUpgradeMethod, nil},
		"T9 h2c":                   {upgrade("h2c"), RefusalOtherProtocol, RefusalOtherProtocol},
		"Kelvin sign":              {upgrade("websoc\u212aet"), RefusalOtherProtocol, RefusalOtherProtocol},
		"websocket/13":             {upgrade("websocket/13"), RefusalOtherProtocol, RefusalOtherProtocol},
		"empty Upgrade":            {upgrade(""), RefusalOtherProtocol, RefusalOtherProtocol},
		"T13 body":                 {upgradeHead("Content-Length: 5"), RefusalUpgradeBody, RefusalUpgradeBody},
		"T13 chunked":              {upgradeHead("Transfer-Encoding: chunked"), RefusalUpgradeBody, RefusalUpgradeBody},
		"T15 HTTP/1.0": {
			strings.Replace(upgradeHead(), "HTTP/1.1", "HTTP/1.0", 1),
			RefusalUpgradeHTTP10, RefusalUpgradeHTTP10,
		},
		"T16 no Connection": {without(upgradeHead(), "Connection"), RefusalUpgradeConnection, RefusalUpgradeConnection},
		"T16 Connection: keep-alive": {
			without(upgradeHead("Connection: keep-alive"), "Connection: U"),
			RefusalUpgradeConnection, RefusalUpgradeConnection,
		},
		"Connection: upgrade-not": {
			without(upgradeHead("Connection: upgrade-not"), "Connection: U"),
			RefusalUpgradeConnection, RefusalUpgradeConnection,
		},
		"T19 plain GET":             {good + "\r\n", RefusalUpgradeRequired, RefusalUpgradeRequired},
		"T19 Connection: Upgrade":   {good + "Connection: Upgrade\r\n\r\n", RefusalUpgradeRequired, RefusalUpgradeRequired},
		"T19 plain GET in HTTP/1.0": {"GET / HTTP/1.0\r\n\r\n", RefusalUpgradeRequired, RefusalUpgradeRequired},
		"T9 h2c with HTTP2-Settings": {
			good + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
			RefusalOtherProtocol, RefusalOtherProtocol,
		},
		"T9 h2c without a Connection": {
			"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", RefusalOtherProtocol,
			RefusalOtherProtocol,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustParse(t, c.head)
			if got := r.CheckWebSocket(false); got != c.strict {
				t.Errorf("strict: %q, want %q", reason(got), reason(c.strict))
			}
			if got := r.CheckWebSocket(true); got != c.lenient {
				t.Errorf("lenient: %q, want %q", reason(got), reason(c.lenient))
			}
		})
	}
}

func TestUpgradeKinds(t *testing.T) {
	for head, want := range map[string]UpgradeKind{
		upgradeHead():                        WebSocket,
		good + "\r\n":                        NoUpgrade,
		good + "Connection: upgrade\r\n\r\n": NoUpgrade,
		good + "Upgrade: websocket\r\n\r\n":  UpgradeWithoutConnection,
		good + "Upgrade: h2c\r\nConnection: UPGRADE, x\r\n\r\n":          OtherProtocol,
		good + "Upgrade: x,, WebSocket\r\nConnection: x,Upgrade\r\n\r\n": WebSocket,
		strings.Replace(upgradeHead(), "HTTP/1.1", "HTTP/1.0", 1):        NoUpgrade,
	} {
		if got := mustParse(t, head).Upgrade(); got != want {
			t.Errorf("%q: %v, want %v", head, got, want)
		}
	}
	if !mustParse(t, good+"Upgrade: a, B\r\n\r\n").UpgradeHas("b") {
		t.Error("UpgradeHas misses a protocol")
	}
	for k := NoUpgrade; k <= UpgradeWithoutConnection+1; k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}

func TestCheckPlainGet(t *testing.T) {
	for head, want := range map[string]*Refusal{
		good + "\r\n":                                  nil,
		upgradeHead():                                  nil,
		"POST / HTTP/1.1\r\nHost: h\r\n\r\n":           RefusalUpgradeMethod,
		"GET / HTTP/1.0\r\n\r\n":                       RefusalUpgradeHTTP10,
		good + "Content-Length: 1\r\n\r\n":             RefusalUpgradeBody,
		good + "Sec-WebSocket-Version: 8\r\n\r\n":      RefusalVersion,
		good + "Sec-WebSocket-Key: short\r\n\r\n":      RefusalKey,
		good + "Sec-WebSocket-Version: 13\r\n\r\n":     nil,
		good + "Upgrade: h2c\r\nConnection: x\r\n\r\n": nil,
	} {
		if got := mustParse(t, head).CheckPlainGet(false); got != want {
			t.Errorf("%q: %q, want %q", head, reason(got), reason(want))
		}
	}
}

// The origin matrix of SECURITY-CASES.md (CSWSH).
func TestCheckOrigin(t *testing.T) {
	example := []string{"example.com"}
	for name, c := range map[string]struct {
		origin  string
		allowed []string
		want    *Refusal
	}{
		"empty list":                {"https://evil.com", nil, nil},
		"missing, empty list":       {"", nil, nil},
		"missing":                   {"", example, RefusalOriginMissing},
		"null":                      {"null", example, RefusalOriginForbidden},
		"null though listed":        {"null", []string{"null"}, RefusalOriginForbidden},
		"the host":                  {"https://example.com", example, nil},
		"the host, other scheme":    {"http://example.com", example, nil},
		"sub-domain":                {"https://a.b.example.com", example, nil},
		"upper case":                {"HTTPS://A.EXAMPLE.COM", example, nil},
		"entry in upper case":       {"https://a.example.com", []string{"Example.COM"}, nil},
		"suffix trick":              {"https://evilexample.com", example, RefusalOriginForbidden},
		"host as prefix":            {"https://example.com.evil.com", example, RefusalOriginForbidden},
		"path trick":                {"https://evil.com/.example.com", example, RefusalOriginForbidden},
		"query trick":               {"https://evil.com?.example.com", example, RefusalOriginForbidden},
		"user information trick":    {"https://evil.com@.example.com", example, RefusalOriginForbidden},
		"user information":          {"https://a@example.com", example, RefusalOriginForbidden},
		"fragment trick":            {"https://evil.com#.example.com", example, RefusalOriginForbidden},
		"backslash trick":           {`https://evil.com\.example.com`, example, RefusalOriginForbidden},
		"two origins":               {"https://evil.com https://a.example.com", example, RefusalOriginForbidden},
		"list of origins":           {"https://evil.com,https://a.example.com", example, RefusalOriginForbidden},
		"trailing slash":            {"https://example.com/", example, RefusalOriginForbidden},
		"trailing dot":              {"https://example.com.", example, RefusalOriginForbidden},
		"port not listed":           {"https://example.com:8443", example, RefusalOriginForbidden},
		"port of a sub-domain":      {"https://a.example.com:8443", example, RefusalOriginForbidden},
		"port listed":               {"https://example.com:8443", []string{"example.com:8443"}, nil},
		"port listed, sub-domain":   {"https://a.example.com:8443", []string{"example.com:8443"}, nil},
		"other port":                {"https://example.com:8444", []string{"example.com:8443"}, RefusalOriginForbidden},
		"port in user information":  {"https://example.com:8443@evil.com", []string{"example.com:8443"}, RefusalOriginForbidden},
		"bare host":                 {"example.com", example, RefusalOriginForbidden},
		"no scheme":                 {"://example.com", example, RefusalOriginForbidden},
		"bad scheme":                {"1x://example.com", example, RefusalOriginForbidden},
		"no host":                   {"https://", example, RefusalOriginForbidden},
		"file":                      {"file://", example, RefusalOriginForbidden},
		"IDN in punycode":           {"https://xn--bcher-kva.example", []string{"xn--bcher-kva.example"}, nil},
		"IDN in UTF-8":              {"https://b\u00fccher.example", []string{"b\u00fccher.example"}, RefusalOriginForbidden},
		"Kelvin sign":               {"https://\u212a.example", []string{"k.example"}, RefusalOriginForbidden},
		"entry with scheme":         {"https://a.test", []string{"https://a.test"}, nil},
		"entry with other scheme":   {"http://a.test", []string{"https://a.test"}, RefusalOriginForbidden},
		"entry with scheme, below":  {"https://x.a.test", []string{"https://a.test"}, RefusalOriginForbidden},
		"entry with scheme, port":   {"https://a.test:1", []string{"https://a.test"}, RefusalOriginForbidden},
		"entry with scheme, suffix": {"https://x.https://a.test", []string{"https://a.test"}, RefusalOriginForbidden},
		"extension":                 {"chrome-extension://abcdef", []string{"chrome-extension://abcdef"}, nil},
		"second entry":              {"https://b.test", []string{"a.test", "b.test"}, nil},
		"empty entry":               {"https://evil.com", []string{""}, RefusalOriginForbidden},
		"IPv6":                      {"http://[::1]:80", []string{"[::1]:80"}, nil},
		"entry longer than origin":  {"https://m", example, RefusalOriginForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			head := upgradeHead()
			if c.origin != "" {
				head = upgradeHead("Origin: " + c.origin)
			}
			if got := mustParse(t, head).CheckOrigin(c.allowed); got != c.want {
				t.Errorf("%q, want %q", reason(got), reason(c.want))
			}
		})
	}
	if got := mustParse(t, upgradeHead("Origin:")).CheckOrigin(example); got != RefusalOriginMissing {
		t.Errorf("empty Origin: %v", got)
	}
}

// allRefusals are the refusals of refusals.go.
var allRefusals = []*Refusal{
	RefusalEmptyLine, RefusalLineEnding, RefusalControlByte, RefusalHeadIncomplete, RefusalRequestLine, RefusalMethod,
	RefusalHTTPVersion, RefusalTarget, RefusalTargetForm, RefusalTargetHost, RefusalPath, RefusalFieldName, RefusalFold,
	RefusalDuplicate, RefusalHostMissing, RefusalHost, RefusalConnection, RefusalFraming, RefusalHeadTooLarge,
	RefusalTooManyFields, RefusalHeadTimeout, RefusalUpgradeRequired, RefusalOtherProtocol, RefusalUpgradeConnection,
	RefusalUpgradeHTTP10, RefusalUpgradeMethod, RefusalUpgradeBody, RefusalVersion, RefusalVersionMissing,
	RefusalKeyMissing, RefusalKey, RefusalVerify, RefusalOriginMissing, RefusalOriginForbidden, RefusalNotFound,
	RefusalDenied, RefusalTunnelsPerIP, RefusalHandshakeRate, RefusalTunnelLimit, RefusalShortage, RefusalDraining,
	RefusalNoBackend, RefusalUpgradeTimeout, RefusalInternal, RefusalBackendClosed, RefusalBadAnswer,
	RefusalAnswerTooLarge, RefusalAnswerFraming, RefusalAnswerStatus, RefusalAnswerUnasked, RefusalAnswerHTTP10,
	RefusalAnswerUpgrade, RefusalAnswerProtocol, RefusalAnswerConnection, RefusalAnswerAccept, RefusalAnswerSubprotocol,
	RefusalAnswerExtension,
}

func TestRefusalsAreReadable(t *testing.T) {
	seen := map[string]bool{}
	for _, refusal := range append(allRefusals, NewUpgradeRequired("mqtt", "h2c")) {
		b := refusal.AppendResponse([]byte("before"))
		b = bytes.TrimPrefix(b, []byte("before"))
		reader := bufio.NewReader(bytes.NewReader(b))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%v: %v\n%s", refusal, err, b)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(response.Body); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != refusal.Status || body.String() != refusal.Detail+"\n" || !response.Close {
			t.Errorf("%v: read as %d, close %v, %q", refusal, response.StatusCode, response.Close, body.String())
		}
		if _, err := reader.ReadByte(); err == nil {
			t.Errorf("%v: bytes after the body", refusal)
		}
		// Our own answers are held to our own grammar.
		mustParseResponse(t, string(b[:bytes.Index(b, []byte("\r\n\r\n"))+4]))
		retry := response.Header.Get("Retry-After") != ""
		if want := refusal.Status == 429 || refusal.Status == 503; retry != want {
			t.Errorf("%v: Retry-After %v", refusal, retry)
		}
		upgrade := response.Header.Get("Upgrade") != ""
		if upgrade != (refusal.Status == 426) {
			t.Errorf("%v: Upgrade %v", refusal, upgrade)
		}
		if seen[refusal.Reason] && refusal.Reason != "upgrade_required" {
			t.Errorf("reason %s is not unique", refusal.Reason)
		}
		seen[refusal.Reason] = true
		if !contains(refusal.Error(), refusal.Reason) {
			t.Errorf("error text %q", refusal.Error())
		}
	}
	if got := string(RefusalVersion.AppendResponse(nil)); !contains(got, "\r\nConnection: Upgrade, close\r\n") ||
		!contains(got, "\r\nSec-WebSocket-Version: 13\r\n") {
		t.Errorf("426:\n%s", got)
	}
	if NewUpgradeRequired("websocket") != RefusalUpgradeRequired || NewUpgradeRequired("h2c", "x").Header != "Upgrade: h2c, x\r\n" {
		t.Error("NewUpgradeRequired")
	}
}

func TestAppendProtocols(t *testing.T) {
	long := strings.TrimSuffix(strings.Repeat("a, ", 1000), ", ")
	var many, first []string
	for i := range 2 * protocolsMax {
		many = append(many, "p"+strings.Repeat("x", i))
	}
	first = many[:protocolsMax]
	for _, c := range []struct {
		field    string
		every    bool
		accepted []string
		want     string
		names    bool
	}{
		{"WebSocket", false, []string{"websocket"}, "websocket", true},
		{"h2c, WebSocket", false, []string{"websocket"}, "websocket", true},
		{"MQTT/5 ,h2c,, amqp", false, []string{"amqp", "mqtt/5"}, "MQTT/5, amqp", true},
		{"MQTT/5 ,h2c,, amqp", true, nil, "MQTT/5, h2c, amqp", true},
		{"mqtt", false, nil, "", true},
		{"a b, /, a/, a//b, a;b, x/1", true, nil, "x/1", true},
		{"a b, ;", true, nil, "", false},
		{"websocket, WEBSOCKET", true, nil, "websocket", true},
		{long, true, nil, "a", true},
		{strings.Join(many, ","), true, nil, strings.Join(first, ", "), true},
	} {
		r := mustParse(t, good+"Connection: upgrade\r\nUpgrade: "+c.field+"\r\n\r\n")
		if got := string(r.AppendProtocols([]byte("..."), c.every, c.accepted)); got != "..."+c.want {
			t.Errorf("%q: %q, want %q", c.field, got, c.want)
		}
		if r.NamesProtocol() != c.names {
			t.Errorf("%q: names a protocol: %v", c.field, !c.names)
		}
	}
}
