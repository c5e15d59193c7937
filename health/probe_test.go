package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/internal/sys"
	"wsplice/pool"
)

var networks = []string{"tcp", "unix"}

func TestTCP(t *testing.T) {
	for _, network := range networks {
		b := newBackend(t, network, nil)
		r := start(t, fast(TCP), b)
		r.until(t, network+" passes", passedTwice)
		b.Close()
		r.until(t, network+" fails", unhealthy)
		if r.close(t); !strings.Contains(r.log.String(), "because=\"connect: ") {
			t.Errorf("log:\n%s", r.log)
		}
	}
}

// The request is an ordinary GET with the server's Host.
func TestHTTPRequest(t *testing.T) {
	for _, network := range networks {
		requests := make(chan *http.Request, 1)
		b := newBackend(t, network, func(c net.Conn) {
			request, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return // the monitor was closed meanwhile
			}
			select {
			case requests <- request:
			default:
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		r := start(t, fast(HTTP), b)
		r.until(t, network+" passes", passedTwice)
		got := <-requests
		host := map[string]string{"tcp": "backend.test", "unix": "localhost"}[network]
		if got.Method != "GET" || got.RequestURI != "/health?a=b" || got.Host != host || got.UserAgent() != userAgent {
			t.Errorf("%s: %s %s of %s by %s", network, got.Method, got.RequestURI, got.Host, got.UserAgent())
		}
	}
}

func TestHTTPAnswers(t *testing.T) {
	const endless = "HTTP/1.1 200 OK\r\n\r\n"
	tests := map[string]struct{ answer, reason string }{
		"200":            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"200 in chunks":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		"204":            {"HTTP/1.1 204 No Content\r\n\r\n", ""},
		"302":            {"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n", ""},
		"399":            {"HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n", ""},
		"102, then 200":  {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"large body":     {endless + strings.Repeat("x", 8*answerBytesMax), ""},
		"101 unasked":    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "GET: the status is 101, not 2xx or 3xx"},
		"400":            {"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", "GET: the status is 400, not 2xx or 3xx"},
		"no HTTP":        {"hello\r\n\r\n", "GET: the answer is not HTTP"},
		"nothing":        {"", "GET: the connection ended before the answer"},
		"bad head":       {"HTTP/1.1 200 OK\r\nSet-Cookie secret\r\n\r\n", "GET: " + errNotHTTP.Error()},
		"cut head":       {"HTTP/1.1 200 OK\r\nSet-Cookie: se", "GET: the connection ended before the answer"},
		"too large head": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*answerBytesMax) + "\r\n\r\n", "GET: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantResult(t, fast(HTTP), answering(test.answer), test.reason)
		})
	}
}

// wantResult makes one check at a backend that plays serve. It must fail with
// reason in what is logged, or pass for "".
func wantResult(t *testing.T, check Check, serve func(net.Conn), reason string) {
	t.Helper()
	p, err := newProbe(Target{Server: newBackend(t, "tcp", serve).server, Check: check})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), check.Timeout)
	defer cancel()
	switch err := p.run(ctx); {
	case reason == "" && err != nil:
		t.Errorf("failed: %v", err)
	case reason != "" && err == nil:
		t.Error("passed")
	case reason != "" && !strings.Contains(p.reason(err), reason):
		t.Errorf("failed with %q (%v), want %q", p.reason(err), err, reason)
	case err != nil && len(p.reason(err)) > reasonBytesMax+len("…"):
		t.Errorf("a reason of %d bytes", len(p.reason(err)))
	}
}

// echoing is a whole WebSocket server, which must see a proper Close.
func echoing(t *testing.T, ended chan<- error) func(net.Conn) {
	return func(c net.Conn) {
		var request bytes.Buffer
		if _, err := ws.Upgrade(struct {
			io.Reader
			io.Writer
		}{io.TeeReader(c, &request), c}); err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		if !strings.HasPrefix(request.String(), "GET /health?a=b HTTP/1.1\r\n") ||
			!strings.Contains(request.String(), "\r\nHost: backend.test\r\n") {
			t.Errorf("request %q", request.String())
		}
		_, err := wsutil.ReadClientText(c) // answers the ping and the Close on the way
		select {
		case ended <- err:
		default:
		}
	}
}

func TestWebSocketPasses(t *testing.T) {
	ended := make(chan error, 1)
	wantResult(t, fast(WebSocket), echoing(t, ended), "")
	var closed wsutil.ClosedError
	if err := <-ended; !errors.As(err, &closed) || closed.Code != ws.StatusNormalClosure {
		t.Errorf("the server saw %v, want a Close with 1000", err)
	}
}

func TestWebSocketOverUnixSocket(t *testing.T) {
	b := newBackend(t, "unix", func(c net.Conn) {
		if _, err := ws.Upgrade(c); err == nil {
			_, _ = wsutil.ReadClientText(c)
		}
	})
	start(t, fast(WebSocket), b).until(t, "passes", passedTwice)
}

// upgraded is a server that plays serve once the WebSocket is open. frames
// reads what comes.
func upgraded(serve func(c net.Conn, ping ws.Frame)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := ws.Upgrade(c); err != nil {
			return
		}
		if ping, err := ws.ReadFrame(c); err == nil {
			serve(c, ws.UnmaskFrame(ping))
		}
		_, _ = io.Copy(io.Discard, c)
	}
}

