package proxy

import (
	"wsplice/greeting"
	"wsplice/handshake"
	"wsplice/loop"
)

// onGreeting collects the PROXY header of a listener that has one. What follows
// in the same bytes is the request; the clock of its head runs since accept.
func (t *Tunnel) onGreeting(op *loop.Op) {
	if !t.collect(op) {
		return
	}
	x := t.x
	header, verdict := greeting.Scan(x.request)
	switch {
	case verdict == greeting.Incomplete:
		return
	case verdict == greeting.Malformed, verdict == greeting.Absent && t.listener.ProxyProtocol == GreetingRequired:
		t.worker.loop.Pause(&t.client)
		t.refuse(handshake.RefusalProxyHeader)
		return
	case verdict == greeting.Complete && !header.Local:
		t.peer, t.announced = header.Source, true
	}
	t.setState(stateReading)
	x.request = x.request[:copy(x.request, x.request[header.Bytes:])]
	if t.listener.TLS != nil {
		t.secureClient(x.request)
		x.request = x.request[:0]
	}
	if len(x.request) > 0 {
		t.scanRequest()
		return
	}
	// The client has not sent anything yet.
	t.worker.giveExchange(x)
	t.x = nil
}
