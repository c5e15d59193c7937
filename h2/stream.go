package h2

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"wsplice/internal/sys"
)

// A stream is one request (RFC 9113 section 5), and its connection to the proxy.
//
//	request   answer   state of section 5.1    becomes closed when
//	begun     begun    open                    reset
//	ended     begun    half-closed (remote)    the answer has ended, or reset
//	begun     ended    half-closed (local)     at once, by a reset, unless it is a tunnel's; else the client ends it
//	ended     ended    closed                  it is
//
// A goroutine of its own brings the answer: serve. What the client sends goes to the
// socket as it is read; what does not fit waits in pending, which the stream's window
// bounds, and another goroutine, flush, brings it on.
type stream struct {
	conn    *conn
	id      uint32
	request *request
	dead    atomic.Bool // closed: nothing is sent any more

	// Guarded by conn.mu.
	window     int64 // bytes of DATA that the client takes
	received   int64 // bytes of DATA that the client may still send
	owed       int64 // bytes of DATA that were used, and the client not told of
	endedHere  bool  // or is about to be: the client counts its streams by that
	endedThere bool
	waiting    bool      // for a window
	changed    sync.Cond // window is open, or dead

	bodyLeft int64 // of the content-length; the reader's

	mu       sync.Mutex
	entrance *Entrance
	file     *os.File // of the entrance
	ready    bool     // the head is out: what follows may go
	short    []byte   // of what a send went short of
	pending  []byte   // behind it, DATA as it came: frames may be far smaller than what makes a chunk
	tail     []byte   // behind that, the end of a body in chunks
	credits  int      // bytes of DATA in short and pending
	flushing bool
	ended    bool // nothing comes behind pending
	ignored  bool // nobody reads what the client still sends
	closed   bool // the file is
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// onHeaders begins a request, or ends one with its trailer.
func (c *conn) onHeaders(f *http2.MetaHeadersFrame) error {
	c.mu.Lock()
	s := c.streams[f.StreamID]
	c.mu.Unlock()
	if s != nil {
		return s.onTrailer(f)
	}
	r, err := c.parse(f)
	if f.HasPriority() && f.Priority.StreamDep == f.StreamID {
		err = streamError(f.StreamID, http2.ErrCodeProtocol)
	}
	if s, err = c.admit(f, r, err); s == nil {
		return err
	}
	c.group.Add(1)
	go func() {
		defer c.group.Done()
		s.serve()
	}()
	return nil
}

// admit takes up a stream, whose number is used even if its request is malformed. It
// may have been too late for that: then there is neither a stream nor an error. All
// is done at once, so that GOAWAY tells the truth.
func (c *conn) admit(f *http2.MetaHeadersFrame, r *request, malformed error) (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := f.StreamID
	switch fate := c.fateOf(id); {
	case fate == fateLate:
		return nil, c.vain.take()
	case fate == fateOver, id%2 == 0:
		return nil, protocolError // section 5.1.1
	}
	c.lastID = id
	switch {
	case malformed != nil:
		return nil, malformed
	case len(c.streams) >= streamsMax && c.underWay() >= streamsMax, len(c.streams) >= streamsKept:
		return nil, streamError(id, http2.ErrCodeRefusedStream)
	}
	s := &stream{
		conn: c, id: id, request: r, window: c.initial, received: streamWindow, bodyLeft: r.length,
		ended: f.StreamEnded(), endedThere: f.StreamEnded(),
	}
	s.changed.L = &c.mu
	c.streams[id] = s
	c.updates += updatesPerFrame
	c.idle.Stop()
	return s, nil
}

// underWay returns how many streams there are for the client. It is called with mu
// held.
func (c *conn) underWay() (n int) {
	for _, s := range c.streams {
		if over := s.endedHere && s.endedThere; !over && !s.dead.Load() {
			n++
		}
	}
	return n
}

// onTrailer takes what follows the body (section 8.1).
func (s *stream) onTrailer(f *http2.MetaHeadersFrame) error {
	_, ok := readFields(f.RegularFields())
	switch {
	case s.ended:
		return streamError(s.id, http2.ErrCodeStreamClosed)
	case s.request.websocket, // section 8.5: DATA, and nothing else
		!ok, s.conn.tooLarge(f), !f.StreamEnded(), len(f.PseudoFields()) > 0, s.bodyLeft > 0:
		return streamError(s.id, http2.ErrCodeProtocol)
	}
	s.push(nil, s.request.end(f.RegularFields()), true)
	return nil
}

// onData takes part of a body, or of what goes through a tunnel.
func (c *conn) onData(f *http2.DataFrame) error {
	n, data := int(f.Length), f.Data()
	c.mu.Lock()
	s, fate := c.streams[f.StreamID], c.fateOf(f.StreamID)
	c.received -= int64(n)
	over := c.received < 0
	overStream := false
	if s != nil {
		s.received -= int64(n)
		overStream = s.received < 0
	}
	c.mu.Unlock()
	switch {
	case over:
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	case s == nil && fate == fateIdle:
		return protocolError
	case s == nil || s.ended || overStream:
		c.credit(nil, n)
		if s == nil && fate == fateLate {
			return c.wasVain(data)
		}
		code := http2.ErrCodeStreamClosed
		if overStream {
			code = http2.ErrCodeFlowControl
		}
		return streamError(f.StreamID, code)
	}
	if s.bodyLeft >= 0 {
		s.bodyLeft -= int64(len(data))
		if s.bodyLeft < 0 || f.StreamEnded() && s.bodyLeft > 0 { // section 8.1.1
			c.credit(nil, n)
			return streamError(s.id, http2.ErrCodeProtocol)
		}
	}
	c.credit(s, n-len(data)) // the padding
	s.take(data, f.StreamEnded())
	if f.StreamEnded() {
		return nil
	}
	return c.wasVain(data)
}

// wasVain counts DATA that has none.
func (c *conn) wasVain(data []byte) error {
	if len(data) > 0 {
		return nil
	}
	return c.vain.take()
}

// take brings data, and the end if it is that, on its way.
func (s *stream) take(data []byte, end bool) {
	if len(data) > 0 {
		s.push(data, nil, false)
	}
	if end {
		s.push(nil, s.request.end(nil), true)
	}
}

// push sends data and tail to the proxy, or keeps them. end says that nothing follows.
func (s *stream) push(data, tail []byte, end bool) {
	if end {
		s.gotEnd() // before the proxy can have ended, too
	}
	s.mu.Lock()
	s.ended = s.ended || end
	used := 0
	switch {
	case s.ignored:
		used = len(data)
	case !s.ready || s.flushing:
		s.pending, s.tail = append(s.pending, data...), tail
		s.credits += len(data)
	default:
		b := append(s.request.chunk(data), tail...)
		n := s.send(b)
		if n == len(b) {
			used = len(data)
			s.passEnd()
			break
		}
		s.short = bytes.Clone(b[n:])
		s.credits += len(data)
		s.flushing = true
		s.conn.group.Add(1)
		go s.flush()
	}
	s.mu.Unlock()
	s.conn.credit(s, used)
}

// send sends what fits into the socket of b. It is called with mu held.
func (s *stream) send(b []byte) (n int) {
	for n < len(b) {
		sent, errno := s.entrance.FD.Send(b[n:])
		if errno == sys.EAGAIN {
			return n
		}
		if errno != 0 { // the proxy reads no more: its answer comes
			s.ignored = true
			return len(b)
		}
		n += sent
	}
	return n
}

// passEnd tells the proxy that nothing follows, once that is so. A body says so by
// itself.  It is called with mu held.
func (s *stream) passEnd() {
	if s.ended && s.ready && !s.closed && s.request.websocket {
		_ = s.entrance.FD.ShutdownWrite() // it fails when the proxy has gone
	}
}

// flush brings on what waits.
func (s *stream) flush() {
	defer s.conn.group.Done()
	for {
		s.mu.Lock()
		b, credits := s.request.chunk(s.pending), s.credits
		if len(s.short)+len(s.tail) > 0 {
			b = slices.Concat(s.short, b, s.tail)
		}
		s.drop()
		if len(b) == 0 {
			s.flushing = false
			s.passEnd()
			s.mu.Unlock()
			return
		}
		file := s.file
		s.mu.Unlock()
		if _, err := file.Write(b); err != nil {
			s.ignore()
		}
		s.conn.credit(s, credits)
	}
}

// open takes the entrance, unless the client has given up already.
func (s *stream) open(e *Entrance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entrance, s.file = e, e.FD.File()
	if s.dead.Load() {
		e.Cut()
		_ = s.file.SetDeadline(past) // a socket takes one
	}
}

// begin lets what the client has sent follow the head.
func (s *stream) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.flushing = true, true
	s.conn.group.Add(1)
	go s.flush()
}