func TestWebSocketServers(t *testing.T) {
	send := func(c net.Conn, frames ...ws.Frame) {
		for _, f := range frames {
			_ = ws.WriteFrame(c, f)
		}
	}
	pong := func(ping ws.Frame) ws.Frame { return ws.NewPongFrame(ping.Payload) }
	var many []ws.Frame
	for range framesMax {
		many = append(many, ws.NewTextFrame([]byte("x")))
	}
	tests := map[string]struct {
		reason string
		serve  func(c net.Conn, ping ws.Frame)
	}{
		"messages before the pong": {"", func(c net.Conn, ping ws.Frame) {
			send(c, ws.NewTextFrame([]byte("hello")), ws.NewFrame(ws.OpBinary, false, make([]byte, 300)),
				ws.NewPongFrame([]byte("not ours")), pong(ping), ws.NewCloseFrame(nil))
		}},
		"end without a Close": {"", func(c net.Conn, ping ws.Frame) { send(c, pong(ping)); c.Close() }},
		"its own ping first": {"", func(c net.Conn, ping ws.Frame) {
			send(c, ws.NewPingFrame([]byte("you?")))
			if f, err := ws.ReadFrame(c); err == nil && string(ws.UnmaskFrame(f).Payload) == "you?" && f.Header.OpCode == ws.OpPong {
				send(c, pong(ping), ws.NewCloseFrame(nil))
			}
		}},
		"another payload": {"ping: the connection ended", func(c net.Conn, _ ws.Frame) {
			send(c, ws.NewPongFrame([]byte("12345678")))
			c.Close()
		}},
		"a Close":         {"closed instead", func(c net.Conn, _ ws.Frame) { send(c, ws.NewCloseFrame(nil)) }},
		"a masked pong":   {"masked", func(c net.Conn, ping ws.Frame) { send(c, ws.MaskFrame(pong(ping))) }},
		"too many frames": {"other frames", func(c net.Conn, _ ws.Frame) { send(c, many...) }},
		"a large message": {"ping: the connection ended", func(c net.Conn, _ ws.Frame) {
			send(c, ws.NewBinaryFrame(make([]byte, 2*answerBytesMax)))
		}},
		"a stray continuation": {"continuation", func(c net.Conn, _ ws.Frame) {
			send(c, ws.NewFrame(ws.OpContinuation, true, nil))
		}},
		"a large pong":   {"payload limit", func(c net.Conn, _ ws.Frame) { send(c, ws.NewPongFrame(make([]byte, 200))) }},
		"no pong at all": {"ping: no answer within", func(net.Conn, ws.Frame) {}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := fast(WebSocket)
			if strings.Contains(test.reason, "no answer") {
				check.Timeout = 100 * time.Millisecond
			}
			wantResult(t, check, upgraded(test.serve), test.reason)
		})
	}
}

func TestWebSocketRefused(t *testing.T) {
	for answer, reason := range map[string]string{
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n": "upgrade: ",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":        "upgrade: ",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n": "upgrade: ",
		"": "upgrade: the connection ended before the answer",
	} {
		wantResult(t, fast(WebSocket), answering(answer), reason)
	}
}

// A silent server costs its timeout, whatever is asked.
func TestSilence(t *testing.T) {
	for kind, phase := range map[Kind]string{HTTP: "GET", WebSocket: "upgrade"} {
		check := fast(kind)
		check.Timeout = 50 * time.Millisecond
		wantResult(t, check, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, phase+": no answer within 50ms")
	}
}

// The second address of a server is tried when the first refuses.
func TestEveryAddressIsTried(t *testing.T) {
	b := newBackend(t, "tcp", nil)
	listens := netip.MustParseAddrPort(b.Addr().String())
	refuses := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), listens.Port())
	server, err := pool.NewServer(context.Background(), "tcp", listens.String(), "")
	if err != nil {
		t.Fatal(err)
	}
	server.SetAddresses([]sys.Sockaddr{sys.TCPAddr(refuses, 0), sys.TCPAddr(listens, 0)})
	p, err := newProbe(Target{Server: server, Check: fast(TCP)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.run(ctx); err != nil {
		t.Error(err)
	}
}

func TestShortageErrors(t *testing.T) {
	for _, err := range []error{errShortage, sys.EMFILE, &net.OpError{Op: "dial", Err: sys.EADDRNOTAVAIL}} {
		if !shortage(err) {
			t.Errorf("%v is not our shortage", err)
		}
	}
	if shortage(nil) || shortage(sys.ECONNREFUSED) {
		t.Error("a refused connection is our shortage")
	}
}

// What is sent is what the configuration says, byte by byte.
func TestPathIsSentAsItIs(t *testing.T) {
	for _, path := range []string{"/", "/a%20b/%2F?x=%20&y", "//double", "/?", "/a:b;c@d!$&'()*+,=~"} {
		check := fast(HTTP)
		check.Path = path
		p, err := newProbe(Target{Server: newBackend(t, "tcp", nil).server, Check: check})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.url.RequestURI(); got != strings.TrimSuffix(path, "?") {
			t.Errorf("%s becomes %s", path, got)
		}
	}
}
