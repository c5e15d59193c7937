package frame

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A Coding says what the payload of data frames is to their endpoint.
type Coding uint8

const (
	// Binary is bytes as they are. Text of a client is still checked to be
	// UTF-8 (RFC 6455 section 8.1).
	Binary Coding = iota
	// Text is bytes that must be UTF-8, message by message.
	Text
	// Base64 is text in base64, message by message, as the subprotocol of that
	// name has it.
	Base64
)

// Bounds are the most that a client may send; 0 is no bound. They are compared
// with what a header announces, before its payload comes.
type Bounds struct {
	Message uint64 // bytes of payload, fragments together
	Frame   uint64
}

// A Decoder takes the frames of a client apart (RFC 6455 sections 5 to 8): what
// is in data frames is for somebody who speaks no WebSocket, and what control
// frames ask for is the caller's to answer.
//
// The caller shows it every byte of the direction, in order and in any pieces, by
// Next. What comes out does not depend on the pieces. It keeps nothing of what it
// is shown but what has come of a header, and of a control frame's payload.
//
// Headers are read by a Scanner, which is the caller's and says how many messages
// were completed and with which code the client closed.
type Decoder struct {
	frames *Scanner
	bounds Bounds
	coding Coding

	// The data message in progress.
	message uint64 // payload that its headers have announced
	key     uint32 // of the next byte of payload
	isText  bool
	text    text
	base64  base64Text
	packed  compressed

	failed  ws.StatusCode // why there was a Violation, or 0
	control [controlBytesMax]byte
}

// Init makes d ready for the first byte after the handshake. Scanner s is set up
// for that too.
func (d *Decoder) Init(s *Scanner, coding Coding, b Bounds) {
	s.Init(Rules{Masked: true})
	*d = Decoder{frames: s, coding: coding, bounds: b}
}

// Next looks at b, which follows what it was shown before, and returns how many
// bytes it took, the payload of a data frame among them, and what ended there. The
// payload was unmasked where it lies in b. Until n is len(b), the caller shows
// it b[n:].
//
// Payload of a compressed message comes as it is; see Compressed. Complete ends
// such a message. Ping, Pong and Close come with Control. With Violation, Status says what to
// close with; payload is what came before, and Next is not to be called again.
func (d *Decoder) Next(b []byte) (n int, payload []byte, event Event) {
	s := d.frames
	for n < len(b) {
		m, rest := 0, b[n:]
		switch s.state {
		case between:
			s.heldBytes, s.state = 0, header
		case header:
			m, event = s.readHeader(rest)
			if event == None && s.state != header && s.state != control {
				if event = d.begin(); event != None {
					return n + m, nil, event
				}
			}
		case control:
			at := int(uint64(s.held[1]&lengthBits) - s.remaining)
			m, event = s.readControl(rest)
			copy(d.control[at:], rest[:m])
		case data:
			m = int(min(s.remaining, uint64(len(rest))))
			payload, event = d.readData(rest[:m])
			return n + m, payload, event
		default:
			panic("frame: a Decoder was shown bytes behind a violation")
		}
		if n += m; event != None {
			return n, nil, d.ended(event)
		}
	}
	return n, nil, None
}

// Status is what a Close after a Violation is to say: 1002, 1007 or 1009 (RFC
// 6455 section 7.4.1).
func (d *Decoder) Status() ws.StatusCode { return d.failed }

// Control returns the payload of the control frame that just ended, unmasked. It
// is valid until the next call of Next.
func (d *Decoder) Control() []byte { return d.control[:d.frames.held[1]&lengthBits] }

// fail gives the direction up.
func (d *Decoder) fail(code ws.StatusCode) Event {
	d.failed = code
	d.frames.Lose()
	return Violation
}

// begin enters the data frame whose header was read, and may be its end too.
func (d *Decoder) begin() Event {
	s := d.frames
	size := headerBytes(s.held[1])
	d.key = binary.LittleEndian.Uint32(s.held[size-keyBytes:])
	if opcode := ws.OpCode(s.held[0] & opcodeBits); opcode != ws.OpContinuation {
		d.message, d.isText = 0, opcode == ws.OpText
		d.text, d.base64 = text{}, base64Text{}
		d.packed = compressed{is: s.held[0]&compressedBit != 0}
	}
	most := d.announcedMost()
	if d.bounds.Frame > 0 && s.remaining > d.bounds.Frame || most > 0 && s.remaining > most-d.message {
		return d.fail(ws.StatusMessageTooBig)
	}
	if most > 0 {
		d.message += s.remaining
	}
	if s.state == between {
		return d.endFrame()
	}
	return None
}

// readData takes payload, at most to the end of the frame.
func (d *Decoder) readData(b []byte) (payload []byte, event Event) {
	s := d.frames
	d.key = unmask(b, d.key)
	if d.packed.is {
		payload = b
		d.packed.came += uint64(len(b))
	} else {
		var ok bool
		if payload, ok = d.content(b); !ok {
			return payload, d.fail(ws.StatusInvalidFramePayloadData)
		}
	}
	if s.remaining -= uint64(len(b)); s.remaining > 0 {
		return payload, None
	}
	s.complete()
	return payload, d.endFrame()
}

// content checks and decodes b in place, and returns what came before the first
// byte that must not be there, and whether that is all.
func (d *Decoder) content(b []byte) (payload []byte, ok bool) {
	switch {
	case d.coding == Base64:
		return d.base64.take(b)
	case d.isText:
		n, whole := d.text.take(b)
		return b[:n], whole
	}
	return b, true
}

// endFrame judges whether the message may be over where its last frame says so.
func (d *Decoder) endFrame() Event {
	switch {
	case !d.frames.last:
		return None
	case d.packed.is:
		return Complete
	case !d.whole():
		return d.fail(ws.StatusInvalidFramePayloadData)
	}
	return None
}

// whole reports whether the content may end here.
func (d *Decoder) whole() bool { return d.text.due == 0 && d.base64.whole() }

// ended returns the event of a control frame, once its payload was judged.
func (d *Decoder) ended(event Event) Event {
	if event == Violation {
		return d.fail(ws.StatusProtocolError)
	}
	payload := d.Control()
	unmask(payload, binary.LittleEndian.Uint32(d.frames.held[keyAt:]))
	if event != Close || len(payload) == 0 {
		return event
	}
	code, _ := d.frames.CloseCode()
	switch {
	case !MayWrite(ws.StatusCode(code)):
		return d.fail(ws.StatusProtocolError)
	case !utf8.Valid(payload[2:]):
		return d.fail(ws.StatusInvalidFramePayloadData)
	}
	return event
}
