package frame

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// decodePacked shows pieces to a Decoder that accepts compressed messages. It
// expands them with gobwas/ws when they are complete, and shows what they become in
// steps of step bytes. The outcome has every expanded message as a control.
func decodePacked(t *testing.T, coding Coding, bounds Bounds, step int, pieces ...[]byte) (o outcome) {
	t.Helper()
	var s Scanner
	var d Decoder
	d.Init(&s, coding, bounds)
	d.AcceptCompressed()
	var packed []byte
	for _, b := range pieces {
		for b = bytes.Clone(b); len(b) > 0; {
			n, payload, event := d.Next(b)
			b = b[n:]
			switch {
			case d.Compressed() && (len(payload) > 0 || event == Complete):
				packed = append(packed, payload...)
			default:
				o.Payload = append(o.Payload, payload...)
			}
			switch event {
			case Ping, Pong:
				o.Controls = append(o.Controls, fmt.Sprint(event, " ", string(d.Control())))
			case Close:
				o.Code, o.Closed = s.CloseCode()
				return o
			case Complete:
				if !expand(&d, &o, packed, step) {
					event = Violation
				}
				o.Controls = append(o.Controls, fmt.Sprint("message of ", len(packed)))
				packed = nil
			}
			if event == Violation {
				if !s.Opaque() {
					t.Fatal("not opaque behind a violation")
				}
				o.Status = d.Status()
				return o
			}
		}
	}
	return o
}

// expand shows what packed becomes, and reports whether the stream goes on.
func expand(d *Decoder, o *outcome, packed []byte, step int) bool {
	plain, err := wsflate.DefaultHelper.Decompress(packed)
	if err != nil {
		d.Unexpandable()
		return false
	}
	for {
		n := min(step, len(plain))
		content, ok := d.Expanded(plain[:n], n == len(plain))
		o.Payload = append(o.Payload, content...)
		if plain = plain[n:]; !ok || len(plain) == 0 {
			return ok
		}
	}
}

// packedFrame is a frame whose message is said to be compressed.
func packedFrame(op ws.OpCode, fin bool, payload []byte) []byte {
	b := write(true, op, fin, payload)
	b[0] |= compressedBit
	return b
}

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	packed, err := wsflate.DefaultHelper.Compress(b)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// Where RSV1 may stand, and what compressed messages may become.
func TestDecoderCompressed(t *testing.T) {
	hello := pack(t, []byte("Hello"))
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	w := func(op ws.OpCode, fin bool, payload string) []byte { return write(true, op, fin, []byte(payload)) }
	compressed := func(op ws.OpCode, payload string) []byte { return packedFrame(op, true, pack(t, []byte(payload))) }
	first := packedFrame(ws.OpText, false, hello)
	for name, c := range map[string]struct {
		stream  []byte
		coding  Coding
		bounds  Bounds
		payload string
		status  ws.StatusCode
	}{
		"message": {stream: packedFrame(ws.OpText, true, hello), payload: "Hello"},
		"beside others": {
			stream:  join(w(ws.OpText, true, "a"), packedFrame(ws.OpBinary, true, hello), w(ws.OpText, true, "b")),
			payload: "aHellob",
		},
		"empty": {stream: packedFrame(ws.OpText, true, []byte{0})},
		"fragments": {
			stream: join(packedFrame(ws.OpText, false, hello[:2]), w(ws.OpPing, true, "?"),
				w(ws.OpContinuation, true, string(hello[2:]))),
			payload: "Hello",
		},
		"an empty end": {stream: join(first, w(ws.OpContinuation, true, "")), payload: "Hello"},
		"an empty begin": {
			stream:  join(packedFrame(ws.OpText, false, nil), w(ws.OpContinuation, true, string(hello))),
			payload: "Hello",
		},
		"continuation": {stream: join(first, packedFrame(ws.OpContinuation, true, nil)), status: 1002},
		"only continuation": {
			stream:  join(w(ws.OpText, false, "a"), packedFrame(ws.OpContinuation, true, nil)),
			payload: "a", status: 1002,
		},
		"ping":            {stream: packedFrame(ws.OpPing, true, nil), status: 1002},
		"pong":            {stream: packedFrame(ws.OpPong, true, nil), status: 1002},
		"close":           {stream: packedFrame(ws.OpClose, true, nil), status: 1002},
		"reserved opcode": {stream: packedFrame(5, true, nil), status: 1002},
		"other bits":      {stream: head(true, 0xe1, 0), status: 1002},
		"nested":          {stream: join(first, packedFrame(ws.OpText, true, hello)), status: 1002},
		"text":            {stream: compressed(ws.OpText, "a\xff"), payload: "a", status: 1007},
		"binary":          {stream: compressed(ws.OpBinary, "a\xff"), payload: "a\xff"},
		"cut text":        {stream: compressed(ws.OpText, "a\xe2\x82"), payload: "a\xe2\x82", status: 1007},
		"base64":          {stream: compressed(ws.OpText, "QUJD"), coding: Base64, payload: "ABC"},
		"cut base64":      {stream: compressed(ws.OpText, "QUJDQ"), coding: Base64, payload: "ABC", status: 1007},
		"corrupt":         {stream: packedFrame(ws.OpText, true, []byte{7}), status: 1007},
		"bound":           {stream: compressed(ws.OpText, "Hello"), bounds: Bounds{Message: 5}, payload: "Hello"},
		"too large":       {stream: compressed(ws.OpText, "Hello"), bounds: Bounds{Message: 4}, payload: "Hell", status: 1009},
		"frame":           {stream: packedFrame(ws.OpText, true, hello), bounds: Bounds{Frame: 3}, status: 1009},
		"announced": {
			stream: head(true, 0xc2, 127, 0, 0, 0, 0, 0, 0x12, 4, 1), bounds: Bounds{Message: 1 << 20}, status: 1009,
		},
		"just not": {stream: head(true, 0xc2, 127, 0, 0, 0, 0, 0, 0x12, 4, 0), bounds: Bounds{Message: 1 << 20}},
	} {
		for _, pieces := range [][][]byte{{c.stream}, each(c.stream, 1)} {
			if got := decodePacked(t, c.coding, c.bounds, 1, pieces...); string(got.Payload) != c.payload || got.Status != c.status {
				t.Errorf("%s: %v; want %q, status %d", name, got, c.payload, c.status)
			}
		}
	}
	if got := decode(t, Binary, Bounds{}, packedFrame(ws.OpText, true, hello)); got.Status != ws.StatusProtocolError {
		t.Errorf("compressed where nobody agreed: %v", got)
	}
}

