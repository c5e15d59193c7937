package echo

import (
	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// A frameReader remembers where in the stream of frames a session stands.
type frameReader struct {
	state ws.State // fragmented or not

	// The header being gathered, when its bytes came in pieces.
	partial      [ws.MaxHeaderSize]byte
	partialBytes int

	// The frame whose payload is being read; left is 0 between frames.
	header ws.Header
	left   int64
	done   int64 // payload bytes seen; the position in the mask

	messageBytes int64
	control      [ws.MaxControlFramePayloadSize]byte
}

// copyBytesMax is the largest payload copied beside its header; netpoll sends
// a larger one from where it was received.
const copyBytesMax = 4 << 10

// feedFrames takes the bytes that came next, cut anywhere, and queues the
// answers. data is unmasked in place and may be referred to by the output
// until the next flush.
func (s *session) feedFrames(data []byte) error {
	f := &s.frames
	for len(data) > 0 && s.phase == readingFrames {
		if f.left == 0 {
			n, err := f.readHeader(data)
			if err == nil && n == 0 {
				return nil // all of data is in partial
			}
			if err == nil {
				err = ws.CheckHeader(f.header, f.state.Set(ws.StateServerSide))
			}
			if err != nil {
				return s.fail(ws.StatusProtocolError, err.Error())
			}
			data = data[n:]
			if data, err = s.startFrame(data); err != nil {
				return err
			}
			continue
		}
		n := int(min(int64(len(data)), f.left))
		if err := s.payload(data[:n]); err != nil {
			return err
		}
		data = data[n:]
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

// startFrame begins the frame whose header was read, and finishes it at once
// when its payload is short and already in data. It returns what is left.
func (s *session) startFrame(data []byte) ([]byte, error) {
	f := &s.frames
	f.left, f.done = f.header.Length, 0
	if f.header.OpCode.IsControl() {
		if f.left == 0 {
			return data, s.onControl(nil)
		}
		return data, nil
	}
	if f.header.OpCode != ws.OpContinuation {
		f.messageBytes = 0
	}
	if f.header.Length > messageBytesMax-f.messageBytes {
		return data, s.fail(ws.StatusMessageTooBig, "")
	}
	f.messageBytes += f.header.Length
	f.state = f.state.Clear(ws.StateFragmented)
	if !f.header.Fin {
		f.state = f.state.Set(ws.StateFragmented)
	}
	if s.options.Mode != Echo {
		return data, nil
	}
	// Our header goes out as soon as theirs is complete: the payload follows
	// piece by piece, so the length of a message is nothing we hold.
	h := f.header
	h.Masked = false
	whole := h.Length <= copyBytesMax && h.Length <= int64(len(data))
	if !whole {
		return data, s.writeFrame(h, nil)
	}
	n := int(h.Length)
	f.left = 0
	payload, err := copyFrame(s.out, h, data[:n])
	ws.Cipher(payload, f.header.Mask, 0)
	return data[n:], err
}

// payload takes the next piece of the current frame's payload.
func (s *session) payload(piece []byte) error {
	f := &s.frames
	offset := f.done
	f.done += int64(len(piece))
	f.left -= int64(len(piece))
	if f.header.OpCode.IsControl() {
		copy(f.control[offset:], piece)
		if f.left > 0 {
			return nil
		}
		body := f.control[:f.done]
		ws.Cipher(body, f.header.Mask, 0)
		return s.onControl(body)
	}
	if s.options.Mode != Echo {
		return nil
	}
	ws.Cipher(piece, f.header.Mask, int(offset%4))
	_, err := s.out.WriteBinary(piece)
	return err
}

// onControl answers a complete control frame.
func (s *session) onControl(body []byte) error {
	switch s.frames.header.OpCode {
	case ws.OpPing:
		return s.writeFrame(ws.Header{Fin: true, OpCode: ws.OpPong, Length: int64(len(body))}, body)
	case ws.OpPong:
		return nil
	}
	if len(body) == 0 {
		return s.sendClose(nil)
	}
	if len(body) == 1 {
		return s.fail(ws.StatusProtocolError, "close body of one byte")
	}
	code, reason := ws.ParseCloseFrameData(body)
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return s.fail(ws.StatusProtocolError, err.Error())
	}
	return s.sendClose(body)
}

// writeFrame queues an unmasked header and a body of at most copyBytesMax.
func (s *session) writeFrame(h ws.Header, body []byte) error {
	_, err := copyFrame(s.out, h, body)
	return err
}

// copyFrame queues h and a copy of body, and returns the copy, which may be
// changed until the next flush.
func copyFrame(out netpoll.Writer, h ws.Header, body []byte) ([]byte, error) {
	size := ws.HeaderSize(h)
	buf, err := out.Malloc(size + len(body))
	if err != nil {
		return nil, err
	}
	wire.PutHeader(buf, &h)
	copy(buf[size:], body)
	return buf[size:], nil
}
