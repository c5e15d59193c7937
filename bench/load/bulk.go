package load

import (
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// sendBulk sends frames until the run stops. Each write waits until the
// kernel has taken the whole frame, so nothing queues here.
//
// It runs outside a netpoll handler: without one, netpoll leaves the buffers
// of a connection that the peer ended alone until Close.
func (t *tunnel) sendBulk() {
	err := t.feed(t.early)
	frames := t.run.upFrames
	for i := 0; err == nil && !t.run.in(stopping); i++ {
		if t.conn.Reader().Len() > 0 {
			if err = t.take(); err != nil {
				break
			}
		}
		if _, err = t.out.WriteBinary(frames[i%len(frames)]); err != nil {
			break
		}
		if err = t.out.Flush(); err == nil {
			t.run.count(1, int64(t.run.config.MessageBytes))
		}
	}
	if err == nil {
		err = t.sendClose()
	}
	t.finish(err)
}

// maskedFrames makes the frames all bulk senders repeat, each with a mask of
// its own: masking every frame anew would cost this process more than the
// proxy.
func maskedFrames(size int) [][]byte {
	frames := make([][]byte, upFrameCount)
	for i := range frames {
		h := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: int64(size), Mask: ws.NewMask()}
		head := ws.HeaderSize(h)
		b := make([]byte, head+size)
		wire.PutHeader(b, &h)
		for offset := 0; offset < size; {
			offset += copy(b[head+offset:], wire.Pattern(int64(offset), min(size-offset, wire.PatternChunkMax)))
		}
		ws.Cipher(b[head:], h.Mask, 0)
		frames[i] = b
	}
	return frames
}
