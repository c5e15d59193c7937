package echo

import (
	"bytes"
	"io"
	"testing"

	"wsplice/bench/wire"
)

// TestRawEchoReturnsBytesAsTheyCame sends what is no WebSocket, in pieces of many
// sizes, while what came back is read.
func TestRawEchoReturnsBytesAsTheyCame(t *testing.T) {
	c := mustDial(t, mustStart(t, Options{Raw: true}))
	var sent []byte
	for _, n := range []int{1, 128, 3, 4096, 5000, 60_000} {
		sent = append(sent, wire.Pattern(int64(n), n)...)
	}
	wrote := make(chan error, 1)
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1777)
			if _, err := c.Write(rest[:n]); err != nil {
				wrote <- err
				return
			}
			rest = rest[n:]
		}
		wrote <- nil
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back differently, %v", len(got), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// TestRawSourceBeginsWithTheFirstByte waits for the pattern, frame after frame
// without heads.
func TestRawSourceBeginsWithTheFirstByte(t *testing.T) {
	const frame = 1000
	c := mustDial(t, mustStart(t, Options{Raw: true, Mode: Source, FrameBytes: frame}))
	if _, err := c.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, frame)
	for i := range 100 {
		if _, err := io.ReadFull(c, got); err != nil || !wire.IsPattern(got, 0) {
			t.Fatalf("frame %d: the payload differs, %v", i, err)
		}
	}
}

// TestRawSinkSaysNothing sends what would upgrade, and more than buffers hold.
func TestRawSinkSaysNothing(t *testing.T) {
	s := mustStart(t, Options{Raw: true, Mode: Sink})
	c := mustDial(t, s)
	if _, err := c.Write(append([]byte(requestHead), make([]byte, 16<<20)...)); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 {
		t.Errorf("a sink sent %d bytes, %v", n, err)
	}
	waitOpen(t, s, 0)
}

func TestRawDuplexIsRefused(t *testing.T) {
	for _, o := range []Options{{Raw: true, Mode: Duplex}, {Raw: true, Mode: Source, TotalBytes: 1}} {
		if s, err := Start("tcp", "127.0.0.1:0", o); err == nil {
			_ = s.Close()
			t.Errorf("%+v is accepted", o)
		}
	}
}
