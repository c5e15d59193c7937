package frame

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

// benchmarks are chunks that a Scanner is shown again and again.
func benchmarks(masked bool) map[string][]byte {
	small := write(masked, ws.OpText, true, make([]byte, 122))
	part := write(masked, ws.OpText, false, make([]byte, 1000))
	rest := write(masked, ws.OpContinuation, true, make([]byte, 1000))
	return map[string][]byte{
		"one frame of 128 bytes":   small,
		"128 frames in 16 KiB":     bytes.Repeat(small, 128),
		"ping":                     write(masked, ws.OpPing, true, []byte("12345678")),
		"one frame of 16 KiB":      write(masked, ws.OpBinary, true, make([]byte, 16<<10)),
		"fragments of 1 KiB in 16": bytes.Repeat(append(part, rest...), 8),
	}
}

func BenchmarkNext(b *testing.B) {
	for name, chunk := range benchmarks(true) {
		b.Run(name, func(b *testing.B) {
			var s Scanner
			s.Init(Rules{Masked: true, Swallow: true, Own: own})
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				next(&s, chunk)
			}
		})
	}
	b.Run("inside a large payload", func(b *testing.B) {
		var s Scanner
		s.Init(Rules{Masked: true})
		next(&s, head(true, 0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255))
		chunk := make([]byte, 16<<10)
		for b.Loop() {
			next(&s, chunk)
		}
	})
}

func TestAllocs(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for name, chunk := range benchmarks(masked) {
			var s Scanner
			s.Init(Rules{Masked: masked, Swallow: true, Own: own})
			n := testing.AllocsPerRun(20, func() {
				next(&s, chunk[:len(chunk)/2])
				next(&s, chunk[len(chunk)/2:])
			})
			if n != 0 || s.Opaque() {
				t.Errorf("%s: %v allocations, opaque %v", name, n, s.Opaque())
			}
		}
		room := make([]byte, 0, 256)
		n := testing.AllocsPerRun(20, func() {
			room = AppendPing(room[:0], own, masked)
			room = AppendClose(room, ws.StatusGoingAway, "going away", masked)
		})
		// Frames of our own are rare; with the race detector each key is allocated.
		if n > 2 {
			t.Errorf("writing: %v allocations", n)
		}
	}
}
