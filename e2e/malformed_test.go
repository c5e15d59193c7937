package e2e

import (
	"strings"
	"testing"
)

// TestMalformedHeads sends heads that are no HTTP, or that two parsers could
// read in two ways: each gets 400 and the end, and no backend hears of it.
func TestMalformedHeads(t *testing.T) { eachService(t, malformedHeads) }

func malformedHeads(t *testing.T, bench *hostileBench) {
	start := bench.proxy.SettledUsage()
	for _, group := range [][]hostileCase{
		malformedRequestLines(), malformedLineEnds(), malformedNames(), malformedValues(), duplicatedFields(),
	} {
		for _, c := range group {
			bench.run(t, c)
		}
	}
	bench.proxy.WaitUsage(rigSettle, start)
}

var badRequest = hostileCase{status: []int{400}, closes: true}

func malformedRequestLines() []hostileCase {
	line := func(text string) string { return edited("/ws/open", "GET /ws/open HTTP/1.1", text) }
	cases := named(badRequest, map[string]string{
		"target with #":                        line("GET /ws/open#fragment HTTP/1.1"),
		"target with NUL":                      line("GET /ws/open\x00 HTTP/1.1"),
		"target with a control byte":           line("GET /ws/\x01open HTTP/1.1"),
		"target with ESC":                      line("GET /ws/\x1b[31mopen HTTP/1.1"),
		"target with DEL":                      line("GET /ws/open\x7f HTTP/1.1"),
		"target with CR":                       line("GET /ws/open\rX HTTP/1.1"),
		"target with a byte of 0xff":           line("GET /ws/open\xff HTTP/1.1"),
		"target with a space":                  line("GET /ws/open /x HTTP/1.1"),
		"target with a tab":                    line("GET /ws/open\t/x HTTP/1.1"),
		"target without a slash":               line("GET ws/open HTTP/1.1"),
		"target empty":                         line("GET  HTTP/1.1"),
		"request line with two spaces":         line("GET  /ws/open HTTP/1.1"),
		"request line with tabs":               line("GET\t/ws/open\tHTTP/1.1"),
		"request line with a space in front":   line(" GET /ws/open HTTP/1.1"),
		"request line with a space at its end": line("GET /ws/open HTTP/1.1 "),
		"request line without version":         line("GET /ws/open"),
		"request line with one word":           line("GET"),
		"method empty":                         line(" /ws/open HTTP/1.1"),
		"method with a colon":                  line("G:ET /ws/open HTTP/1.1"),
		"method with NUL":                      line("G\x00ET /ws/open HTTP/1.1"),
		"protocol in lower case":               line("GET /ws/open http/1.1"),
		"protocol unknown":                     line("GET /ws/open HTPT/1.1"),
	})
	return append(cases, named(hostileCase{status: []int{400, 505}, closes: true}, map[string]string{
		"version with two digits": line("GET /ws/open HTTP/1.11"),
		"version without a minor": line("GET /ws/open HTTP/1"),
		"version 2.0":             line("GET /ws/open HTTP/2.0"),
		"preface of HTTP/2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	})...)
}

func malformedLineEnds() []hostileCase {
	whole := upgradeTo("/ws/open")
	return named(badRequest, map[string]string{
		"bare LF after the request line":   edited("/ws/open", "HTTP/1.1\r\n", "HTTP/1.1\n"),
		"bare LF after a field":            edited("/ws/open", hostLine, "Host: example.test\n"),
		"bare LF at the end":               strings.TrimSuffix(whole, "\r\n") + "\n",
		"bare LF everywhere":               strings.ReplaceAll(whole, "\r\n", "\n"),
		"bare LF hiding a field":           edited("/ws/open", hostLine, "Host: example.test\nX-Hidden: 1\r\n"),
		"bare CR after a field":            edited("/ws/open", hostLine, "Host: example.test\rX-Hidden: 1\r\n"),
		"bare CR everywhere":               strings.ReplaceAll(whole, "\r\n", "\r") + "\r\n\r\n",
		"CR CR LF":                         edited("/ws/open", hostLine, "Host: example.test\r\r\n"),
		"LF CR":                            edited("/ws/open", hostLine, "Host: example.test\n\r"),
		"obs-fold with a space":            edited("/ws/open", hostLine, hostLine+"X-Long: a\r\n b\r\n"),
		"obs-fold with a tab":              edited("/ws/open", hostLine, hostLine+"X-Long: a\r\n\tb\r\n"),
		"obs-fold of the first field":      edited("/ws/open", hostLine, " "+hostLine),
		"obs-fold of a field that matters": edited("/ws/open", "Upgrade: websocket", "Upgrade:\r\n websocket"),
	})
}

func malformedNames() []hostileCase {
	field := func(line string) string { return edited("/ws/open", hostLine, hostLine+line+"\r\n") }
	return named(badRequest, map[string]string{
		"name with a space before the colon":           field("X-Name : 1"),
		"name with a tab before the colon":             field("X-Name\t: 1"),
		"name empty":                                   field(": 1"),
		"name with a space in it":                      field("X Name: 1"),
		"name with NUL":                                field("X-\x00Name: 1"),
		"name with a control byte":                     field("X-\x0bName: 1"),
		"name with a letter beyond ASCII":              field("X-N\u00e4me: 1"),
		"name with parentheses":                        field("X-(Name): 1"),
		"name with a slash":                            field("X/Name: 1"),
		"name in quotes":                               field("\"X-Name\": 1"),
		"line without a colon":                         field("X-Name"),
		"Host with a space before the colon":           edited("/ws/open", "Host:", "Host :"),
		"Key with a space before the colon":            edited("/ws/open", "Sec-WebSocket-Key:", "Sec-WebSocket-Key :"),
		"Content-Length with a space before the colon": field("Content-Length : 5"),
	})
}

func malformedValues() []hostileCase {
	field := func(line string) string { return edited("/ws/open", hostLine, hostLine+line+"\r\n") }
	host := func(line string) string { return edited("/ws/open", hostLine, line) }
	return named(badRequest, map[string]string{
		"value with NUL":            field("X-Name: a\x00b"),
		"value with a control byte": field("X-Name: a\x01b"),
		"value with ESC":            field("X-Name: \x1b[2J"),
		"value with DEL":            field("X-Name: a\x7fb"),
		"value with a vertical tab": field("X-Name: a\x0bb"),
		"no Host":                   host(""),
		"Host with a space":         host("Host: example.test other.test\r\n"),
		"Host with a path":          host("Host: example.test/ws\r\n"),
		"Host with a user":          host("Host: user@example.test\r\n"),
		"Host with a list":          host("Host: example.test, other.test\r\n"),
	})
}

func duplicatedFields() []hostileCase {
	twice := func(line, other string) string { return edited("/ws/open", line, line+other) }
	return named(badRequest, map[string]string{
		"two Hosts that agree":      twice(hostLine, hostLine),
		"two Hosts that differ":     twice(hostLine, "Host: other.test\r\n"),
		"two Hosts, one lower case": twice(hostLine, "host: other.test\r\n"),
		"two Keys that agree":       twice(keyLine, keyLine),
		"two Keys that differ":      twice(keyLine, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
		"two Versions that agree":   twice(versionLine, versionLine),
		"two Versions that differ":  twice(versionLine, "Sec-WebSocket-Version: 8\r\n"),
		"two Upgrades that differ":  twice(upgradeLine, "Upgrade: h2c\r\n"),
	})
}
