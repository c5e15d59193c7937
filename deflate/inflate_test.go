package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

// What a sender takes off the end of a message, and a block that ends a stream.
const (
	tail     = "\x00\x00\xff\xff"
	lastTail = "\x01\x00\x00\xff\xff"
)

// squeezed compresses b at a level of compress/flate, as a sender does.
func squeezed(t testing.TB, b []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err = w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte(tail))
}

// samples are messages of many kinds.
func samples() map[string][]byte {
	noise := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	random := rand.New(rand.NewPCG(1, 2))
	var words, skewed []byte
	for len(words) < 300_000 {
		words = fmt.Appendf(words, `{"id":%d,"name":"n%x","on":%v},`, random.IntN(1e6), random.IntN(500), random.IntN(2) == 0)
	}
	for range 100_000 { // codes of every length
		skewed = append(skewed, byte(min(255, random.ExpFloat64()*12)))
	}
	return map[string][]byte{
		"empty": {}, "byte": {7}, "hello": []byte("Hello"), "zeros": make([]byte, 1<<20),
		"noise": noise, "words": words, "skewed": skewed, "far": append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...),
	}
}

var levels = []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9}

// inflate expands a message that comes in pieces, into room bytes at a time.
func inflate(t testing.TB, z *Inflater, room int, pieces ...[]byte) (out []byte, status Status) {
	t.Helper()
	dst := make([]byte, room)
	for i, b := range pieces {
		for calls := 0; ; calls++ {
			made, taken, got := z.Inflate(dst, b, i == len(pieces)-1)
			out, b, status = append(out, dst[:made]...), b[taken:], got
			if status == Hungry && len(b) > 0 || calls > 1<<20 {
				t.Fatalf("%d bytes are left, after %d calls", len(b), calls)
			}
			if status != Full {
				break
			}
		}
		switch {
		case status == Broken:
			z.Reset()
			return out, status
		case (status == Done) != (i == len(pieces)-1):
			t.Fatalf("status %d with piece %d of %d", status, i, len(pieces))
		}
	}
	return out, status
}

func cut(b []byte, n int) (pieces [][]byte) {
	for ; len(b) > n; b = b[n:] {
		pieces = append(pieces, b[:n])
	}
	return append(pieces, b)
}

func TestInflate(t *testing.T) {
	var z Inflater // one for all: nothing may be left of a message
	for name, want := range samples() {
		for _, level := range levels {
			b := squeezed(t, want, level)
			for _, size := range []int{1, 7, 1000, 64 << 10, 1 << 20} {
				for _, room := range []int{RoomBytesMin, 4 << 10, 32 << 10, 100_000} {
					if len(b)/size > 20_000 && room != 4<<10 {
						continue
					}
					got, status := inflate(t, &z, room, cut(b, size)...)
					if status != Done || !bytes.Equal(got, want) {
						t.Fatalf("%s, level %d, pieces of %d, room of %d: %d bytes of %d, status %d",
							name, level, size, room, len(got), len(want), status)
					}
				}
			}
		}
	}
}

