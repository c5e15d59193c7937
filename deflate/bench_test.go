package deflate

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/flate"
)

// benchmarkSizes are those that docs/adr/0020 quotes.
var benchmarkSizes = []int{128, 1 << 10, 16 << 10, 64 << 10}

// BenchmarkInflate compares with compress/flate and its faster kin, whose readers
// are reset for each message.
func BenchmarkInflate(b *testing.B) {
	words := samples()["words"]
	for _, size := range benchmarkSizes {
		message := squeezed(b, words[:size], 6)
		whole := append(bytes.Clone(message), tail+lastTail...)
		dst := make([]byte, 64<<10)
		b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var z Inflater
			for b.Loop() {
				for src, status := message, Hungry; status != Done; {
					var taken int
					_, taken, status = z.Inflate(dst[:32<<10], src, true)
					src = src[taken:]
				}
			}
		})
		for name, reader := range map[string]io.ReadCloser{
			"std": stdflate.NewReader(nil), "klauspost": flate.NewReader(nil),
		} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				in := bytes.NewReader(nil)
				for b.Loop() {
					in.Reset(whole)
					if err := reader.(flate.Resetter).Reset(in, nil); err != nil {
						b.Fatal(err)
					}
					if n, err := io.ReadFull(reader, dst[:size]); err != nil || n != size {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, kind := range []string{"words", "noise"} {
		all := samples()[kind]
		for _, size := range benchmarkSizes {
			chunk := all[:size]
			var out bytes.Buffer
			run := func(name string, compress func()) {
				b.Run(fmt.Sprintf("%s/%s/%d", kind, name, size), func(b *testing.B) {
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						out.Reset()
						compress()
					}
					b.ReportMetric(float64(out.Len())/float64(size), "ratio")
				})
			}
			for _, level := range []int{1, 3, 6} {
				w, _ := stdflate.NewWriter(nil, level)
				run(fmt.Sprint("std", level), func() { w.Reset(&out); _, _ = w.Write(chunk); _ = w.Flush() })
				k, _ := flate.NewWriter(nil, level)
				run(fmt.Sprint("klauspost", level), func() { k.Reset(&out); _, _ = k.Write(chunk); _ = k.Flush() })
			}
			run("stateless", func() { _ = flate.StatelessDeflate(&out, chunk, false, nil) })
		}
	}
}
