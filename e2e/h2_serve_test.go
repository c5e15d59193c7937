package e2e

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// serveBodies answers ordinary requests.
func serveBodies(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Method", r.Method)
	switch r.URL.Path {
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/length":
		w.Header().Set("Content-Length", "1000")
	default:
		flow := http.NewResponseController(w)
		_ = flow.EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}
}

// oneConn is a listener that has one connection, and ends with it.
func oneConn(conn net.Conn) net.Listener {
	l := &oneListener{addr: conn.LocalAddr(), conns: make(chan net.Conn, 1)}
	l.conns <- &endingConn{Conn: conn, ended: func() { l.once.Do(func() { close(l.conns) }) }}
	return l
}

type oneListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *oneListener) Addr() net.Addr { return l.addr }
func (l *oneListener) Close() error   { return nil }

type endingConn struct {
	net.Conn
	ended func()
}

func (c *endingConn) Close() error {
	c.ended()
	return c.Conn.Close()
}
