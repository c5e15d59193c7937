package frame

import "github.com/gobwas/ws"

// ownFirst is the first byte of every pong of ours: FIN, no reserved bit.
const ownFirst = finBit | byte(ws.OpPong)

// What is kept, and the byte that decides, fit into held.
const _ = uint(headerBytesMax - keptBytesMax - 1)

// ownHeaderBytes returns the size of the header of a pong of ours.
func (s *Scanner) ownHeaderBytes() int { return headerBytes(s.rules&maskBit | ownPayloadBytes) }

// keep adds b to what is held, as long as the whole may be a pong of ours;
// the first byte is known to be ownFirst. Where it may not, it takes nothing:
// n is 0, and what was held, if anything was, is to be released.
func (s *Scanner) keep(b []byte) (n int, step Step) {
	before, whole := int(s.heldBytes), s.ownHeaderBytes()+ownPayloadBytes
	n = copy(s.held[before:whole], b)
	switch after := before + n; {
	case s.lost || !s.mayBeOwn(s.held[:after]):
		s.state = releasing
		return 0, Step{Do: Release}
	case after < whole:
		s.state, s.heldBytes = keeping, uint8(after)
		return n, Step{Do: Keep}
	}
	s.state = between
	return n, Step{Do: Drop, Event: OwnPong}
}

// mayBeOwn reports whether a pong of ours may begin with p, which begins with
// ownFirst and is not longer than one.
func (s *Scanner) mayBeOwn(p []byte) bool {
	if len(p) > 1 && p[1] != s.rules&maskBit|ownPayloadBytes {
		return false
	}
	size := s.ownHeaderBytes()
	for i := size; i < len(p); i++ {
		c := byte(s.own >> (8 * (size + ownPayloadBytes - 1 - i)))
		if s.rules&maskBit != 0 {
			c ^= p[keyAt+(i-size)%keyBytes]
		}
		if p[i] != c {
			return false
		}
	}
	return true
}

// resume goes on with a frame that was held back and is not ours. Its bytes
// were valid as far as they go, and the payload is not complete: the byte that
// decided is still to come.
func (s *Scanner) resume() {
	size := s.ownHeaderBytes()
	switch {
	case s.lost:
		s.state = opaque
	case int(s.heldBytes) < size:
		s.state = header
	default:
		var payload [ownPayloadBytes]byte // held is wanted for the sum
		n := copy(payload[:], s.held[size:s.heldBytes])
		s.begin()
		s.readControl(payload[:n])
	}
}
