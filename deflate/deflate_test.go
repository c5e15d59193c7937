package deflate

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws/wsflate"
)

// checkDeflate holds that three readers make b of what a Deflater made of it.
func checkDeflate(t *testing.T, d *Deflater, z *Inflater, b []byte) {
	t.Helper()
	before := []byte("before")
	out, shorter := d.Append(bytes.Clone(before), b)
	if !bytes.HasPrefix(out, before) {
		t.Fatalf("what was there became %q", out[:min(10, len(out))])
	}
	out = out[len(before):]
	if shorter != (len(out) < len(b)) {
		t.Fatalf("%d bytes became %d, shorter %v", len(b), len(out), shorter)
	}
	got, status := inflate(t, z, 4<<10, out)
	if status != Done || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes became %d, status %d, by ours", len(b), len(got), status)
	}
	if got, ok := complete(string(out) + tail); !ok || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes became %d, complete: %v, by compress/flate", len(b), len(got), ok)
	}
	if got, err := wsflate.DefaultHelper.Decompress(out); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes became %d, %v, by gobwas/ws", len(b), len(got), err)
	}
}

func TestDeflate(t *testing.T) {
	var d Deflater
	var z Inflater
	for name, b := range samples() {
		for _, size := range []int{0, 1, 2, 100, 1000, 32<<10 - 1, 32 << 10, 64 << 10, len(b)} {
			t.Run(name, func(t *testing.T) { checkDeflate(t, &d, &z, b[:min(size, len(b))]) })
		}
	}
	if _, shorter := d.Append(nil, samples()["noise"]); shorter {
		t.Error("noise became shorter")
	}
	if out, shorter := d.Append(nil, make([]byte, 64<<10)); !shorter || len(out) > 200 {
		t.Errorf("64 KiB of zeros became %d bytes", len(out))
	}
}

func FuzzDeflate(f *testing.F) {
	for _, b := range samples() {
		f.Add(b[:min(len(b), 2000)], uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, times uint8) {
		var d Deflater
		var z Inflater
		checkDeflate(t, &d, &z, b)
		checkDeflate(t, &d, &z, bytes.Repeat(b, int(times)))
	})
}

func TestDeflateDoesNotAllocate(t *testing.T) {
	var d Deflater
	room := make([]byte, 0, 64<<10)
	for _, size := range benchmarkSizes {
		chunk := samples()["words"][:size]
		if n := testing.AllocsPerRun(200, func() { d.Append(room, chunk) }); n != 0 {
			t.Errorf("%d bytes: %v allocations per message", size, n)
		}
	}
}
