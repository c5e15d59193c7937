package rig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
)

// testFrames cross the borders of the length's encoding, masked and not.
func testFrames() []Frames {
	var all []Frames
	for i, n := range []int64{0, 1, 125, 126, 300, 65_535, 65_536, 200_000} {
		for _, span := range []int64{7, 126, 70_000} {
			for _, masked := range []bool{false, true} {
				for _, closes := range []bool{false, true} {
					all = append(all, Frames{Pattern(i), n, span, masked, closes})
				}
			}
		}
	}
	return all
}

func (f Frames) all() []byte {
	b := make([]byte, f.Bytes())
	f.Fill(b, 0)
	return b
}

// TestFramesAreFrames reads streams header by header, and fills them in pieces.
func TestFramesAreFrames(t *testing.T) {
	for _, f := range testFrames() {
		whole := f.all()
		pieces := make([]byte, len(whole))
		for i := 0; i < len(pieces); i += 13 {
			f.Fill(pieces[i:min(i+13, len(pieces))], int64(i))
		}
		if !bytes.Equal(whole, pieces) {
			t.Errorf("%+v: pieces differ from the whole", f)
		}
		payload, closed := int64(0), false
		for at := int64(0); at < int64(len(whole)); {
			if !f.atBoundary(at) || closed {
				t.Fatalf("%+v: a frame begins at %d", f, at)
			}
			first, n, size := readHeader(whole[at:])
			if masked := whole[at+1]&maskBit != 0; masked != f.Masked {
				t.Fatalf("%+v: masked %v at %d", f, masked, at)
			}
			if closed = first == firstClose; !closed {
				payload += n
			}
			at += size + n
		}
		if payload != f.Payload || closed != f.Close {
			t.Errorf("%+v: %d bytes of payload, closed %v", f, payload, closed)
		}
	}
}

// readHeader returns the payload's length, and the size of header and key.
func readHeader(b []byte) (first byte, n, size int64) {
	size, n = 2, int64(b[1]&^maskBit)
	extended := map[int64]int64{126: 2, 127: 8}[n]
	if extended > 0 {
		n = 0
		for _, c := range b[2 : 2+extended] {
			n = n<<8 | int64(c)
		}
	}
	if b[1]&maskBit != 0 {
		size += 4
	}
	return b[0], n, size + extended
}

// TestFramesReceive ends streams in every way that a proxy may, and in others.
func TestFramesReceive(t *testing.T) {
	farewell := "\x88\x06\x03\xf3gone"
	f := Frames{Pattern: 3, Payload: 250, Span: 100}
	closes := f
	closes.Close = true
	whole := string(f.all())
	for name, c := range map[string]struct {
		f    Frames
		sent string
		got  int64
		bad  bool
	}{
		"all":                        {f, whole, f.Bytes(), false},
		"all and its Close":          {closes, string(closes.all()), closes.Bytes(), false},
		"cut within a frame":         {f, whole[:50], 50, false},
		"cut between frames":         {f, whole[:102], 102, false},
		"told at the beginning":      {f, farewell, 0, false},
		"told between frames":        {f, whole[:102] + farewell, 102, false},
		"told before its Close":      {closes, whole + farewell, f.Bytes() + 1, false},
		"told within a frame":        {f, whole[:50] + farewell, 0, true},
		"told with a wrong code":     {f, whole[:102] + "\x88\x02\x03\xee", 0, true},
		"told without a code":        {f, whole[:102] + "\x88\x00", 0, true},
		"told as if to a backend":    {f, whole[:102] + "\x88\x82\x00\x00\x00\x00\x03\xf3", 0, true},
		"told twice":                 {f, whole[:102] + farewell + farewell, 0, true},
		"told and then data":         {f, whole[:102] + farewell + "\x82\x00", 0, true},
		"told in part":               {f, whole[:102] + farewell[:4], 0, true},
		"another frame between them": {f, whole[:102] + "\x8a\x00" + whole[102:], 0, true},
		"a byte that is missing":     {f, whole[:50] + whole[51:], 0, true},
	} {
		for _, step := range []int{1, 1000} {
			t.Run(fmt.Sprintf("%s/%d", name, step), func(t *testing.T) {
				got, err := c.f.ReceiveUpTo(pipeOf(c.sent, step), 0, c.f.Bytes())
				if c.bad != errors.Is(err, ErrForeign) || !c.bad && err != nil {
					t.Errorf("error %v", err)
				}
				if !c.bad && got != c.got {
					t.Errorf("%d bytes, want %d", got, c.got)
				}
			})
		}
	}
}

// pipeOf returns a connection on which text comes in pieces, and then its end.
func pipeOf(text string, step int) net.Conn {
	near, far := net.Pipe()
	go func() {
		defer func() { _ = far.Close() }()
		for i := 0; i < len(text); i += step {
			if _, err := io.WriteString(far, text[i:min(i+step, len(text))]); err != nil {
				return
			}
		}
	}()
	return near
}
