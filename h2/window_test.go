package h2

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"wsplice/internal/testutil"
)

// initialWindow is a setting.
func initialWindow(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

// only returns the Lane's connection, which is the only one.
func (l *Lane) only(t *testing.T) *conn {
	t.Helper()
	var only *conn
	testutil.Eventually(t, patience, "there is a connection", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			only = c
		}
		return only != nil
	})
	return only
}

// sending answers a WebSocket and sends n bytes.
func sending(n int) func(*guest) {
	return func(g *guest) {
		_, from := g.upgrade()
		_, _ = g.Write(make([]byte, n))
		_, _ = io.Copy(io.Discard, from) // until the client has gone
	}
}

// All that a client has sent on a connection is given back to it in the end, whatever
// became of it.
func TestConnectionWindowComesBack(t *testing.T) {
	kilobytes := bytes.Repeat([]byte{'x'}, 15<<10)
	cases := map[string]func(p *peer){
		"refused, while the answer waits": func(p *peer) {
			p.headers(1, false, with(post, ":scheme", "http")...)
			p.answered(1, "400")
			p.data(1, false, kilobytes)
			p.data(1, true, kilobytes)
			p.pinged()
			p.said(p.framer.WriteSettings(initialWindow(1000)))
			p.ends(1)
		},
		"padded": func(p *peer) {
			p.headers(1, false, open...)
			p.said(p.framer.WriteDataPadded(1, false, kilobytes, make([]byte, 255)))
			p.said(p.framer.WriteDataPadded(1, true, nil, make([]byte, 255)))
			p.said(p.framer.WriteSettings(initialWindow(1 << 20)))
			p.answered(1, "200")
			p.ends(1)
		},
		"reset by the client": func(p *peer) {
			p.headers(1, false, open...)
			p.data(1, false, kilobytes)
			p.said(p.framer.WriteRSTStream(1, http2.ErrCodeCancel))
			p.data(1, false, kilobytes)
			p.wasReset(1, http2.ErrCodeStreamClosed)
			p.data(1, true, kilobytes)
		},
		"too long for its length": func(p *peer) {
			p.headers(1, false, with(post, "content-length", "20000")...)
			p.data(1, false, kilobytes)
			p.data(1, false, kilobytes)
			p.wasReset(1, http2.ErrCodeProtocol)
			p.data(1, false, kilobytes)
		},
		"behind the end": func(p *peer) {
			p.headers(1, true, open...)
			p.data(1, false, kilobytes)
			p.wasReset(1, http2.ErrCodeStreamClosed)
		},
		"chunked": func(p *peer) {
			p.headers(1, false, post...)
			p.answered(1, "200")
			p.data(1, false, kilobytes)
			p.data(1, true, kilobytes)
			p.said(p.framer.WriteSettings(initialWindow(1 << 20)))
			p.ends(1)
		},
	}
	for name, do := range cases {
		t.Run(name, func(t *testing.T) {
			l, p := meet(t, &house{serve: func(g *guest) {
				if r, from := g.upgrade(); r != nil && r.Method == "GET" {
					_, _ = io.Copy(g, from)
				}
			}}, initialWindow(0))
			if name == "chunked" {
				_, p = meet(t, &house{serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}, initialWindow(0))
			}
			do(p)
			p.pinged()
			c := l.only(t)
			testutil.Eventually(t, patience, "the window is whole", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.received+c.owed == connectionWindow && len(c.streams) == 0
			})
		})
	}
}

func TestStreamThatSendsTooMuch(t *testing.T) {
	h := &house{serve: echo, hold: make(chan struct{})}
	_, p := meet(t, h)
	defer close(h.hold)
	p.headers(1, false, open...)
	for range streamWindow / frameMax {
		p.data(1, false, make([]byte, frameMax))
	}
	p.pinged()
	p.data(1, false, []byte("x"))
	p.wasReset(1, http2.ErrCodeFlowControl)
}

