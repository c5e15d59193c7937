package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"wsplice/internal/sys"
)

// A Layer stands between what a connection carries and what its ends say to each
// other, as TLS does. It does no I/O. Here it is one whose handshake is over, and
// it is used from one goroutine at a time.
type Layer interface {
	// Room returns how large a buffer Open needs for n received bytes; 0 if it opens
	// them where they are.
	Room(n int) int
	// Open returns what received brings: appended to dst, if that is not nil, or in
	// received. The error is io.EOF where the server has ended its stream.
	Open(dst, received []byte) ([]byte, error)
	// Finish appends the end of the stream to dst.
	Finish(dst []byte) []byte
	// Lean gives up what a connection that waits does not need.
	Lean()
	// Close ends the use of the layer.
	Close()
}

// A layerError is why no layer came about, or why one is of no more use. The log
// tells of it: nothing else would say what is wrong with a certificate.
type layerError struct{ error }

// Unwrap returns what the layer says.
func (e layerError) Unwrap() error { return e.error }

// secure makes the layer of conn, if the server has one, until the deadline or
// Close.
func (w *Warm) secure(conn net.Conn, deadline time.Time) (Layer, error) {
	config := w.server.TLS()
	if config == nil {
		return nil, nil
	}
	_ = conn.SetDeadline(deadline) // it is open
	stop := context.AfterFunc(w.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	layer, err := w.config.Secure(conn, config)
	if err != nil {
		return nil, layerError{err}
	}
	return layer, nil
}

// noteCause keeps, with mu held, what the log has to say about TLS.
func (w *Warm) noteCause(err error) {
	if failed := (layerError{}); !w.closed && errors.As(err, &failed) {
		w.because = failed.error
	}
}

// complain writes to the log why TLS fails: once, until a connection has lasted.
func (w *Warm) complain() {
	w.mu.Lock()
	because, told := w.because, w.told
	w.because, w.told = nil, told || because != nil
	w.mu.Unlock()
	if because != nil && !told {
		w.config.Log.Warn("connections to a server are not kept warm: TLS fails", "server", w.server.name, "because", because)
	}
}

// listen takes what netpoll has read through the layer, if there is one: session
// tickets are no words of the server's. It returns how much the server has said, and
// why the connection is of no use.
func (c *warmConn) listen() (said int, err error) {
	reader := c.conn.Reader()
	n := reader.Len()
	if c.layer == nil || n > warmEarlyMax {
		return len(c.early) + n, nil
	}
	if n > 0 {
		b, _ := reader.Next(n) // it is there
		c.hear(b)
		_ = reader.Release() // as is what was read
	}
	return len(c.early), c.err
}

// hear adds what b brings to early. It overwrites b.
func (c *warmConn) hear(b []byte) {
	if c.layer != nil && c.err == nil {
		var dst []byte
		if room := c.layer.Room(len(b)); room > 0 {
			dst = make([]byte, 0, room)
		}
		b, c.err = c.layer.Open(dst, b)
	}
	c.early = append(c.early, b...)
}

// failed is why the connection has ended, as far as its layer knows and that is not
// how connections end.
func (c *warmConn) failed() error {
	if c.layer == nil {
		return nil
	}
	if _, err := c.listen(); err != nil && !errors.Is(err, io.EOF) {
		return layerError{err}
	}
	return nil
}

// settle takes note that the connection is not new any more: a server sends its
// tickets at the beginning.
func (c *warmConn) settle() {
	if c.layer != nil {
		c.layer.Lean()
	}
}

// drain takes what is in fd, which was detached, until EAGAIN, or there is enough:
// then it returns no error. At the end of the stream it returns ECONNRESET.
func (c *warmConn) drain(fd sys.FD) sys.Errno {
	var b [4 << 10]byte
	for len(c.early) <= warmEarlyMax {
		n, errno := fd.Recv(b[:])
		if errno != 0 {
			return errno
		}
		if n > 0 {
			c.hear(b[:n])
		}
		if n == 0 || c.err != nil {
			return sys.ECONNRESET
		}
	}
	return sys.OK
}

// part tells the server that it was not its fault, as far as the socket takes that,
// before fd is closed.
func (c *warmConn) part(fd sys.FD) {
	if c.layer == nil {
		return
	}
	if c.err == nil {
		_, _ = fd.Send(c.layer.Finish(nil))
	}
	c.layer.Close()
}
