package handshake

import "errors"

// A BodyKind says how the end of a message body is found.
type BodyKind uint8

const (
	BodyNone       BodyKind = iota // there is no body
	BodyLength                     // Content-Length
	BodyChunked                    // Transfer-Encoding: chunked
	BodyUntilClose                 // the connection's end is the body's
)

// Errors of Body.Scan. The message cannot be completed; close both sides.
var (
	ErrChunkSize = errors.New("handshake: scan body: malformed or overlong chunk size")
	ErrChunkEnd  = errors.New("handshake: scan body: no CRLF after a chunk")
	ErrTrailer   = errors.New("handshake: scan body: malformed or overlong trailer")
)

// A Body counts a message body as it passes through. Request.Body and
// Response.Body make it; the zero value is no body at all.
type Body struct {
	kind   BodyKind
	state  bodyState
	digits uint8  // of the chunk size, so far
	line   uint16 // bytes of the chunk-size line, or of the trailer section
	remain int64  // bytes of data still to come, of the body or the chunk
	excess int64  // chunk framing beyond its allowance; see chunkExcessBytesMax
}

// A bodyState is where in a chunked body (RFC 9112 section 7.1) we are:
// which byte comes next.
type bodyState uint8

const (
	chunkSize     bodyState = iota // a digit of the size, ';' or CR
	chunkExt                       // a byte of a chunk extension, or CR
	chunkSizeLF                    // the LF of the size line
	chunkData                      // remain bytes of data
	chunkDataCR                    // the CR after the data
	chunkDataLF                    // the LF after the data
	trailerStart                   // the first byte of a trailer line
	trailerName                    // a byte of a trailer's name, or ':'
	trailerValue                   // a byte of a trailer's value, or CR
	trailerLF                      // the LF of a trailer line
	trailerLastLF                  // the LF of the empty line
	bodyDone                       // nothing: the body is complete
)

// Kind says how the end of the body is found.
func (b *Body) Kind() BodyKind { return b.kind }

// Length returns the bytes still to come of a BodyLength, 0 for others.
func (b *Body) Length() int64 {
	if b.kind == BodyLength {
		return b.remain
	}
	return 0
}

// Scan looks at p, the bytes that come next on the connection. The first n of
// them belong to the body; once it is done, the rest does not. The verdict
// does not depend on how the bytes are split, and nothing is kept but counts.
// A BodyUntilClose is never done.
//
// Chunked framing is held to RFC 9112 section 7.1 to the letter: no bare LF,
// no white space, bounded lines. The bytes are to be passed on as they are.
func (b *Body) Scan(p []byte) (n int, done bool, err error) {
	switch b.kind {
	case BodyNone:
		return 0, true, nil
	case BodyUntilClose:
		return len(p), false, nil
	case BodyLength:
		n = int(min(b.remain, int64(len(p))))
		b.remain -= int64(n)
		return n, b.remain == 0, nil
	}
	for n < len(p) && b.state != bodyDone {
		if b.state == chunkData {
			k := int(min(b.remain, int64(len(p)-n)))
			n += k
			if b.remain -= int64(k); b.remain == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		if err = b.step(p[n]); err != nil {
			return n, false, err
		}
		n++
	}
	return n, b.state == bodyDone, nil
}

// step takes one byte of chunk framing.
func (b *Body) step(c byte) error {
	switch b.state {
	case chunkSize, chunkExt:
		return b.stepSize(c)
	case chunkSizeLF:
		if c != '\n' {
			return ErrChunkSize
		}
		return b.beginChunk()
	case chunkDataCR:
		if c != '\r' {
			return ErrChunkEnd
		}
		b.state = chunkDataLF
		return nil
	case chunkDataLF:
		if c != '\n' {
			return ErrChunkEnd
		}
		b.state, b.digits, b.line = chunkSize, 0, 0
		return nil
	}
	return b.stepTrailer(c)
}

// stepSize takes a byte of the line `chunk-size [chunk-ext] CR`.
func (b *Body) stepSize(c byte) error {
	if b.line++; b.line > chunkLineBytesMax {
		return ErrChunkSize
	}
	switch {
	case c == '\r' && b.digits > 0:
		b.state = chunkSizeLF
	case b.state == chunkExt:
		if c < 0x20 && c != '\t' || c == 0x7f {
			return ErrChunkSize
		}
	case byteClasses[c]&classHex != 0 && b.digits < chunkDigitsMax:
		b.digits++
		b.remain = b.remain<<4 | int64(unhex(c))
	case c == ';' && b.digits > 0:
		b.state = chunkExt
	default:
		return ErrChunkSize
	}
	return nil
}

// beginChunk is called at the end of a size line.
func (b *Body) beginChunk() error {
	// b.line counts the CR; the data's CRLF is overhead as well.
	b.excess = max(0, b.excess+int64(b.line)-1+2-16-2*b.remain)
	if b.excess > chunkExcessBytesMax {
		return ErrChunkSize
	}
	b.state = chunkData
	if b.remain == 0 {
		b.state, b.line = trailerStart, 0
	}
	return nil
}

// stepTrailer takes a byte of the trailer section, which has the grammar of a
// header section (RFC 9112 section 7.1.2).
func (b *Body) stepTrailer(c byte) error {
	if b.line++; b.line > trailerBytesMax {
		return ErrTrailer
	}
	isName := byteClasses[c]&classToken != 0
	switch b.state {
	case trailerStart:
		switch {
		case c == '\r':
			b.state = trailerLastLF
		case isName:
			b.state = trailerName
		default:
			return ErrTrailer
		}
	case trailerName:
		switch {
		case c == ':':
			b.state = trailerValue
		case !isName:
			return ErrTrailer
		}
	case trailerValue:
		switch {
		case c == '\r':
			b.state = trailerLF
		case c < 0x20 && c != '\t' || c == 0x7f:
			return ErrTrailer
		}
	default: // trailerLF, trailerLastLF
		if c != '\n' {
			return ErrTrailer
		}
		if b.state == trailerLF {
			b.state = trailerStart
		} else {
			b.state = bodyDone
		}
	}
	return nil
}