// ignore drops what waits, and whatever comes.
func (s *stream) ignore() {
	s.mu.Lock()
	s.ignored = true
	credits := s.credits
	s.drop()
	s.mu.Unlock()
	s.conn.credit(s, credits)
}

// drop forgets what waits. It is called with mu held.
func (s *stream) drop() { s.short, s.pending, s.tail, s.credits = nil, nil, nil, 0 }

// cut ends what became of the request: the stream is dead.
func (s *stream) cut() {
	s.ignore()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entrance != nil && !s.closed {
		s.entrance.Cut()
		_ = s.file.SetDeadline(past)
	}
}

// close gives the entrance back.
func (s *stream) close() {
	s.ignore()
	s.mu.Lock()
	s.closed = true
	_ = s.file.Close() // a socket has nothing to flush
	s.mu.Unlock()
	s.entrance.Done()
}

// serve brings the request's answer.
func (s *stream) serve() {
	if s.request.refusal != nil {
		s.ignore()
		s.refuse(s.request.refusal)
		s.finish()
		return
	}
	entrance, err := s.conn.client.Enter()
	if err != nil {
		s.conn.lane.config.Log.Debug("no connection for a request of HTTP/2", "error", err)
		s.ignore()
		s.refuse(shortage)
		s.finish()
		return
	}
	s.open(entrance)
	defer s.close()
	switch err = s.exchange(); {
	case err == nil:
		s.finish()
	case !s.dead.Load() && s.request.websocket:
		s.conn.reset(s.id, http2.ErrCodeCancel) // RFC 8441 section 5
	case !s.dead.Load():
		s.conn.reset(s.id, http2.ErrCodeInternal)
	}
}

// finish ends a stream whose answer is out. A client that is not done with its
// request is told to stop (RFC 9113 section 8.1).
func (s *stream) finish() {
	s.conn.mu.Lock()
	done := s.endedThere
	s.conn.mu.Unlock()
	switch {
	case s.dead.Load():
	case done:
		s.conn.forget(s)
	default:
		s.conn.reset(s.id, http2.ErrCodeNo)
	}
}

// sentEnd and gotEnd take note of the ends of both sides.
func (s *stream) sentEnd() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.endedHere = true
}

func (s *stream) gotEnd() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.endedThere = true
}

// refuse answers with r.
func (s *stream) refuse(r *refusal) {
	body := []byte(r.detail + "\n")
	err := s.writeHead(r.status, r.header(len(body)), false)
	if err == nil && s.request.method != http.MethodHead {
		err = s.writeData(body, true)
	} else if err == nil {
		err = s.writeData(nil, true)
	}
	if err != nil && !errors.Is(err, errDead) {
		s.conn.lane.config.Log.Debug("answer to a request of HTTP/2 was lost", "error", err)
	}
}
