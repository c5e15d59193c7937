package h2

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"wsplice/internal/sys"
)

// buffers hold what is on its way.
var buffers = sync.Pool{New: func() any { return new([readBytes]byte) }}

// tunnel answers 200 and brings what the proxy sends from then on.
func (s *stream) tunnel(response *http.Response, from *answerReader) error {
	writeHead(s.answer, response, http.StatusOK)
	early := from.rest()
	if len(early) > 0 {
		if _, err := s.answer.Write(early); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	for {
		switch err := s.bring(); {
		case errors.Is(err, io.EOF) && s.entrance.WasCut():
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil // END_STREAM follows, whatever the client still sends
		case err != nil:
			return err
		}
	}
}

// bring sends what one read brings. It has a buffer only once there is something.
func (s *stream) bring() error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var (
		buffer *[readBytes]byte
		n      int
		errno  sys.Errno
	)
	err = conn.Read(func(uintptr) bool {
		buffer = buffers.Get().(*[readBytes]byte)
		if n, errno = s.entrance.FD.Recv(buffer[:]); errno == sys.EAGAIN {
			buffers.Put(buffer)
			buffer = nil
		}
		return errno != sys.EAGAIN
	})
	if buffer != nil {
		defer buffers.Put(buffer)
	}
	switch {
	case err != nil:
		return err
	case errno != 0:
		return errno
	case n == 0:
		return io.EOF
	}
	if _, err = s.answer.Write(buffer[:n]); err != nil {
		return err
	}
	return s.flush()
}

// sendTunnel brings what the client sends into the tunnel, and its END_STREAM as
// the end of the stream (RFC 8441 section 5).
func (s *stream) sendTunnel() error {
	var sip [sipBytes]byte
	var gulp *[readBytes]byte
	for {
		p := sip[:]
		if gulp != nil {
			p = gulp[:]
		}
		n, err := s.request.Body.Read(p)
		if n > 0 {
			if _, err := s.file.Write(p[:n]); err != nil {
				return err
			}
		}
		switch full := n == len(p); {
		case full && gulp == nil:
			gulp = buffers.Get().(*[readBytes]byte)
		case !full && gulp != nil:
			buffers.Put(gulp)
			gulp = nil
		}
		if errors.Is(err, io.EOF) {
			return s.shutdown()
		}
		if err != nil {
			return err
		}
	}
}

// shutdown passes the end of what the client sends on.
func (s *stream) shutdown() error {
	if errno := s.entrance.FD.ShutdownWrite(); errno != 0 {
		return errno
	}
	return nil
}
