package h2

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

func TestTunnelEchoes(t *testing.T) {
	_, p := meet(t, &house{serve: echo})
	p.headers(1, false, open...)
	head := p.answered(1, "200")
	for _, f := range head.RegularFields() {
		switch f.Name {
		case "sec-websocket-protocol":
		default:
			t.Errorf("the answer has %s", f.Name)
		}
	}
	for _, size := range []int{1, 125, 16 << 10, 60000} {
		message := bytes.Repeat([]byte{byte(size)}, size)
		for part := message; len(part) > 0; part = part[min(len(part), frameMax):] {
			p.data(1, false, part[:min(len(part), frameMax)])
		}
		if !bytes.Equal(p.brings(1, size), message) {
			t.Errorf("%d bytes came back as others", size)
		}
		p.said(p.framer.WriteWindowUpdate(0, uint32(size)))
		p.said(p.framer.WriteWindowUpdate(1, uint32(size)))
	}
	p.data(1, true, []byte("last"))
	if got := p.ends(1); string(got) != "last" {
		t.Errorf("%q came back at the end", got)
	}
}

// What a client says before it is answered follows the head, in order.
func TestTunnelTakesEarlyData(t *testing.T) {
	let := make(chan struct{})
	_, p := meet(t, &house{serve: func(g *guest) { <-let; echo(g) }})
	p.headers(1, false, open...)
	p.data(1, false, []byte("one "))
	p.data(1, true, []byte("two"))
	p.pinged()
	close(let)
	p.answered(1, "200")
	if got := p.ends(1); string(got) != "one two" {
		t.Errorf("%q came back", got)
	}
}

func TestUpgradeIsAsked(t *testing.T) {
	asked := make(chan *http.Request, 1)
	_, p := meet(t, &house{serve: func(g *guest) {
		r, _ := g.upgrade()
		asked <- r
	}})
	p.headers(1, false, with(open, ":path", "/c?x=1", "origin", "https://a", "sec-websocket-key", "mine",
		"cookie", "a=1", "cookie", "b=2", "sec-websocket-protocol", "chat", "content-length", "7", "te", "trailers")...)
	p.answered(1, "200")
	r := <-asked
	if r == nil || r.Method != http.MethodGet || r.RequestURI != "/c?x=1" || r.Host != "a" {
		t.Fatalf("asked is %v", r)
	}
	want := map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13", "Origin": "https://a",
		"Sec-Websocket-Protocol": "chat", "Cookie": "a=1; b=2", "Content-Length": "", "Te": "",
	}
	for name, value := range want {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s is %q", name, got)
		}
	}
	if key := r.Header.Values("Sec-Websocket-Key"); len(key) != 1 || len(key[0]) != 24 {
		t.Errorf("the keys are %q", key)
	}
}

// Each direction of a tunnel ends alone.
func TestTunnelHalfCloses(t *testing.T) {
	_, p := meet(t, &house{serve: func(g *guest) {
		_, from := g.upgrade()
		said, _ := io.ReadAll(from) // an error shows in what comes
		_, _ = g.Write(append([]byte("after "), said...))
	}})
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.data(1, true, []byte("the end"))
	if got := p.ends(1); string(got) != "after the end" {
		t.Errorf("%q came back", got)
	}
}

func TestTunnelThatTheProxyEnds(t *testing.T) {
	h := &house{serve: func(g *guest) { g.upgrade() }}
	_, p := meet(t, h)
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.ends(1)
	p.wasReset(1, http2.ErrCodeNo) // the house has gone: nobody reads on
}

func TestTunnelThatWasCut(t *testing.T) {
	_, p := meet(t, &house{serve: func(g *guest) { g.upgrade(); g.reset() }})
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.wasReset(1, http2.ErrCodeCancel)
}

