package proxy

import (
	"wsplice/internal/sys"
	"wsplice/loop"
)

// side says who ended a tunnel.
type side uint8

const (
	sideNone side = iota
	sideClient
	sideBackend
	sideProxy
)

func (s side) String() string {
	return [...]string{"none", "client", "backend", "proxy"}[s]
}

// cause says why a tunnel ended.
type cause uint8

const (
	causeNone cause = iota
	causeEnd        // an orderly FIN
	causeReset
	causeTimedOut // the kernel gave up on the peer: keepalive, user timeout
	causeError
	causeIdle
	causeLifetime
	causeNoPong
	causeHalfClose
	causeDrain
	causeLinger
	causeProtocol
	causeViolation // a client's frames broke RFC 6455
	causeNotText   // what is to be sent as text is not UTF-8
	causeTLS       // a TLS record is not as it must be
)

func (c cause) String() string {
	return [...]string{
		"none", "end of stream", "connection reset", "peer vanished", "socket error", "idle timeout",
		"lifetime", "pong timeout", "half-close timeout", "shutdown", "linger timeout", "malformed answer",
		"protocol violation", "invalid UTF-8", "TLS error",
	}[c]
}

func causeOf(errno sys.Errno) cause {
	switch errno {
	case 0:
		return causeEnd
	case sys.ECONNRESET, sys.EPIPE:
		return causeReset
	case sys.ETIMEDOUT:
		return causeTimedOut
	case sys.EPROTO:
		return causeTLS
	}
	return causeError
}

// blame records how the tunnel ends. The first end counts, except that a side
// that dies after an orderly half-close is worse than that.
func (t *Tunnel) blame(by side, why cause) {
	if t.cause == causeNone || t.cause == causeEnd && why != causeEnd {
		t.endedBy, t.cause = by, why
	}
}

// end closes the tunnel for a reason of ours.
func (t *Tunnel) end(by side, why cause) {
	if t.service != nil {
		t.endAfterSync(by, why)
		return
	}
	if t.state == stateParting && why == causeDrain {
		return // it ends by itself, soon
	}
	t.cancelSync()
	t.blame(by, why)
	if t.state == stateAway {
		t.recall()
		return
	}
	if t.replacing() {
		t.partAlone(farewells[why])
		return
	}
	if !t.relays() {
		t.close()
		return
	}
	if t.up.speaks() || t.down.speaks() {
		t.part(farewells[why])
		return
	}
	t.cut(&t.up)
	if t.cut(&t.down) {
		t.close()
		return
	}
	t.abandon(&t.up)
	t.abandon(&t.down)
	t.linger(&t.client)
}

// cut makes the loss of what f still holds visible: its sink gets a reset, not
// an end that looks complete. It reports whether anything is lost.
func (t *Tunnel) cut(f *flow) bool {
	_, sink := t.ends(f)
	if f.finished || f.pump.Held() == 0 && !sink.Out.InFlight() {
		return false
	}
	t.resetOnClose(sink)
	return true
}

// close ends both connections. What is in flight is joined first; then the
// slot is free.
func (t *Tunnel) close() {
	w := t.worker
	if t.opened != 0 {
		w.logClose(t)
		for _, f := range t.flows() {
			if f.violated {
				w.counters.violations++
			}
		}
	}
	t.setState(stateClosing)
	t.cancelSync()
	w.loop.Disarm(&t.timer)
	t.releaseServer()
	t.releaseAdmission()
	done := true
	if t.client.Attached() {
		done = w.loop.Close(&t.client)
	}
	if t.backend.Attached() && !w.loop.Close(&t.backend) {
		done = false
	}
	if done {
		w.free(t)
	}
}

// onClosed goes on after a descriptor was closed that had operations in flight.
func (t *Tunnel) onClosed(s *loop.Socket) {
	switch {
	case t.state == stateDialing && s == &t.backend:
		t.dialNext(false)
	case t.state == stateReplying && s == &t.backend:
		t.nextRequest()
	case t.state == stateClosing && !t.client.Attached() && !t.backend.Attached():
		t.worker.free(t)
	}
}

// releaseExchange gives the handshake's buffers back once no send reads from
// them.
func (t *Tunnel) releaseExchange() {
	if t.x == nil || t.state == stateReplying ||
		t.up.sending == sendingExchange || t.down.sending == sendingExchange {
		return
	}
	t.worker.giveExchange(t.x)
	t.x = nil
}
