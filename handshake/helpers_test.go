package handshake

import (
	"strings"
	"testing"
)

// lines joins a head from its lines and ends it.
func lines(ls ...string) string { return strings.Join(ls, "\r\n") + "\r\n\r\n" }

// upgradeHead is a correct handshake with further lines.
func upgradeHead(more ...string) string {
	return lines(append([]string{
		"GET /ws/ HTTP/1.1", "Host: example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, more...)...)
}

// without removes the lines of head that begin with prefix.
func without(head string, prefixes ...string) string {
	for _, prefix := range prefixes {
		i := strings.Index(head, "\r\n"+prefix)
		if i < 0 {
			panic("no line " + prefix)
		}
		end := strings.Index(head[i+2:], "\r\n")
		head = head[:i] + head[i+2+end:]
	}
	return head
}

func mustParse(t testing.TB, head string) *Request {
	t.Helper()
	r := new(Request)
	if refusal := r.Parse([]byte(head)); refusal != nil {
		t.Fatalf("Parse(%q): %v", head, refusal)
	}
	return r
}

func mustParseResponse(t testing.TB, head string) *Response {
	t.Helper()
	r := new(Response)
	if refusal := r.Parse([]byte(head)); refusal != nil {
		t.Fatalf("Parse(%q): %v", head, refusal)
	}
	return r
}

// judge does to a request what the proxy does: scan, then parse. Malformed
// heads may be refused by either.
func judge(b []byte) *Refusal {
	var s HeadScanner
	n, refusal := s.Scan(b)
	if refusal != nil {
		return refusal
	}
	if n == 0 {
		return RefusalHeadIncomplete
	}
	return new(Request).Parse(b[:n])
}

// scanInTwo scans b as two reads, the first of i bytes.
func scanInTwo(b []byte, i int) (n int, refusal *Refusal) {
	var s HeadScanner
	if n, refusal = s.Scan(b[:i]); n > 0 || refusal != nil {
		return n, refusal
	}
	return s.Scan(b)
}

func reason(r *Refusal) string {
	if r == nil {
		return ""
	}
	return r.Reason
}
