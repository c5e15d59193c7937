package frame

import (
	"encoding/binary"
	"testing"

	"github.com/gobwas/ws"
)

// cuts cuts b where the numbers say.
func cuts(b, numbers []byte) (pieces [][]byte) {
	for _, n := range numbers {
		i := min(int(n), len(b))
		pieces, b = append(pieces, b[:i]), b[i:]
	}
	return append(pieces, b)
}

func fuzzRules(bits byte) Rules {
	return Rules{Masked: bits&1 != 0, Extensions: bits&2 != 0, Swallow: bits&4 != 0, Own: own}
}

// FuzzNext compares with gobwas/ws over any bytes.
func FuzzNext(f *testing.F) {
	for i, r := range allRules() {
		for _, b := range streams(r.Masked) {
			if len(b) < 1000 {
				f.Add(b, byte(i), []byte{1, 2, 3, 8})
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, bits byte, numbers []byte) {
		r := fuzzRules(bits)
		want := readModel(b, r).story
		checkCuts(t, want, r, b)
		checkCuts(t, want, r, cuts(b, numbers)...)
		checkCuts(t, want, r, each(b, 1)...)
	})
}

// FuzzSwallow writes frames from a script, so that nearly all are valid and
// many are pongs of ours or differ from one in a bit, and knows by itself
// what must be forwarded.
func FuzzSwallow(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, byte(5), []byte{1, 2, 3, 8})
	f.Add([]byte{0, 0, 16, 32, 48, 64, 80, 96, 112}, byte(4), []byte{9, 1, 9})
	f.Fuzz(func(t *testing.T, script []byte, bits byte, numbers []byte) {
		r := fuzzRules(bits | 4)
		var stream, forwarded []byte
		var ours int
		for i, c := range script {
			payload := binary.BigEndian.AppendUint64(nil, own)
			op := ws.OpPong
			switch c & 7 {
			case 0, 1: // as it is
			case 2, 3:
				payload[c>>3&7] ^= 1 << (c >> 6)
			case 4:
				payload = payload[:c>>3&7]
			case 5:
				payload = append(payload, c)
			case 6:
				op = ws.OpPing
			case 7:
				op, payload = ws.OpBinary, make([]byte, int(c)*2)
			}
			frame := ws.NewFrame(op, true, payload)
			if r.Masked {
				frame = ws.MaskFrameWith(frame, [4]byte{c, byte(i), 0x8a, 0x88})
			}
			b := ws.MustCompileFrame(frame)
			stream = append(stream, b...)
			if c&7 < 2 {
				ours++
			} else {
				forwarded = append(forwarded, b...)
			}
		}
		for _, pieces := range [][][]byte{{stream}, cuts(stream, numbers), each(stream, 1)} {
			told := tell(t, r, pieces...)
			n := 0
			for _, m := range told.Marks {
				if m.Event == OwnPong {
					n++
				}
			}
			if n != ours || told.Opaque || string(told.Forwarded) != string(forwarded) {
				t.Fatalf("%d own pongs of %d, opaque %v, forwarded\n%x, want\n%x", n, ours, told.Opaque, told.Forwarded, forwarded)
			}
		}
	})
}
