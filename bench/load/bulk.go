package load

import (
	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// startSender starts the goroutine that sends bulk. When the connection ends,
// netpoll frees its buffers only after the sender is gone.
func (t *tunnel) startSender() {
	t.sender = make(chan struct{})
	// Callbacks run in reverse order; netpoll's own, which frees the buffers,
	// was the first.
	_ = t.conn.AddCloseCallback(func(netpoll.Connection) error {
		<-t.sender
		return nil
	})
	go t.sendBulk()
}

// sendBulk sends frames until the run stops. Each write waits until the
// kernel has taken the whole frame, so nothing queues here.
//
// Of Up it also takes what comes back, so that such a tunnel needs no
// handler; of Both, and over TLS, a handler reads beside it.
func (t *tunnel) sendBulk() {
	err := t.sendFrames()
	if err == nil {
		err = t.sendClose()
	}
	if err == nil {
		err = t.sendAnswers()
	}
	close(t.sender)
	t.finish(err)
}

// senderReads reports whether the sender takes what comes back. Over TLS it cannot
// know that something came without waiting for it.
func (t *tunnel) senderReads() bool { return t.does == Up && t.run.security == nil }

func (t *tunnel) sendFrames() error {
	reads := t.senderReads()
	if reads {
		if err := t.feed(t.early); err != nil {
			return err
		}
	}
	frames := t.run.upFrames
	for i := 0; !t.run.in(stopping); i++ {
		if reads && t.conn.Reader().Len() > 0 {
			if err := t.take(); err != nil {
				return err
			}
		}
		if err := t.sendAnswers(); err != nil {
			return err
		}
		if _, err := t.out.WriteBinary(frames[i%len(frames)]); err != nil {
			return err
		}
		if err := t.out.Flush(); err != nil {
			return err
		}
		if t.run.in(measuring) {
			t.run.sent.Add(int64(t.run.config.MessageBytes))
			t.run.count(1, int64(t.run.config.MessageBytes))
		}
	}
	return nil
}

// sendAnswers sends the control frames that reading left behind.
func (t *tunnel) sendAnswers() error {
	t.mu.Lock()
	answers := t.answers
	t.answers = nil
	t.mu.Unlock()
	if len(answers) == 0 {
		return nil
	}
	if _, err := t.out.WriteBinary(answers); err != nil {
		return err
	}
	return t.out.Flush()
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
