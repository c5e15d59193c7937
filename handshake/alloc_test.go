package handshake

import (
	"testing"
	"unsafe"
)

// The accept path may allocate once, in gobwas/ws (today it does not: the
// race detector empties its pools at random, which counts as one); a longer cookie, a path
// that needs normalising and nominated fields change nothing in that.
func TestAcceptedHandshakeAllocs(t *testing.T) {
	heads := [][]byte{
		[]byte(chromeHead), []byte(upgradeHead()), []byte(upgradeHead(
			"Connection: X-A", "X-A: 1", "Origin: https://[2001:db8::1]:1", "X-Forwarded-For: 1.1.1.1")),
		[]byte("GET /a/%7E/../b HTTP/1.1\r\nHost: [::1]:80\r\n" +
			chromeHead[len("GET /ws/chat?room=42 HTTP/1.1\r\nHost: chat.example.com\r\n"):]),
	}
	var r Request
	var v Verifier
	var answer Response
	f := benchForward()
	allowed := []string{"example.com", "[2001:db8::1]:1"}
	out := make([]byte, 0, 4096)
	response := []byte(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
	for _, head := range heads {
		run := func() {
			var s HeadScanner
			n, refusal := s.Scan(head)
			if refusal == nil {
				refusal = r.Parse(head[:n])
			}
			if refusal == nil {
				refusal = r.CheckWebSocket(false)
			}
			if origin, ok := r.Origin(); ok && refusal == nil && len(origin) > 0 {
				refusal = r.CheckOrigin(allowed)
			}
			out = r.AppendForward(out[:0], &f)
			if refusal == nil {
				refusal = v.Verify(out)
			}
			offer := Offer{Sent: out}
			s = HeadScanner{}
			if n, refusal2 := s.ScanResponse(response); refusal == nil && refusal2 == nil {
				refusal = answer.Parse(response[:n])
			}
			if refusal == nil {
				refusal = answer.CheckUpgrade(&offer, false)
			}
			if refusal != nil {
				t.Fatal(refusal)
			}
		}
		run()
		if n := testing.AllocsPerRun(200, run); n > 1 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestRefusalsAndRepliesDoNotAllocate(t *testing.T) {
	out := make([]byte, 0, 4096)
	reply := []byte(lines("HTTP/1.1 403 Forbidden", "Content-Length: 5", "Connection: X", "X: y"))
	bad := []byte(malformed["two keys"].head)
	var r Request
	var answer Response
	if n := testing.AllocsPerRun(200, func() {
		refusal := r.Parse(bad)
		out = refusal.AppendResponse(out[:0])
		if answer.Parse(reply) != nil {
			t.Fatal("refused")
		}
		out = answer.AppendReply(out[:0], true)
		body := answer.Body(false)
		if _, done, _ := body.Scan([]byte("hello")); !done {
			t.Fatal("not done")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is kept per tunnel, and what per loop, is part of the design.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(HeadScanner{}); n != 4 {
		t.Errorf("HeadScanner has %d bytes", n)
	}
	if n := unsafe.Sizeof(Body{}); n > 24 {
		t.Errorf("Body has %d bytes", n)
	}
	if n := unsafe.Sizeof(Request{}) + unsafe.Sizeof(Response{}) + unsafe.Sizeof(Verifier{}); n > 8<<10 {
		t.Errorf("a loop's part has %d bytes", n)
	}
}
