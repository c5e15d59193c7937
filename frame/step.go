package frame

// A Step is what Next says about the first n bytes it was shown. The zero
// Step means: forward them, nothing ended with them.
type Step struct {
	Do    Action
	Event Event
}

// An Action is what the caller does with bytes.
type Action uint8

const (
	// Forward passes the n bytes on. n may be 0 with a Violation only.
	Forward Action = iota

	// Keep passes nothing on: the Scanner has copied the n bytes, which may
	// be the beginning of a pong of ours.
	Keep

	// Drop passes nothing on: what was kept and the n bytes are a pong of
	// ours.
	Drop

	// Release passes Kept on, which is no pong of ours. n is 0; the caller
	// shows the same bytes again.
	Release
)

// An Event is what ended exactly with the n bytes.
type Event uint8

const (
	// None means that no control frame ended.
	None Event = iota

	// Ping and Pong are those of the peer; Digest is that of their payload.
	Ping
	Pong

	// OwnPong is the answer to a ping of ours. It comes with Drop only.
	OwnPong

	// Close is a Close frame; CloseCode has its code.
	Close

	// Complete is the end of a compressed message. Only a Decoder says so.
	Complete

	// Violation means that the bytes after these do not go on as RFC 6455
	// allows. The direction is opaque from here on.
	Violation
)
