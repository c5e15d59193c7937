package frame

import (
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"
)

// Rules say how the frames of one direction must look.
type Rules struct {
	// Masked says that frames must be masked, as those from a client must;
	// otherwise they must not (RFC 6455 section 5.1).
	Masked bool

	// Extensions says that an extension was negotiated. What reserved bits
	// and opcodes mean is then its business, and they are not judged.
	Extensions bool

	// Swallow says that pongs whose payload is Own, 8 bytes big endian, are
	// to be dropped: they answer pings of ours. See Expect.
	Swallow bool
	Own     uint64
}

type state uint8

// The state of a Scanner between two bytes, and where the next byte may take
// it; Lose makes every state opaque once nothing is held (TestStateTable):
//
//	state      may go to                       true while in it
//	opaque     -                               frames are not looked for
//	between    header keeping opaque           the last frame is complete
//	header     between data control opaque     held has what has come of a header
//	data       between opaque                  payload is due
//	control    between opaque                  payload of a Ping, Pong or Close is due
//	keeping    between releasing               held was not passed on
//	releasing  between header control opaque   the caller passes held on
const (
	opaque state = iota
	between
	header
	data
	control
	keeping
	releasing
)

// A Scanner follows the frames of one direction of a tunnel.
//
// The caller shows it every byte of the direction, in order and in any
// pieces, by Next, or tells of payload that passed elsewhere by Advance. What
// it says does not depend on the pieces. It keeps nothing of what it is shown
// but a header that is not complete and, where pongs are to be swallowed, at
// most 13 bytes held back.
//
// The zero value is opaque: use Init.
type Scanner struct {
	// Written as frames come.
	remaining uint64 // payload bytes still due; 0 but in data and control
	messages  uint64
	digest    uint64
	closeCode uint16
	closed    bool // a Close has come; closeCode is its code

	// The frame in progress.
	state      state
	fragmented bool // a message has begun and is not complete
	last       bool // the frame completes a message
	heldBytes  uint8

	// held begins with the header: what has come of it in header, and what
	// is held back, payload included, in keeping and releasing. In control
	// it is the first two bytes of the header, the key (or zeros) and the sum
	// of the payload so far, which only thus fits into 56 bytes.
	held [headerBytesMax]byte

	// Set by Init, Expect and Lose.
	rules   byte // maskBit: frames are masked; reservedBits: must be clear; deflateBit: but RSV1 may not
	swallow bool
	lost    bool // opaque as soon as held is released
	own     uint64
}

// The bits of the first two bytes of a header (RFC 6455 section 5.2).
const (
	finBit       = 0x80
	reservedBits = 0x70
	opcodeBits   = 0x0f
	maskBit      = 0x80
	lengthBits   = 0x7f

	length16 = 126 // the length is in the next 2 bytes
	length64 = 127 // the length is in the next 8 bytes
)

// Init makes s ready for the first byte after the handshake, whatever it was
// before.
func (s *Scanner) Init(r Rules) {
	*s = Scanner{state: between, swallow: r.Swallow, own: r.Own}
	if r.Masked {
		s.rules |= maskBit
	}
	if !r.Extensions {
		s.rules |= reservedBits
	}
}

// Next looks at b, which follows what it was shown before, and returns what
// to do with b[:n] and what ends there. It does not hold on to b.
//
// It returns before the end of b where there is something to say, or may be
// about what follows; the caller then shows it b[n:], until n is len(b). n is 0 only with Release and with
// Violation, and neither comes again at the same byte. In an opaque direction
// it is always len(b), Forward. Where the stream ends, the caller forwards
// Kept.
func (s *Scanner) Next(b []byte) (n int, step Step) {
	for n < len(b) {
		switch s.state {
		case opaque:
			return len(b), Step{}
		case data:
			n += s.pass(b[n:])
		case between:
			n += s.skip(b[n:])
			if n == len(b) || s.state != between {
				continue
			}
			s.heldBytes = 0
			if s.swallow && b[n] == ownFirst {
				if n > 0 {
					return n, Step{}
				}
				if m, kept := s.keep(b); m > 0 {
					return m, kept
				}
			}
			s.state = header
		case header:
			m, event := s.readHeader(b[n:])
			if n += m; event != None {
				return n, Step{Event: event}
			}
		case control:
			m, event := s.readControl(b[n:])
			if n += m; event != None {
				return n, Step{Event: event}
			}
		case keeping:
			return s.keep(b)
		case releasing:
			s.resume()
		}
	}
	return n, Step{}
}

