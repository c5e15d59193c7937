package e2e

import (
	"strings"
	"testing"
)

const (
	versionLine = "Sec-WebSocket-Version: 13\r\n"
	keyLine     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	hostLine    = "Host: example.test\r\n"
	upgradeLine = "Upgrade: websocket\r\n"
)

// TestHostileTable is the first table of SECURITY-CASES.md, apart from the
// rows that have a file of their own: tunnels (T1, T10, T11, T12, T14),
// malformed heads, origins and limits.
func TestHostileTable(t *testing.T) { eachService(t, hostileTable) }

func hostileTable(t *testing.T, bench *hostileBench) {
	start := bench.proxy.SettledUsage()
	for _, group := range [][]hostileCase{
		versionCases(), methodCases(), keyCases(), protocolCases(), bodyCases(), backendCases(),
	} {
		for _, c := range group {
			bench.run(t, c)
		}
	}
	bench.proxy.WaitUsage(rigSettle, start)
}

func versionCases() []hostileCase {
	version := func(line string) string { return edited("/ws/426-keep-alive", versionLine, line) }
	want := hostileCase{status: []int{426}, header: map[string]string{"Sec-WebSocket-Version": "13"}}
	return named(want, map[string]string{
		"T2 version 1777":                         version("Sec-WebSocket-Version: 1777\r\n"),
		"T2 version 1777 and a pipelined request": version("Sec-WebSocket-Version: 1777\r\n") + probe,
		"T2 version 8":                            version("Sec-WebSocket-Version: 8\r\n"),
		"T2 version 0":                            version("Sec-WebSocket-Version: 0\r\n"),
		"T2 version 130":                          version("Sec-WebSocket-Version: 130\r\n"),
		"T2 version 13.0":                         version("Sec-WebSocket-Version: 13.0\r\n"),
	}, named(hostileCase{status: []int{400, 426}}, map[string]string{
		"T2 no version":          version(""),
		"T2 empty version":       version("Sec-WebSocket-Version:\r\n"),
		"T2 version in two ways": version("Sec-WebSocket-Version: 13, 8\r\n"),
		"T2 version +13":         version("Sec-WebSocket-Version: +13\r\n"),
	})...)
}

func methodCases() []hostileCase {
	method := func(line string) string { return edited("/ws/open", "GET /ws/open HTTP/1.1", line) }
	upgrade := map[string]string{"Upgrade": "websocket", "Connection": "Upgrade"}
	cases := named(hostileCase{status: []int{400}}, map[string]string{
		"T8 POST":              method("POST /ws/open HTTP/1.1"),
		"T8 POST without body": method("POST /ws/open HTTP/1.1\r\nContent-Length: 0"),
		"T8 PUT":               method("PUT /ws/open HTTP/1.1"),
		"T8 HEAD":              method("HEAD /ws/open HTTP/1.1"),
		"T8 get in lower case": method("get /ws/open HTTP/1.1"),
	})
	cases = append(cases, named(hostileCase{status: []int{400, 505}}, map[string]string{
		"T15 HTTP/1.0": method("GET /ws/open HTTP/1.0"),
	})...)
	// A tunnel route never sends a plain request to its backend, so that a
	// backend's unsolicited 101 (T17) has no request to answer.
	return append(cases, named(hostileCase{status: []int{426}, header: upgrade}, map[string]string{
		"T17 plain GET to a backend that answers 101": "GET /ws/open HTTP/1.1\r\n" + hostLine + "\r\n",
		"T19 plain GET":                         "GET /ws/x HTTP/1.1\r\n" + hostLine + "\r\n",
		"T19 plain GET with another Connection": "GET /ws/x HTTP/1.1\r\n" + hostLine + "Connection: keep-alive\r\n\r\n",
	})...)
}

func keyCases() []hostileCase {
	key := func(line string) string { return edited("/ws/open", keyLine, line) }
	return named(hostileCase{status: []int{400}}, map[string]string{
		"T7 no key":                  key(""),
		"T7 empty key":               key("Sec-WebSocket-Key:\r\n"),
		"T7 key of 15 bytes":         key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n"),
		"T7 key of 17 bytes":         key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
		"T7 key of 18 bytes":         key("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n"),
		"T7 key that is no base64":   key("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n"),
		"T7 key without its padding": key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"),
		"T7 key with a space in it":  key("Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ=\r\n"),
		"T7 key in the URL alphabet": key("Sec-WebSocket-Key: -_-_-_-_-_-_-_-_-_-_-Q==\r\n"),
		"T7 key with a second key":   key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
		"T7 key nominated by Connection": strings.Replace(key(""), "Connection: Upgrade",
			"Connection: Upgrade, Sec-WebSocket-Key", 1),
	})
}

