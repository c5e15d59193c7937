package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
)

const own = 0x0102_8a88_0000_ff8a // with the beginning of a pong within

// write returns a frame as one direction of a tunnel has it.
func write(masked bool, op ws.OpCode, fin bool, payload []byte) []byte {
	f := ws.NewFrame(op, fin, payload)
	if masked {
		f = ws.MaskFrameWith(f, [4]byte{0x8a, 0x88, 0x01, 0xfe})
	}
	return ws.MustCompileFrame(f)
}

// head returns a header whose length may be written as no library would.
func head(masked bool, first, length byte, extended ...byte) []byte {
	b := append([]byte{first, length}, extended...)
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return b
}

// streams returns what the tests of cuts read, valid and not.
func streams(masked bool) map[string][]byte {
	w := func(op ws.OpCode, fin bool, payload string) []byte { return write(masked, op, fin, []byte(payload)) }
	pong := w(ws.OpPong, true, string(binary.BigEndian.AppendUint64(nil, own)))
	almost := bytes.Clone(pong)
	almost[len(almost)-1] ^= 1
	text, long := w(ws.OpText, true, "Hello"), w(ws.OpBinary, true, strings.Repeat("x", 300))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	begun, ended := w(ws.OpText, false, "a"), w(ws.OpContinuation, true, "b")
	return map[string][]byte{
		"messages":         join(text, w(ws.OpBinary, true, ""), long, text),
		"fragments":        join(begun, w(ws.OpPing, true, "?"), w(ws.OpContinuation, false, ""), ended),
		"control":          join(w(ws.OpPing, true, ""), w(ws.OpPong, true, "p"), w(ws.OpPing, true, strings.Repeat("z", 125)), text),
		"close":            join(text, w(ws.OpClose, true, "\x03\xe8bye"), w(ws.OpPong, true, "")),
		"close, no code":   w(ws.OpClose, true, ""),
		"close, code 0":    w(ws.OpClose, true, "\x00\x00"),
		"close, code 1":    join(text, w(ws.OpClose, true, "\x03")),
		"after close":      join(w(ws.OpClose, true, "\x03\xe9"), text),
		"ping after close": join(w(ws.OpClose, true, "\x03\xe9"), w(ws.OpPing, true, "")),
		"own":              join(text, pong, pong, text, pong),
		"own in fragments": join(begun, pong, ended, pong),
		"own after close":  join(w(ws.OpClose, true, "\x03\xe9"), pong),
		"almost own":       join(almost, pong, almost[:3]),
		"pongs":            join(w(ws.OpPong, true, ""), w(ws.OpPong, true, "1234567"), w(ws.OpPong, true, "12345678"), pong[:9]),
		"own, reserved":    join([]byte{pong[0] | 0x40}, pong[1:], text),
		"own, wrong mask":  join([]byte{pong[0], pong[1] ^ 0x80}, pong[2:], text),
		"length 126":       join(w(ws.OpText, true, strings.Repeat("y", 126)), text),
		"length 2^16":      join(head(masked, 0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0), bytes.Repeat([]byte{0x8a}, 1<<16), text),
		"length 2^63-1":    join(head(masked, 0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255), text),
		"length 2^63":      join(text, head(masked, 0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), text),
		"125 in 2 bytes":   join(text, head(masked, 0x82, 126, 0, 125), text),
		"65535 in 8 bytes": join(text, head(masked, 0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255), text),
		"reserved bit":     join(text, head(masked, 0xc1, 2), []byte("hi"), text),
		"reserved opcode":  join(text, head(masked, 0x83, 2), []byte("hi"), text),
		"reserved message": join(head(masked, 0x03, 2), []byte("hi"), head(masked, 0x84, 0), w(ws.OpContinuation, true, "x"), text),
		"reserved control": join(text, head(masked, 0x8b, 2), []byte("hi"), head(masked, 0x0b, 2)),
		"long control":     join(text, head(masked, 0x89, 126, 1, 0), text),
		"fragmented ping":  join(text, head(masked, 0x09, 1), text),
		"continuation":     join(text, w(ws.OpContinuation, true, "x")),
		"nested":           join(w(ws.OpText, false, "x"), text),
		"wrong mask":       join(text, write(!masked, ws.OpText, true, []byte("x")), text),
	}
}

