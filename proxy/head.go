package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"net/netip"

	"wsplice/handshake"
)

// makeHead writes the head for t.server to x.out, or for an endpoint, which sends
// none, the one for the client. parsed says that the
// worker's request and subject still are this tunnel's.
func (t *Tunnel) makeHead(parsed bool) *handshake.Refusal {
	if t.replacing() {
		return nil // the client has it, and the exchange is another one
	}
	w, x, chosen := t.worker, t.x, t.route
	request := &w.request
	if !parsed {
		if refusal := request.Parse(x.request[:x.head]); refusal != nil {
			return refusal
		}
		w.subject.Set(request)
	}
	if chosen.Mode == ModeEndpoint {
		return t.makeSwitch()
	}
	forward, refusal := t.forwardBy(chosen)
	if refusal != nil {
		return refusal
	}
	if !chosen.PreserveHost {
		forward.Host = t.server.Host()
	}
	w.protocol = w.protocol[:0]
	if chosen.Upgrade.Unasked {
		forward.Key = w.makeKey()
	} else {
		w.protocol = chosen.Upgrade.appendProtocols(w.protocol, request)
	}
	if chosen.Upgrade.isWebSocket(request) {
		x.out = request.AppendForward(x.out[:0], &forward)
		if !chosen.Lenient {
			if refusal := w.verifier.Verify(x.out); refusal != nil {
				return refusal
			}
		}
		if len(w.protocol) <= len(websocketName) {
			return nil
		}
	}
	// gobwas/ws knows no protocol beside websocket: it has seen the head without.
	forward.Protocol = w.protocol
	x.out = request.AppendForward(x.out[:0], &forward)
	return nil
}

// forwardBy says what the worker's request becomes by way of chosen, whatever it
// is for. The worker's subject is the request's.
func (t *Tunnel) forwardBy(chosen *Route) (handshake.Forward, *handshake.Refusal) {
	w := t.worker
	var ok bool
	if w.target, ok = chosen.Target.Append(w.target[:0], &w.subject, w.request.Query()); !ok {
		return handshake.Forward{}, handshake.RefusalDotSegment
	}
	forward := handshake.Forward{
		Target: w.target, Proto: t.scheme(), Trusted: w.server.trusts(t.peer),
		Set: chosen.Set, Remove: chosen.Remove,
	}
	t.presentClient(&forward)
	if t.peer.IsValid() {
		w.address = t.peer.Addr().AppendTo(w.address[:0])
		forward.ClientAddr = w.address
	}
	return forward, nil
}

// makeKey returns a Sec-WebSocket-Key (RFC 6455 section 4.1).
func (w *worker) makeKey() []byte {
	_, _ = rand.Read(w.nonce[:]) // it ends the program rather than fail
	base64.StdEncoding.Encode(w.key[:], w.nonce[:])
	return w.key[:]
}

// loopback is where processes of this machine come from.
var loopback = [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// trusts reports whether what a peer says of its own clients is believed.
func (s *Server) trusts(peer netip.AddrPort) bool {
	if !peer.IsValid() {
		return s.trustUnix
	}
	return s.inTrusted(peer.Addr())
}

func (s *Server) inTrusted(addr netip.Addr) bool {
	for _, network := range s.config.Trusted {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
