package handshake

import (
	"encoding/binary"
	"math/bits"
)

// A fault is what is wrong with the grammar of a head, before it is known
// whether the head is a client's (400) or a backend's (502).
type fault uint8

const (
	faultNone fault = iota
	faultEmptyLine
	faultLineEnding
	faultControl
	faultIncomplete
	faultFold
	faultName
	faultTooMany
	faultConnection
	numFaults
)

var requestFaults = [numFaults]*Refusal{
	faultEmptyLine:  RefusalEmptyLine,
	faultLineEnding: RefusalLineEnding,
	faultControl:    RefusalControlByte,
	faultIncomplete: RefusalHeadIncomplete,
	faultFold:       RefusalFold,
	faultName:       RefusalFieldName,
	faultTooMany:    RefusalTooManyFields,
	faultConnection: RefusalConnection,
}

var responseFaults = [numFaults]*Refusal{
	faultEmptyLine:  RefusalBadAnswer,
	faultLineEnding: RefusalBadAnswer,
	faultControl:    RefusalBadAnswer,
	faultIncomplete: RefusalBadAnswer,
	faultFold:       RefusalBadAnswer,
	faultName:       RefusalBadAnswer,
	faultTooMany:    RefusalAnswerTooLarge,
	faultConnection: RefusalBadAnswer,
}

// A HeadScanner finds the end of a head that arrives in pieces. The zero
// value is ready; assign HeadScanner{} to begin another head. It looks at
// each byte once, however small the pieces, and its verdict does not depend
// on how the bytes were split (TestScanSplits).
//
// It is stricter than RFC 9112 section 2.2 where that allows a recipient to
// be lenient: a bare LF does not end a line, and an empty line before the
// request line is refused.
type HeadScanner struct {
	looked uint32 // bytes of the head that need no second look
}

// Scan looks at b, all bytes received so far of a request head; the part an
// earlier call saw must be unchanged. It returns the length of the head once
// its final CRLFCRLF is there, or 0 when more is needed, or a refusal (400)
// as soon as the bytes prove that the head is malformed.
func (s *HeadScanner) Scan(b []byte) (n int, refusal *Refusal) {
	n, f := s.scan(b)
	return n, requestFaults[f]
}

// ScanResponse is Scan for the head of a backend's answer; it refuses with
// 502.
func (s *HeadScanner) ScanResponse(b []byte) (n int, refusal *Refusal) {
	n, f := s.scan(b)
	return n, responseFaults[f]
}

func (s *HeadScanner) scan(b []byte) (n int, f fault) {
	i := int(s.looked)
	if i == 0 && len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		return 0, faultEmptyLine
	}
	for {
		i = skipText(b, i)
		if i == len(b) {
			break
		}
		switch b[i] {
		case '\t':
			i++
			continue
		case '\r':
		case '\n':
			return 0, faultLineEnding
		default:
			return 0, faultControl
		}
		if i+1 == len(b) {
			break // the LF is still to come: look at the CR again
		}
		if b[i+1] != '\n' {
			return 0, faultLineEnding
		}
		// Two bytes back there is always something: b[0] is no CR.
		if b[i-1] == '\n' {
			return i + 2, faultNone
		}
		i += 2
	}
	s.looked = uint32(i)
	return 0, faultNone
}

// endsHead reports whether b ends as a head does, with a first line before.
func endsHead(b []byte) bool {
	n := len(b) - len("\r\n\r\n")
	return n > 0 && string(b[n:]) == "\r\n\r\n"
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// skipText returns the index of the first byte of b, from i on, that is a
// control byte (below 0x20, or DEL), or len(b). It looks at eight bytes at a
// time, since heads are nearly all text.
func skipText(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		del := w ^ 0x7f*everyByte
		// A borrow can only mark bytes above one that is rightly marked, so
		// the lowest mark is true.
		marks := ((w-0x20*everyByte)&^w | (del-everyByte)&^del) & highBits
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == 0x7f {
			break
		}
	}
	return i
}