func allRules() (list []Rules) {
	for i := range 8 {
		list = append(list, Rules{Masked: i&1 != 0, Extensions: i&2 != 0, Swallow: i&4 != 0, Own: own})
	}
	return list
}

// TestEveryCut holds that nothing depends on the pieces, and that everything
// is as gobwas/ws has it.
func TestEveryCut(t *testing.T) {
	for _, r := range allRules() {
		for name, b := range streams(r.Masked) {
			t.Run(fmt.Sprintf("%s/%+v", name, r), func(t *testing.T) {
				want := readModel(b, r).story
				checkCuts(t, want, r, b)
				checkCuts(t, want, r, each(b, 1)...)
				checkCuts(t, want, r, each(b, 7)...)
				near := min(len(b), 400)
				for i := range near {
					checkCuts(t, want, r, b[:i], b[i:])
					if near > 100 {
						continue
					}
					for j := i; j < near; j++ {
						checkCuts(t, want, r, b[:i], b[i:j], b[j:])
					}
				}
			})
		}
	}
}

// TestVerdicts holds the expected end of each kind of stream by itself: the
// model might share a mistake.
func TestVerdicts(t *testing.T) {
	tests := []struct {
		stream     string
		extensions bool
		at         int // of the violation in an unmasked direction; -1 for none
		messages   uint64
	}{
		{"messages", false, -1, 4},
		{"fragments", false, -1, 1},
		{"control", false, -1, 1},
		{"close", false, -1, 1},
		{"close, code 0", false, -1, 0},
		{"close, code 1", false, 7 + 1, 1},
		{"after close", false, 4, 0},
		{"ping after close", false, 4, 0},
		{"length 126", false, -1, 2},
		{"length 2^16", false, -1, 2},
		{"length 2^63-1", false, -1, 0},
		{"length 2^63", false, 7 + 2, 1},
		{"125 in 2 bytes", false, 7 + 3, 1},
		{"65535 in 8 bytes", false, 7 + 7, 1},
		{"reserved bit", false, 7, 1},
		{"reserved bit", true, -1, 3},
		{"reserved opcode", false, 7, 1},
		{"reserved opcode", true, -1, 2},
		{"reserved message", true, -1, 2},
		{"reserved control", true, 7 + 4, 1},
		{"long control", true, 7 + 1, 1},
		{"fragmented ping", true, 7, 1},
		{"continuation", false, 7, 1},
		{"nested", true, 3, 0},
		{"wrong mask", true, 7 + 1, 1},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.stream, test.extensions), func(t *testing.T) {
			got := tell(t, Rules{Extensions: test.extensions}, streams(false)[test.stream])
			at := -1
			for _, m := range got.Marks {
				if m.Event == Violation {
					at = m.At
				}
			}
			if at != test.at || got.Opaque != (at >= 0) || got.Messages != test.messages {
				t.Errorf("violation at %d, want %d; opaque %v; %d messages, want %d",
					at, test.at, got.Opaque, got.Messages, test.messages)
			}
		})
	}
}

func TestCloseCode(t *testing.T) {
	tests := []struct {
		payload string
		want    uint16
	}{{"", 1005}, {"\x03\xe8", 1000}, {"\x03\xf4reason", 1012}, {"\x00\x00", 0}, {"\x03\xed", 1005}, {"1000", 12592}}
	for _, test := range tests {
		var s Scanner
		s.Init(Rules{Masked: true})
		b := write(true, ws.OpClose, true, []byte(test.payload))
		s.Next(b[:len(b)-1])
		if code, seen := s.CloseCode(); code != 0 || seen {
			t.Errorf("%q: code %d, %v before the end", test.payload, code, seen)
		}
		if n, step := s.Next(b[len(b)-1:]); n != 1 || step.Event != Close {
			t.Errorf("%q: n %d, %+v", test.payload, n, step)
		}
		if code, seen := s.CloseCode(); code != test.want || !seen || s.AtBoundary() {
			t.Errorf("%q: code %d, %v, boundary %v", test.payload, code, seen, s.AtBoundary())
		}
	}
}

