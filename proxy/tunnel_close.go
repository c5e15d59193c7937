package proxy

import (
	"time"

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
	causeHalfClose
	causeDrain
	causeLinger
	causeProtocol
)

func (c cause) String() string {
	return [...]string{
		"none", "end of stream", "connection reset", "peer vanished", "socket error", "idle timeout",
		"half-close timeout", "shutdown", "linger timeout", "malformed answer",
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

// armQuiet arms the timer for the quiet time that the current state allows, or
// for the moment from which the tunnel is guarded.
func (t *Tunnel) armQuiet() {
	t.unsent = 0 // not looked at: what is there then counts as progress
	limit := t.quietLimit()
	if !t.guarded && (limit == 0 || limit > guardAfter) {
		limit = guardAfter
	}
	if limit > 0 {
		t.worker.loop.Arm(&t.timer, t, limit)
	} else {
		t.worker.loop.Disarm(&t.timer)
	}
}

// guard has the kernel notice when the backend vanishes. The client's socket has
// it from its listener; here it takes a call for each setting, so a tunnel has
// to last a while first (ADR 11).
func (t *Tunnel) guard() {
	if t.guarded || !t.relays() || !t.backend.Open() {
		return
	}
	t.guarded = true
	t.backend.FD.Keepalive(t.worker.server.config.TCP.Keepalive)
	t.backend.FD.UserTimeout(t.worker.server.config.TCP.UserTimeout)
}

// quietLimit is how long neither side may send a byte; 0 is no limit.
func (t *Tunnel) quietLimit() time.Duration {
	switch t.state {
	case stateReplying:
		return t.worker.server.config.Timeouts.Upgrade
	case stateDraining:
		idle, half := t.route.IdleTimeout, t.route.HalfCloseTimeout
		if idle > 0 && (half == 0 || idle < half) {
			return idle
		}
		return half
	default:
		return t.route.IdleTimeout
	}
}

// quietTimeout ends a tunnel that was quiet for too long. The clock is only
// written while bytes move; the timer follows it here, once per limit.
func (t *Tunnel) quietTimeout() {
	t.guard()
	limit := t.quietLimit()
	if limit == 0 {
		return
	}
	t.noteProgress()
	if quiet := t.worker.loop.Now() - t.active; quiet < limit {
		t.worker.loop.Arm(&t.timer, t, limit-quiet)
		return
	}
	if t.state == stateDraining {
		t.cause = causeNone // the orderly half-close was not the end
		t.end(sideProxy, causeHalfClose)
		return
	}
	t.end(sideProxy, causeIdle)
}

// noteProgress sets the clock if the peers have taken bytes since it was last
// called. A slow reader empties megabytes from the kernel's queue before the
// loop hears of it, and is not idle meanwhile.
func (t *Tunnel) noteProgress() {
	if unsent := t.inQueues(); unsent != t.unsent {
		t.unsent = unsent
		t.active = t.worker.loop.Now()
	}
}

// inQueues returns how many bytes wait in both send queues.
func (t *Tunnel) inQueues() uint32 {
	unsent := uint32(t.client.FD.Unsent())
	if t.backend.Attached() {
		unsent += uint32(t.backend.FD.Unsent())
	}
	return unsent
}

// end closes the tunnel for a reason of ours.
func (t *Tunnel) end(by side, why cause) {
	t.blame(by, why)
	if t.state == stateAway {
		t.recall()
		return
	}
	if !t.relays() {
		t.close()
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
	sink.FD.ResetOnClose()
	return true
}

// close ends both connections. What is in flight is joined first; then the
// slot is free.
func (t *Tunnel) close() {
	w := t.worker
	if t.opened != 0 {
		w.logClose(t)
	}
	t.setState(stateClosing)
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

func (t *Tunnel) releaseServer() {
	if t.server != nil {
		t.server.Release()
		t.server = nil
	}
}

func (t *Tunnel) releaseAdmission() {
	if t.admitted {
		t.admitted = false
		t.worker.server.release()
	}
}
