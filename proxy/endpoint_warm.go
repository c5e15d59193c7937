package proxy

import (
	"wsplice/frame"
	"wsplice/internal/sys"
)

// An endpoint on a warm connection begins before anybody knows whether its server
// is still there: the client gets its 101 at once, and no request is answered that
// would show it. So for as long as nothing has moved on the connection, its end is
// no end of the tunnel:
//
//	what came first                          then, if the connection ends
//	nothing                                  the server is dialed anew, once, and the client waits
//	bytes of the server, warm ones too       the client has them: the tunnel ends
//	bytes of the client, or its FIN          the server may have acted on them: the tunnel ends
//
// Before the first bytes of the client are sent, the connection is looked at: what
// had come to its end by then has got nothing.

// beginWarm takes note that the endpoint's connection was warm, if it was. What
// the server had said on it goes out with the 101, as the first message; valid is
// false where that should be text and is none.
func (t *Tunnel) beginWarm(early []byte) (valid bool) {
	e, x := t.endpoint, t.x
	switch {
	case !x.warm:
		return true
	case len(early) == 0:
		untried := x.search
		e.own().untried = &untried
		return true
	}
	t.down.heard++
	if e.encoder.Coding() == frame.Base64 {
		x.reply = e.encoder.AppendBase64(x.reply, early)
		return true
	}
	var prefix [frame.PrefixBytesMax]byte
	m, n, valid := e.encoder.Frame(&prefix, early)
	x.reply = append(append(x.reply, prefix[:m]...), early[:n]...)
	return valid
}

// replaceable reports whether the end of f's source costs no more than a dial.
// Once the client has ended, there is nobody to dial for.
func (t *Tunnel) replaceable(f *flow) bool {
	return f == &t.down && t.endpoint != nil && t.endpoint.aside.untried != nil && t.state == stateRelaying
}

// replacing reports whether an endpoint waits for a backend in place of one that
// was dead.
func (t *Tunnel) replacing() bool { return t.state == stateDialing && t.endpoint != nil }

// replacedFor looks at an untried connection before the client's first bytes are
// sent on it. It reports whether that had ended: then they wait for another one.
func (t *Tunnel) replacedFor(payload []byte) bool {
	n, errno := t.backend.FD.Peek()
	live := errno == sys.EAGAIN || errno == 0 && n > 0
	if t.backend.Layered() {
		// A close_notify cannot be told from other bytes here. What comes behind it can.
		live = !t.backend.FD.Ended()
	}
	if live {
		t.endpoint.aside.untried = nil
		return false
	}
	t.up.pump.Park(payload)
	t.replaceBackend()
	return true
}

// replaceBackend gives up a warm connection that was dead, and dials the same
// server, or else another one. The client is not read meanwhile.
func (t *Tunnel) replaceBackend() {
	w, e := t.worker, t.endpoint
	w.counters.warmDead++
	w.loop.Pause(&t.client)
	w.loop.PollHangup(&t.client)
	if t.x == nil { // else the 101 is still being sent from it
		t.x = w.takeExchange()
	}
	s := &t.x.search
	*s, e.aside.untried, t.x.warm = *e.aside.untried, nil, true
	if addresses := t.server.Addresses(); len(addresses) > 0 { // it may have been picked long ago
		s.addresses, s.turn = addresses, t.server.Turn(addresses)
	}
	t.guarded = false
	t.setState(stateDialing)
	if w.loop.Close(&t.backend) {
		t.dialNext(false)
	} // else onClosed goes on
}

// rejoin goes on with another backend, which gets what the client has sent.
func (t *Tunnel) rejoin() {
	t.setState(stateRelaying)
	t.armClocks()
	if t.pings != nil {
		t.pings.sides[directionUp].since = 0 // it could not be heard
	}
	t.sendParked(&t.up, &t.backend)
	if t.endpoint.aside.leaving != frame.None {
		t.closedByClient(t.endpoint.aside.leaving)
	}
	if !t.relays() {
		return
	}
	t.releaseExchange()
	t.resume(&t.up)
	t.resume(&t.down)
	t.sendOwedPong()
}

// notReplaced ends an endpoint for which there is no other backend.
func (t *Tunnel) notReplaced() {
	why := causeError // a lack of ours
	if failure := t.x.search.failure; failure != 0 {
		why = causeOf(failure)
	}
	t.blame(sideBackend, why)
	t.partAlone(farewellDied)
}

// partAlone parts from a client that has no backend.
func (t *Tunnel) partAlone(words farewell) {
	if t.backend.Open() {
		t.worker.loop.Close(&t.backend)
	}
	t.up.finished, t.down.gone = true, true
	t.part(words)
}
