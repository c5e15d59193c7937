package load

import (
	"errors"
	"fmt"

	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// A frameReader remembers where in the stream of frames a tunnel stands.
type frameReader struct {
	state ws.State // fragmented or not

	// The header being gathered, when its bytes came in pieces.
	partial      [ws.MaxHeaderSize]byte
	partialBytes int

	// The frame being read; inFrame is false between frames.
	header  ws.Header
	inFrame bool
	left    int64
	done    int64

	messageBytes int64 // of the frames before this one
	frames       int64 // data frames begun
	control      [ws.MaxControlFramePayloadSize]byte
}

// feed takes the bytes that came next, cut anywhere, checks them and reacts.
func (t *tunnel) feed(data []byte) error {
	f := &t.frames
	for len(data) > 0 {
		if t.ended {
			return errors.New("bytes behind a Close")
		}
		if !f.inFrame {
			n, err := f.readHeader(data)
			if err != nil || n == 0 {
				return err
			}
			data = data[n:]
			if err := ws.CheckHeader(f.header, f.state.Set(ws.StateClientSide)); err != nil {
				return err
			}
			f.inFrame, f.left, f.done = true, f.header.Length, 0
			if f.header.OpCode.IsData() || f.header.OpCode == ws.OpContinuation {
				f.frames++
			}
			if t.run.config.Endpoint && f.header.OpCode == ws.OpText {
				return errText
			}
		}
		n := int(min(int64(len(data)), f.left))
		if err := t.payload(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		f.left -= int64(n)
		f.done += int64(n)
		if f.left == 0 {
			f.inFrame = false
			if err := t.onFrame(); err != nil {
				return err
			}
		}
	}
	return nil
}

// readHeader decodes the next header and returns how many bytes of data it
// took, or 0 when data ended before the header did.
func (f *frameReader) readHeader(data []byte) (int, error) {
	if f.partialBytes == 0 {
		n, err := wire.ParseHeader(data, &f.header)
		if n == 0 && err == nil {
			f.partialBytes = copy(f.partial[:], data)
		}
		return n, err
	}
	before := f.partialBytes
	have := before + copy(f.partial[before:], data)
	n, err := wire.ParseHeader(f.partial[:have], &f.header)
	if n == 0 && err == nil {
		f.partialBytes = have
		return 0, nil
	}
	f.partialBytes = 0
	return n - before, err
}

// payload takes the next piece of the current frame's payload.
func (t *tunnel) payload(piece []byte) error {
	f := &t.frames
	switch {
	case f.header.OpCode.IsControl():
		copy(f.control[f.done:], piece)
	case t.run.config.Endpoint:
		return t.stream(piece)
	case t.echoes():
		return t.checkEcho(piece, f.messageBytes+f.done)
	case t.does == Down || t.does == Both:
		t.run.count(0, int64(len(piece)))
		if f.frames%contentEvery == 1 && !wire.IsPattern(piece, f.done) {
			return errors.New("bulk payload differs from what the source sends")
		}
	}
	return nil
}

// onFrame is called at the end of every frame.
func (t *tunnel) onFrame() error {
	f := &t.frames
	body := f.control[:min(f.done, int64(len(f.control)))]
	switch f.header.OpCode {
	case ws.OpPing:
		return t.sendControl(ws.OpPong, body)
	case ws.OpPong:
		return nil
	case ws.OpClose:
		return t.onClose(body)
	}
	f.state = f.state.Clear(ws.StateFragmented)
	f.messageBytes += f.done
	if !f.header.Fin {
		f.state = f.state.Set(ws.StateFragmented)
		return nil
	}
	size := f.messageBytes
	f.messageBytes = 0
	switch {
	case t.run.config.Endpoint: // counted as it came
	case t.echoes():
		return t.onEcho(size)
	case t.does == Down || t.does == Both:
		if size != int64(t.run.config.MessageBytes) {
			return fmt.Errorf("bulk frame of %d bytes, want %d", size, t.run.config.MessageBytes)
		}
		t.run.count(1, 0)
	}
	return nil
}

// echoes reports whether messages that come are answers to what was sent.
func (t *tunnel) echoes() bool {
	return t.does == Echo || t.does == Open || t.does == Churn || t.does == Storm || t.does == burst
}

// onClose answers a Close, which only who has sent one expects.
func (t *tunnel) onClose(body []byte) error {
	t.ended = true
	code, reason := ws.ParseCloseFrameData(body)
	if t.closeSent.Load() {
		if code != ws.StatusNormalClosure {
			return fmt.Errorf("close with 1000 answered with %d %s", code, reason)
		}
		return nil
	}
	t.closeSent.Store(true)
	if err := t.sendControl(ws.OpClose, body); err != nil {
		return err
	}
	return fmt.Errorf("closed by the peer: %d %s", code, reason)
}