// pass counts payload and returns how much of b is payload of this frame.
func (s *Scanner) pass(b []byte) int {
	n := min(s.remaining, uint64(len(b)))
	s.remaining -= n
	if s.remaining == 0 {
		s.complete()
	}
	return int(n)
}

// complete ends a data frame.
func (s *Scanner) complete() {
	s.state = between
	if s.last {
		s.messages++
	}
}

// skip passes over the data frames at the beginning of b, and returns how
// many bytes they take. It stops before a header that it cannot judge at a
// glance: of another frame, of a length of 8 bytes, wrong, or not complete.
// With small messages, nearly all the time of a Scanner is spent here.
func (s *Scanner) skip(b []byte) (n int) {
	if s.closed {
		return 0
	}
	size := headerBytesMin + int(s.rules&maskBit)/maskBit*keyBytes
	for len(b)-n >= headerBytesMin {
		first, second := b[n], b[n+1]
		opcode := ws.OpCode(first & opcodeBits)
		if opcode > ws.OpBinary || (opcode == ws.OpContinuation) != s.fragmented ||
			first&s.rules&reservedBits != 0 || (second^s.rules)&maskBit != 0 {
			return n
		}
		payload, length := n+size, int(second&lengthBits)
		if length >= length16 {
			payload += 2
			if length == length64 || payload > len(b) {
				return n
			}
			if length = int(binary.BigEndian.Uint16(b[n+2:])); length < length16 {
				return n
			}
		}
		if payload > len(b) {
			return n
		}
		s.fragmented = first&finBit == 0
		s.last = !s.fragmented
		if rest := len(b) - payload; rest < length {
			s.state, s.remaining = data, uint64(length-rest)
			return len(b)
		}
		if s.last {
			s.messages++
		}
		n = payload + length
	}
	return n
}

// Expect makes pongs be dropped whose payload is own, from the next frame on.
// The caller calls it before it sends the ping, and keeps to one payload as
// long as pongs of that payload may come.
func (s *Scanner) Expect(own uint64) {
	s.swallow, s.own = true, own
}

// Kept returns the bytes that were held back and are not yet judged, or that
// Release speaks of: at most 13. They are valid until the next call of Next.
func (s *Scanner) Kept() []byte {
	if s.state != keeping && s.state != releasing {
		return nil
	}
	return s.held[:s.heldBytes]
}

// AtBoundary reports whether a control frame may be put here: between frames,
// be they fragments of one message (RFC 6455 section 5.4), with nothing held
// back, and before a Close.
func (s *Scanner) AtBoundary() bool {
	return s.state == between && !s.closed
}

// Remaining returns how many payload bytes of the current frame are still to
// come. It is 0 between frames, within a header, and in an opaque direction.
func (s *Scanner) Remaining() uint64 { return s.remaining }

// Advance tells that n bytes of payload passed without being shown. It panics
// where more than Remaining are said to have passed, or a control frame: its
// payload must be shown, and is never worth a splice.
func (s *Scanner) Advance(n uint64) {
	if s.state != data || n > s.remaining {
		panic(fmt.Sprintf("frame: advance by %d in state %d with %d bytes due", n, s.state, s.remaining))
	}
	if s.remaining -= n; s.remaining == 0 {
		s.complete()
	}
}

// Lose makes the direction opaque for good: bytes pass that s is not shown.
// What was kept is released by the next call of Next; a caller that will not
// call it forwards Kept.
func (s *Scanner) Lose() {
	s.lost = true
	if s.state != keeping && s.state != releasing {
		s.state, s.remaining = opaque, 0
	}
}

// Opaque reports whether frames are no longer looked for: after a violation,
// after Lose, or before Init.
func (s *Scanner) Opaque() bool { return s.state == opaque || s.lost }

// Messages returns how many text and binary messages were completed.
func (s *Scanner) Messages() uint64 { return s.messages }

// CloseCode returns the code of the Close frame, and whether one has come. A
// Close without a code counts as 1005 (RFC 6455 section 7.1.5). Any other
// value is what the peer wrote, valid or not.
func (s *Scanner) CloseCode() (code uint16, seen bool) {
	if !s.closed {
		return 0, false // half of it may have been read
	}
	return s.closeCode, true
}

// Digest returns 64 bits of the payload of the last Ping or Pong, masked or
// not: a Pong with the digest of the latest Ping answers it. It is no defence
// against a peer that wants two payloads with one digest. Own pongs that were
// dropped do not change it; before the first frame it is 0.
func (s *Scanner) Digest() uint64 { return s.digest }