// TestBoundaries holds where control frames may be put.
func TestBoundaries(t *testing.T) {
	for _, r := range allRules() {
		for name, b := range streams(r.Masked) {
			m := readModel(b, r)
			var s Scanner
			s.Init(r)
			for at := 0; ; at++ {
				if want := slices.Contains(m.boundaries, at); s.AtBoundary() != want && !s.Opaque() {
					t.Fatalf("%s, %+v: boundary %v at %d, want %v", name, r, s.AtBoundary(), at, want)
				}
				if at == len(b) {
					break
				}
				next(&s, b[at:at+1])
			}
			if s.Opaque() && s.AtBoundary() {
				t.Fatalf("%s, %+v: opaque, but a boundary", name, r)
			}
		}
	}
}

// next shows b until all of it is taken.
func next(s *Scanner, b []byte) {
	for len(b) > 0 {
		n, _ := s.Next(b)
		b = b[n:]
	}
}

// TestDigestMatchesAcrossDirections holds that a masked pong has the digest of
// the ping that it answers.
func TestDigestMatchesAcrossDirections(t *testing.T) {
	var client, backend Scanner
	client.Init(Rules{Masked: true})
	backend.Init(Rules{})
	seen := map[uint64]string{}
	for _, payload := range []string{"", "\x00", "\x00\x00", "a", "b", "ab", "ba", strings.Repeat("p", 125)} {
		next(&backend, write(false, ws.OpPing, true, []byte(payload)))
		next(&client, write(true, ws.OpPong, true, []byte(payload)))
		if client.Digest() != backend.Digest() {
			t.Errorf("%q: digests differ", payload)
		}
		if other, ok := seen[client.Digest()]; ok {
			t.Errorf("%q and %q have one digest", payload, other)
		}
		seen[client.Digest()] = payload

		// A ping that is not complete changes nothing.
		part := write(false, ws.OpPing, true, []byte("part"))
		next(&backend, part[:4])
		if client.Digest() != backend.Digest() {
			t.Errorf("%q: half a ping changed the digest", payload)
		}
		next(&backend, part[4:])
	}
}

// TestAdvance holds that payload which is not shown is as good as shown.
func TestAdvance(t *testing.T) {
	long := write(true, ws.OpBinary, true, make([]byte, 100_000))
	var s Scanner
	s.Init(Rules{Masked: true})
	next(&s, long[:1000])
	if want := uint64(len(long) - 1000); s.Remaining() != want || s.AtBoundary() {
		t.Fatalf("remaining %d, want %d; boundary %v", s.Remaining(), want, s.AtBoundary())
	}
	s.Advance(90_000)
	s.Advance(0)
	next(&s, long[91_000:91_010])
	s.Advance(s.Remaining())
	if !s.AtBoundary() || s.Messages() != 1 || s.Remaining() != 0 {
		t.Fatalf("boundary %v, %d messages, remaining %d", s.AtBoundary(), s.Messages(), s.Remaining())
	}
	if n, step := s.Next(long); n != len(long) || step != (Step{}) || s.Messages() != 2 {
		t.Fatalf("n %d, %+v, %d messages", n, step, s.Messages())
	}
}

func TestAdvancePanics(t *testing.T) {
	ping, long := write(false, ws.OpPing, true, []byte("abc")), write(false, ws.OpText, true, make([]byte, 10))
	tests := map[string]struct {
		shown []byte
		n     uint64
	}{"between": {nil, 1}, "header": {long[:1], 1}, "control": {ping[:3], 1}, "too much": {long[:4], 9}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var s Scanner
			s.Init(Rules{})
			next(&s, test.shown)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			s.Advance(test.n)
		})
	}
}

