package proxy

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/splice"
)

// Synchronous service: goroutines that block move the bytes of a tunnel, one
// for each direction that is open, while its slot stays in the loop with the
// limits and clocks. `async: off` serves a tunnel so from its 101 to its end,
// `async_delay` until it has been quiet for so long, and again when bytes come.
//
// The goroutines do nothing but move bytes, by the pumps and scanners of the
// tunnel. Whatever else there is to do, the end of a direction, a timeout, a
// ping, is done in the loop: it calls the tunnel back, and sends it out again.
//
//	loop       startSync: stop receiving, let what is being sent go
//	           trySync: nothing is in flight; the loop forgets both sockets
//	           go serve, go serve
//	goroutine  a direction ends, or was called back: post joined
//	loop       joined: call the other back; when both are: backFromSync
//	           what could not be sent is parked, ends are passed on, clocks looked at
//
// Invariant: a flow belongs to its goroutine from the go statement until
// joined, and to the loop otherwise. So no byte is in two places, or in none
// (TestSyncMovesBackAndForth).

// A service is a tunnel's time with its goroutines.
type service struct {
	client, backend *os.File     // duplicates, so that Go's poller can wait for them
	active          atomic.Int64 // time of the loop: the last byte in either direction
	running         int          // goroutines that have not joined
	ends            [directionCount]syncEnd
	calledBack      atomic.Bool
	then            *ending // what ends the tunnel once it is back
}

// A syncEnd is how a goroutine ended.
type syncEnd struct {
	need   splice.Need // SourceFailed or SinkFailed; NeedTurn: it was called back
	errno  sys.Errno
	sealed []byte // what could not be sent, for a sink with TLS
}

// An ending is a call of Tunnel.end that has to wait.
type ending struct {
	by  side
	why cause
}

// wantsSync reports whether the tunnel is to be served by goroutines now.
// bytesCame says that the peers are talking.
func (t *Tunnel) wantsSync(bytesCame bool) bool {
	return t.route.Sync || bytesCame && t.route.AsyncDelay > 0
}

// startSync begins to hand the tunnel over, unless a peer is slow: then the loop
// serves it until that is over.
func (t *Tunnel) startSync() {
	if t.syncing || t.worker.server.starving.Load() > 0 || !t.relays() || !t.maySync(&t.up) || !t.maySync(&t.down) {
		return
	}
	if !t.worker.server.budget.Take(descriptorsPerTunnel) {
		t.worker.counters.syncRefused++ // served like any other tunnel
		return
	}
	t.syncing = true
	for _, f := range t.flows() {
		if source, _ := t.ends(f); !f.finished {
			t.worker.loop.StopIn(source)
		}
	}
	t.trySync()
}

// maySync reports whether nothing of f will be between the sockets soon. A
// source that is held back may have bytes with the engine.
func (t *Tunnel) maySync(f *flow) bool {
	source, sink := t.ends(f)
	return f.finished || !f.ended && !f.toSplice && !f.slow && !sink.Slow() && f.pump.Lane() == splice.Copy &&
		source.In.Kind == loop.Recv
}

// trySync goes on once nothing is in flight. A send that went short meanwhile
// keeps the tunnel here.
func (t *Tunnel) trySync() {
	w := t.worker
	switch {
	case t.stopping(&t.up) || t.stopping(&t.down):
	case t.up.slow || t.down.slow || t.client.Slow() || t.backend.Slow():
		t.stay()
	case t.client.Out.InFlight() || t.backend.Out.InFlight():
		w.loop.Await(&t.client)
		w.loop.Await(&t.backend)
	default:
		v, err := t.duplicate()
		if err != nil {
			t.stay()
			return
		}
		t.syncing = false
		for _, f := range t.flows() {
			if source, _ := t.ends(f); !f.finished {
				w.loop.Forget(source)
			}
		}
		t.service = v
		t.setState(stateSync)
		t.start()
	}
}

// stopping reports whether the source of f is still being received from.
func (t *Tunnel) stopping(f *flow) bool {
	source, _ := t.ends(f)
	return !f.finished && source.In.InFlight()
}

// stay gives up synchronous service: the loop goes on.
func (t *Tunnel) stay() {
	t.cancelSync()
	t.resume(&t.up)
	if t.relays() {
		t.resume(&t.down)
	}
}

// cancelSync gives it up without receiving again.
func (t *Tunnel) cancelSync() {
	if t.syncing {
		t.syncing = false
		t.worker.server.budget.Give(descriptorsPerTunnel)
	}
}

// stayFor gives it up because something has happened to f, which the
// caller deals with.
func (t *Tunnel) stayFor(f *flow) {
	if t.syncing {
		t.cancelSync()
		t.resume(t.opposite(f))
	}
}

// duplicate opens descriptors that Go's poller may have: those of the slot are
// the loop's.
func (t *Tunnel) duplicate() (*service, error) {
	client, err := duplicate(t.client.FD)
	if err != nil {
		return nil, err
	}
	backend, err := duplicate(t.backend.FD)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &service{client: client, backend: backend}, nil
}

