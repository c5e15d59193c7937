package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// quiet is how long a test listens for bytes that must not come. A bug of the
// product is seen if it shows within it; a correct product never fails by it.
const quiet = 150 * time.Millisecond

// wantSilence ends the test when r has a byte to read within quiet.
func wantSilence(t *testing.T, c interface {
	SetReadDeadline(time.Time) error
	Read([]byte) (int, error)
},
) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	var b [256]byte
	n, err := c.Read(b[:])
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %q, %v; want nothing yet", b[:n], err)
	}
}

// TestTunnelOpensWithTheBackendsAnswer is T1: what the backend wrote is what
// the client reads, in odd spelling and order too.
func TestTunnelOpensWithTheBackendsAnswer(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	answer := "HTTP/1.1 101 Web Socket Protocol Handshake\r\n" +
		"x-Odd-CASE:   two  spaces  \r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n" +
		"upgrade: WebSocket\r\nCONNECTION: upgrade\r\nServer:\r\n" +
		"sec-websocket-accept: " + rig.Accept(rig.Key) + "\r\n\r\n"
	for _, step := range []int{0, 1, 7} {
		client := rig.Dial(t, proxy.Addr(0))
		client.Offer(upgradeTo("/ws/x"), step)
		server := backend.Next()
		server.WantHead()
		answerInPieces(server, answer, step)
		if got := client.Answer().Raw; got != answer {
			t.Errorf("backend wrote %q, client read %q", answer, got)
		}
		client.Put("up")
		server.Want("up")
		server.Put("down")
		client.Want("down")
	}
}

// answerInPieces sends an answer in pieces.
func answerInPieces(s *rig.BackendConn, text string, step int) {
	if step == 0 {
		step = len(text)
	}
	pace := time.NewTicker(500 * time.Microsecond)
	defer pace.Stop()
	for len(text) > 0 {
		n := min(step, len(text))
		if s.Answer(text[:n]) != nil {
			return
		}
		text = text[n:]
		<-pace.C
	}
}

// TestEarlyDataArrivesAfterThe101 is T10 with a backend that agrees.
func TestEarlyDataArrivesAfterThe101(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	sizes := map[string]int{"one byte": 1, "one frame": 200, "32 KiB": 32 << 10}
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			early := pattern(1, size)
			client := rig.Dial(t, proxy.In(t).Addr(0))
			client.Put(upgradeTo("/ws/x") + early)
			server := backend.In(t).Next()
			server.WantHead()
			wantSilence(t, server)
			if err := server.Upgrade(); err != nil {
				t.Fatal(err)
			}
			server.Want(early)
			if a := client.Answer(); a.Status != 101 {
				t.Fatalf("answer %q, want 101", a.Raw)
			}
			client.Put("later")
			server.Want("later")
		})
	}
}

// TestMuchEarlyDataIsNotLost sends more than any buffer for early bytes holds:
// the client must be made to wait, and nothing may be dropped.
func TestMuchEarlyDataIsNotLost(t *testing.T) {
	const size = 4 << 20
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	sent := make(chan error, 1)
	go func() { sent <- rig.Pattern(2).Send(client.Conn, 0, size, nil) }()
	server := backend.Next()
	server.WantHead()
	wantSilence(t, server)
	if err := server.Upgrade(); err != nil {
		t.Fatal(err)
	}
	if err := rig.Pattern(2).Receive(server, 0, size); err != nil {
		t.Fatal(err)
	}
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}

// TestEarlyDataIsDroppedOnRefusal is T10 with a backend that declines: bytes
// that were meant for a tunnel must not be taken for a request, by anyone.
func TestEarlyDataIsDroppedOnRefusal(t *testing.T) { eachService(t, earlyDataIsDroppedOnRefusal) }

func earlyDataIsDroppedOnRefusal(t *testing.T, bench *hostileBench) {
	for _, script := range []string{"refuse", "426-keep-alive", "200-upgrade", "101-no-accept", "close"} {
		t.Run(script, func(t *testing.T) {
			b := bench.in(t)
			before := b.backend.Accepts()
			client := rig.Dial(t, b.proxy.Addr(0))
			client.Put(upgradeTo("/ws/"+script) + probe)
			if a := client.Answer(); a.Status == 101 {
				t.Fatalf("answer %q", a.Raw)
			}
			client.WantEnd()
			b.checkBackend(t, hostileCase{reaches: true}, before)
		})
	}
}

