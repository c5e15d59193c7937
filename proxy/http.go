package proxy

import (
	"wsplice/gateway"
	"wsplice/handshake"
)

// serveHTTP serves the worker's request, which is an ordinary one, by way of
// route: one trip to the gateway. The loop judges the next request like the first.
//
// The duplicate takes the place in the budget that is reserved for a backend: the
// gateway takes its own for those.
func (t *Tunnel) serveHTTP(route *Route) {
	w, x := t.worker, t.x
	t.route = route
	forward, refusal := t.forwardBy(route)
	if refusal != nil {
		t.refuse(refusal)
		return
	}
	fd, errno := t.client.FD.Dup()
	if errno != 0 {
		t.refuse(handshake.RefusalShortage)
		return
	}
	x.lent = fd
	x.search.key = w.keyOf(route.Upstream, t.peer)
	x.out = w.request.AppendOrdinary(x.out[:0], &forward)
	x.body = w.request.Body()
	t.setState(stateAway)
	w.loop.Disarm(&t.timer) // the gateway has clocks of its own
	if w.leave(&t.client) {
		t.depart()
	}
}

// depart hands the request over.
func (t *Tunnel) depart() {
	w, x := t.worker, t.x
	if x.http2 {
		t.departHTTP2()
		return
	}
	w.loop.Forget(&t.client)
	x.cut = w.server.gateway.Serve(gateway.Job{
		FD: x.lent, Layer: t.layer(), Head: x.out, Body: x.body, Behind: x.early(),
		Upstream: t.route.Upstream, Key: x.search.key, PreserveHost: t.route.PreserveHost,
		Done: func(r gateway.Result) { w.post(func() { t.comeBack(&r) }) },
	})
}

// comeBack goes on after the request was answered, or given up.
func (t *Tunnel) comeBack(r *gateway.Result) {
	w := t.worker
	w.counters.countHTTP(r.Status)
	w.counters.dialFailures += uint64(r.DialFailures)
	if r.Refusal != nil {
		w.refused(t, r.Refusal)
	}
	switch {
	case r.Aborted:
		// A body that ends with the connection must not seem complete.
		t.resetOnClose(&t.client)
		t.close()
	case !r.Keep || w.draining:
		t.linger(&t.client)
	default:
		t.readRequest(r.Leftover)
	}
}
