package frame

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	// headerBytesMax bounds a header: two bytes, a length of eight, a key.
	headerBytesMax = ws.MaxHeaderSize

	// headerBytesMin is a header without a longer length and without a key.
	headerBytesMin = ws.MinHeaderSize

	// keyBytes is the size of a masking key.
	keyBytes = 4

	// ownPayloadBytes is the payload of our pings, and so of their pongs.
	ownPayloadBytes = 8

	// keptBytesMax bounds what a Scanner holds back: an own pong, masked, but
	// for its last byte, which decides.
	keptBytesMax = headerBytesMin + keyBytes + ownPayloadBytes - 1

	// controlBytesMax bounds the payload of a control frame (RFC 6455
	// section 5.5).
	controlBytesMax = ws.MaxControlFramePayloadSize

	// reasonBytesMax bounds the reason of a Close: its code takes two bytes.
	reasonBytesMax = controlBytesMax - 2

	// scannerBytesMax bounds a Scanner. Every tunnel has two.
	scannerBytesMax = 56

	// heldBytesMax bounds what an Encoder holds back: a character but for its
	// last byte.
	heldBytesMax = utf8.UTFMax - 1

	// PrefixBytesMax bounds what goes before a chunk that an Encoder makes a
	// frame of: a header without a key, and what was held back.
	PrefixBytesMax = headerBytesMax - keyBytes + heldBytesMax

	// HeaderBytesMax bounds the header of a frame for a client.
	HeaderBytesMax = headerBytesMax - keyBytes

	// inflatedFree is how large a compressed message may be in any case where
	// messages have no bound. Beyond it, inflatedRatioMax bounds how many times as
	// large as what has come of it: text comes to 5 or 10, zeros would to 1,032.
	inflatedFree     = 16 << 20
	inflatedRatioMax = 64

	// What a compressed message may be larger than its bound before it is expanded:
	// an eighth, since there are encoders without stored blocks, and so many bytes.
	packedExcessShift = 3
	packedExcessBytes = 1 << 10

	// PongBytesMax bounds a Pong of ours to a client.
	PongBytesMax = headerBytesMin + controlBytesMax

	// codecBytesMax bounds a Decoder and an Encoder together: with them, an
	// endpoint's tunnel stays below 1,024 bytes.
	codecBytesMax = 256
)
