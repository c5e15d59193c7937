package proxy

import "wsplice/secure"

// secureClient begins the TLS session of the client, where its listener has that.
// What it has sent of it already is early.
func (t *Tunnel) secureClient(early []byte) {
	if server := t.listener.TLS; server != nil {
		t.worker.loop.Layer(&t.client, server.NewSession(), early)
	}
}

// insecure ends a connection whose TLS handshake has failed. What there is to
// say to the client is sent already; it gets the time to read it.
func (t *Tunnel) insecure() {
	session := t.worker.loop.LayerOf(&t.client).(*secure.Session)
	t.worker.counters.tlsFailures++
	t.worker.journal.insecure(t.worker, t, session.Err())
	t.setState(stateAnswering)
	t.linger(&t.client)
}

// secured reports whether bytes cannot go through the tunnel as they are.
func (t *Tunnel) secured() bool { return t.client.Layered() || t.backend.Layered() }

// scheme is what the client has asked by.
func (t *Tunnel) scheme() string {
	if t.client.Layered() {
		return "https"
	}
	return "http"
}
