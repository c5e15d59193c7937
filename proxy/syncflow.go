package proxy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"wsplice/internal/sys"
	"wsplice/secure"
	"wsplice/splice"
)

// A syncFlow is one direction in synchronous service: a goroutine that moves
// its bytes and blocks where the loop would wait.
type syncFlow struct {
	tunnel       *Tunnel
	flow         *flow
	source, sink end
	pipes        *splice.Pipes // nil until it is bulk
}

// An end is one side of a direction: the descriptor to call the kernel with,
// and the duplicate by which Go's poller waits for it.
type end struct {
	file    *os.File
	fd      sys.FD
	session *secure.Session // nil where it is plain
}

// A wait is told to try again when the descriptor is ready, until try says that
// it need not. Trying from within is what makes it safe: readiness that came
// before is not remembered.
func (e end) whenReadable(try func() bool) error { return e.when(try, syscallConn.Read) }

func (e end) whenWritable(try func() bool) error { return e.when(try, syscallConn.Write) }

type syscallConn interface {
	Read(f func(fd uintptr) (done bool)) error
	Write(f func(fd uintptr) (done bool)) error
}

func (e end) when(try func() bool, wait func(syscallConn, func(uintptr) bool) error) error {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	return wait(conn, func(uintptr) bool { return try() })
}

// syncBuffers hold what was read and is not written yet. A direction that waits
// for its source has none.
var syncBuffers = sync.Pool{New: func() any { return new([syncBufferBytes]byte) }}

func (s *syncFlow) run() {
	end := s.serve()
	if s.pipes != nil {
		s.pipes.Trim()
	}
	t := s.tunnel
	t.worker.post(func() { t.joined(s.flow, end) })
}

// serve moves bytes until the direction ends or is called back.
func (s *syncFlow) serve() syncEnd {
	if s.source.session != nil { // which may hold bytes, or the end, that nobody has asked for
		if end, over := s.passOpened(nil); over {
			return end
		}
	}
	for {
		move := s.copy
		if s.flow.pump.Lane() == splice.Splice {
			move = s.splice
		}
		if end, over := move(); over {
			return end
		}
	}
}

// calledBack is the end of a wait whose deadline has passed.
var calledBack = syncEnd{need: splice.NeedTurn}

// copy moves what one read brings.
func (s *syncFlow) copy() (end syncEnd, over bool) {
	var (
		buffer *[syncBufferBytes]byte
		n      int
		errno  sys.Errno
	)
	try := func() bool {
		buffer = syncBuffers.Get().(*[syncBufferBytes]byte)
		if n, errno = s.source.fd.Recv(buffer[:]); errno == sys.EAGAIN {
			syncBuffers.Put(buffer)
			buffer = nil
		}
		return errno != sys.EAGAIN
	}
	// First without waiting: however soon the tunnel is called back, each visit
	// moves what is there.
	var err error
	if !try() {
		err = s.source.whenReadable(try)
	}
	if buffer != nil {
		defer syncBuffers.Put(buffer)
	}
	switch {
	case err != nil:
		return calledBack, true
	case errno != 0 || n == 0:
		return syncEnd{need: splice.SourceFailed, errno: errno}, true
	}
	if s.source.session == nil {
		return s.pass(buffer[:n])
	}
	return s.passOpened(buffer[:n])
}

// passOpened sends on what is in received, and what the session has held.
func (s *syncFlow) passOpened(received []byte) (end syncEnd, over bool) {
	scratch := tlsScratch.Get().(*[]byte)
	defer tlsScratch.Put(scratch)
	plain, broken := s.source.open(scratch, received)
	if end, over = s.pass(plain); over || broken == nil {
		return end, over
	}
	return *broken, true
}

// pass sends what came on.
func (s *syncFlow) pass(b []byte) (end syncEnd, over bool) {
	t, f, n := s.tunnel, s.flow, len(b)
	if n == 0 {
		return end, false // nobody was heard
	}
	kept, b := t.filter(f, b)
	if len(kept)+len(b) > 0 {
		now := int64(t.worker.loop.Clock())
		t.service.active.Store(now)
		t.worker.moved.Store(now)
	}
	if end, over = s.send(kept); over {
		f.pump.Park(b)
		return end, over
	}
	secured := s.source.session != nil || s.sink.session != nil
	if end, over = s.send(b); !over && !secured && t.turnedBulk(f, n) {
		s.startSplice()
	}
	return end, over
}

// tlsScratch holds what TLS has opened or sealed while that is on its way. Made
// anew for each read it would be 64 KiB of garbage.
var tlsScratch = sync.Pool{New: func() any { return new([]byte) }}

