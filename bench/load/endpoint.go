package load

import (
	"errors"

	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// endpointProtocol is the subprotocol under which endpoints of every make send
// binary messages.
const endpointProtocol = "binary"

// protocol returns the subprotocol to offer, or nothing.
func (c *Config) protocol() string {
	if c.Endpoint {
		return endpointProtocol
	}
	return ""
}

// A byteStream remembers where a tunnel stands in what an endpoint sends: one
// frame of Config.MessageBytes after the other, cut into messages anywhere.
type byteStream struct {
	done   int64 // of the frame that is coming
	frames int64 // before it
}

var errText = errors.New("text, where binary was asked for")

// stream takes the payload that came next.
func (t *tunnel) stream(piece []byte) error {
	s, size := &t.bytes, int64(t.run.config.MessageBytes)
	for len(piece) > 0 {
		n := min(int64(len(piece)), size-s.done)
		if err := t.streamPiece(piece[:n], s.done, s.frames%contentEvery == 0); err != nil {
			return err
		}
		piece = piece[n:]
		if s.done += n; s.done < size {
			continue
		}
		s.done = 0
		s.frames++
		if err := t.streamFrame(size); err != nil {
			return err
		}
	}
	return nil
}

// streamPiece takes a part of a frame.
func (t *tunnel) streamPiece(piece []byte, offset int64, compare bool) error {
	if t.echoes() {
		return t.checkEcho(piece, offset)
	}
	if t.does != Down {
		return errors.New("bytes that nobody asked for")
	}
	t.run.count(0, int64(len(piece)))
	if compare && !wire.IsPattern(piece, offset) {
		return errors.New("bulk payload differs from what the source sends")
	}
	return nil
}

// streamFrame is called at the end of a frame.
func (t *tunnel) streamFrame(size int64) error {
	if t.echoes() {
		return t.onEcho(size)
	}
	t.run.count(1, 0)
	return nil
}

// sendWakeUp sends a message of one byte.
func (t *tunnel) sendWakeUp() error { return t.sendControl(ws.OpBinary, []byte{0}) }
