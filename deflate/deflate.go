package deflate

import (
	"bytes"

	"github.com/klauspost/compress/flate"
)

// syncTail is the end of a flushed stream, which a sender takes off (RFC 7692
// section 7.2.1).
var syncTail = []byte{0x00, 0x00, 0xff, 0xff}

// A Deflater compresses messages, each by itself. The zero value is ready; with the
// first message it takes about 800 KiB of memory, which it keeps.
type Deflater struct {
	writer *flate.Writer
	out    output
}

// An output collects what a compressor writes.
type output []byte

func (o *output) Write(b []byte) (int, error) {
	*o = append(*o, b...)
	return len(b), nil
}

// Append appends the compressed payload of the message b to dst and returns the
// extended slice, and whether it is shorter than b; where it is not, b is better
// sent as it is (RFC 7692 section 6). Once dst has room for it, nothing is
// allocated.
func (d *Deflater) Append(dst, b []byte) (out []byte, shorter bool) {
	// Errors are those of the output, which has none, and of a level out of range.
	d.out = dst
	if d.writer == nil {
		d.writer, _ = flate.NewWriter(&d.out, flate.BestSpeed)
	} else {
		d.writer.Reset(&d.out)
	}
	_, _ = d.writer.Write(b)
	_ = d.writer.Flush()
	out = bytes.TrimSuffix(d.out, syncTail)
	d.out = nil
	return out, len(out)-len(dst) < len(b)
}
