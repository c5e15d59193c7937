package h2

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// frame makes any.
func frame(kind http2.FrameType, flags byte, id uint32, payload ...byte) []byte {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), flags}
	return append(binary.BigEndian.AppendUint32(b, id), payload...)
}

func send(b ...[]byte) func(*peer) {
	return func(p *peer) {
		for _, frame := range b {
			p.raw(frame)
		}
	}
}

const maxWindow = 1<<31 - 1

// What ends the connection (RFC 9113 section 5.4.1), and as what.
func TestViolationsThatEndTheConnection(t *testing.T) {
	zeros := make([]byte, frameMax+1)
	cases := []struct {
		what string
		code http2.ErrCode
		do   func(p *peer)
	}{
		{"DATA of stream 0", http2.ErrCodeProtocol, send(frame(0, 0, 0, 'x'))},
		{"DATA of an idle stream", http2.ErrCodeProtocol, send(frame(0, 0, 1, 'x'))},
		{"DATA of a server's stream", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(5, false, open...)
			p.data(2, false, []byte("x"))
		}},
		{"DATA with more padding than payload", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(1, false, open...)
			p.raw(frame(0, 8, 1, 5, 'x'))
		}},
		{"HEADERS of stream 0", http2.ErrCodeProtocol, send(frame(1, 4, 0))},
		{"HEADERS of an even stream", http2.ErrCodeProtocol, func(p *peer) { p.headers(2, true, get...) }},
		{"malformed HEADERS of an even stream", http2.ErrCodeProtocol, func(p *peer) { p.headers(2, true, "X", "y") }},
		{"HEADERS of a lower stream", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(5, false, open...)
			p.headers(3, false, open...)
		}},
		{"HEADERS that cannot be decompressed", http2.ErrCodeCompression, send(frame(1, 4, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))},
		{"DATA amid HEADERS", http2.ErrCodeProtocol, send(frame(1, 0, 1, 0x82), frame(0, 0, 1))},
		{"CONTINUATION of another stream", http2.ErrCodeProtocol, send(frame(1, 0, 1, 0x82), frame(9, 4, 3))},
		{"CONTINUATION of nothing", http2.ErrCodeProtocol, send(frame(9, 4, 1))},
		{"CONTINUATION without end", http2.ErrCodeProtocol, func(p *peer) {
			p.raw(frame(1, 0, 1, 0x82))
			list := p.fields("x", strings.Repeat("~", 15<<10))
			for range 64 {
				if _, err := p.conn.Write(frame(9, 0, 1, list...)); err != nil {
					return // it has heard enough
				}
			}
		}},
		{"SETTINGS of a stream", http2.ErrCodeProtocol, send(frame(4, 0, 1))},
		{"SETTINGS of 5 bytes", http2.ErrCodeFrameSize, send(frame(4, 0, 0, zeros[:5]...))},
		{"an acknowledgement with payload", http2.ErrCodeFrameSize, send(frame(4, 1, 0, zeros[:6]...))},
		{"push of 2", http2.ErrCodeProtocol, send(frame(4, 0, 0, 0, 2, 0, 0, 0, 2))},
		{"a window of 2^31", http2.ErrCodeFlowControl, send(frame(4, 0, 0, 0, 4, 0x80, 0, 0, 0))},
		{"frames of 100", http2.ErrCodeProtocol, send(frame(4, 0, 0, 0, 5, 0, 0, 0, 100))},
		{"extended CONNECT of 2", http2.ErrCodeProtocol, send(frame(4, 0, 0, 0, 8, 0, 0, 0, 2))},
		{"a frame of 16 KiB and 1", http2.ErrCodeFrameSize, send(frame(77, 0, 0, zeros...))},
		{"PUSH_PROMISE", http2.ErrCodeProtocol, send(frame(5, 4, 1, 0, 0, 0, 2))},
		{"PING of 7 bytes", http2.ErrCodeFrameSize, send(frame(6, 0, 0, zeros[:7]...))},
		{"PING of a stream", http2.ErrCodeProtocol, send(frame(6, 0, 1, zeros[:8]...))},
		{"GOAWAY of a stream", http2.ErrCodeProtocol, send(frame(7, 0, 1, zeros[:8]...))},
		{"RST_STREAM of an idle stream", http2.ErrCodeProtocol, send(frame(3, 0, 1, 0, 0, 0, 8))},
		{"RST_STREAM of a server's stream", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(5, false, open...)
			p.raw(frame(3, 0, 2, 0, 0, 0, 8))
		}},
		{"RST_STREAM of 3 bytes", http2.ErrCodeFrameSize, send(frame(3, 0, 1, 0, 0, 8))},
		{"WINDOW_UPDATE of an idle stream", http2.ErrCodeProtocol, send(frame(8, 0, 1, 0, 0, 0, 1))},
		{"WINDOW_UPDATE of a server's stream", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(5, false, open...)
			p.raw(frame(8, 0, 2, 0, 0, 0, 1))
		}},
		{"WINDOW_UPDATE of 0", http2.ErrCodeProtocol, send(frame(8, 0, 0, 0, 0, 0, 0))},
		{"a window beyond 2^31", http2.ErrCodeFlowControl, func(p *peer) { p.said(p.framer.WriteWindowUpdate(0, maxWindow)) }},
		{"a stream's window beyond 2^31 by SETTINGS", http2.ErrCodeFlowControl, func(p *peer) {
			p.headers(1, false, open...)
			p.said(p.framer.WriteWindowUpdate(1, maxWindow-defaultWindow))
			p.said(p.framer.WriteSettings(http2.Setting{ID: 4, Val: defaultWindow + 1}))
		}},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			_, p := meet(t, &house{serve: echo})
			c.do(p)
			p.wasDismissed(c.code)
		})
	}
}