// open returns what is in received, there or in scratch, and how the stream has
// ended, if it has.
func (e end) open(scratch *[]byte, received []byte) (plain []byte, over *syncEnd) {
	var dst []byte
	if room := e.session.Room(len(received)); room > 0 {
		*scratch = slices.Grow((*scratch)[:0], room)
		dst = *scratch
	}
	plain, err := e.session.Open(dst, received)
	switch {
	case err == nil:
		return plain, nil
	case errors.Is(err, io.EOF):
		return plain, &syncEnd{need: splice.SourceFailed}
	}
	return plain, &syncEnd{need: splice.SourceFailed, errno: sys.EPROTO}
}

// send writes all of b, or parks the rest.
func (s *syncFlow) send(b []byte) (end syncEnd, over bool) {
	if len(b) == 0 {
		return end, false
	}
	sealed := s.sink.session != nil
	if sealed {
		s.count(len(b), splice.Copy)
		scratch := tlsScratch.Get().(*[]byte)
		defer tlsScratch.Put(scratch)
		*scratch = s.sink.session.Seal((*scratch)[:0], b)
		b = *scratch
	}
	var errno sys.Errno
	err := s.untilSent(func() bool {
		for len(b) > 0 {
			var n int
			if n, errno = s.sink.fd.Send(b); errno != 0 {
				return errno != sys.EAGAIN
			}
			if !sealed {
				s.count(n, splice.Copy)
			}
			b = b[n:]
		}
		return true
	})
	switch {
	case err != nil && sealed:
		return syncEnd{need: splice.NeedTurn, sealed: bytes.Clone(b)}, true
	case err != nil:
		s.flow.pump.Park(b)
		return calledBack, true
	case errno != 0:
		return syncEnd{need: splice.SinkFailed, errno: errno}, true
	}
	return end, false
}

// untilSent calls try until it says that the sink need not be waited for, or
// fails when the goroutine is to go home: it was called back, or the sink has
// kept it waiting for slowAfter. The loop then waits for the sink, and sees
// meanwhile whether the source dies.
func (s *syncFlow) untilSent(try func() bool) error {
	v := s.tunnel.service
	if v.calledBack.Load() {
		return os.ErrDeadlineExceeded
	}
	if try() {
		return nil
	}
	until := time.Now().Add(slowAfter) //nolint:forbidigo // Go's poller takes no time of the loop
	if err := s.sink.file.SetWriteDeadline(until); err != nil {
		return err
	}
	if v.calledBack.Load() { // its deadline in the past may be overwritten
		return os.ErrDeadlineExceeded
	}
	return s.sink.whenWritable(try)
}

func (s *syncFlow) startSplice() {
	if s.pipes == nil {
		s.pipes = splice.NewPipes(s.tunnel.worker.server.budget)
	}
	if s.flow.pump.StartSplice(s.pipes) {
		s.flow.spliced = true
		s.tunnel.worker.splicesSync.Add(1)
	}
}

// splice moves bulk until the source has no more for now: the copy lane then
// waits for it, which also sees urgent data and the end.
func (s *syncFlow) splice() (end syncEnd, over bool) {
	var need splice.Need
	var errno sys.Errno
	move := func() bool {
		need, errno = s.move()
		return need != splice.NeedSink
	}
	if err := s.untilSent(move); err != nil {
		return calledBack, true // with what is in the pipe
	}
	switch need {
	case splice.SourceFailed, splice.SinkFailed:
		return syncEnd{need: need, errno: errno}, true
	case splice.NeedSource:
		s.flow.pump.StopSplice()
	}
	return end, false
}

func (s *syncFlow) move() (splice.Need, sys.Errno) {
	f := s.flow
	held := f.pump.Held()
	n, need, errno := f.pump.Move(s.source.fd, s.sink.fd, s.pipes, f.spliceMost())
	f.splicedBy(n + f.pump.Held() - held)
	if n > 0 {
		s.tunnel.service.active.Store(int64(s.tunnel.worker.loop.Clock()))
		s.count(n, splice.Splice)
	}
	return need, errno
}

// count adds n bytes that reached the sink's socket.
func (s *syncFlow) count(n int, lane splice.Lane) {
	t := s.tunnel
	s.flow.bytes += uint64(n)
	t.worker.relayedSync[t.direction(s.flow)][lane].Add(uint64(n))
	if t.route.Upstream.ByTraffic() {
		t.server.AddTraffic(uint64(n))
	}
}