// TestLose holds that a direction given up stays opaque, and hands out what
// it kept first.
func TestLose(t *testing.T) {
	pong := write(true, ws.OpPong, true, binary.BigEndian.AppendUint64(nil, own))
	for i := range len(pong) {
		var s Scanner
		s.Init(Rules{Masked: true, Swallow: true, Own: own})
		next(&s, pong[:i])
		s.Lose()
		if !s.Opaque() || s.AtBoundary() || s.Remaining() != 0 || !bytes.Equal(s.Kept(), pong[:i]) {
			t.Fatalf("after %d: opaque %v, boundary %v, kept %x", i, s.Opaque(), s.AtBoundary(), s.Kept())
		}
		if i > 0 {
			if n, step := s.Next(pong[i:]); n != 0 || step != (Step{Do: Release}) || !bytes.Equal(s.Kept(), pong[:i]) {
				t.Fatalf("after %d: n %d, %+v, kept %x", i, n, step, s.Kept())
			}
		}
		if n, step := s.Next(pong[i:]); n != len(pong)-i || step != (Step{}) || len(s.Kept()) != 0 {
			t.Fatalf("after %d: n %d, %+v, kept %x", i, n, step, s.Kept())
		}
		s.Init(Rules{Masked: true})
		if s.Opaque() || !s.AtBoundary() {
			t.Fatal("Init does not make it new")
		}
	}
	var s Scanner
	s.Init(Rules{})
	next(&s, write(false, ws.OpText, true, make([]byte, 10))[:4])
	s.Lose()
	if n, step := s.Next(pong); n != len(pong) || step != (Step{}) || s.Remaining() != 0 || s.Messages() != 0 {
		t.Fatalf("within a frame: n %d, %+v, remaining %d", n, step, s.Remaining())
	}
}

func TestZeroIsOpaque(t *testing.T) {
	var s Scanner
	if n, step := s.Next([]byte("anything")); n != 8 || step != (Step{}) || !s.Opaque() || s.AtBoundary() {
		t.Errorf("n %d, %+v", n, step)
	}
}

func TestScannerSize(t *testing.T) {
	if size := unsafe.Sizeof(Scanner{}); size > scannerBytesMax {
		t.Errorf("a Scanner has %d bytes, at most %d are allowed", size, scannerBytesMax)
	}
}

// TestStateTable holds that the table in scanner.go is what bytes do.
func TestStateTable(t *testing.T) {
	names := [...]string{"opaque", "between", "header", "data", "control", "keeping", "releasing"}
	got := map[string]map[string]bool{}
	for _, name := range names {
		got[name] = map[string]bool{}
	}
	for _, r := range allRules() {
		for _, b := range streams(r.Masked) {
			for lose := range min(len(b), 40) {
				var s Scanner
				s.Init(r)
				for at := 0; at < min(len(b), 400); {
					if at == lose && lose > 0 && s.state == data || at == lose && s.state == control {
						before := s.state
						s.Lose()
						got[names[before]][names[s.state]] = true
					}
					before := s.state
					n, _ := s.Next(b[at : at+1])
					if at += n; s.state != before {
						got[names[before]][names[s.state]] = true
					}
				}
			}
		}
	}
	if want := readTable(t); !reflect.DeepEqual(got, want) {
		t.Errorf("bytes do\n%v\nthe table says\n%v", got, want)
	}
}

func readTable(t *testing.T) map[string]map[string]bool {
	source, err := os.ReadFile("scanner.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]map[string]bool{}
	row := regexp.MustCompile(`(?m)^//\t(\w+)  +(-|\w+(?: \w+)*)  `)
	for _, m := range row.FindAllStringSubmatch(string(source), -1) {
		if m[1] == "state" {
			continue
		}
		table[m[1]] = map[string]bool{}
		for _, to := range strings.Fields(m[2]) {
			if to != "-" {
				table[m[1]][to] = true
			}
		}
	}
	return table
}