// A window may become negative (RFC 9113 section 6.9.2), and its changes add up.
func TestInitialWindowChanges(t *testing.T) {
	_, p := meet(t, &house{serve: sending(1000)}, initialWindow(10))
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.brings(1, 10)
	p.said(p.framer.WriteSettings(initialWindow(1<<20), initialWindow(3), initialWindow(0))) // the last counts
	p.said(p.framer.WriteWindowUpdate(1, 10))
	p.said(p.framer.WriteWindowUpdate(1, 5))
	if f, ok := p.next().(*http2.DataFrame); !ok || f.Length != 5 {
		t.Fatalf("%v came for a window of 5", f)
	}
	p.said(p.framer.WriteSettings(initialWindow(1)))
	if f, ok := p.next().(*http2.DataFrame); !ok || f.Length != 1 {
		t.Fatalf("%v came for a window of 1", f)
	}
	p.said(p.framer.WriteSettings(initialWindow(1 << 20)))
	p.brings(1, 1000-16)
}

func TestConnectionWindowIsKept(t *testing.T) {
	_, p := meet(t, &house{serve: sending(100 << 10)}, initialWindow(1<<20))
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.brings(1, defaultWindow)
	p.said(p.framer.WriteWindowUpdate(0, 3))
	if f, ok := p.next().(*http2.DataFrame); !ok || f.Length != 3 {
		t.Fatalf("%v came for a window of 3", f)
	}
}

// Whoever waits for the connection's window gets some of it, however little there is
// at a time.
func TestConnectionWindowIsShared(t *testing.T) {
	const streams, size = 40, 8000
	_, p := meet(t, &house{serve: sending(size)}, initialWindow(1<<20))
	for i := range uint32(streams) {
		p.headers(2*i+1, false, open...)
	}
	left, heads := streams*size, 0
	for given := defaultWindow; heads < streams || left > 0; {
		switch f := p.next().(type) {
		case *http2.MetaHeadersFrame:
			heads++
		case *http2.DataFrame:
			left -= int(f.Length)
			given -= int(f.Length)
		default:
			t.Fatalf("%v came", f)
		}
		if given == 0 {
			given = 777
			p.said(p.framer.WriteWindowUpdate(0, 777))
		}
	}
}

// A client that does not take its answer does not keep it for ever.
func TestAnswerThatIsNotTaken(t *testing.T) {
	for name, head := range map[string][]string{"ours": with(get, ":scheme", "http"), "the proxy's": get} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{Head: 16 << 10, WebSockets: true, Log: quiet})
			l.stall = time.Millisecond
			conn, _ := connect(t, l, &house{serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}, false)
			p := newPeer(t, conn, initialWindow(0))
			p.headers(1, true, head...)
			p.wasReset(1, http2.ErrCodeCancel)
		})
	}
}

// While the proxy has the request, its clocks judge.
func TestTunnelMayWait(t *testing.T) {
	l := New(Config{Head: 16 << 10, WebSockets: true, Log: quiet})
	l.stall = time.Millisecond
	leave := make(chan struct{})
	let := sync.OnceFunc(func() { close(leave) })
	defer let()
	conn, _ := connect(t, l, &house{serve: func(g *guest) {
		g.upgrade()
		_, _ = g.Write([]byte("x"))
		<-leave
	}}, false)
	p := newPeer(t, conn, initialWindow(0))
	p.headers(1, true, open...)
	p.answered(1, "200")
	c := l.only(t)
	testutil.Eventually(t, patience, "the answer waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.streams[1].waiting
	})
	for range 20 {
		<-time.After(l.stall) // the clock that must not count has gone off
		p.said(p.framer.WritePing(false, [8]byte{}))
		if f, ok := p.next().(*http2.PingFrame); !ok {
			t.Fatalf("%v came while the proxy had the tunnel", f)
		}
	}
	let()
	p.wasReset(1, http2.ErrCodeCancel)
}

