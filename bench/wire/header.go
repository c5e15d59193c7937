package wire

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// ErrLengthNotMinimal reports a payload length written in more bytes than it
// needs, which RFC 6455 section 5.2 forbids.
const ErrLengthNotMinimal = ws.ProtocolError("payload length is not minimally encoded")

// ParseHeader decodes the frame header at the start of b into h and returns
// its size in bytes, 2 to 14. It returns 0 when b ends before the header
// does, and h is then unspecified. It checks what only the encoding shows
// (RFC 6455 section 5.2): the length's top bit and its minimal form; the rest
// is for [ws.CheckHeader].
func ParseHeader(b []byte, h *ws.Header) (int, error) {
	if len(b) < ws.MinHeaderSize {
		return 0, nil
	}
	h.Fin = b[0]&0x80 != 0
	h.Rsv = b[0] & 0x70 >> 4
	h.OpCode = ws.OpCode(b[0] & 0x0f)
	h.Masked = b[1]&0x80 != 0
	h.Length = int64(b[1] & 0x7f)

	n := ws.MinHeaderSize
	switch h.Length {
	case 126:
		if len(b) < 4 {
			return 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < 126 {
			return 0, ErrLengthNotMinimal
		}
		n = 4
	case 127:
		if len(b) < 10 {
			return 0, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		if length>>63 != 0 {
			return 0, ws.ErrHeaderLengthMSB
		}
		if length <= 0xffff {
			return 0, ErrLengthNotMinimal
		}
		h.Length = int64(length)
		n = 10
	}
	if h.Masked {
		if len(b) < n+4 {
			return 0, nil
		}
		copy(h.Mask[:], b[n:])
		n += 4
	}
	return n, nil
}

// PutHeader encodes h at the start of b and returns its size in bytes. b must
// have room for [ws.HeaderSize] of h, at most [ws.MaxHeaderSize].
func PutHeader(b []byte, h *ws.Header) int {
	b[0] = h.Rsv<<4 | byte(h.OpCode)
	if h.Fin {
		b[0] |= 0x80
	}
	n := ws.MinHeaderSize
	switch {
	case h.Length < 126:
		b[1] = byte(h.Length)
	case h.Length <= 0xffff:
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(h.Length))
		n = 4
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(h.Length))
		n = 10
	}
	if h.Masked {
		b[1] |= 0x80
		n += copy(b[n:n+4], h.Mask[:])
	}
	return n
}
