package proxy

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
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
	if session == nil {
		return false
	}
	yes, _ := session.SpeaksHTTP2()
	return yes
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
	_, weak := session.SpeaksHTTP2()
	x.cut = w.server.http2.Serve(conn, weak, v, func() {
		broken := conn.Broken()
		w.post(func() { t.leftHTTP2(broken) })
	})
}

// leftHTTP2 ends the connection. A broken one can carry no more records.
func (t *Tunnel) leftHTTP2(broken bool) {
	if broken {
		t.close()
		return
	}
	t.linger(&t.client)
}

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
	e := &entrance{worker: w, listener: v.listener, certificate: v.certificate, gone: make(chan struct{})}
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
		FD: outside, Cut: e.cut, WasCut: e.reset.Load, Gone: e.gone, Done: func() { w.server.budget.Give(1) },
	}, nil
}

// An entrance is the client's side of a tunnel that serves a request of HTTP/2.
type entrance struct {
	worker      *worker
	listener    Listener
	certificate *secure.Peer
	gone        chan struct{} // closed with the tunnel
	given       atomic.Bool   // up by the client
	reset       atomic.Bool   // a unix socket cannot be reset: this says that it was

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

// cut ends the tunnel as a reset of the client does. It may be over already, or end
// by itself.
func (e *entrance) cut() {
	e.given.Store(true)
	e.worker.post(func() {
		t := e.tunnel
		if t.id == e.id && t.state != stateFree && t.state != stateClosing && t.state != stateParting {
			t.end(sideClient, causeReset)
		}
	})
}

// wasGivenUp reports whether the client's stream has ended by a reset. The loop may
// hear of its end before it hears of the cut.
func (t *Tunnel) wasGivenUp() bool {
	e := t.listener.entrance
	return e != nil && e.given.Load()
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

// newLane prepares to serve HTTP/2. Clients are told of extended CONNECT where some
// route can serve it.
func newLane(c *Config) *h2.Lane {
	return h2.New(h2.Config{
		Head: c.Limits.Head, Log: c.Log,
		WebSockets: slices.ContainsFunc(c.Routes, func(r Route) bool { return r.takesWebSocket() }),
	})
}

// takesWebSocket reports whether the route may make a tunnel of a WebSocket.
func (r *Route) takesWebSocket() bool {
	switch r.Mode {
	case ModeEndpoint:
		return true
	case ModeTunnel, ModeHTTP:
		u := &r.Upgrade
		return u.Any || u.Unasked || slices.Contains(u.Protocols, websocketName)
	}
	return false
}