func TestResetCutsTunnel(t *testing.T) {
	cut := make(chan struct{})
	_, p := meet(t, &house{serve: func(g *guest) { g.upgrade(); <-g.cut; close(cut) }})
	p.headers(1, false, open...)
	p.answered(1, "200")
	p.said(p.framer.WriteRSTStream(1, http2.ErrCodeCancel))
	within(t, "the house hears of it", cut)
	p.pinged()
}

// A connection that dies cuts what is under way, whatever that waits for.
func TestConnectionsEndCutsAll(t *testing.T) {
	waits := map[string]func(g *guest){
		"answer": func(g *guest) { <-g.cut },
		"tunnel": func(g *guest) { g.upgrade(); <-g.cut },
		"window": func(g *guest) { g.upgrade(); _, _ = g.Write(make([]byte, 100<<10)); <-g.cut },
		"gone":   func(g *guest) { g.upgrade(); _ = g.Conn.(interface{ CloseWrite() error }).CloseWrite(); <-g.cut },
		"reader": func(g *guest) { _, _ = io.Copy(io.Discard, g); <-g.cut },
	}
	for name, serve := range waits {
		t.Run(name, func(t *testing.T) {
			cut := make(chan struct{})
			_, p := meet(t, &house{serve: func(g *guest) { serve(g); close(cut) }})
			p.headers(1, false, open...)
			p.data(1, false, make([]byte, 16<<10))
			switch name {
			case "tunnel", "window":
				p.answered(1, "200")
			case "gone":
				p.answered(1, "200")
				p.ends(1)
			default:
				p.pinged()
			}
			p.conn.Close()
			within(t, "the house hears of it", cut)
		})
	}
}

func TestEnterFails(t *testing.T) {
	h := &house{serve: echo}
	_, p := meet(t, h)
	h.refuses.Store(true)
	p.headers(1, false, open...)
	p.answered(1, "503")
	p.ends(1)
	p.wasReset(1, http2.ErrCodeNo)
	h.refuses.Store(false)
	p.headers(3, false, open...)
	p.answered(3, "200")
}

// RFC 8441 section 5: 2xx would open the tunnel.
func TestUpgradeThatIsNotTaken(t *testing.T) {
	answers := map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":        "502",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno": "404",
		"HTTP/1.1 ": "502",
		"":          "502",
	}
	for answer, status := range answers {
		_, p := meet(t, &house{serve: answering(answer)})
		p.headers(1, false, open...)
		p.answered(1, status)
		p.ends(1)
		p.wasReset(1, http2.ErrCodeNo)
	}
}

func TestManyTunnels(t *testing.T) {
	h := &house{serve: echo}
	_, p := meet(t, h)
	for round := range 3 {
		first := uint32(round*2*streamsMax + 1)
		for i := range uint32(streamsMax) {
			p.headers(first+2*i, false, open...)
			p.answered(first+2*i, "200")
		}
		for i := range uint32(streamsMax) {
			p.data(first+2*i, true, []byte{byte(i)})
			if got := p.ends(first + 2*i); len(got) != 1 || got[0] != byte(i) {
				t.Fatalf("tunnel %d brings %v", i, got)
			}
		}
	}
	if n := h.entered.Load(); n != 3*streamsMax {
		t.Errorf("%d requests came through", n)
	}
}

// What a message of a tunnel costs leaves no garbage.
func TestTunnelDoesNotAllocate(t *testing.T) {
	_, p := meet(t, &house{serve: echo})
	p.framer.SetReuseFrames()
	p.headers(1, false, open...)
	p.answered(1, "200")
	message := make([]byte, 128)
	left := defaultWindow
	allocations := testing.AllocsPerRun(200, func() {
		p.data(1, false, message)
		for n := 0; n < len(message); {
			f, ok := p.next().(*http2.DataFrame)
			if !ok {
				t.Fatal("no DATA came")
			}
			n += len(f.Data())
		}
		left -= len(message)
	})
	if left < 0 {
		t.Fatal("the window is too small for the test")
	}
	if allocations > 0 {
		t.Errorf("%v allocations for a message and its echo", allocations)
	}
}