func duplicate(fd sys.FD) (*os.File, error) {
	twin, errno := fd.Dup()
	if errno != 0 {
		return nil, errno
	}
	file := twin.File()
	if err := file.SetDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// start runs a goroutine for each direction that is open.
func (t *Tunnel) start() {
	v := t.service
	if t.route.Upstream.ByTraffic() {
		t.countTraffic()
	}
	t.worker.server.inSync.Add(1)
	v.active.Store(int64(t.active))
	for _, f := range t.flows() {
		if f.finished {
			continue
		}
		source := end{v.client, t.client.FD, t.sessionOf(&t.client)}
		sink := end{v.backend, t.backend.FD, t.sessionOf(&t.backend)}
		if f == &t.down {
			source, sink = sink, source
		}
		v.running++
		go (&syncFlow{tunnel: t, flow: f, source: source, sink: sink}).run()
	}
	t.armAt(t.nextInSync())
}

// callBack ends the goroutines' waiting. What they hold comes back with them.
func (t *Tunnel) callBack() {
	v := t.service
	if v.calledBack.Swap(true) { // before the deadlines: see untilSent
		return
	}
	past := time.Unix(1, 0)
	for _, file := range [...]*os.File{v.client, v.backend} {
		if err := file.SetDeadline(past); err != nil && !errors.Is(err, os.ErrClosed) {
			panic("proxy: call a tunnel back: " + err.Error()) // it was set before
		}
	}
}

// callBackSome makes room for a connection that waits for descriptors: serving
// it comes before serving others by goroutines.
func (w *worker) callBackSome() {
	left := callBacksAtOnce
	w.each(func(t *Tunnel) {
		if left > 0 && t.service != nil && !t.service.calledBack.Load() {
			left--
			t.callBack()
		}
	})
}

// joined takes a goroutine's end.
func (t *Tunnel) joined(f *flow, end syncEnd) {
	v := t.service
	v.ends[t.direction(f)] = end
	t.callBack()
	if v.running--; v.running == 0 {
		t.backFromSync()
	}
}

// backFromSync makes the loop serve the tunnel again.
func (t *Tunnel) backFromSync() {
	v := t.service
	v.client.Close()
	v.backend.Close()
	t.worker.server.inSync.Add(-1)
	t.worker.server.budget.Give(descriptorsPerTunnel)
	if t.worker.starved {
		t.worker.resumeAccepting()
	}
	t.active = max(t.active, time.Duration(v.active.Load()))
	t.counted = t.trafficUnits() // by the goroutines
	t.service = nil
	if t.up.finished || t.down.finished {
		t.setState(stateDraining)
	} else {
		t.setState(stateRelaying)
	}
	for _, f := range t.flows() {
		if v.ends[t.direction(f)].need == splice.SinkFailed {
			t.opposite(f).died = true // which may have come back with a mere end
		}
	}
	for _, f := range t.flows() {
		if t.relays() && !f.finished {
			t.takeBack(f, v.ends[t.direction(f)])
		}
	}
	if v.then != nil && t.relays() {
		t.end(v.then.by, v.then.why)
		return
	}
	if !t.relays() {
		return
	}
	if t.onClocks(); t.relays() && t.wantsSync(false) {
		t.startSync()
	}
}

// takeBack goes on with what a goroutine left.
func (t *Tunnel) takeBack(f *flow, end syncEnd) {
	_, sink := t.ends(f)
	if len(end.sealed) > 0 {
		t.sendSealed(f, sink, end.sealed)
	}
	switch {
	case f.finished || sink.Out.InFlight():
	case end.need == splice.SourceFailed: // then everything before it was sent
	case f.pump.Lane() == splice.Splice:
		t.move(f)
	case f.pump.Parked() > 0:
		f.slow = true
		t.sendParked(f, sink)
	}
	switch {
	case !t.relays() || f.finished:
	case end.need == splice.SourceFailed:
		t.sourceEnded(f, end.errno)
	case end.need == splice.SinkFailed:
		t.sinkFailed(f, end.errno)
	case f.pump.Lane() == splice.Copy:
		t.resume(f) // or watches the source while the sink is slow
	}
}

// endAfterSync ends a tunnel as soon as its goroutines have given it back.
func (t *Tunnel) endAfterSync(by side, why cause) {
	if t.service.then == nil {
		t.service.then = &ending{by, why}
	}
	t.callBack()
}

// nextInSync returns when the loop has to look after a tunnel in synchronous service.
func (t *Tunnel) nextInSync() time.Duration {
	active := time.Duration(t.service.active.Load())
	next := t.nextClock()
	if limit := t.quietLimit(); limit > 0 {
		next = min(next, active+limit)
	}
	if !t.route.Sync {
		next = min(next, active+t.route.AsyncDelay)
	}
	return next
}

// onSyncClocks calls the tunnel back if something is due.
func (t *Tunnel) onSyncClocks() {
	t.guard()
	if next := t.nextInSync(); next > t.worker.loop.Now() {
		t.armAt(next)
		return
	}
	t.callBack()
}
