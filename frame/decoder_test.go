package frame

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/gobwas/ws"
)

// An outcome is what a stream of a client amounts to, however it is cut.
type outcome struct {
	Payload  []byte
	Controls []string // opcode and payload
	Code     uint16
	Closed   bool
	Status   ws.StatusCode // of the violation, or 0
}

func (o outcome) String() string {
	return fmt.Sprintf("payload %.80q (%d), controls %q, closed %v %d, status %d",
		o.Payload, len(o.Payload), o.Controls, o.Closed, o.Code, o.Status)
}

// decode shows pieces to a Decoder, which may change them.
func decode(t *testing.T, coding Coding, bounds Bounds, pieces ...[]byte) (o outcome) {
	t.Helper()
	var s Scanner
	var d Decoder
	d.Init(&s, coding, bounds)
	for _, b := range pieces {
		for b = bytes.Clone(b); len(b) > 0; {
			n, payload, event := d.Next(b)
			if n == 0 && event != Violation {
				t.Fatalf("no progress: event %d", event)
			}
			b = b[n:]
			o.Payload = append(o.Payload, payload...)
			switch event {
			case Ping, Pong:
				o.Controls = append(o.Controls, fmt.Sprint(event, " ", string(d.Control())))
			case Close:
				o.Code, o.Closed = s.CloseCode()
				return o
			case Violation:
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

// A decodeModel does the same over a complete stream with gobwas/ws, unicode/utf8
// and encoding/base64.
type decodeModel struct {
	model
	coding  Coding
	bounds  Bounds
	out     outcome
	message []byte // payload of the message so far
	opcode  ws.OpCode
	length  uint64 // announced
}

func modelDecode(stream []byte, coding Coding, bounds Bounds) outcome {
	m := &decodeModel{model: model{rules: Rules{Masked: true}}, coding: coding, bounds: bounds}
	for at := 0; at < len(stream); {
		if m.viable(stream[at:]) >= 0 {
			m.out.Status = ws.StatusProtocolError
			return m.out
		}
		h, err := ws.ReadHeader(bytes.NewReader(stream[at:]))
		if err != nil {
			return m.out
		}
		m.header(h, nil)
		at += ws.HeaderSize(h)
		size := int(min(uint64(h.Length), uint64(len(stream)-at)))
		payload := bytes.Clone(stream[at : at+size])
		ws.Cipher(payload, h.Mask, 0)
		at += size
		whole := int64(size) == h.Length
		switch {
		case !h.OpCode.IsControl():
			m.data(h, payload, whole)
		case whole:
			m.control(h.OpCode, payload)
		}
		if m.out.Status != 0 || m.out.Closed {
			return m.out
		}
	}
	return m.out
}

func (m *decodeModel) control(opcode ws.OpCode, payload []byte) {
	switch opcode {
	case ws.OpPing:
		m.out.Controls = append(m.out.Controls, fmt.Sprint(Ping, " ", string(payload)))
	case ws.OpPong:
		m.out.Controls = append(m.out.Controls, fmt.Sprint(Pong, " ", string(payload)))
	case ws.OpClose:
		if len(payload) == 0 {
			m.out.Code, m.out.Closed = 1005, true
			return
		}
		code, reason := ws.ParseCloseFrameData(payload)
		checked := code
		if code >= 1012 && code <= 1014 {
			checked = ws.StatusNormalClosure // registered since
		}
		switch err := ws.CheckCloseFrameData(checked, reason); {
		case code >= 5000:
			m.out.Status = ws.StatusProtocolError // which gobwas/ws does not mind
		case err == nil:
			m.out.Code, m.out.Closed = uint16(code), true
		case !utf8.ValidString(reason) && ws.CheckCloseFrameData(checked, "") == nil:
			m.out.Status = ws.StatusInvalidFramePayloadData
		default:
			m.out.Status = ws.StatusProtocolError
		}
	}
}

func (m *decodeModel) data(h ws.Header, payload []byte, whole bool) {
	if h.OpCode != ws.OpContinuation {
		m.message, m.opcode, m.length = nil, h.OpCode, 0
	}
	m.length += uint64(h.Length)
	if m.bounds.Frame > 0 && uint64(h.Length) > m.bounds.Frame || m.bounds.Message > 0 && m.length > m.bounds.Message {
		m.out.Status = ws.StatusMessageTooBig
		return
	}
	viable := func([]byte) bool { return true }
	complete, value := viable, bytes.Clone
	switch {
	case m.coding == Base64:
		viable, complete, value = viableBase64, completeBase64, valueOfBase64
	case m.opcode == ws.OpText:
		viable, complete = viableUTF8, utf8.Valid
	}
	before := len(value(m.message))
	for i := range payload {
		if !viable(append(bytes.Clone(m.message), payload[i])) {
			m.out.Status = ws.StatusInvalidFramePayloadData
			break
		}
		m.message = append(m.message, payload[i])
	}
	m.out.Payload = append(m.out.Payload, value(m.message)[before:]...)
	if whole && h.Fin && !complete(m.message) {
		m.out.Status = ws.StatusInvalidFramePayloadData
	}
}

// viableUTF8 reports whether b begins some UTF-8.
func viableUTF8(b []byte) bool {
	if len(b) > 8 { // what is before was viable
		for b = b[len(b)-8:]; !utf8.RuneStart(b[0]); {
			b = b[1:]
		}
	}
	return slices.ContainsFunc([]string{"", "\x80", "\xa0"}, func(first string) bool {
		return slices.ContainsFunc([]string{"", "\x80", "\x80\x80"}, func(rest string) bool {
			return utf8.Valid(append(bytes.Clone(b), first+rest...))
		})
	})
}

// viableBase64 reports whether b begins some base64.
func viableBase64(b []byte) bool {
	ends := []string{"", "A", "AA", "AAA", "A=", "AA=", "A==", "=", "=="}
	return slices.ContainsFunc(ends, func(end string) bool { return completeBase64(append(bytes.Clone(b), end...)) })
}

func completeBase64(b []byte) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(string(b))
	return err == nil && !bytes.ContainsAny(b, "\r\n")
}

// valueOfBase64 returns the bytes that a viable b has complete.
func valueOfBase64(b []byte) []byte {
	b = bytes.TrimRight(b, "=")
	if len(b)%4 == 1 {
		b = b[:len(b)-1]
	}
	value, err := base64.RawStdEncoding.DecodeString(string(b))
	if err != nil {
		panic(err)
	}
	return value
}

// checkDecode compares a Decoder with the model, in the given pieces.
func checkDecode(t *testing.T, want outcome, coding Coding, bounds Bounds, pieces ...[]byte) {
	t.Helper()
	if got := decode(t, coding, bounds, pieces...); got.String() != want.String() || !bytes.Equal(got.Payload, want.Payload) {
		t.Fatalf("coding %d, %+v, %d pieces of %.100x:\n got %v\nwant %v",
			coding, bounds, len(pieces), bytes.Join(pieces, nil), got, want)
	}
}

// clientStreams are those of streams, and what only an endpoint looks at.
func clientStreams() map[string][]byte {
	w := func(op ws.OpCode, fin bool, payload string) []byte { return write(true, op, fin, []byte(payload)) }
	all := streams(true)
	texts := map[string]string{
		"ascii": "Hello", "letters": "κόσμε ö", "signs": "日本語", "emoji": "😀x😀",
		"too long": "a\xc0\xaf", "surrogate": "\xed\xa0\x80", "beyond": "\xf4\x90\x80\x80", "no start": "\x80",
		"cut": "\xe2\x82", "cut and on": "\xe2\x82a", "five": "\xf8\x88\x80\x80\x80", "short three": "\xe0\x80\x80",
		"base64": "SGVsbG8gd29ybGQ=", "two signs": "QQ==", "unpadded": "QQ", "bits": "QR==", "inside": "QQ==QQ==",
		"three signs": "Q===", "newline": "QUJD\nQUJD", "one digit": "Q", "sign first": "=QQQ",
	}
	for name, s := range texts {
		all["text "+name] = append(w(ws.OpText, true, s), w(ws.OpBinary, true, "QUJD")...)
		half := len(s) / 2
		all["parts "+name] = slices.Concat(w(ws.OpText, false, s[:half]), w(ws.OpPing, true, "?"),
			w(ws.OpContinuation, false, ""), w(ws.OpContinuation, true, s[half:]), w(ws.OpText, true, "QUJD"))
	}
	for _, code := range []int{
		0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535,
	} {
		all[fmt.Sprint("close ", code)] = w(ws.OpClose, true, string([]byte{byte(code >> 8), byte(code)})+"why")
	}
	all["close, bad reason"] = w(ws.OpClose, true, "\x03\xe8\xff")
	return all
}

var someBounds = []Bounds{{}, {Frame: 4}, {Message: 5}, {Message: 300, Frame: 200}}

// TestDecoderEveryCut holds that nothing depends on the pieces, and that
// everything is as gobwas/ws, unicode/utf8 and encoding/base64 have it.
func TestDecoderEveryCut(t *testing.T) {
	for name, b := range clientStreams() {
		b = b[:min(len(b), 2000)]
		for _, coding := range []Coding{Binary, Base64} {
			for _, bounds := range someBounds {
				want := modelDecode(b, coding, bounds)
				t.Run(fmt.Sprint(name, coding, bounds), func(t *testing.T) {
					checkDecode(t, want, coding, bounds, b)
					checkDecode(t, want, coding, bounds, each(b, 1)...)
					checkDecode(t, want, coding, bounds, each(b, 7)...)
					for i := range min(len(b), 200) {
						checkDecode(t, want, coding, bounds, b[:i], b[i:])
					}
				})
			}
		}
	}
}

// TestDecoderVerdicts holds what each violation is called: the model might
// share a mistake.
func TestDecoderVerdicts(t *testing.T) {
	all := clientStreams()
	for name, want := range map[string]ws.StatusCode{
		"messages": 0, "fragments": 0, "control": 0, "close": 0, "close, no code": 0,
		"close, code 0": 1002, "close, code 1": 1002, "length 2^63": 1002, "125 in 2 bytes": 1002, "65535 in 8 bytes": 1002,
		"reserved bit": 1002, "reserved opcode": 1002, "reserved control": 1002, "long control": 1002,
		"fragmented ping": 1002, "continuation": 1002, "nested": 1002, "wrong mask": 1002,
		"text letters": 0, "text emoji": 0, "parts signs": 0, "text too long": 1007, "text surrogate": 1007,
		"text beyond": 1007, "text cut": 1007, "parts cut and on": 1007, "close, bad reason": 1007,
		"close 1000": 0, "close 1004": 1002, "close 1005": 1002, "close 1006": 1002, "close 1015": 1002, "close 1016": 1002,
		"close 2999": 1002, "close 3000": 0, "close 4999": 0, "close 5000": 1002, "close 1012": 0,
	} {
		b, ok := all[name]
		if !ok {
			t.Fatalf("no stream %q", name)
		}
		if got := decode(t, Binary, Bounds{}, b); got.Status != want {
			t.Errorf("%s: %v, want status %d", name, got, want)
		}
	}
	if got := decode(t, Binary, Bounds{Message: 1 << 20}, head(true, 0x82, 127, 0, 0, 0, 0, 0, 16, 0, 1)); got.Status != 1009 {
		t.Errorf("a message of 1 MiB and 1 byte: %v, want 1009", got)
	}
	if got := decode(t, Base64, Bounds{}, all["text base64"]); string(got.Payload) != "Hello worldABC" {
		t.Errorf("base64: %v", got)
	}
}

// FuzzDecoder compares with the model over any bytes.
func FuzzDecoder(f *testing.F) {
	for _, b := range clientStreams() {
		if len(b) < 1000 {
			f.Add(b, byte(len(b)), []byte{1, 2, 3, 8})
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, bits byte, numbers []byte) {
		b = b[:min(len(b), 2000)]
		coding, bounds := Binary, someBounds[int(bits>>1)%len(someBounds)]
		if bits&1 != 0 {
			coding = Base64
		}
		want := modelDecode(b, coding, bounds)
		checkDecode(t, want, coding, bounds, b)
		checkDecode(t, want, coding, bounds, cuts(b, numbers)...)
		checkDecode(t, want, coding, bounds, each(b, 1)...)
	})
}

// FuzzDecoderText writes messages whose payload is what the fuzzer made, so that
// nearly everything is about UTF-8 and base64.
func FuzzDecoderText(f *testing.F) {
	for _, s := range []string{"κόσμε", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "SGVsbG8=", "QQ==", "Q=Q=", strings.Repeat("aé", 40)} {
		f.Add([]byte(s), byte(0), []byte{1, 2, 3, 8})
		f.Add([]byte(s), byte(1), []byte{7, 40})
	}
	f.Fuzz(func(t *testing.T, payload []byte, bits byte, numbers []byte) {
		payload = payload[:min(len(payload), 1000)]
		coding := Binary
		if bits&1 != 0 {
			coding = Base64
		}
		half := int(bits>>1) % (len(payload) + 1)
		b := slices.Concat(write(true, ws.OpText, false, payload[:half]), write(true, ws.OpContinuation, true, payload[half:]))
		want := modelDecode(b, coding, Bounds{})
		checkDecode(t, want, coding, Bounds{}, b)
		checkDecode(t, want, coding, Bounds{}, cuts(b, numbers)...)
		checkDecode(t, want, coding, Bounds{}, each(b, 1)...)
	})
}

func TestUnmaskIsTheCipherOfGobwas(t *testing.T) {
	mask := [4]byte{0x11, 0x80, 0xfe, 0x07}
	for size := range 200 {
		for cut := range size + 1 {
			b := bytes.Repeat([]byte{byte(size)}, size)
			want := bytes.Clone(b)
			ws.Cipher(want, mask, 0)
			next := unmask(b[:cut], 0x07fe8011)
			if unmask(b[cut:], next); !bytes.Equal(b, want) {
				t.Fatalf("%d bytes, cut at %d:\n got %x\nwant %x", size, cut, b, want)
			}
		}
	}
}

func TestCodecSize(t *testing.T) {
	if size := unsafe.Sizeof(Decoder{}) + unsafe.Sizeof(Encoder{}); size > codecBytesMax {
		t.Errorf("a Decoder and an Encoder have %d bytes, at most %d are allowed", size, codecBytesMax)
	}
}
