package proxy

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"

	"wsplice/h2"
	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/secure"
)

// A connection of HTTP/2 leaves its loop as an ordinary request does, for as long as
// it lives. Each of its requests comes back by an entrance: one end of a pair of
// sockets is the client of a tunnel like any other, and goroutines have the other
// end. So routes, limits, clocks, frames, endpoints and the log know nothing of
// HTTP/2, but who the client is.

// speaksHTTP2 reports whether the client's TLS handshake has agreed on HTTP/2.
func (t *Tunnel) speaksHTTP2() bool {
	session := t.sessionOf(&t.client)
	return session != nil && session.SpeaksHTTP2()
}

// serveHTTP2 hands the connection over, whose first bytes have come.
func (t *Tunnel) serveHTTP2() {
	w, x := t.worker, t.x
	fd, errno := t.client.FD.Dup()
	if errno != 0 {
		t.close()
		return
	}
	w.counters.http2Connections++
	x.lent, x.http2 = fd, true
	t.setState(stateAway)
	w.loop.Disarm(&t.timer) // the lane has clocks of its own
	if w.leave(&t.client) {
		t.depart()
	}
}

// departHTTP2 is the second step of leaving.
func (t *Tunnel) departHTTP2() {
	w, x := t.worker, t.x
	w.loop.Forget(&t.client)
	session := t.sessionOf(&t.client)
	from := *t.listener
	from.TLS, from.ProxyProtocol = nil, GreetingOff
	v := &visitor{worker: w, listener: from, peer: t.peer, certificate: session.Peer()}
	conn := secure.NewConn(x.lent.File(), session, x.request, net.TCPAddrFromAddrPort(t.peer))
	x.cut = w.server.http2.Serve(conn, v, func() { w.post(t.leftHTTP2) })
}

// leftHTTP2 ends the connection.
func (t *Tunnel) leftHTTP2() { t.linger(&t.client) }

// A visitor is the client of a connection of HTTP/2.
type visitor struct {
	worker      *worker // that of the connection
	listener    Listener
	peer        netip.AddrPort
	certificate *secure.Peer
}

var errNoDescriptors = errors.New("proxy: no descriptors left")

// Enter begins a request.
func (v *visitor) Enter() (*h2.Entrance, error) {
	w := v.worker
	const descriptors = descriptorsPerTunnel + 1
	if !w.server.budget.Take(descriptors) {
		return nil, errNoDescriptors
	}
	inside, outside, err := sys.SocketPair()
	if err != nil {
		w.server.budget.Give(descriptors)
		return nil, err
	}
	e := &entrance{worker: w, listener: v.listener, certificate: v.certificate}
	e.listener.entrance = e
	for err = loop.ErrPostsFull; errors.Is(err, loop.ErrPostsFull); runtime.Gosched() {
		err = w.loop.Post(func() { e.open(inside, v.peer) })
	}
	if err != nil {
		inside.Close()
		outside.Close()
		w.server.budget.Give(descriptors)
		return nil, err
	}
	return &h2.Entrance{
		FD: outside, Cut: e.cut, WasCut: e.reset.Load, Done: func() { w.server.budget.Give(1) },
	}, nil
}

// An entrance is the client's side of a tunnel that serves a request of HTTP/2.
type entrance struct {
	worker      *worker
	listener    Listener
	certificate *secure.Peer
	reset       atomic.Bool // a unix socket cannot be reset: this says that it was

	// The loop's.
	tunnel *Tunnel
	id     uint64 // of the use of its slot
}

// open begins the tunnel.
func (e *entrance) open(fd sys.FD, peer netip.AddrPort) {
	w := e.worker
	w.counters.http2Requests++
	e.tunnel = w.take()
	e.id = e.tunnel.id
	e.tunnel.open(fd, peer, &e.listener)
}

// cut ends the tunnel as a reset of the client does. It may be over already.
func (e *entrance) cut() {
	e.worker.post(func() {
		t := e.tunnel
		if t.id == e.id && t.state != stateFree && t.state != stateClosing {
			t.end(sideClient, causeReset)
		}
	})
}

// resetOnClose makes the peer of s see that its stream was cut.
func (t *Tunnel) resetOnClose(s *loop.Socket) {
	s.FD.ResetOnClose()
	if e := t.listener.entrance; e != nil && s == &t.client {
		e.reset.Store(true)
	}
}

// certificate is what the client has shown, or nil.
func (t *Tunnel) certificate() *secure.Peer {
	if e := t.listener.entrance; e != nil {
		return e.certificate
	}
	if session := t.sessionOf(&t.client); session != nil {
		return session.Peer()
	}
	return nil
}

// prepareHTTP2 prepares to serve HTTP/2, where a listener offers it.
func (s *Server) prepareHTTP2() (err error) {
	for i := range s.config.Listeners {
		if s.config.Listeners[i].TLS != nil {
			s.http2, err = h2.New(s.config.Limits.Head, s.config.Log)
			return err
		}
	}
	return nil
}
