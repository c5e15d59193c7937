package h2

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"wsplice/internal/testutil"
)

// goAway returns the next frame, which is one without an error.
func (p *peer) goAway(last uint32) {
	p.tb.Helper()
	f, ok := p.next().(*http2.GoAwayFrame)
	if !ok || f.ErrCode != http2.ErrCodeNo || f.LastStreamID != last {
		p.tb.Fatalf("%v came instead of GOAWAY after stream %d", f, last)
	}
}

func TestDrainEndsWhatIsIdle(t *testing.T) {
	l, p := meet(t, &house{serve: echo})
	p.headers(1, true, open...)
	p.answered(1, "200")
	p.ends(1)
	p.pinged()
	l.Drain()
	p.goAway(1)
	p.wasLeft()
}

// SETTINGS come first, even where nothing follows but the end.
func TestDrainedLaneGreets(t *testing.T) {
	l, _ := meet(t, &house{serve: echo})
	l.Drain()
	for range 20 {
		conn, ended := connect(t, l, &house{serve: echo}, false)
		framer := http2.NewFramer(nil, conn)
		if f, err := framer.ReadFrame(); err != nil || f.Header().Type != http2.FrameSettings {
			t.Fatalf("%v, %v came first", f, err)
		}
		within(t, "the connection ends", ended)
	}
}

// A request that was sent before the client could know is still taken, those under way
// go on, and what belongs to later ones is passed over.
func TestDrainLetsRequestsEnd(t *testing.T) {
	l, p := meet(t, &house{serve: echo})
	p.headers(1, false, open...)
	p.answered(1, "200")
	l.Drain()
	p.goAway(math.MaxInt32)
	p.headers(3, false, open...)
	p.answered(3, "200")
	p.goAway(3) // after drainPause
	p.headers(5, false, open...)
	p.data(5, false, []byte("x"))
	p.said(p.framer.WriteWindowUpdate(5, 1))
	p.headers(5, true, "x", "y")
	p.said(p.framer.WriteRSTStream(5, http2.ErrCodeCancel))
	for _, id := range []uint32{1, 3} {
		p.data(id, true, []byte("y"))
		if got := p.ends(id); string(got) != "y" {
			t.Errorf("%q came back", got)
		}
	}
	p.wasLeft()
}

func TestQuitOnlyWhatIsIdle(t *testing.T) {
	l, p := meet(t, &house{serve: echo})
	c := l.only(t)
	p.headers(1, false, open...)
	p.answered(1, "200")
	c.quit()
	p.pinged()
	p.data(1, true, nil)
	p.ends(1)
	testutil.Eventually(t, patience, "the tunnel has ended", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.streams) == 0
	})
	c.quit()
	p.goAway(1)
	p.wasLeft()
}

// A request that GOAWAY says was not taken may be sent again: it must not have been.
func TestGoAwayTellsTheTruth(t *testing.T) {
	told := 0
	for range 50 {
		var last atomic.Int64
		l, p := meet(t, &house{serve: serving(t, func(_ http.ResponseWriter, r *http.Request) {
			id, _ := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64) // 0 cannot be beyond
			for old := last.Load(); id > old && !last.CompareAndSwap(old, id); old = last.Load() {
			}
		})})
		c := l.only(t)
		go c.leaveNow()
		for id := uint32(1); id < 2*50; id += 2 {
			block := p.fields(with(get, ":path", "/"+strconv.Itoa(int(id)))...)
			param := http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}
			if p.framer.WriteHeaders(param) != nil {
				break // it has ended
			}
		}
		said, heard := uint32(0), false // it may be lost with a reset: then nothing was said
		for {
			f, err := p.framer.ReadFrame()
			if err != nil {
				break
			}
			if f, ok := f.(*http2.GoAwayFrame); ok {
				said, heard = f.LastStreamID, true
			}
		}
		if !heard {
			continue
		}
		told++
		if last.Load() > int64(said) {
			t.Fatalf("stream %d was served, and GOAWAY said %d", last.Load(), said)
		}
	}
	if told == 0 {
		t.Error("no client was told")
	}
}

// The connection can be cut from outside.
func TestCut(t *testing.T) {
	l, _ := meet(t, &house{serve: echo})
	near, far := pair(t)
	over := make(chan struct{})
	cut := l.Serve(far, false, &house{serve: echo}, func() { close(over) })
	newPeer(t, near).pinged()
	cut()
	cut()
	within(t, "the connection ends", over)
}
