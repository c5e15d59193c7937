package handshake

import (
	"strings"
	"testing"
)

var malformedAnswers = map[string]string{
	"no HTTP":                 "SSH-2.0-OpenSSH\r\n\r\n",
	"bare LF":                 "HTTP/1.1 200 OK\nX: y\r\n\r\n",
	"bare LF in a field":      "HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n\r\n",
	"HTTP/2.0":                "HTTP/2.0 200 OK\r\n\r\n",
	"HTTP/1.2":                "HTTP/1.2 200 OK\r\n\r\n",
	"lower case":              "http/1.1 200 OK\r\n\r\n",
	"status of two digits":    "HTTP/1.1 20 OK\r\n\r\n",
	"status of four digits":   "HTTP/1.1 2000 OK\r\n\r\n",
	"status 099":              "HTTP/1.1 099 OK\r\n\r\n",
	"status +20":              "HTTP/1.1 +20 OK\r\n\r\n",
	"no status":               "HTTP/1.1\r\n\r\n",
	"two spaces":              "HTTP/1.1  200 OK\r\n\r\n",
	"control byte in reason":  "HTTP/1.1 200 \x01\r\n\r\n",
	"CR in reason":            "HTTP/1.1 200 O\rK\r\n\r\n",
	"fold":                    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
	"space before colon":      "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
	"NUL":                     "HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
	"empty line first":        "\r\nHTTP/1.1 200 OK\r\n\r\n",
	"length and coding":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	"lengths that differ":     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
	"lengths written apart":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\n",
	"list of lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
	"no number":               "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
	"second is no number":     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: x\r\n\r\n",
	"too long a length":       "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
	"gzip coding":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"identity coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
	"two codings":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	"chunked HTTP/1.0":        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"chunked 101":             "HTTP/1.1 101 X\r\nTransfer-Encoding: chunked\r\n\r\n",
	"101 with a length":       "HTTP/1.1 101 X\r\nContent-Length: 5\r\n\r\n",
	"chunked 204":             "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
	"204 with a length":       "HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\n",
	"Connection no token":     "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
	"fields beyond the limit": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", fieldsMax+1) + "\r\n",
	"an empty line inside":    "HTTP/1.1 200 OK\r\n\r\nX: y\r\n\r\n",
	"cut off":                 "HTTP/1.1 200 OK\r\nX: y\r\n",
}

func TestMalformedAnswersAreRefused(t *testing.T) {
	for name, head := range malformedAnswers {
		var r Response
		if refusal := r.Parse([]byte(head)); refusal == nil || refusal.Status != 502 {
			t.Errorf("%s: %v", name, refusal)
		}
		for i := range min(len(head), 300) {
			_ = r.Parse([]byte(head)[:i])
		}
	}
}

