package rig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// Frames is a stream of binary frames with the bytes of a Pattern in and
// between their headers. Offsets are those of the wire. Masks are never taken
// off: whatever they make of the payload is what was sent.
type Frames struct {
	Pattern Pattern
	Payload int64 // bytes of payload altogether
	Span    int64 // bytes of payload in each frame but the last
	Masked  bool
	Close   bool // a Close of code 1000 is the last frame
}

// The first byte of a complete frame (RFC 6455 section 5.2).
const (
	firstBinary = 0x82
	firstClose  = 0x88
	maskBit     = 0x80
)

// header returns the header of a frame with n bytes of payload, without its key.
func header(first byte, n int64, masked bool) []byte {
	var h []byte
	switch {
	case n < 126:
		h = []byte{first, byte(n)}
	case n < 1<<16:
		h = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(n))
	default:
		h = binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(n))
	}
	if masked {
		h[1] |= maskBit
	}
	return h
}

// frameBytes returns the size of a frame with n bytes of payload.
func (f Frames) frameBytes(n int64) int64 {
	size := int64(len(header(0, n, f.Masked))) + n
	if f.Masked {
		size += 4
	}
	return size
}

// closing returns the frame that ends the stream; its key is zero.
func (f Frames) closing() []byte {
	if !f.Close {
		return nil
	}
	b := header(firstClose, 2, f.Masked)
	if f.Masked {
		b = append(b, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, 1000)
}

// data returns the size of the stream without its Close.
func (f Frames) data() int64 {
	size := f.Payload / f.Span * f.frameBytes(f.Span)
	if rest := f.Payload % f.Span; rest > 0 {
		size += f.frameBytes(rest)
	}
	return size
}

// Bytes returns the size of the stream.
func (f Frames) Bytes() int64 { return f.data() + int64(len(f.closing())) }

// Fill writes the bytes from offset on into dst, which end with the stream at
// the latest.
func (f Frames) Fill(dst []byte, offset int64) {
	f.Pattern.Fill(dst, offset)
	each := f.frameBytes(f.Span)
	for at := offset / each * each; at < min(offset+int64(len(dst)), f.data()); at += each {
		n := min(f.Span, f.Payload-at/each*f.Span)
		overlay(dst, header(firstBinary, n, f.Masked), at-offset)
	}
	overlay(dst, f.closing(), f.data()-offset)
}

// overlay copies what lies in dst of b, which begins at dst[at:]; at may be
// outside.
func overlay(dst, b []byte, at int64) {
	if skip := min(max(-at, 0), int64(len(b))); skip > 0 {
		b, at = b[skip:], at+skip
	}
	if at >= 0 && at < int64(len(dst)) {
		copy(dst[at:], b)
	}
}

// atBoundary reports whether a frame ends, or the first one begins, at offset.
func (f Frames) atBoundary(offset int64) bool {
	return offset%f.frameBytes(f.Span) == 0 || offset == f.data()
}

// Send is Pattern.Send for the stream.
func (f Frames) Send(w io.Writer, offset, n int64, moved *atomic.Int64) error {
	return send(f, w, offset, n, moved)
}

// ReceiveUpTo is Pattern.ReceiveUpTo for the stream, which may end with a Close
// of the proxy's between two frames, unless it has a Close of its own.
func (f Frames) ReceiveUpTo(r net.Conn, offset, n int64) (int64, error) {
	var farewell []byte
	got, err := receiveUpTo(r, offset, n, func(b []byte, at int64) (int, error) {
		if farewell != nil {
			farewell = append(farewell, b...)
			return 0, nil
		}
		right, bad := check(f, b, at)
		switch where := at + int64(right); {
		case bad == nil:
		case f.atBoundary(where) && b[right] == firstClose:
			farewell = append([]byte{}, b[right:]...)
			return right, nil
		case f.Close && where == f.data()+1: // our own Close begins with the same byte
			farewell = append([]byte{firstClose}, b[right:]...)
			return right, nil
		}
		return right, bad
	})
	if farewell != nil && err == nil {
		if bad := f.checkFarewell(farewell); bad != nil {
			return got, fmt.Errorf("%w: %w", ErrForeign, bad)
		}
	}
	return got, err
}

// farewellCodes are those that a proxy may send of itself: going away, and
// internal error.
var farewellCodes = map[uint16]bool{1001: true, 1011: true}

// checkFarewell says what is wrong with a Close of the proxy's, and whether
// anything follows it.
func (f Frames) checkFarewell(b []byte) error {
	code, _, err := ParseClose(b, f.Masked)
	if err == nil && !farewellCodes[code] {
		err = fmt.Errorf("code %d", code)
	}
	if err != nil {
		return fmt.Errorf("instead of a Close of the proxy's: %x: %w", b, err)
	}
	return nil
}

// ParseClose returns the code and the reason of b, which must be one Close
// frame and nothing else.
func ParseClose(b []byte, masked bool) (code uint16, reason string, err error) {
	if len(b) < 2 || b[0] != firstClose || b[1]&maskBit != 0 != masked {
		return 0, "", errors.New("no Close frame, or masked for the other side")
	}
	payload := b[2:]
	var key [4]byte
	if masked {
		payload = payload[copy(key[:], payload):]
	}
	if len(payload) < 2 || len(payload) != int(b[1]&^maskBit) {
		return 0, "", fmt.Errorf("%d bytes of payload, and a length of %d", len(payload), b[1]&^maskBit)
	}
	plain := make([]byte, len(payload))
	for i, c := range payload {
		plain[i] = c ^ key[i%4]
	}
	return binary.BigEndian.Uint16(plain), string(plain[2:]), nil
}