func protocolCases() []hostileCase {
	upgrade := func(lines string) string { return edited("/ws/open", upgradeLine, lines) }
	want := map[string]string{"Upgrade": "websocket"}
	cases := named(hostileCase{status: []int{426}, header: want}, map[string]string{
		"T9 h2c": strings.Replace(upgrade("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"),
			"Connection: Upgrade", "Connection: Upgrade, HTTP2-Settings", 1),
		"T9 another protocol":              upgrade("Upgrade: TLS/1.0\r\n"),
		"T9 websocket as a part of a word": upgrade("Upgrade: websockets\r\n"),
	})
	connection := func(line string) string { return edited("/ws/open", "Connection: Upgrade\r\n", line) }
	return append(cases, named(hostileCase{status: []int{400}}, map[string]string{
		"T16 no Connection":                  connection(""),
		"T16 Connection without upgrade":     connection("Connection: keep-alive\r\n"),
		"T16 upgrade as a part of a word":    connection("Connection: upgraded\r\n"),
		"T16 upgrade inside a quoted string": connection("Connection: \"Upgrade\"\r\n"),
	})...)
}

func bodyCases() []hostileCase {
	withBody := func(lines, body string) string {
		return edited("/ws/open", versionLine, versionLine+lines) + body
	}
	return named(hostileCase{status: []int{400}, closes: true}, map[string]string{
		"T13 Content-Length and a body":       withBody("Content-Length: 5\r\n", "hello"),
		"T13 Content-Length without the body": withBody("Content-Length: 5\r\n", ""),
		"T13 a huge Content-Length":           withBody("Content-Length: 99999999999999999999\r\n", ""),
		"T13 a negative Content-Length":       withBody("Content-Length: -1\r\n", ""),
		"T13 a signed Content-Length":         withBody("Content-Length: +5\r\n", "hello"),
		"T13 two Content-Lengths":             withBody("Content-Length: 0\r\nContent-Length: 5\r\n", "hello"),
		"T13 Transfer-Encoding":               withBody("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		"T13 an unknown Transfer-Encoding":    withBody("Transfer-Encoding: xchunked\r\n", ""),
		"T20 Content-Length and Transfer-Encoding": withBody(
			"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		"T20 Transfer-Encoding and Content-Length": withBody(
			"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"+probe),
	})
}

// backendCases are proper requests to a backend that answers something else
// than a proper 101.
func backendCases() []hostileCase {
	to := func(script string) string { return upgradeTo("/ws/" + script) }
	ordinary := hostileCase{status: []int{200}, reaches: true, absent: []string{"Upgrade"}}
	cases := named(ordinary, map[string]string{
		"T3 200 with Upgrade":              to("200-upgrade"),
		"T3 200 with everything of a 101":  to("200-accept"),
		"T3 200 and a pipelined request":   to("200-upgrade") + probe,
		"T3 200 and a pipelined handshake": to("200-upgrade") + strings.Replace(probe, "\r\n\r\n", "\r\n"+upgradeLine+"\r\n", 1),
	})
	return append(cases, named(hostileCase{status: []int{502}, reaches: true}, map[string]string{
		"T4 101 without Upgrade":                to("101-no-upgrade"),
		"T4 101 without Connection":             to("101-no-connection"),
		"T5 101 with another protocol":          to("101-h2c"),
		"T6 101 without Accept":                 to("101-no-accept"),
		"T6 101 with a wrong Accept":            to("101-wrong-accept"),
		"T6 101 with the Accept of another key": to("101-other-key"),
		"T6 101 of HTTP/1.0":                    to("101-http-1.0"),
		"T6 101 with bare LF":                   to("101-bare-lf"),
		"T6 101 with a folded Accept":           to("101-obs-fold"),
		"T18 backend closes":                    to("close"),
		"T18 backend resets":                    to("reset"),
		"T18 backend closes within its head":    to("half-head"),
		"T18 backend speaks no HTTP":            to("garbage"),
		"T18 backend's head is too large":       to("big-head"),
	})...)
}

// TestLenientHandshake says what `handshake: lenient` relaxes (T6, T7, T8),
// and that it relaxes nothing else.
func TestLenientHandshake(t *testing.T) { eachService(t, lenientHandshake) }

func lenientHandshake(t *testing.T, bench *hostileBench) {
	edit := func(old, replacement string) string { return edited("/lenient/open", old, replacement) }
	tunnels := named(hostileCase{}, map[string]string{
		"T6 wrong Accept":    upgradeTo("/lenient/101-wrong-accept"),
		"T6 no Accept":       upgradeTo("/lenient/101-no-accept"),
		"T7 key of 15 bytes": edit(keyLine, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n"),
		"T8 POST":            edit("GET", "POST"),
	})
	for _, c := range tunnels {
		t.Run("relaxed/"+c.name, func(t *testing.T) { bench.in(t).opens(t, c.request) })
	}
	refused := named(hostileCase{status: []int{400}}, map[string]string{
		"T13 Content-Length": edit(versionLine, versionLine+"Content-Length: 5\r\n"),
		"T16 no Connection":  edit("Connection: Upgrade\r\n", ""),
	})
	refused = append(refused, named(hostileCase{status: []int{502}, reaches: true}, map[string]string{
		"T4 no Upgrade":       upgradeTo("/lenient/101-no-upgrade"),
		"T5 another protocol": upgradeTo("/lenient/101-h2c"),
	})...)
	refused = append(refused, named(hostileCase{status: []int{426}}, map[string]string{
		"T2 version 1777": edit(versionLine, "Sec-WebSocket-Version: 1777\r\n"),
	})...)
	for _, c := range refused {
		c.name = "stands/" + c.name
		bench.run(t, c)
	}
}