// An answer's head may be larger than a frame.
func TestHeadInContinuations(t *testing.T) {
	value := strings.Repeat("~", 40<<10)
	_, p := meet(t, &house{serve: answering("HTTP/1.1 200 OK\r\nX-A: " + value + "\r\nContent-Length: 0\r\n\r\n")})
	p.framer.MaxHeaderListSize = 1 << 20
	p.headers(1, true, get...)
	head := p.answered(1, "200")
	if got := head.RegularFields(); len(got) != 2 || !head.StreamEnded() {
		t.Errorf("%d fields came, the end: %v", len(got), head.StreamEnded())
	}
}

// The table that the client decompresses with may shrink and grow (RFC 7541 section
// 4.2): what is said behind that can be read.
func TestHeaderTableSize(t *testing.T) {
	_, p := meet(t, &house{serve: answering("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 0\r\n\r\n")})
	for id := uint32(1); id < 20; id += 2 {
		p.headers(id, true, get...)
		p.answered(id, "200")
		sizes := []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 0}, {ID: http2.SettingHeaderTableSize, Val: 4096}}
		p.said(p.framer.WriteSettings(sizes...))
		p.pinged()
		p.framer.ReadMetaHeaders.SetMaxDynamicTableSize(0) // as it must, between the two
		p.framer.ReadMetaHeaders.SetMaxDynamicTableSize(4096)
	}
}

// A client that takes nothing for now can still send: it may be one that reads on when
// it has written.
func TestReaderDoesNotWaitForTheClient(t *testing.T) {
	const streams, each = 100, 60 << 10
	var got atomic.Int64
	stalled := make(chan struct{})
	_, p := meet(t, &house{serve: func(g *guest) {
		request, from := g.upgrade()
		if request.URL.Path == "/down" {
			_, _ = g.Write(make([]byte, 64<<10))
			close(stalled)
			_, _ = g.Write(make([]byte, 8<<20)) // much more than sockets hold
		}
		n, _ := io.Copy(io.Discard, from)
		got.Add(n)
	}}, initialWindow(maxWindow))
	p.said(p.framer.WriteWindowUpdate(0, maxWindow-defaultWindow))
	p.headers(1, false, with(open, ":path", "/down")...)
	within(t, "the answer begins", stalled)
	for id := uint32(3); id < 3+2*streams; id += 2 {
		p.headers(id, false, open...)
		for b := make([]byte, each); len(b) > 0; b = b[10<<10:] {
			p.data(id, false, b[:10<<10])
		}
		p.data(id, true, nil)
	}
	testutil.Eventually(t, patience, "all came", func() bool { return got.Load() == streams*each })
}

// A body of many small frames, which become chunks, takes no more room while it waits
// for the proxy than it has bytes, and arrives.
func TestSmallFramesWaitAsTheyCame(t *testing.T) {
	const frames = 20_000
	read := make(chan struct{})
	got := make(chan string, 1)
	let := sync.OnceFunc(func() { close(read) })
	defer let()
	l, p := meet(t, &house{serve: func(g *guest) {
		<-read
		r, err := http.ReadRequest(bufio.NewReader(g))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
		_, _ = io.WriteString(g, "HTTP/1.1 204 No Content\r\n\r\n")
	}})
	p.headers(1, false, post...)
	want := bytes.Repeat([]byte("0123456789"), frames/10)
	for i := range want {
		p.data(1, i == len(want)-1, want[i:i+1])
	}
	p.pinged()
	c := l.only(t)
	c.mu.Lock()
	s := c.streams[1]
	c.mu.Unlock()
	s.mu.Lock()
	waiting := len(s.pending)
	s.mu.Unlock()
	if waiting == 0 || waiting > frames {
		t.Errorf("%d bytes wait, want at most %d", waiting, frames)
	}
	let()
	if body := <-got; body != string(want) {
		t.Errorf("a body of %d bytes arrives, want the %d that were sent", len(body), len(want))
	}
	p.answered(1, "204")
}
