package proxy

import (
	"errors"
	"io"
	"slices"

	"wsplice/gateway"
	"wsplice/handshake"
	"wsplice/loop"
	"wsplice/secure"
)

// secureClient begins the TLS session of the client, where its listener has that.
// What it has sent of it already is early.
func (t *Tunnel) secureClient(early []byte) {
	if server := t.listener.TLS; server != nil {
		t.worker.loop.Layer(&t.client, server.NewSession(), early)
	}
}

// excuse gives a client more time at a stop, once, that has sent nothing of its request:
// its TLS handshake is under way, or may have ended only now.
func (t *Tunnel) excuse() bool {
	session := t.sessionOf(&t.client)
	if t.excused || session == nil || !session.Begun() {
		return false
	}
	t.excused = true
	more := t.worker.server.config.Timeouts.Head
	if session.Ready() {
		more = silenceAtStop
	}
	t.worker.loop.Arm(&t.timer, t, more)
	return true
}

// insecure ends a connection whose TLS handshake has failed. What there is to
// say to the client is sent already; it gets the time to read it.
func (t *Tunnel) insecure() {
	session := t.sessionOf(&t.client)
	if session == nil || session.Err() == nil {
		t.close() // the kernel's, not of TLS
		return
	}
	t.worker.counters.tlsFailures++
	t.worker.journal.insecure(t.worker, t, session.Err())
	t.setState(stateAnswering)
	t.linger(&t.client)
}

// secureBackend begins the TLS session of a backend that was just attached, where
// its server has that: it follows the connect.
func (t *Tunnel) secureBackend() {
	if config := t.server.TLS(); config != nil {
		t.worker.loop.Layer(&t.backend, secure.NewClientSession(config, t.worker.server.config.Handshakes), nil)
	}
}

// insecureBackend takes note of why the backend's TLS handshake has failed.
func (t *Tunnel) insecureBackend() {
	if session := t.sessionOf(&t.backend); session != nil && session.Err() != nil {
		t.worker.counters.tlsFailures++
		t.worker.journal.insecure(t.worker, t, session.Err())
	}
}

// sessionOf returns the TLS session of s, or nil.
func (t *Tunnel) sessionOf(s *loop.Socket) *secure.Session {
	session, _ := t.worker.loop.LayerOf(s).(*secure.Session)
	return session
}

// sendSealed sends records that a goroutine has left.
func (t *Tunnel) sendSealed(f *flow, sink *loop.Socket, sealed []byte) {
	f.slow = true
	if !t.worker.loop.SendSealed(sink, sealed) {
		return // sent goes on
	}
	f.slow = false
	if errno := sink.Out.Err(); errno != 0 {
		t.sinkFailed(f, errno)
	}
}

// busyWithTLS reports whether the backend's handshake did not even begin: a lack of
// ours, for which the server is not to blame.
func (t *Tunnel) busyWithTLS() bool {
	session := t.sessionOf(&t.backend)
	return session != nil && errors.Is(session.Err(), secure.ErrBusy)
}

// cutShort reports whether the backend's stream has ended without the close_notify
// by which it would say that it is complete (RFC 8446 section 6.1).
func (t *Tunnel) cutShort() bool {
	session := t.sessionOf(&t.backend)
	return session != nil && !errors.Is(session.Err(), io.EOF)
}

// secured reports whether bytes cannot go through the tunnel as they are.
func (t *Tunnel) secured() bool { return t.client.Layered() || t.backend.Layered() }

// presentClient tells the backend whose certificate the client has shown, in the
// fields that its listener names.
func (t *Tunnel) presentClient(forward *handshake.Forward) {
	l := t.listener
	if l.SubjectHeader == "" && l.FingerprintHeader == "" {
		return
	}
	peer := t.certificate()
	if peer == nil {
		return
	}
	set := forward.Set[:len(forward.Set):len(forward.Set)]
	if l.SubjectHeader != "" {
		set = append(set, handshake.ForwardField{Name: l.SubjectHeader, Value: peer.Subject})
	}
	if l.FingerprintHeader != "" {
		set = append(set, handshake.ForwardField{Name: l.FingerprintHeader, Value: peer.Fingerprint})
	}
	forward.Set = set
}

// ownFields makes the routes drop the fields by which backends are told of
// certificates: clients could say there whatever they like.
func (c *Config) ownFields() {
	var names []string
	for i := range c.Listeners {
		for _, name := range [...]string{c.Listeners[i].SubjectHeader, c.Listeners[i].FingerprintHeader} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	c.Routes = slices.Clone(c.Routes)
	for i := range c.Routes {
		c.Routes[i].Remove = slices.Concat(c.Routes[i].Remove, names)
	}
}

// layer is what the gateway has to read and write the client's bytes by.
func (t *Tunnel) layer() gateway.Layer {
	if session := t.sessionOf(&t.client); session != nil {
		return session
	}
	return nil // and no *Session that is nil
}

// scheme is what the client has asked by.
func (t *Tunnel) scheme() string {
	if t.client.Layered() || t.listener.entrance != nil {
		return "https"
	}
	return "http"
}
