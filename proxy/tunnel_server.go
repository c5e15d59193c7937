package proxy

import (
	"net/netip"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
)

// A search is how a tunnel looks for a server and an address that can be
// connected to. Each server is asked once, at all its addresses in turn.
type search struct {
	key      pool.Key
	tried    pool.Tried // servers that were picked
	servers  int        // how many that were
	attempts int        // addresses dialed, of all servers

	// Of the current server.
	addresses []sys.Sockaddr // as they were when it was picked
	turn      pool.Turn
	dialed    int // how many were tried before the current one

	failure sys.Errno // of the last attempt
}

// address returns what to connect to now.
func (s *search) address() *sys.Sockaddr {
	return &s.addresses[s.turn.Index(s.dialed)]
}

// keyOf returns what the server of the worker's request follows from, where the
// upstream wants that.
func (w *worker) keyOf(upstream *pool.Upstream, peer netip.AddrPort) pool.Key {
	r := pool.Request{Authority: w.request.Host(), Path: w.request.Path(), Client: peer.Addr()}
	if name := upstream.CookieName(); name != "" {
		r.Cookie, _ = w.request.Cookie(name)
	}
	return upstream.KeyOf(&r)
}

// nextAddress moves on to the next address, of the same server or of another,
// and makes the head for it. It reports false when the tunnel was refused.
func (t *Tunnel) nextAddress(parsed bool) bool {
	s := &t.x.search
	if t.x.warm { // it was dead: the same server anew
		t.x.warm, t.x.cold = false, true
		return true
	}
	if t.server != nil {
		if s.dialed+1 < len(s.addresses) && s.attempts < dialAttemptsMax {
			s.dialed++
			s.attempts++
			return true
		}
		t.server.Failed(s.failure)
		t.releaseServer()
	}
	if !t.nextServer(s) {
		if s.failure == sys.EPROTO {
			t.refuse(handshake.RefusalBackendTLS)
		} else {
			t.refuse(handshake.RefusalNoBackend)
		}
		return false
	}
	if refusal := t.makeHead(parsed); refusal != nil {
		t.refuse(refusal)
		return false
	}
	return true
}

// nextServer picks a server that was not tried. It reports false when none is
// left, or the request has been to enough of them.
func (t *Tunnel) nextServer(s *search) bool {
	upstream := t.route.Upstream
	for s.servers <= upstream.Retries() {
		if t.server = upstream.Pick(&s.tried, s.key); t.server == nil {
			return false
		}
		s.servers++
		s.attempts++
		s.dialed, s.addresses = 0, t.server.Addresses()
		if len(s.addresses) > 0 {
			s.turn = t.server.Turn(s.addresses)
			return true
		}
		t.releaseServer() // it lost them after it was picked
	}
	return false
}

// bindSource makes fd connect from the address whose turn it is, if the upstream
// has any.
func (t *Tunnel) bindSource(fd sys.FD, family int) sys.Errno {
	if source, ok := t.route.Upstream.Source(family); ok {
		return fd.BindSource(source)
	}
	return 0
}

// withCookie returns a backend's answer, whose head has n bytes, with the
// upstream's cookie where the client needs one, and the length of the head then.
func (t *Tunnel) withCookie(answer []byte, n int) ([]byte, int) {
	x := t.x
	cookie := t.route.Upstream.SetCookie(t.server, x.search.key)
	if cookie == "" {
		return answer, n
	}
	x.reply = appendCookie(append(x.reply[:0], answer[:n]...), cookie)
	head := len(x.reply)
	x.reply = append(x.reply, answer[n:]...)
	return x.reply, head
}

// appendCookie adds a Set-Cookie line to a complete head.
func appendCookie(head []byte, cookie string) []byte {
	head = append(head[:len(head)-len("\r\n")], "Set-Cookie: "...)
	head = append(head, cookie...)
	return append(head, "\r\n\r\n"...)
}

func (t *Tunnel) releaseServer() {
	if t.server == nil {
		return
	}
	if t.opened != 0 && t.route.Upstream.ByTraffic() {
		t.countTraffic()
		t.server.AddTraffic((t.up.bytes + t.down.bytes) % trafficUnit)
	}
	t.server.Release()
	t.server = nil
}
