package echo

import (
	"bytes"
	"context"
	"net/http"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"
)

// A phase is how far a session has come. It only ever moves forward.
type phase uint8

const (
	readingHead   phase = iota // the upgrade request is incomplete; raw: nothing came yet
	readingFrames              // the tunnel is open
	ending                     // our last byte is sent; input is discarded
)

// A session is one connection. Every byte received is pushed through feed as
// it comes, so a session that waits holds no goroutine.
//
// It serves as its connection's context.Context because that is what netpoll
// hands back to the handler.
type session struct {
	context.Context
	options *Options
	conn    netpoll.Connection
	out     netpoll.Writer
	phase   phase

	// readingHead
	head      []byte // what came, while the head is incomplete
	headTimer *time.Timer

	// readingFrames
	frames frameReader
	duplex *duplexSource // of a Duplex, once the tunnel is open

	// ending
	lingerTimer *time.Timer
}

func newSession(o *Options, conn netpoll.Connection) *session {
	return &session{Context: context.Background(), options: o, conn: conn, out: conn.Writer()}
}

// onRequest takes what has been received. netpoll calls it again while input
// is left.
func onRequest(ctx context.Context, conn netpoll.Connection) error {
	s := ctx.(*session)
	opening := s.phase == readingHead
	if err := s.take(); err != nil {
		return conn.Close()
	}
	if !opening || s.phase != readingFrames {
		return nil
	}
	switch s.options.Mode {
	case Source:
		// The source runs inside the handler: only there does netpoll keep
		// the connection's buffers from being freed under a writer.
		if err := s.runSource(); err != nil {
			return conn.Close()
		}
	case Duplex:
		s.startDuplex()
	}
	return nil
}

// take feeds at most readBytesMax of the input to the session, and sends what
// that produced. It blocks while the client does not read. An error means
// that the connection is of no more use.
func (s *session) take() error {
	in := s.conn.Reader()
	n := min(in.Len(), readBytesMax)
	data, err := in.Next(n)
	if err != nil {
		return err
	}
	if err := s.feed(data); err != nil {
		return err
	}
	// The output may refer to the input's memory: flush, then release.
	if s.out.MallocLen() > 0 {
		if err := s.out.Flush(); err != nil {
			return err
		}
	}
	switch {
	case s.duplex != nil:
		s.duplex.leave(s.phase == ending)
	case s.phase == ending && s.lingerTimer == nil:
		s.startLinger()
	}
	return in.Release()
}

// feed takes the bytes that came next, cut anywhere.
func (s *session) feed(data []byte) error {
	if s.options.Raw {
		return s.feedRaw(data)
	}
	if s.phase == readingHead {
		var err error
		if data, err = s.feedHead(data); err != nil {
			return err
		}
	}
	if s.phase == readingFrames {
		return s.feedFrames(data)
	}
	return nil
}

// feedHead gathers the head, answers it when it is complete, and returns what
// came behind it.
func (s *session) feedHead(data []byte) (rest []byte, err error) {
	searched := max(0, len(s.head)-len("\r\n\r"))
	head := data
	if len(s.head) > 0 {
		s.head = append(s.head, data...)
		head = s.head
	}
	end := bytes.Index(head[searched:], []byte("\r\n\r\n"))
	complete := end >= 0
	if !complete && len(head) < headBytesMax {
		if len(s.head) == 0 {
			s.head = bytes.Clone(data)
		}
		return nil, nil
	}
	end += searched + len("\r\n\r\n")
	s.headTimer.Stop()
	s.head = nil

	var response []byte
	ok := false
	if !complete || end > headBytesMax {
		response = respond(http.StatusRequestHeaderFieldsTooLarge, "head too long")
	} else {
		response, ok = upgrade(head[:end])
	}
	if _, err := s.out.WriteBinary(response); err != nil {
		return nil, err
	}
	if !ok {
		s.phase = ending
		return nil, nil
	}
	s.phase = readingFrames
	return head[end:], nil
}

// sendClose queues our Close frame and ends the session. An empty body is a
// Close without a code.
func (s *session) sendClose(body []byte) error {
	s.phase = ending
	return s.writeFrame(ws.Header{Fin: true, OpCode: ws.OpClose, Length: int64(len(body))}, body)
}

// fail ends the session with a Close frame that carries code.
func (s *session) fail(code ws.StatusCode, reason string) error {
	body := make([]byte, 2, 2+len(reason))
	body = append(body, reason...)
	ws.PutCloseFrameBody(body, code, reason)
	return s.sendClose(body)
}

// startLinger sends a FIN behind what is flushed and gives the client
// lingerTimeout to send its own. Closing at once would reset a client that
// still sends, and the reset would destroy our Close frame on its way.
func (s *session) startLinger() {
	if c, ok := s.conn.(netpoll.Conn); ok {
		_ = syscall.Shutdown(c.Fd(), syscall.SHUT_WR)
	}
	s.lingerTimer = time.AfterFunc(lingerTimeout, func() { _ = s.conn.Close() })
}

// closed releases what outlives the connection; no handler runs beside it.
func (s *session) closed() {
	s.headTimer.Stop()
	if s.lingerTimer != nil {
		s.lingerTimer.Stop()
	}
}