// TestFrameInTheSegmentOfThe101 is T11.
func TestFrameInTheSegmentOfThe101(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	for name, size := range map[string]int{"a greeting": 12, "64 KiB": 64 << 10, "1 MiB": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			greeting := pattern(3, size)
			client := rig.Dial(t, proxy.In(t).Addr(0))
			client.Put(upgradeTo("/ws/x"))
			server := backend.In(t).Next()
			server.WantHead()
			go func() { _ = server.Answer(rig.SwitchingProtocols(rig.Key) + greeting) }()
			if a := client.Answer(); a.Status != 101 {
				t.Fatalf("answer %q, want 101", a.Raw)
			}
			client.Want(greeting)
		})
	}
}

// TestFrameAndEndInTheSegmentOfThe101 has the backend be done with everything
// in one go.
func TestFrameAndEndInTheSegmentOfThe101(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	for range 20 { // the end comes sooner or later than the bytes
		client := rig.Dial(t, proxy.Addr(0))
		client.Put(upgradeTo("/ws/x"))
		server := backend.Next()
		server.WantHead()
		server.Put(rig.SwitchingProtocols(rig.Key) + "last words")
		_ = server.Close()
		if a := client.Answer(); a.Status != 101 {
			t.Fatalf("answer %q, want 101", a.Raw)
		}
		client.Want("last words")
		client.WantEnd()
	}
}

// TestLateBytesAfterHalfClose is T12, in the smallest form; see
// halfclose_test.go for the rest.
func TestLateBytesAfterHalfClose(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client, server := rig.Open(proxy, backend, "/ws/x")
	client.CloseWrite()
	server.WantEnd()
	server.Put("late")
	client.Want("late")
	_ = server.Close()
	client.WantEnd()
}

// pattern returns size bytes that are found nowhere else.
func pattern(seed uint64, size int) string {
	b := make([]byte, size)
	rig.Pattern(seed).Fill(b, 0)
	return string(b)
}

// clientScheme is what clients ask by.
func clientScheme() string {
	if rig.SecureClients() {
		return "https"
	}
	return "http"
}

// TestForwardedHead is T14 and the rest of what a backend sees of a request.
func TestForwardedHead(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(strings.Replace(rig.UpgradeRequest("/ws/x?a=1&b=%20",
		"X-Real-IP: 6.6.6.6", "X_Real_IP: 6.6.6.6", "X-User: admin", "X-Forwarded_For: 6.6.6.6",
		"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https",
		"Forwarded: for=6.6.6.6;host=evil.test", "Keep-Alive: 5", "Proxy-Connection: keep-alive",
		"TE: trailers", "x-CuStOm:   a  b", "Sec-WebSocket-Protocol: chat, superchat",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"Cookie: a=1; b=2", "Authorization: Basic eDp5", "Origin: https://x.test"),
		"Connection: Upgrade", "Connection: keep-alive, X-Real-IP, Upgrade,x-user, X-Forwarded-For,,Forwarded", 1))
	head := backend.Next().WantHead()
	t.Logf("the backend sees:\n%s", head.Raw)
	if head.Method != "GET" || head.Target != "/x?a=1&b=%20" || head.Proto != "HTTP/1.1" {
		t.Errorf("request line %q %q %q", head.Method, head.Target, head.Proto)
	}
	for _, name := range []string{"X-Real-IP", "X_Real_IP", "X-Forwarded_For", "X-User", "Keep-Alive", "Proxy-Connection", "TE"} {
		if got := head.Values(name); len(got) > 0 {
			t.Errorf("%s reaches the backend as %q", name, got)
		}
	}
	for name, want := range map[string]string{
		"Host": backend.Addr(), "Connection": "upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Key": rig.Key, "Sec-WebSocket-Version": "13",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": clientScheme(), "X-Forwarded-Host": "example.test",
		"Cookie": "a=1; b=2", "Authorization": "Basic eDp5", "Origin": "https://x.test",
	} {
		if got := head.Values(name); len(got) != 1 || !strings.EqualFold(got[0], want) {
			t.Errorf("%s: %q, want once %q", name, got, want)
		}
	}
	if got := head.Get("Forwarded"); !strings.Contains(got, "for=") || strings.Contains(got, "evil") {
		t.Errorf("Forwarded: %q", got)
	}
	if strings.Contains(head.Raw, "6.6.6.6") || strings.Contains(head.Raw, "evil.test") {
		t.Errorf("the client's own claims reach the backend: %q", head.Raw)
	}
	for _, verbatim := range []string{
		"x-CuStOm:   a  b\r\n", "Sec-WebSocket-Protocol: chat, superchat\r\n",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
	} {
		if !strings.Contains(head.Raw, verbatim) {
			t.Errorf("not verbatim: %q", verbatim)
		}
	}
}
