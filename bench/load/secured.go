package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
)

// A secured connection has TLS on its socket. It does for a tunnel what a
// connection of netpoll does, with a goroutine that reads once there is a handler;
// before that, who wants bytes reads them itself.
type secured struct {
	netpoll.Connection // nil: nothing else is ever called
	conn               *tls.Conn
	fd                 int
	in                 *netpoll.LinkBuffer // opened and not yet taken; of who reads
	out                *netpoll.LinkBuffer // of who writes
	ended              atomic.Bool

	mu        sync.Mutex // protects what follows
	callbacks []netpoll.CloseCallback
}

// secure takes a socket over, which may still be on its way. The handshake is
// part of the first write.
func (s *security) secure(fd int) *secured {
	return &secured{
		conn: tls.Client(rawConn{os.NewFile(uintptr(fd), "socket")}, s.config), fd: fd,
		in: netpoll.NewLinkBuffer(), out: netpoll.NewLinkBuffer(),
	}
}

// A rawConn is a non-blocking socket whose file waits in the Go runtime's poller.
type rawConn struct{ *os.File }

// LocalAddr and RemoteAddr are there for crypto/tls, which passes them on.
func (rawConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (rawConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// fill waits for more and appends what came to in.
func (s *secured) fill() error {
	b, err := s.in.Malloc(recordBytesMax)
	if err != nil {
		return err
	}
	n, err := s.conn.Read(b)
	if ackErr := s.in.MallocAck(n); ackErr != nil {
		return ackErr
	}
	if flushErr := s.in.Flush(); flushErr != nil {
		return flushErr
	}
	switch {
	case n > 0:
		return nil // an error comes again
	case errors.Is(err, io.EOF):
		return netpoll.ErrEOF
	}
	return err
}

// securedReader waits in Peek as netpoll's readers do.
type securedReader struct {
	*netpoll.LinkBuffer
	conn *secured
}

func (r securedReader) Peek(n int) ([]byte, error) {
	for r.Len() < n {
		if err := r.conn.fill(); err != nil {
			return nil, err
		}
	}
	return r.LinkBuffer.Peek(n)
}

// securedWriter seals and sends in Flush.
type securedWriter struct {
	*netpoll.LinkBuffer
	conn *tls.Conn
}

func (w securedWriter) Flush() error {
	if err := w.LinkBuffer.Flush(); err != nil {
		return err
	}
	b, err := w.Next(w.Len())
	if err != nil {
		return err
	}
	if _, err := w.conn.Write(b); err != nil {
		return err
	}
	return w.Release()
}

func (s *secured) Reader() netpoll.Reader { return securedReader{s.in, s} }
func (s *secured) Writer() netpoll.Writer { return securedWriter{s.out, s.conn} }
func (s *secured) Fd() int                { return s.fd }
func (s *secured) IsActive() bool         { return !s.ended.Load() }

func (s *secured) AddCloseCallback(callback netpoll.CloseCallback) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbacks = append(s.callbacks, callback)
	return nil
}

// SetOnRequest starts the goroutine that reads. It ends with the connection.
func (s *secured) SetOnRequest(on netpoll.OnRequest) error {
	go func() {
		for s.fill() == nil {
			for s.in.Len() > 0 && on(context.Background(), s) == nil {
			}
		}
		_ = s.Close()
		s.mu.Lock()
		callbacks := s.callbacks
		s.mu.Unlock()
		for i := len(callbacks); i > 0; i-- {
			_ = callbacks[i-1](s)
		}
	}()
	return nil
}

// Close says goodbye in TLS and closes the socket, once.
func (s *secured) Close() error {
	if !s.ended.CompareAndSwap(false, true) {
		return nil
	}
	_ = s.conn.SetDeadline(time.Now().Add(goodbyeTimeout))
	return s.conn.Close()
}
