package frame

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/gobwas/ws"
)

// An Encoder makes frames of the bytes of somebody who speaks no WebSocket: one
// message, and one frame, of each chunk. They are for a client, and so not masked.
//
// As Text, a message ends with a character: what has come of one that is not
// complete, at most 3 bytes, is held back for the next chunk.
type Encoder struct {
	frames    *Scanner
	coding    Coding
	text      text
	held      [heldBytesMax]byte
	heldBytes uint8
}

// Init makes e ready for the first byte. Scanner s, which is the caller's, counts
// the messages.
func (e *Encoder) Init(s *Scanner, coding Coding) {
	s.Init(Rules{})
	*e = Encoder{frames: s, coding: coding}
}

// Frame says how b, which follows what it was shown before, becomes a frame that
// is sent without being copied together: prefix[:m], the header and what was held
// back, and then b[:n]. What is behind n is held back or, where valid is false, no
// UTF-8. m is 0 where there is nothing to send yet.
//
// It is for Binary and Text; Base64 needs AppendBase64.
func (e *Encoder) Frame(prefix *[PrefixBytesMax]byte, b []byte) (m, n int, valid bool) {
	n, valid = len(b), true
	if e.coding == Text {
		n, valid = e.text.take(b)
		n -= int(e.text.seen)
		if n < 0 { // what was held back goes on, and is still not complete
			e.hold(b)
			return 0, 0, valid
		}
	}
	if int(e.heldBytes)+n > 0 {
		header := appendDataHeader(prefix[:0], e.opcode(), int(e.heldBytes)+n)
		m = len(append(header, e.held[:e.heldBytes]...))
		e.frames.messages++
	}
	e.heldBytes = 0
	e.hold(b[n:])
	return m, n, valid
}

// hold keeps what has come of a character. Behind what is no UTF-8, nothing is
// kept: no frame follows.
func (e *Encoder) hold(b []byte) {
	if n := int(e.heldBytes) + len(b); n <= heldBytesMax {
		copy(e.held[e.heldBytes:], b)
		e.heldBytes = uint8(n)
	}
}

// AppendBase64 appends the frame that b becomes as Base64, and returns the
// extended slice. Each frame is padded, and so whole by itself.
func (e *Encoder) AppendBase64(dst, b []byte) []byte {
	e.frames.messages++
	dst = appendDataHeader(dst, e.opcode(), base64.StdEncoding.EncodedLen(len(b)))
	return base64.StdEncoding.AppendEncode(dst, b)
}

// Payload returns the payload of a frame that an Encoder made.
func Payload(whole []byte) []byte { return whole[headerBytes(whole[1]):] }

// AppendCompressedHeader appends the header that a frame of an Encoder gets when
// its payload is compressed to so many bytes (RFC 7692 section 6): at most
// HeaderBytesMax.
func AppendCompressedHeader(dst, whole []byte, length int) []byte {
	at := len(dst)
	dst = appendDataHeader(dst, ws.OpCode(whole[0]&opcodeBits), length)
	dst[at] |= compressedBit
	return dst
}

// Coding returns what Init was given.
func (e *Encoder) Coding() Coding { return e.coding }

// Whole reports whether the bytes may end here: no character was begun.
func (e *Encoder) Whole() bool { return e.heldBytes == 0 }

func (e *Encoder) opcode() ws.OpCode {
	if e.coding == Binary {
		return ws.OpBinary
	}
	return ws.OpText
}

// appendDataHeader appends the header of a message of one frame, in as few bytes
// as its length takes (RFC 6455 section 5.2).
func appendDataHeader(dst []byte, opcode ws.OpCode, length int) []byte {
	dst = append(dst, finBit|byte(opcode))
	switch {
	case length < length16:
		return append(dst, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, length16), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, length64), uint64(length))
}
