package frame

import (
	"bytes"
	"fmt"
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

// BenchmarkUnmask compares with what gobwas/ws offers.
func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{16, 128, 4096, 65536} {
		chunk := make([]byte, size+3)[3:] // payloads are not aligned
		b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				unmask(chunk, 0x04030201)
			}
		})
		b.Run(fmt.Sprintf("gobwas/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				ws.Cipher(chunk, [4]byte{1, 2, 3, 4}, 0)
			}
		})
	}
}

// decodeAll shows chunk to a Decoder. It unmasks in place, so the next time the
// payload is what the key makes of zeros: still UTF-8, if the key is ASCII.
func decodeAll(d *Decoder, chunk []byte) {
	for len(chunk) > 0 {
		n, _, _ := d.Next(chunk)
		chunk = chunk[n:]
	}
}

// asciiMasked is a benchmark's chunk with a key that keeps it text.
func asciiMasked(chunk []byte) []byte {
	out := bytes.Clone(chunk)
	for b := out; len(b) > 0; {
		r := bytes.NewReader(b)
		h, err := ws.ReadHeader(r)
		if err != nil {
			panic(err)
		}
		size := len(b) - r.Len()
		copy(b[size-keyBytes:], "keys")
		clear(b[size : size+int(h.Length)])
		b = b[size+int(h.Length):]
	}
	return out
}

func BenchmarkDecoder(b *testing.B) {
	for name, chunk := range benchmarks(true) {
		chunk = asciiMasked(chunk)
		b.Run(name, func(b *testing.B) {
			var s Scanner
			var d Decoder
			d.Init(&s, Binary, Bounds{})
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				decodeAll(&d, chunk)
			}
		})
	}
}

func TestCodecAllocs(t *testing.T) {
	for name, chunk := range benchmarks(true) {
		chunk = asciiMasked(chunk)
		var down, up Scanner
		var d Decoder
		var e Encoder
		d.Init(&up, Binary, Bounds{Message: 1 << 20})
		e.Init(&down, Text)
		var prefix [PrefixBytesMax]byte
		room, hello := make([]byte, 0, 256), []byte("hello")
		n := testing.AllocsPerRun(20, func() {
			decodeAll(&d, chunk[:len(chunk)/2])
			decodeAll(&d, chunk[len(chunk)/2:])
			e.Frame(&prefix, hello)
			room = AppendPong(room[:0], hello)
		})
		if n != 0 || up.Opaque() {
			t.Errorf("%s: %v allocations, opaque %v", name, n, up.Opaque())
		}
	}
}