func TestFirstFrameIsSettings(t *testing.T) {
	for name, first := range map[string][]byte{
		"preface":         []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"ping":            append([]byte(http2.ClientPreface), frame(6, 0, 0, make([]byte, 8)...)...),
		"acknowledgement": append([]byte(http2.ClientPreface), frame(4, 1, 0)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := start(t, &house{serve: echo})
			if _, err := conn.Write(first); err != nil {
				t.Fatal(err)
			}
			p := &peer{tb: t, conn: conn, framer: http2.NewFramer(io.Discard, conn)}
			p.wasDismissed(http2.ErrCodeProtocol)
		})
	}
}

func TestWeakCipherSuite(t *testing.T) {
	l := New(Config{Head: 16 << 10, Log: quiet})
	conn, _ := connect(t, l, &house{serve: echo}, true)
	newPeer(t, conn).wasDismissed(http2.ErrCodeInadequateSecurity)
}

// Requests that are malformed (RFC 9113 section 8.1.1, RFC 8441 section 4).
func TestMalformedRequests(t *testing.T) {
	cases := map[string][]string{
		"no method":                  without(get, ":method"),
		"no scheme":                  without(get, ":scheme"),
		"no path":                    without(get, ":path"),
		"empty path":                 with(get, ":path", ""),
		"a path that is none":        with(get, ":path", "x"),
		"a star":                     with(get, ":path", "*"),
		"a path with a space":        with(get, ":path", "/a HTTP/1.1"),
		"a path with a tab":          with(get, ":path", "/a\tb"),
		"a path with a line":         with(get, ":path", "/a\r\nx: y"),
		"a method with a space":      with(get, ":method", "GET /x"),
		"a method with a line":       with(get, ":method", "GET\r\n"),
		"no method's text":           with(get, ":method", ""),
		"a user":                     with(get, ":authority", "u@a"),
		"an authority with a space":  with(get, ":authority", "a b"),
		"an authority with a line":   with(get, ":authority", "a\r\nx: y"),
		"another host":               with(get, "host", "b"),
		"two hosts":                  with(without(get, ":authority"), "host", "a", "host", "b"),
		"an unknown pseudo":          with(get, ":x", "y"),
		"a status":                   with(get, ":status", "200"),
		"two paths":                  append(with(get), ":path", "/"),
		"a late pseudo":              append([]string{"x", "y"}, get...),
		"an upper-case name":         with(get, "X-A", "y"),
		"a name with a space":        with(get, "x a", "y"),
		"a name with a line":         with(get, "x\r\na", "y"),
		"a name with a colon":        with(get, "x:a", "y"),
		"an empty name":              with(get, "", "y"),
		"a value with a line":        with(get, "x", "y\r\nhost: b"),
		"a value with LF":            with(get, "x", "y\nz"),
		"a value with NUL":           with(get, "x", "y\x00"),
		"a value that begins blank":  with(get, "x", " y"),
		"a value that ends blank":    with(get, "x", "y\t"),
		"a folded value":             with(get, "x", "y\r\n z"),
		"connection":                 with(get, "connection", "close"),
		"keep-alive":                 with(get, "keep-alive", "1"),
		"proxy-connection":           with(get, "proxy-connection", "close"),
		"transfer-encoding":          with(post, "transfer-encoding", "chunked"),
		"upgrade":                    with(open, "upgrade", "websocket"),
		"te":                         with(get, "te", "gzip"),
		"two lengths":                with(post, "content-length", "1", "content-length", "2"),
		"lengths in a list":          with(post, "content-length", "1, 1"),
		"a signed length":            with(post, "content-length", "+1"),
		"a hexadecimal length":       with(post, "content-length", "0x1"),
		"a large length":             with(post, "content-length", "9223372036854775808"),
		"a length and no body":       with(post, "content-length", "1"),
		"CONNECT with a path":        with(get, ":method", "CONNECT"),
		"CONNECT to nowhere":         {":method", "CONNECT"},
		"protocol without CONNECT":   with(open, ":method", "GET"),
		"protocol without scheme":    without(open, ":scheme"),
		"protocol without path":      without(open, ":path"),
		"protocol without authority": without(open, ":authority"),
	}
	h := &house{serve: echo}
	_, p := meet(t, h)
	id := uint32(1)
	for what, head := range cases {
		t.Run(what, func(t *testing.T) {
			p.tb = t
			p.headers(id, true, head...)
			p.wasReset(id, http2.ErrCodeProtocol)
		})
		id += 2
	}
	p.tb = t
	p.pinged()
	if n := h.entered.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

// What ends a stream (section 5.4.2). Another goes on.
func TestViolationsThatEndTheStream(t *testing.T) {
	large := with(nil, "x-a", strings.Repeat("x", 15<<10), "x-b", strings.Repeat("x", 2<<10))
	cases := []struct {
		what string
		code http2.ErrCode
		do   func(p *peer)
	}{
		{"WINDOW_UPDATE of 0", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, open...)
			p.raw(frame(8, 0, 3, 0, 0, 0, 0))
		}},
		{"a window beyond 2^31", http2.ErrCodeFlowControl, func(p *peer) {
			p.headers(3, false, open...)
			p.said(p.framer.WriteWindowUpdate(3, maxWindow))
		}},
		{"DATA behind the end", http2.ErrCodeStreamClosed, func(p *peer) {
			p.headers(3, true, post...)
			p.data(3, false, []byte("x"))
		}},
		{"HEADERS behind the end", http2.ErrCodeStreamClosed, func(p *peer) {
			p.headers(3, true, post...)
			p.headers(3, true, "x", "y")
		}},
		{"more than its length", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, with(post, "content-length", "1")...)
			p.data(3, false, []byte("xy"))
		}},
		{"less than its length", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, with(post, "content-length", "2")...)
			p.data(3, true, []byte("x"))
		}},
		{"a trailer before its length", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, with(post, "content-length", "2")...)
			p.headers(3, true, "x", "y")
		}},
		{"a trailer that does not end", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, post...)
			p.headers(3, false, "x", "y")
		}},
		{"a trailer with a pseudo", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, post...)
			p.headers(3, true, ":path", "/")
		}},
		{"a trailer with connection", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, post...)
			p.headers(3, true, "connection", "close")
		}},
		{"a trailer that is too large", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, post...)
			p.headers(3, true, large...)
		}},
		{"a trailer of a tunnel", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, open...)
			p.headers(3, true, "x", "y")
		}},
		{"a stream that depends on itself", http2.ErrCodeProtocol, func(p *peer) {
			p.said(p.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 3, BlockFragment: p.fields(get...), EndHeaders: true, EndStream: true,
				Priority: http2.PriorityParam{StreamDep: 3},
			}))
		}},
		{"PRIORITY on itself", http2.ErrCodeProtocol, func(p *peer) {
			p.headers(3, false, open...)
			p.said(p.framer.WritePriority(3, http2.PriorityParam{StreamDep: 3}))
		}},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			_, p := meet(t, &house{serve: patient})
			p.headers(1, false, open...)
			p.answered(1, "200")
			c.do(p)
			p.wasReset(3, c.code)
			p.data(1, false, []byte("still here"))
			for f := p.next(); ; f = p.next() { // an answer of stream 3 may have come before its end
				if d, ok := f.(*http2.DataFrame); ok && d.StreamID == 1 {
					break
				}
			}
		})
	}
}
