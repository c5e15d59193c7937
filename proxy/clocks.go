package proxy

import "time"

// The clocks of a tunnel share one timer, which looks at all of them whenever
// one could be due. They are only written while bytes move.
//
//	clock       since                          then
//	idle        the last byte, either way      idle_timeout: the tunnel ends
//	half-close  the same, or the first FIN     half_close_timeout: the tunnel ends
//	lifetime    the 101                        lifetime, ±10% by tunnel: it ends
//	ping        the 101                        every ping_interval: a ping to both
//	pong        a ping to one side             pong_timeout without a byte of it: it ends
//	guard       the 101                        5 s, once: see guard
const never = time.Duration(1<<63 - 1)

// armClocks starts the clocks anew: relaying begins, or a direction has ended,
// which may break a long silence.
func (t *Tunnel) armClocks() {
	t.active = t.worker.loop.Now()
	t.unsent = 0 // not looked at: what is there then counts as progress
	next := t.nextClock()
	if limit := t.quietLimit(); limit > 0 {
		next = min(next, t.active+limit)
	}
	t.armAt(next)
}

func (t *Tunnel) armAt(next time.Duration) {
	if next == never {
		t.worker.loop.Disarm(&t.timer)
		return
	}
	t.worker.loop.Arm(&t.timer, t, next-t.worker.loop.Now())
}

// nextClock returns when the first clock is due, the quiet one apart.
func (t *Tunnel) nextClock() time.Duration {
	next := never
	if !t.relays() && t.service == nil {
		return next
	}
	if !t.guarded {
		next = t.opened + guardAfter
	}
	if t.route.Lifetime > 0 {
		next = min(next, t.expires())
	}
	if t.pings != nil {
		next = min(next, t.pings.due(t.route.PongTimeout))
	}
	return next
}

// onClocks does what is due and arms the timer for what comes next.
func (t *Tunnel) onClocks() {
	now := t.worker.loop.Now()
	t.guard()
	if t.relays() && t.route.Lifetime > 0 && now >= t.expires() {
		t.end(sideProxy, causeLifetime)
		return
	}
	limit := t.quietLimit()
	if limit > 0 && now-t.active >= limit && !t.noteProgress() {
		t.wasQuiet()
		return
	}
	if t.relays() && t.pings != nil { // behind noteProgress, which must not see them
		if t.ping(); !t.relays() {
			return
		}
	}
	next := t.nextClock()
	if limit > 0 {
		next = min(next, t.active+limit)
	}
	t.armAt(next)
}

// wasQuiet ends a tunnel that was quiet for too long.
func (t *Tunnel) wasQuiet() {
	if t.state == stateDraining {
		t.cause = causeNone // the orderly half-close was not the end
		t.end(sideProxy, causeHalfClose)
		return
	}
	t.end(sideProxy, causeIdle)
}

// expires returns the end of the tunnel's lifetime. It differs by up to 10%
// from tunnel to tunnel, so that those opened together do not end, and come
// back, together.
func (t *Tunnel) expires() time.Duration {
	const parts = 1 << 16
	part := time.Duration(t.id * 0x9e3779b97f4a7c15 >> 48) // Knuth's multiplicative hash
	life := t.route.Lifetime
	return t.opened + life - life/10 + life/5/parts*part
}

// quietLimit is how long neither side may send a byte; 0 is no limit.
func (t *Tunnel) quietLimit() time.Duration {
	switch {
	case t.state == stateReplying:
		return t.worker.server.config.Timeouts.Upgrade
	case t.up.finished || t.down.finished:
		idle, half := t.route.IdleTimeout, t.route.HalfCloseTimeout
		if idle > 0 && (half == 0 || idle < half) {
			return idle
		}
		return half
	default:
		return t.route.IdleTimeout
	}
}

// noteProgress sets the clock if the peers have taken bytes since it was last
// called. A slow reader empties megabytes from the kernel's queue before the
// loop hears of it, and is not idle meanwhile.
func (t *Tunnel) noteProgress() (progress bool) {
	before := t.unsent
	t.unsent = t.inQueues()
	if t.unsent >= before && before != 0 || t.unsent == 0 && before == 0 {
		return false // what was added, such as our pings, nobody has taken
	}
	t.active = t.worker.loop.Now()
	return true
}

// inQueues returns how many bytes wait in both send queues.
func (t *Tunnel) inQueues() uint32 {
	unsent := uint32(t.client.FD.Unsent())
	if t.backend.Attached() {
		unsent += uint32(t.backend.FD.Unsent())
	}
	return unsent
}

// guard has the kernel notice when the backend vanishes. The client's socket has
// it from its listener; here it takes a call for each setting, so a tunnel has
// to last a while first (ADR 11).
func (t *Tunnel) guard() {
	if t.guarded || !t.relays() && t.service == nil || !t.backend.Open() {
		return
	}
	t.guarded = true
	t.backend.FD.Keepalive(t.worker.server.config.TCP.Keepalive)
	t.backend.FD.UserTimeout(t.worker.server.config.TCP.UserTimeout)
}
