package proxy

import "wsplice/handshake"

// admit counts the tunnel towards the limits, all of them or none, and says
// which is reached. The rate comes last, so that a client over its own limit
// takes nobody's turn. releaseAdmission gives back what ends with the tunnel.
//
// Invariant: t.peer does not change while the tunnel is admitted.
func (t *Tunnel) admit() *handshake.Refusal {
	s, client := t.worker.server, t.peer.Addr()
	if !s.addresses.Take(client) {
		return handshake.RefusalTunnelsPerIP
	}
	if !s.admit() {
		s.addresses.Give(client)
		return handshake.RefusalTunnelLimit
	}
	t.admitted = true
	if !s.rate.Take(t.worker.loop.Wall()) {
		t.releaseAdmission()
		return handshake.RefusalHandshakeRate
	}
	return nil
}

func (t *Tunnel) releaseAdmission() {
	if t.admitted {
		t.admitted = false
		t.worker.server.addresses.Give(t.peer.Addr())
		t.worker.server.release()
	}
}