func TestResponseFraming(t *testing.T) {
	for name, c := range map[string]struct {
		head      string
		status    int
		kind      BodyKind
		length    int64
		interim   bool
		keepAlive bool
	}{
		"length":            {lines("HTTP/1.1 200 OK", "Content-Length: 5"), 200, BodyLength, 5, false, true},
		"same length twice": {lines("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"), 200, BodyLength, 5, false, true},
		"length 0":          {lines("HTTP/1.1 200 OK", "Content-Length: 0"), 200, BodyNone, 0, false, true},
		"chunked":           {lines("HTTP/1.1 200 OK", "Transfer-Encoding: CHUNKED"), 200, BodyChunked, 0, false, true},
		"until close":       {lines("HTTP/1.1 200 OK", "Connection: close"), 200, BodyUntilClose, 0, false, false},
		"HTTP/1.0":          {lines("HTTP/1.0 200 OK"), 200, BodyUntilClose, 0, false, false},
		"no reason":         {lines("HTTP/1.1 404 ", "Content-Length: 1"), 404, BodyLength, 1, false, true},
		"no reason, bare":   {lines("HTTP/1.1 404", "Content-Length: 1"), 404, BodyLength, 1, false, true},
		"204":               {lines("HTTP/1.1 204 No Content"), 204, BodyNone, 0, false, true},
		"304 with length":   {lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"), 304, BodyNone, 0, false, true},
		"304 chunked":       {lines("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"), 304, BodyNone, 0, false, true},
		"100":               {lines("HTTP/1.1 100 Continue"), 100, BodyNone, 0, true, true},
		"103":               {lines("HTTP/1.1 103 Early Hints", "Link: x"), 103, BodyNone, 0, true, true},
		"101":               {backendHead, 101, BodyNone, 0, false, true},
		"999":               {lines("HTTP/1.1 999 Caf\xe9\t!"), 999, BodyUntilClose, 0, false, true},
	} {
		r := mustParseResponse(t, c.head)
		body := r.Body(false)
		if r.Status() != c.status || body.Kind() != c.kind || body.Length() != c.length || r.Interim() != c.interim ||
			r.KeepAlive() != c.keepAlive {
			t.Errorf("%s: %d %v %d interim %v keep-alive %v", name, r.Status(), body.Kind(), body.Length(), r.Interim(), r.KeepAlive())
		}
		if body := r.Body(true); body.Kind() != BodyNone {
			t.Errorf("%s: the answer to a HEAD has a body", name)
		}
	}
}

func TestCheckUpgrade(t *testing.T) {
	sent := mustParse(t, chromeHead).AppendForward(nil, &Forward{Target: []byte("/"), Proto: "http"})
	ok := []string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: WebSocket", "Connection: upgrade, x",
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
	}
	with := func(more ...string) string { return lines(append(append([]string{}, ok...), more...)...) }
	const accept = "Sec-WebSocket-Accept"
	for name, c := range map[string]struct {
		head            string
		strict, lenient *Refusal
	}{
		"T1":                       {with(), nil, nil},
		"backend of the benchmark": {backendHead, nil, nil},
		"Content-Length: 0":        {with("Content-Length: 0"), nil, nil},
		"200":                      {strings.Replace(with(), "101", "200", 1), RefusalAnswerStatus, RefusalAnswerStatus},
		"HTTP/1.0":                 {strings.Replace(with(), "HTTP/1.1", "HTTP/1.0", 1), RefusalAnswerHTTP10, RefusalAnswerHTTP10},
		"T4 no Upgrade":            {without(with(), "Upgrade"), RefusalAnswerUpgrade, RefusalAnswerUpgrade},
		"empty Upgrade":            {without(with("Upgrade:"), "Upgrade: W"), RefusalAnswerUpgrade, RefusalAnswerUpgrade},
		"two Upgrades":             {with("Upgrade: websocket"), RefusalAnswerUpgrade, RefusalAnswerUpgrade},
		"list in Upgrade": {
			without(with("Upgrade: websocket, h2c"), "Upgrade: W"), RefusalAnswerUpgrade,
			RefusalAnswerUpgrade,
		},
		"T5 h2c":        {without(with("Upgrade: h2c"), "Upgrade: W"), RefusalAnswerProtocol, RefusalAnswerProtocol},
		"no Connection": {without(with(), "Connection"), RefusalAnswerConnection, RefusalAnswerConnection},
		"Connection: close": {
			without(with("Connection: close"), "Connection: u"), RefusalAnswerConnection,
			RefusalAnswerConnection,
		},
		"T6 no Accept":            {without(with(), accept), RefusalAnswerAccept, nil},
		"T6 wrong Accept":         {without(with(accept+": AAAAAAAAAAAAAAAAAAAAAAAAAAA="), accept+": s3"), RefusalAnswerAccept, nil},
		"T6 Accept in other case": {without(with(accept+": S3PPLMBiTxaQ9kYGzzhZRbK+xOo="), accept+": s3"), RefusalAnswerAccept, nil},
		"T6 two Accepts":          {with(accept + ": s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), RefusalAnswerAccept, nil},
		"subprotocol":             {with("Sec-WebSocket-Protocol: superchat"), nil, nil},
		"subprotocol not offered": {with("Sec-WebSocket-Protocol: mqtt"), RefusalAnswerSubprotocol, RefusalAnswerSubprotocol},
		"subprotocol, other case": {with("Sec-WebSocket-Protocol: Chat"), RefusalAnswerSubprotocol, RefusalAnswerSubprotocol},
		"subprotocol empty":       {with("Sec-WebSocket-Protocol:"), RefusalAnswerSubprotocol, RefusalAnswerSubprotocol},
		"two subprotocols": {
			with("Sec-WebSocket-Protocol: chat, superchat"), RefusalAnswerSubprotocol,
			RefusalAnswerSubprotocol,
		},
		"subprotocol twice": {
			with("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
			RefusalAnswerSubprotocol, RefusalAnswerSubprotocol,
		},
		"extension with parameters": {with(`Sec-WebSocket-Extensions: permessage-deflate; a="x, y"; b`), nil, nil},
		"extension not offered": {
			with("Sec-WebSocket-Extensions: permessage-deflate, x"), RefusalAnswerExtension,
			RefusalAnswerExtension,
		},
		"extension twice": {with("Sec-WebSocket-Extensions: permessage-deflate",
			"Sec-WebSocket-Extensions: permessage-deflate"), RefusalAnswerExtension, RefusalAnswerExtension},
		"extensions empty": {with("Sec-WebSocket-Extensions: ,"), nil, nil},
		"very many extensions": {
			with("Sec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate,", extensionsMax+1)),
			RefusalAnswerExtension, RefusalAnswerExtension,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustParseResponse(t, c.head)
			if got := r.CheckUpgrade(&Offer{Sent: sent}, false); got != c.strict {
				t.Errorf("strict: %q, want %q", reason(got), reason(c.strict))
			}
			if got := r.CheckUpgrade(&Offer{Sent: sent}, true); got != c.lenient {
				t.Errorf("lenient: %q, want %q", reason(got), reason(c.lenient))
			}
		})
	}
}

func TestCheckUpgradeOfOtherOffers(t *testing.T) {
	mqtt := Offer{Sent: mustParse(t, good+"Upgrade: mqtt\r\nConnection: upgrade\r\n\r\n").
		AppendForward(nil, &Forward{Target: []byte("/"), Protocol: []byte("mqtt/3, amqp")})}
	answer := func(upgrade string) *Response {
		return mustParseResponse(t, lines("HTTP/1.1 101 X", "Connection: Upgrade", "Upgrade: "+upgrade))
	}
	if refusal := answer("AMQP").CheckUpgrade(&mqtt, false); refusal != nil {
		t.Errorf("amqp: %v", refusal)
	}
	if refusal := answer("websocket").CheckUpgrade(&mqtt, false); refusal != RefusalAnswerProtocol {
		t.Errorf("websocket: %v", refusal)
	}
	plain := Offer{Sent: []byte(good + "\r\n")}
	if refusal := answer("websocket").CheckUpgrade(&plain, false); refusal != RefusalAnswerUnasked {
		t.Errorf("T17: %v", refusal)
	}
	// Offers may be spread over fields; subprotocols and extensions alike.
	spread := Offer{Sent: []byte(upgradeHead("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b",
		"sec-websocket-extensions: x;q=\"\\\",y\"", "Sec-WebSocket-Extensions: z, x"))}
	for extensions, want := range map[string]*Refusal{
		"z, x": nil, "x,x": nil, "x": nil,
		"y": RefusalAnswerExtension, "x, y": RefusalAnswerExtension, "X": RefusalAnswerExtension,
	} {
		r := mustParseResponse(t, lines("HTTP/1.1 101 X", "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: b", "Sec-WebSocket-Extensions: "+extensions))
		if got := r.CheckUpgrade(&spread, false); got != want {
			t.Errorf("%s: %q", extensions, reason(got))
		}
	}
}

func TestAppendReply(t *testing.T) {
	for name, c := range map[string]struct {
		head      string
		keepAlive bool
		want      string
	}{
		"T3 200 with Upgrade": {
			lines("HTTP/1.1 200 OK", "Upgrade: websocket", "Connection: Upgrade, x-hop", "X-Hop: 1", "X_a: b",
				"Content-Length: 2", "Keep-Alive: 5", "Trailer: T"),
			true,
			lines("HTTP/1.1 200 OK", "X_a: b", "Content-Length: 2", "Trailer: T", "Connection: keep-alive"),
		},
		"close": {
			lines("HTTP/1.0 403 Forbidden", "content-length:  2"), false,
			lines("HTTP/1.1 403 Forbidden", "content-length:  2", "Connection: close"),
		},
		"until close": {lines("HTTP/1.1 200 OK"), true, lines("HTTP/1.1 200 OK", "Connection: close")},
		"chunked": {lines("HTTP/1.1 200 OK", "Connection: Transfer-Encoding",
			"Transfer-Encoding: chunked"), true, lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: keep-alive")},
		"nominated length": {lines("HTTP/1.1 200 OK", "Connection: content-length", "Content-Length: 2",
			"Content-Length: 2"), true, lines("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: keep-alive")},
		"204 with length": {
			lines("HTTP/1.1 204 No Content", "Content-Length: 0"), true,
			lines("HTTP/1.1 204 No Content", "Connection: keep-alive"),
		},
		"304 keeps length": {
			lines("HTTP/1.1 304", "Content-Length: 9"), true,
			lines("HTTP/1.1 304 ", "Content-Length: 9", "Connection: keep-alive"),
		},
		"426 keeps Upgrade": {
			lines("HTTP/1.1 426 X", "Upgrade: websocket", "Content-Length: 0"), true,
			lines("HTTP/1.1 426 X", "Content-Length: 0", "Upgrade: websocket", "Connection: Upgrade"),
		},
		"426 without length": {
			lines("HTTP/1.1 426 X", "Upgrade: h2c"), true,
			lines("HTTP/1.1 426 X", "Upgrade: websocket", "Connection: Upgrade, close"),
		},
	} {
		if got := string(mustParseResponse(t, c.head).AppendReply(nil, c.keepAlive)); got != c.want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
	early := lines("HTTP/1.1 103 Early Hints", "Link: </x>", "Connection: x")
	if got := string(mustParseResponse(t, early).AppendInterim(nil)); got != lines("HTTP/1.1 103 Early Hints", "Link: </x>") {
		t.Errorf("interim: %q", got)
	}
}