// The examples of RFC 7692 section 7.2.3, and what else may end a message.
func TestInflateExamples(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    string
		status  Status
	}{
		"7.2.3.1 one block":                  {"\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", Done},
		"7.2.3.3 no compression":             {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello", Done},
		"7.2.3.4 BFINAL":                     {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", Done},
		"7.2.3.5 two blocks":                 {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", Done},
		"7.2.3.6 empty":                      {"\x00", "", Done},
		"BFINAL and another block":           {"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", "HelloHello", Done},
		"BFINAL at the very end":             {"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", Done},
		"no bytes":                           {"", "", Done},
		"cut":                                {"\xf2\x48\xcd\xc9", "Hel", Broken},
		"the end was not taken off":          {"\xf2\x48\xcd\xc9\xc9\x07\x00" + tail, "Hello", Done},
		"block type 3":                       {"\x07", "", Broken},
		"sizes do not match":                 {"\x00\x05\x00\xfa\xfeHello", "", Broken},
		"stored, cut":                        {"\x00\x05\x00\xfa\xffHel", "Hel", Broken},
		"a distance before the beginning":    {"\x02\x02\x00", "", Broken},
		"287 literals":                       {"\xf4\x00\x00", "", Broken},
		"31 distances":                       {"\x04\x1e\x00", "", Broken},
		"a code of lengths with no code":     {"\x04\x00\x00\x00\x00", "", Broken},
		"a code of lengths that is too full": {"\x04\xe0\xff\xff\xff\xff\xff\xff\xff\xff", "", Broken},
	} {
		var z Inflater
		got, status := inflate(t, &z, 1000, []byte(c.message))
		if string(got) != c.want || status != c.status {
			t.Errorf("%s: %q, status %d; want %q, %d", name, got, status, c.want, c.status)
		}
		if got, status = inflate(t, &z, 1000, cut([]byte(c.message), 1)...); string(got) != c.want || status != c.status {
			t.Errorf("%s, byte by byte: %q, status %d; want %q, %d", name, got, status, c.want, c.status)
		}
	}
}

// Blocks that make nothing do not hold a call: neither those with codes of their
// own nor those without.
func TestInflateEmptyBlocks(t *testing.T) {
	for name, block := range map[string]string{"stored": "\x00\x00\x00\xff\xff", "fixed, padded": "\x03\x00"} {
		var z Inflater
		b := []byte(strings.Repeat(block, 1000))
		var dst [RoomBytesMin]byte
		calls := 0
		for {
			made, taken, status := z.Inflate(dst[:], b, true)
			b = b[taken:]
			if calls++; made != 0 || taken > blocksPerCallMax*len(block)+8 || status == Broken {
				t.Fatalf("%s: made %d, took %d, status %d", name, made, taken, status)
			}
			if status == Done {
				break
			}
		}
		if calls < 1000/blocksPerCallMax {
			t.Errorf("%s: %d calls", name, calls)
		}
	}
}

// oracle expands a message with compress/flate, whose reader stops behind a block
// that is the last; another one goes on there.
func oracle(stream string) (out []byte, err error) {
	in := strings.NewReader(stream)
	for in.Len() > 0 {
		r := flate.NewReaderDict(in, out)
		b, err := io.ReadAll(r)
		if out = append(out, b...); err != nil {
			return out, err
		}
	}
	return out, nil
}

// complete expands a message and reports whether it is complete where it ends: two
// streams that go on with different blocks must come to the same.
func complete(message string) (out []byte, ok bool) {
	const mark = "\x01\x01\x00\xfe\xff!"
	out, err := oracle(message + lastTail)
	marked, markedErr := oracle(message + mark)
	return out, err == nil && markedErr == nil && string(marked) == string(out)+"!"
}

// FuzzInflate compares with compress/flate over any bytes, in any pieces.
func FuzzInflate(f *testing.F) {
	for name, b := range samples() {
		for _, level := range levels {
			if message := squeezed(f, b[:min(len(b), 3000)], level); name != "noise" || level == 1 {
				f.Add(message, uint16(len(name)), uint16(level*100))
			}
		}
	}
	f.Add([]byte("\x04\xe0\xff\xff\xff\xff\xff\xff\xff\xff"), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, message []byte, size, room uint16) {
		message = message[:min(len(message), 4000)]
		want, ok := complete(string(message) + tail)
		if end, atEnd := complete(string(message)); atEnd {
			want, ok = end, true
		}
		for _, pieces := range [][][]byte{{message}, cut(message, 1+int(size)), cut(message, 1)} {
			var z Inflater
			got, status := inflate(t, &z, RoomBytesMin+int(room), pieces...)
			switch {
			case ok != (status == Done), ok && !bytes.Equal(got, want):
				t.Fatalf("%x: %d bytes, status %d; want %d bytes, complete: %v", message, len(got), status, len(want), ok)
			case !ok && !bytes.HasPrefix(got, want) && !bytes.HasPrefix(want, got):
				t.Fatalf("%x: %x; compress/flate makes %x", message, got, want)
			}
		}
	})
}

func TestInflateDoesNotAllocate(t *testing.T) {
	var z Inflater
	b := squeezed(t, samples()["words"], 6)
	dst := make([]byte, 32<<10)
	n := testing.AllocsPerRun(10, func() {
		for src, status := b, Hungry; status != Done; {
			var taken int
			if _, taken, status = z.Inflate(dst, src, true); status == Broken {
				t.Fatal("broken")
			}
			src = src[taken:]
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per message", n)
	}
	if size := unsafe.Sizeof(z); size > 42<<10 {
		t.Errorf("an Inflater has %d bytes", size)
	}
}

// emptyBlocks is a message of n blocks that bring codes along and make nothing.
func emptyBlocks(n int) (out []byte) {
	bits, count := uint64(0), uint(0)
	put := func(value uint64, size uint) {
		bits |= value << count
		for count += size; count >= 8; count -= 8 {
			out = append(out, byte(bits))
			bits >>= 8
		}
	}
	for range n {
		put(4, 3)  // the block is not the last one, and has codes
		put(0, 10) // 257 literals and lengths, one distance
		put(14, 4)
		for _, symbol := range orderOf[:18] { // 0 stands for the length 1, and 1 for zeros
			if symbol == 1 || symbol == 18 {
				put(1, 3)
			} else {
				put(0, 3)
			}
		}
		for _, zeros := range []uint64{138, 256 - 138} {
			put(1, 1)
			put(zeros-11, 7)
		}
		put(0, 2) // the end of the block has one bit, and the distance
		put(0, 1) // the end of the block
	}
	put(0, 3)
	put(0, (8-count)%8)
	return out
}

// The dearest blocks that there are: 12 bytes cost two tables.
func TestInflateEmptyBlocksWithCodes(t *testing.T) {
	const many = 1000
	var z Inflater
	dst := make([]byte, RoomBytesMin)
	b, built := emptyBlocks(many), 0
	for status := Full; status != Done; {
		var made, taken int
		made, taken, status = z.Inflate(dst, b, true)
		b = b[taken:]
		if made != 0 || status == Broken || status == Hungry || z.Built() > blocksPerCallMax {
			t.Fatalf("made %d, status %d, %d tables", made, status, z.Built())
		}
		built += z.Built()
	}
	if built != many {
		t.Errorf("%d tables, want %d", built, many)
	}
}

func BenchmarkInflateEmptyBlocks(b *testing.B) {
	var z Inflater
	dst, message := make([]byte, 32<<10), emptyBlocks(100)
	for b.Loop() {
		for src, status := message, Full; status != Done; {
			var taken int
			_, taken, status = z.Inflate(dst, src, true)
			src = src[taken:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/block")
}
