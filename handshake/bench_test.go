package handshake

import "testing"

// chromeHead is what a browser sends, 640 bytes.
const chromeHead = "GET /ws/chat?room=42 HTTP/1.1\r\n" +
	"Host: chat.example.com\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://chat.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"Sec-WebSocket-Protocol: chat, superchat\r\n\r\n"

const backendHead = "HTTP/1.1 101 Switching Protocols\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
	"Sec-WebSocket-Protocol: chat\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

func benchForward() Forward {
	return Forward{Target: []byte("/chat?room=42"), Host: "10.0.0.1:9000", ClientAddr: []byte("203.0.113.7"), Proto: "https"}
}

func BenchmarkScan(b *testing.B) {
	head := []byte(chromeHead)
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		var s HeadScanner
		if n, _ := s.Scan(head); n != len(head) {
			b.Fatal(n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	head := []byte(chromeHead)
	b.ReportAllocs()
	var r Request
	for b.Loop() {
		if refusal := r.Parse(head); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

func BenchmarkForward(b *testing.B) {
	var r Request
	if refusal := r.Parse([]byte(chromeHead)); refusal != nil {
		b.Fatal(refusal)
	}
	f := benchForward()
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		out = r.AppendForward(out[:0], &f)
	}
}

func BenchmarkVerify(b *testing.B) {
	var r Request
	if refusal := r.Parse([]byte(chromeHead)); refusal != nil {
		b.Fatal(refusal)
	}
	f := benchForward()
	out := r.AppendForward(nil, &f)
	var v Verifier
	b.ReportAllocs()
	for b.Loop() {
		if refusal := v.Verify(out); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

// BenchmarkRequest is all that is done to a request: scan, parse, check,
// rewrite, verify.
func BenchmarkRequest(b *testing.B) {
	head := []byte(chromeHead)
	var r Request
	var v Verifier
	f := benchForward()
	allowed := []string{"example.com"}
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		var s HeadScanner
		n, refusal := s.Scan(head)
		if refusal == nil {
			refusal = r.Parse(head[:n])
		}
		if refusal == nil {
			refusal = r.CheckWebSocket(false)
		}
		if refusal == nil {
			refusal = r.CheckOrigin(allowed)
		}
		out = r.AppendForward(out[:0], &f)
		if refusal == nil {
			refusal = v.Verify(out)
		}
		if refusal != nil {
			b.Fatal(refusal)
		}
	}
}

// BenchmarkResponse is all that is done to a 101.
func BenchmarkResponse(b *testing.B) {
	var r Request
	if refusal := r.Parse([]byte(chromeHead)); refusal != nil {
		b.Fatal(refusal)
	}
	f := benchForward()
	offer := Offer{Sent: r.AppendForward(nil, &f)}
	head := []byte(backendHead)
	var answer Response
	b.ReportAllocs()
	for b.Loop() {
		var s HeadScanner
		n, refusal := s.ScanResponse(head)
		if refusal == nil {
			refusal = answer.Parse(head[:n])
		}
		if refusal == nil {
			refusal = answer.CheckUpgrade(&offer, false)
		}
		if refusal != nil {
			b.Fatal(refusal)
		}
	}
}