// Without a bound, a message may be inflatedFree bytes, or inflatedRatioMax times
// what has come of it.
func TestDecoderCompressedUnbounded(t *testing.T) {
	for _, c := range []struct {
		came, becomes int
		ok            bool
	}{
		{100, inflatedFree, true},
		{100, inflatedFree + 1, false},
		{1 << 20, 64 << 20, true},
		{1 << 20, 64<<20 + 1, false},
	} {
		var s Scanner
		var d Decoder
		d.Init(&s, Binary, Bounds{})
		d.AcceptCompressed()
		b := packedFrame(ws.OpBinary, true, make([]byte, c.came))
		for event := None; event != Complete; {
			var n int
			if n, _, event = d.Next(b); event == Violation {
				t.Fatal(d.Status())
			}
			b = b[n:]
		}
		ok, piece := true, make([]byte, 1<<20)
		for left := c.becomes; left > 0 && ok; left -= len(piece) {
			piece = piece[:min(len(piece), left)]
			_, ok = d.Expanded(piece, left == len(piece))
		}
		if ok != c.ok || !ok && d.Status() != ws.StatusMessageTooBig {
			t.Errorf("%d bytes that become %d: %v, status %d", c.came, c.becomes, ok, d.Status())
		}
	}
}

// FuzzDecoderCompressed holds over any bytes that nothing depends on the pieces,
// and that frames without RSV1 are judged as if nothing had been agreed on.
func FuzzDecoderCompressed(f *testing.F) {
	hello := pack(f, []byte("Hello, hello, hello, hello"))
	for _, b := range [][]byte{
		packedFrame(ws.OpText, true, hello),
		append(packedFrame(ws.OpBinary, false, hello[:3]), write(true, ws.OpContinuation, true, hello[3:])...),
		append(packedFrame(ws.OpText, true, nil), write(true, ws.OpPing, true, hello)...),
		packedFrame(ws.OpContinuation, true, hello),
	} {
		f.Add(b, byte(0), []byte{1, 2, 3})
		f.Add(b, byte(3), []byte{9})
	}
	f.Fuzz(func(t *testing.T, b []byte, bits byte, numbers []byte) {
		b = b[:min(len(b), 2000)]
		coding, bounds, step := Binary, someBounds[int(bits>>1)%len(someBounds)], 1+int(bits>>4)
		if bits&1 != 0 {
			coding = Base64
		}
		want := decodePacked(t, coding, bounds, 1000, b)
		for _, pieces := range [][][]byte{{b}, cuts(b, numbers), each(b, 1)} {
			got := decodePacked(t, coding, bounds, step, pieces...)
			if got.String() != want.String() || !bytes.Equal(got.Payload, want.Payload) {
				t.Fatalf("%x in %d pieces:\n got %v\nwant %v", b, len(pieces), got, want)
			}
		}
		plain := decode(t, coding, bounds, b)
		if plain.Status != ws.StatusProtocolError && (plain.String() != want.String() || !bytes.Equal(plain.Payload, want.Payload)) {
			t.Fatalf("%x without an agreement:\n got %v\nwant %v", b, plain, want)
		}
	})
}

// What an Encoder's frame becomes when it is compressed, gobwas/ws reads.
func TestAppendCompressedHeader(t *testing.T) {
	for _, length := range []int{1, 125, 126, 65535, 65536} {
		var s Scanner
		var e Encoder
		e.Init(&s, Text)
		var prefix [PrefixBytesMax]byte
		m, n, _ := e.Frame(&prefix, bytes.Repeat([]byte("a"), 70_000))
		whole := append(prefix[:m:m], bytes.Repeat([]byte("a"), n)...)
		if payload := Payload(whole); len(payload) != 70_000 || payload[0] != 'a' {
			t.Fatalf("a payload of %d bytes", len(payload))
		}
		header := AppendCompressedHeader(nil, whole, length)
		h, err := ws.ReadHeader(bytes.NewReader(header))
		if err != nil || h.OpCode != ws.OpText || !h.Fin || h.Rsv != ws.Rsv(true, false, false) || h.Length != int64(length) ||
			ws.HeaderSize(h) != len(header) || len(header) > HeaderBytesMax {
			t.Errorf("%d: %x is %+v, %v", length, header, h, err)
		}
	}
}
