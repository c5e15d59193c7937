package echo

import (
	"io"
	"net"
	"testing"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// detachedOutput stands in for a connection's writer.
type detachedOutput struct{ *netpoll.LinkBuffer }

func (o detachedOutput) bytes(t testing.TB) []byte {
	t.Helper()
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	return o.Bytes()
}

// newDetachedSession returns a session whose output stays in memory.
func newDetachedSession(t testing.TB, o Options) (*session, detachedOutput) {
	t.Helper()
	out := detachedOutput{netpoll.NewLinkBuffer()}
	s := &session{options: &o, out: out, headTimer: stoppedTimer()}
	return s, out
}

func TestSourceSendsExactlyTotalThenCloses(t *testing.T) {
	for _, o := range []Options{
		{Mode: Source, FrameBytes: 1000, TotalBytes: 10_000},
		{Mode: Source, FrameBytes: 16 << 10, TotalBytes: 8 << 20},
		{Mode: Source, FrameBytes: 1 << 20, TotalBytes: 3 << 20},
	} {
		c, r := mustOpen(t, mustStart(t, o))
		for sent := int64(0); sent < o.TotalBytes; sent += int64(o.FrameBytes) {
			f, err := ws.ReadFrame(r)
			if err != nil || f.Header != (ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(o.FrameBytes)}) {
				t.Fatalf("at %d: %+v, %v", sent, f.Header, err)
			}
			if !wire.IsPattern(f.Payload, 0) {
				t.Fatalf("at %d: payload differs", sent)
			}
		}
		wantClose(t, r, ws.StatusNormalClosure)
		_ = c.Close()
	}
}

// TestSourceAnswersWhileItSends pings and closes in the middle of the stream.
func TestSourceAnswersWhileItSends(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{Mode: Source}))
	if _, err := c.Write(masked(ws.OpPing, true, "still there")); err != nil {
		t.Fatal(err)
	}
	skipData(t, r, ws.OpPong)
	if _, err := c.Write(masked(ws.OpClose, true, "\x03\xe8")); err != nil {
		t.Fatal(err)
	}
	skipData(t, r, ws.OpClose)
	wantEnd(t, r)
}

// skipData reads data frames until one with op comes.
func skipData(t testing.TB, r io.Reader, op ws.OpCode) {
	t.Helper()
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatalf("waiting for opcode %x: %v", op, err)
		}
		if _, err := io.CopyN(io.Discard, r, h.Length); err != nil {
			t.Fatal(err)
		}
		if h.OpCode == op {
			return
		}
		if h.OpCode != ws.OpBinary {
			t.Fatalf("opcode %x, want %x", h.OpCode, op)
		}
	}
}

// TestDuplexMovesBothWaysAtOnce has a client write and read at its leisure,
// in turns: neither direction may wait for the other.
func TestDuplexMovesBothWaysAtOnce(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{Mode: Duplex, FrameBytes: 64 << 10}))
	// More than any socket buffer holds, and nothing is read meanwhile.
	if err := writeFragmented(c, make([]byte, 32<<20), 3); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		f, err := ws.ReadFrame(r)
		if err != nil || f.Header != (ws.Header{Fin: true, OpCode: ws.OpBinary, Length: 64 << 10}) || !wire.IsPattern(f.Payload, 0) {
			t.Fatalf("%+v, %v", f.Header, err)
		}
	}
	if _, err := c.Write(masked(ws.OpPing, true, "still there")); err != nil {
		t.Fatal(err)
	}
	skipData(t, r, ws.OpPong)
	if _, err := c.Write(masked(ws.OpClose, true, "\x03\xe8")); err != nil {
		t.Fatal(err)
	}
	skipData(t, r, ws.OpClose)
	wantEnd(t, r)
}

func TestDuplexSendsExactlyTotalThenCloses(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{Mode: Duplex, FrameBytes: 1000, TotalBytes: 5000}))
	for range 5 {
		if f, err := ws.ReadFrame(r); err != nil || f.Header.OpCode != ws.OpBinary || !wire.IsPattern(f.Payload, 0) {
			t.Fatalf("%+v, %v", f.Header, err)
		}
	}
	wantClose(t, r, ws.StatusNormalClosure)
	_ = c.Close()
}

func TestDuplexStopsWhenClientGoes(t *testing.T) {
	s := mustStart(t, Options{Mode: Duplex})
	for range 20 {
		c, r := mustOpen(t, s)
		if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	waitOpen(t, s, 0)
}

func TestSourceStopsWhenClientGoes(t *testing.T) {
	s := mustStart(t, Options{Mode: Source})
	c, r := mustOpen(t, s)
	if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	waitOpen(t, s, 0)
}

func TestSinkReadsAndAnswersControl(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{Mode: Sink}))
	if err := writeFragmented(c, make([]byte, 5<<20), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append(masked(ws.OpPing, true, "p"), masked(ws.OpClose, true, "\x03\xe8")...)); err != nil {
		t.Fatal(err)
	}
	wantFrames(t, r, ws.NewPongFrame([]byte("p")), ws.NewCloseFrame([]byte("\x03\xe8")))
	wantEnd(t, r)
}

// TestFeedAllocates nothing per message, whole or in pieces.
func TestFeedAllocatesNothing(t *testing.T) {
	s, out := newDetachedSession(t, Options{})
	s.phase = readingFrames
	frame := masked(ws.OpBinary, true, string(make([]byte, 128)))
	buf := make([]byte, len(frame))
	allocs := testing.AllocsPerRun(2000, func() {
		copy(buf, frame)
		if s.feed(buf[:5]) != nil || s.feed(buf[5:40]) != nil || s.feed(buf[40:]) != nil {
			t.Fatal("feed failed")
		}
		_ = out.Flush()
		_ = out.Skip(out.Len())
		_ = out.Release()
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per message, want 0", allocs)
	}
}

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{Echo, Sink, Source, Duplex} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("ParseMode(%q) = %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("mirror"); err == nil {
		t.Error("ParseMode takes what is no mode")
	}
}

func TestStartRefusesBadOptions(t *testing.T) {
	for _, o := range []Options{{FrameBytes: -1}, {FrameBytes: frameBytesMax + 1}, {TotalBytes: -1}, {Mode: 9}} {
		if s, err := Start("tcp", "127.0.0.1:0", o); err == nil {
			_ = s.Close()
			t.Errorf("%+v started", o)
		}
	}
}

func BenchmarkFeed128(b *testing.B) {
	s, out := newDetachedSession(b, Options{})
	s.phase = readingFrames
	frame := masked(ws.OpBinary, true, string(make([]byte, 128)))
	buf := make([]byte, len(frame))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frame)
		if err := s.feed(buf); err != nil {
			b.Fatal(err)
		}
		_ = out.Flush()
		_ = out.Skip(out.Len())
		_ = out.Release()
	}
}
