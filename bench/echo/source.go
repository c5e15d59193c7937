package echo

import (
	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// runSource sends frames until Options.TotalBytes are sent or the session
// ends, answering the client between frames. What it queues is bounded by one
// write: each flush waits until the kernel has taken all of it.
func (s *session) runSource() error {
	frame := s.options.FrameBytes
	perWrite := max(1, sourceWriteBytes/frame)
	total := s.options.TotalBytes
	for sent := int64(0); s.phase == readingFrames; {
		if s.conn.Reader().Len() > 0 {
			if err := s.take(); err != nil {
				return err
			}
			continue
		}
		if total > 0 && sent >= total {
			if err := s.fail(ws.StatusNormalClosure, ""); err != nil {
				return err
			}
			if err := s.out.Flush(); err != nil {
				return err
			}
			s.startLinger()
			return nil
		}
		for i := 0; i < perWrite && (total == 0 || sent < total); i++ {
			if err := s.writeFrameOrBytes(frame); err != nil {
				return err
			}
			sent += int64(frame)
		}
		if err := s.out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// writeFrameOrBytes queues one frame, or what would be in it.
func (s *session) writeFrameOrBytes(frame int) error {
	if s.options.Raw {
		return writeSourceBytes(s.out, frame)
	}
	return writeSourceFrame(s.out, frame)
}

// writeSourceFrame queues one frame, see writeSourceBytes.
func writeSourceFrame(out netpoll.Writer, frame int) error {
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(frame)}
	if _, err := copyFrame(out, h, nil); err != nil {
		return err
	}
	return writeSourceBytes(out, frame)
}

// writeSourceBytes queues the payload of one frame, flushing on the way where it
// is larger than what one write may hold.
func writeSourceBytes(out netpoll.Writer, frame int) error {
	for offset := 0; offset < frame; {
		n := min(frame-offset, wire.PatternChunkMax)
		if _, err := out.WriteBinary(wire.Pattern(int64(offset), n)); err != nil {
			return err
		}
		offset += n
		if offset < frame {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
