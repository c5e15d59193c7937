package wire

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

var headers = []ws.Header{
	{Fin: true, OpCode: ws.OpText},
	{Fin: true, OpCode: ws.OpText, Length: 125},
	{OpCode: ws.OpBinary, Length: 126},
	{OpCode: ws.OpContinuation, Rsv: 4, Length: 0xffff},
	{Fin: true, OpCode: ws.OpBinary, Length: 0x10000},
	{Fin: true, OpCode: ws.OpBinary, Length: 1<<62 + 5},
	{Fin: true, OpCode: ws.OpPing, Rsv: 7, Length: 3},
}

// TestHeaderAgreesWithGobwas encodes and decodes beside gobwas/ws, with the
// input cut at every byte.
func TestHeaderAgreesWithGobwas(t *testing.T) {
	for _, h := range headers {
		for _, masked := range []bool{false, true} {
			h.Masked, h.Mask = masked, [4]byte{}
			if masked {
				h.Mask = [4]byte{1, 2, 3, 4}
			}
			var want bytes.Buffer
			if err := ws.WriteHeader(&want, h); err != nil {
				t.Fatal(err)
			}
			var b [ws.MaxHeaderSize]byte
			if n := PutHeader(b[:], &h); !bytes.Equal(b[:n], want.Bytes()) {
				t.Fatalf("PutHeader(%+v) = % x, want % x", h, b[:n], want.Bytes())
			}
			var got ws.Header
			for cut := range want.Len() {
				if n, err := ParseHeader(want.Bytes()[:cut], &got); n != 0 || err != nil {
					t.Fatalf("ParseHeader of %d bytes = %d, %v, want 0, nil", cut, n, err)
				}
			}
			got = ws.Header{}
			if n, err := ParseHeader(want.Bytes(), &got); n != want.Len() || err != nil || got != h {
				t.Fatalf("ParseHeader = %d, %v, %+v, want %d, nil, %+v", n, err, got, want.Len(), h)
			}
		}
	}
}

func TestParseHeaderRefusesBadLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"16 bits for 125":   {0x82, 126, 0, 125},
		"64 bits for 65535": {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
		"top bit":           {0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0},
	} {
		var h ws.Header
		if _, err := ParseHeader(b, &h); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPatternContinues(t *testing.T) {
	whole := append(bytes.Clone(Pattern(0, 1000)), Pattern(1000, PatternChunkMax)...)
	if !IsPattern(whole, 0) {
		t.Fatal("two calls in a row do not make one pattern")
	}
	if !IsPattern(whole[300:], 300) {
		t.Fatal("pattern does not start at an offset")
	}
	whole[5]++
	if IsPattern(whole, 0) {
		t.Fatal("a changed byte went unseen")
	}
}

func BenchmarkParseHeader(b *testing.B) {
	in := []byte{0x82, 0x80 | 126, 1, 0, 9, 9, 9, 9}
	var h ws.Header
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHeader(in, &h); err != nil {
			b.Fatal(err)
		}
	}
}
