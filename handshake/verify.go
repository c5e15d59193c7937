package handshake

import (
	"errors"
	"io"

	"github.com/gobwas/ws"
)

// A Verifier asks gobwas/ws for a second opinion on the head that goes to the
// backend: a request that our own rules let pass, or that our own rewriting
// spoiled, is still not sent unless it is a WebSocket handshake to gobwas's
// Upgrader as well. That is how a Sec-WebSocket-Key nominated by Connection
// is caught.
//
// The Upgrader is built to block on a connection; over a complete head in
// memory it neither blocks nor leaves bytes behind. Keep one Verifier per
// loop. The zero value is ready.
type Verifier struct {
	head []byte // not yet read
}

// verified ends an accepted handshake before the Upgrader computes and writes
// an answer that nobody would read.
var verified = ws.RejectConnectionError(ws.RejectionStatus(400))

var verifyUpgrader = ws.Upgrader{
	ReadBufferSize:  verifyBufferBytes,
	OnBeforeUpgrade: func() (ws.HandshakeHeader, error) { return nil, verified },
}

// Verify returns nil when head, as written by AppendForward, is a WebSocket
// handshake to gobwas/ws, and RefusalVerify otherwise, whatever gobwas says:
// CheckWebSocket has given the precise answers before. It does
// not allocate once the Upgrader's pooled buffers are there, except for a
// line above verifyBufferBytes.
func (v *Verifier) Verify(head []byte) *Refusal {
	v.head = head
	_, err := verifyUpgrader.Upgrade(v)
	v.head = nil
	if errors.Is(err, verified) {
		return nil
	}
	return RefusalVerify
}

// Read gives the Upgrader the head; it is for the Upgrader alone.
func (v *Verifier) Read(p []byte) (int, error) {
	if len(v.head) == 0 {
		return 0, io.EOF
	}
	n := copy(p, v.head)
	v.head = v.head[n:]
	return n, nil
}

// Write discards the Upgrader's answer; it is for the Upgrader alone.
func (v *Verifier) Write(p []byte) (int, error) { return len(p), nil }
