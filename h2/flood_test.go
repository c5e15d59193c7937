package h2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// flood is more frames than are borne.
const flood = vainMax + 10*vainPerSecond

// A client that makes work and means nothing by it is sent away.
func TestFloodsOfFrames(t *testing.T) {
	many := func(frame []byte) func(*peer) {
		return func(p *peer) { _, _ = p.conn.Write(bytes.Repeat(frame, flood)) } // it need not be heard to its end
	}
	cases := map[string]func(*peer){
		"PING":                     many(frame(6, 0, 0, make([]byte, 8)...)),
		"PING's answer":            many(frame(6, 1, 0, make([]byte, 8)...)),
		"SETTINGS":                 many(frame(4, 0, 0)),
		"acknowledgement":          many(frame(4, 1, 0)),
		"PRIORITY":                 many(frame(2, 0, 1, make([]byte, 5)...)),
		"GOAWAY":                   many(frame(7, 0, 0, make([]byte, 8)...)),
		"unknown":                  many(frame(99, 0, 0)),
		"WINDOW_UPDATE of 1":       many(frame(8, 0, 0, 0, 0, 0, 1)),
		"a stream's WINDOW_UPDATE": many(frame(8, 0, 1, 0, 0, 0, 1)),
		"empty DATA":               many(frame(0, 0, 1)),
		"padding":                  many(frame(0, 8, 1, 3, 0, 0, 0)),
		"resets of one that was reset": func(p *peer) {
			p.said(p.framer.WriteRSTStream(1, http2.ErrCodeCancel))
			many(frame(3, 0, 1, 0, 0, 0, 8))(p)
		},
		"HEADERS of one that was reset": func(p *peer) {
			p.raw(frame(8, 0, 1, 0, 0, 0, 0))
			many(frame(1, 4, 1, 0x82))(p)
		},
		"empty DATA of one that was reset": func(p *peer) {
			p.raw(frame(8, 0, 1, 0, 0, 0, 0))
			many(frame(0, 0, 1))(p)
		},
	}
	for name, do := range cases {
		t.Run(name, func(t *testing.T) {
			_, p := meet(t, &house{serve: echo})
			p.headers(1, false, open...)
			p.answered(1, "200")
			do(p)
			p.wasDismissed(http2.ErrCodeEnhanceYourCalm)
		})
	}
}

// Requests that come to nothing, whoever resets them (CVE-2023-44487, CVE-2025-8671).
func TestFloodsOfResets(t *testing.T) {
	cases := map[string]func(p *peer, id uint32) []byte{
		"the client's":         func(_ *peer, id uint32) []byte { return frame(3, 0, id, 0, 0, 0, 8) },
		"WINDOW_UPDATE of 0":   func(_ *peer, id uint32) []byte { return frame(8, 0, id, 0, 0, 0, 0) },
		"WINDOW_UPDATE beyond": func(_ *peer, id uint32) []byte { return frame(8, 0, id, 0x7f, 0xff, 0xff, 0xff) },
		"DATA behind the end":  func(_ *peer, id uint32) []byte { return frame(0, 0, id, 'x') },
		"a trailer":            func(p *peer, id uint32) []byte { return frame(1, 4, id, p.fields(":path", "/")...) },
		"nothing":              func(*peer, uint32) []byte { return nil }, // but there are too many of them
	}
	for name, then := range cases {
		t.Run(name, func(t *testing.T) {
			h := &house{serve: func(g *guest) { <-g.cut }}
			_, p := meet(t, h)
			var all []byte
			for i := range uint32(2*resetsMax + streamsMax) {
				id := 2*i + 1
				all = append(all, frame(1, 5, id, p.fields(get...)...)...)
				all = append(all, then(p, id)...)
			}
			_, _ = p.conn.Write(all) // it need not be heard to its end
			p.wasDismissed(http2.ErrCodeEnhanceYourCalm)
			if n := h.entered.Load(); n > resetsMax+streamsMax+5*resetsPerSecond {
				t.Errorf("%d requests came through", n)
			}
		})
	}
}

// A client may answer every message with updates of both windows.
func TestWindowUpdatesThatAreDue(t *testing.T) {
	_, p := meet(t, &house{serve: echo})
	p.headers(1, false, open...)
	p.answered(1, "200")
	for range flood {
		p.data(1, false, []byte("x"))
		p.brings(1, 1)
		p.said(p.framer.WriteWindowUpdate(0, 1))
		p.said(p.framer.WriteWindowUpdate(1, 1))
	}
}

// A stream that the client knows to have ended is not counted (RFC 9113 section 5.1.2).
func TestStreamsThatHaveEndedDoNotCount(t *testing.T) {
	let := make(chan struct{})
	h := &house{serve: func(g *guest) {
		g.upgrade()
		_ = g.Conn.(interface{ CloseWrite() error }).CloseWrite()
		<-let // the Lane waits for this end
	}}
	_, p := meet(t, h)
	defer close(let)
	for i := range uint32(streamsKept) {
		p.headers(2*i+1, true, open...)
		p.answered(2*i+1, "200")
		p.ends(2*i + 1)
	}
	p.headers(2*streamsKept+1, true, open...)
	p.wasReset(2*streamsKept+1, http2.ErrCodeRefusedStream)
}

func TestTooManyStreams(t *testing.T) {
	_, p := meet(t, &house{serve: echo})
	for i := range uint32(streamsMax) {
		p.headers(2*i+1, false, open...)
		p.answered(2*i+1, "200")
	}
	p.headers(2*streamsMax+1, false, open...)
	p.wasReset(2*streamsMax+1, http2.ErrCodeRefusedStream)
	p.data(1, true, nil)
	p.ends(1)
	p.headers(2*streamsMax+3, false, open...)
	p.answered(2*streamsMax+3, "200")
}

// The streams that were reset here last are known, however many there were.
func TestLateFramesAreBorne(t *testing.T) {
	c := &conn{streams: map[uint32]*stream{}, lastID: 10000, over: true}
	for i := range uint32(3 * ownResetsKept) {
		c.reset(2*i+1, http2.ErrCodeNo)
		if c.fateOf(2*i+1) != fateLate {
			t.Fatalf("stream %d is forgotten at once", 2*i+1)
		}
	}
	if c.fateOf(4*ownResetsKept+1) != fateLate || c.fateOf(4*ownResetsKept-1) != fateOver {
		t.Errorf("not the last %d are known", ownResetsKept)
	}
}
