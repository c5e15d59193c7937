package frame

import "github.com/gobwas/ws"

const (
	// compressedBit is RSV1 of the first frame of a message: its payload is
	// compressed (RFC 7692 section 6).
	compressedBit = 0x40

	// deflateBit among the rules of a Scanner says that this was agreed on.
	deflateBit = 0x01
)

// compressed is what a Decoder knows of the message in progress, if it is one.
type compressed struct {
	came     uint64 // payload
	expanded uint64 // what the caller has made of it
	is       bool
}

// AcceptCompressed lets messages be compressed, as permessage-deflate has it. It
// is called after Init.
//
// The caller of Next expands them. While Compressed says so, it gives what Next
// returns to an inflater, and what comes out of that to Expanded. Complete comes
// with the last payload of the message, which may be nothing.
func (d *Decoder) AcceptCompressed() { d.frames.rules |= deflateBit }

// Compressed reports whether the payload that Next has just returned is of a
// compressed message.
func (d *Decoder) Compressed() bool { return d.packed.is }

// Expanded looks at b, which a piece of a compressed message became, and decodes it
// in place; last says that the message ends with it. Where ok is false, Status says
// what to close with, payload is what came before, and Next is not to be called
// again.
func (d *Decoder) Expanded(b []byte, last bool) (payload []byte, ok bool) {
	most := d.bounds.Message
	if most == 0 {
		most = max(inflatedFree, d.packed.came*inflatedRatioMax)
	}
	// Of two things that are wrong, the first byte counts.
	within := b[:min(uint64(len(b)), most-d.packed.expanded)]
	d.packed.expanded += uint64(len(within))
	payload, ok = d.content(within)
	switch {
	case ok && len(within) < len(b):
		d.fail(ws.StatusMessageTooBig)
		return payload, false
	case !ok || last && !d.whole():
		d.fail(ws.StatusInvalidFramePayloadData)
		return payload, false
	}
	return payload, true
}

// Unexpandable gives the direction up because a compressed message is none. Status
// is 1007 then: what the frames hold is not what they say.
func (d *Decoder) Unexpandable() { d.fail(ws.StatusInvalidFramePayloadData) }

// mayCompress reports whether a frame may begin a compressed message: a fragment
// that goes on, or a control frame, has no such bit (RFC 7692 section 6.1).
func (s *Scanner) mayCompress(opcode ws.OpCode) bool {
	return s.rules&deflateBit != 0 && (opcode == ws.OpText || opcode == ws.OpBinary)
}

// announcedMost returns how much payload the headers of the message in progress may
// announce; 0 is no bound.
func (d *Decoder) announcedMost() uint64 {
	most := d.bounds.Message
	if most > 0 && d.packed.is {
		most += most>>packedExcessShift + packedExcessBytes
	}
	return most
}
