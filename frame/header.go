package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// readHeader takes what b has of the header in held. It returns how many
// bytes it took, and the event of a control frame without payload, or
// Violation before the first byte that no valid header could have there.
func (s *Scanner) readHeader(b []byte) (n int, event Event) {
	for ; n < len(b); n++ {
		s.held[s.heldBytes] = b[n]
		if !s.admits(int(s.heldBytes)) {
			s.Lose()
			return n, Violation
		}
		if s.heldBytes++; s.heldBytes >= headerBytesMin && int(s.heldBytes) == headerBytes(s.held[1]) {
			return n + 1, s.begin()
		}
	}
	return n, None
}

// headerBytes returns the size of a header with this second byte.
func headerBytes(second byte) int {
	n := headerBytesMin
	switch second & lengthBits {
	case length16:
		n += 2
	case length64:
		n += 8
	}
	if second&maskBit != 0 {
		n += keyBytes
	}
	return n
}

// admits reports whether byte i of held may follow the bytes before it. The
// first byte that may not is the same however the stream is cut.
func (s *Scanner) admits(i int) bool {
	switch length := s.held[1] & lengthBits; {
	case i == 0:
		return s.admitsFirst(s.held[0])
	case i == 1:
		return s.admitsSecond(ws.OpCode(s.held[0]&opcodeBits), s.held[1])
	case i == 3 && length == length16:
		return binary.BigEndian.Uint16(s.held[2:]) >= length16
	case i == 2 && length == length64:
		return s.held[2] < 0x80
	case i == 7 && length == length64:
		// All zeros up to here can only be a length of 2 bytes.
		return binary.BigEndian.Uint64(s.held[2:])>>16 != 0
	}
	return true
}

// admitsFirst judges FIN, the reserved bits and the opcode.
func (s *Scanner) admitsFirst(first byte) bool {
	opcode, fin := ws.OpCode(first&opcodeBits), first&finBit != 0
	if reserved := first & s.rules & reservedBits; reserved != 0 && (reserved != compressedBit || !s.mayCompress(opcode)) {
		return false
	}
	// Who has sent Close and not received one must still answer a Ping
	// (RFC 6455 section 5.5.2).
	if s.closed && opcode != ws.OpPong {
		return false
	}
	switch {
	case opcode.IsControl() && !fin:
		return false
	case opcode.IsReserved():
		return s.rules&reservedBits == 0
	case opcode.IsControl():
		return true
	}
	return (opcode == ws.OpContinuation) == s.fragmented
}

// admitsSecond judges the mask and the short length.
func (s *Scanner) admitsSecond(opcode ws.OpCode, second byte) bool {
	length := second & lengthBits
	switch {
	case (second^s.rules)&maskBit != 0:
		return false
	case opcode.IsControl() && length > controlBytesMax:
		return false
	case opcode == ws.OpClose && length == 1:
		return false // a code has two bytes
	}
	return true
}

// begin enters the frame whose header is held.
func (s *Scanner) begin() Event {
	opcode, fin := ws.OpCode(s.held[0]&opcodeBits), s.held[0]&finBit != 0
	switch length := s.held[1] & lengthBits; length {
	case length16:
		s.remaining = uint64(binary.BigEndian.Uint16(s.held[2:]))
	case length64:
		s.remaining = binary.BigEndian.Uint64(s.held[2:])
	default:
		s.remaining = uint64(length)
	}
	switch opcode {
	case ws.OpClose, ws.OpPing, ws.OpPong:
		return s.beginControl()
	case ws.OpContinuation, ws.OpText, ws.OpBinary:
		s.fragmented, s.last = !fin, fin
	default:
		// An extension's. Without FIN it is continued like any other.
		s.fragmented, s.last = s.fragmented || !fin, false
	}
	s.state = data
	if s.remaining == 0 {
		s.complete()
	}
	return None
}
