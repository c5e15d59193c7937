package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Where held has what in control.
const (
	keyAt = headerBytesMin
	sumAt = keyAt + keyBytes
)

// The digest is FNV-1a with 64 bits: it takes one byte after the other, and
// control frames are short.
const (
	sumStart = 0xcbf29ce484222325
	sumPrime = 0x100000001b3
)

// beginControl enters the Ping, Pong or Close whose header is held.
func (s *Scanner) beginControl() Event {
	if s.rules&maskBit == 0 {
		clear(s.held[keyAt:sumAt])
	}
	s.state = control
	s.setSum(sumStart)
	if s.remaining == 0 {
		return s.endControl()
	}
	return None
}

// readControl takes what b has of the payload, and returns how many bytes it
// took and the event of a frame that they complete.
func (s *Scanner) readControl(b []byte) (n int, event Event) {
	n = int(min(s.remaining, uint64(len(b))))
	at := uint64(s.held[1]&lengthBits) - s.remaining
	closing := ws.OpCode(s.held[0]&opcodeBits) == ws.OpClose
	sum := s.sum()
	for _, masked := range b[:n] {
		c := masked ^ s.held[keyAt+at%keyBytes]
		switch {
		case !closing:
			sum = (sum ^ uint64(c)) * sumPrime
		case at == 0:
			s.closeCode = uint16(c) << 8
		case at == 1:
			s.closeCode |= uint16(c)
		}
		at++
	}
	s.setSum(sum)
	if s.remaining -= uint64(n); s.remaining == 0 {
		return n, s.endControl()
	}
	return n, None
}

// endControl ends the frame and returns its event.
func (s *Scanner) endControl() Event {
	s.state = between
	switch ws.OpCode(s.held[0] & opcodeBits) {
	case ws.OpPing:
		s.digest = s.sum()
		return Ping
	case ws.OpPong:
		s.digest = s.sum()
		return Pong
	}
	if s.held[1]&lengthBits == 0 {
		s.closeCode = uint16(ws.StatusNoStatusRcvd)
	}
	s.closed = true
	return Close
}

func (s *Scanner) sum() uint64 { return binary.LittleEndian.Uint64(s.held[sumAt:]) }

func (s *Scanner) setSum(sum uint64) { binary.LittleEndian.PutUint64(s.held[sumAt:], sum) }
