package proxy

import (
	"github.com/gobwas/ws"

	"wsplice/frame"
	"wsplice/handshake"
	"wsplice/loop"
)

// An endpoint is what a tunnel of a route of ModeEndpoint has on top: wsplice ends
// the WebSocket itself, and the backend gets and sends bytes.
//
// The bytes go the ways of the copy lane. Only what is done with a read differs:
// the client's frames are taken apart in the lent buffer and what is in them goes
// on, and the backend's bytes get a header in the room before them. Frames of ours
// always find a boundary, since whatever is parked for the client is whole frames.
type endpoint struct {
	decoder frame.Decoder
	encoder frame.Encoder

	compress bool // permessage-deflate was agreed on

	// aside is read as it is, and written by own.
	aside *aside
}

// An aside is what few endpoints have, and those not for long. Without it an
// endpoint fills a size class of Go's allocator (TestEndpointSize).
type aside struct {
	// owing is the payload of the latest ping that is not answered yet, because the
	// client does not read; owed says that there is one.
	owing []byte
	owed  bool

	// On a warm connection; see endpoint_warm.go.
	leaving frame.Event // Close or Violation came while it was being replaced
	untried *search     // how to find another one, while nothing has moved on it

	inflation *inflation // while a compressed message of the client is on its way
	piece     *piece     // of such a message, while a send holds it
}

// nothing is the aside of endpoints that have none.
var nothing aside

// own returns the endpoint's aside, to write to.
func (e *endpoint) own() *aside {
	if e.aside == &nothing {
		e.aside = new(aside)
	}
	return e.aside
}

// Subprotocols that say what the messages hold.
const (
	subprotocolBinary = "binary"
	subprotocolBase64 = "base64"
)

// farewells for what only happens to an endpoint.
var (
	farewellBackendEnded = farewell{ws.StatusGoingAway, "the backend has ended the connection"}
	farewellNotText      = farewell{ws.StatusInvalidFramePayloadData, "the backend sent what is not UTF-8"}
)

// farewellsViolation say what a client has done wrong.
var farewellsViolation = map[ws.StatusCode]farewell{
	ws.StatusProtocolError:           {ws.StatusProtocolError, "the frames are not as RFC 6455 has them"},
	ws.StatusInvalidFramePayloadData: {ws.StatusInvalidFramePayloadData, "the text is not what it must be"},
	ws.StatusMessageTooBig:           {ws.StatusMessageTooBig, "the message is too large"},
}

// makeSwitch writes our own 101 for the worker's request to x.reply. It goes out
// once a backend is connected.
func (t *Tunnel) makeSwitch() *handshake.Refusal {
	w, x := t.worker, t.x
	key, _ := w.request.Key()
	x.accepted = w.request.SelectSubprotocol(t.route.Endpoint.Subprotocols)
	x.extension = ""
	if t.route.Endpoint.Deflate {
		x.extension = w.request.SelectDeflate()
	}
	x.reply = handshake.AppendSwitch(x.reply[:0], key, x.accepted, x.extension)
	if cookie := t.route.Upstream.SetCookie(t.server, x.search.key); cookie != "" {
		x.reply = appendCookie(x.reply, cookie)
	}
	x.out = x.out[:0]
	return nil
}

// coding returns what the messages of a tunnel with this subprotocol hold.
func (e *Endpoint) coding(accepted string) frame.Coding {
	switch {
	case accepted == subprotocolBase64:
		return frame.Base64
	case accepted == subprotocolBinary || e.Binary:
		return frame.Binary
	}
	return frame.Text
}

// startEndpoint joins the client and a backend that was just connected, or whose
// connection was warm and has brought warm. What the client sent early is
// forwarded first.
func (t *Tunnel) startEndpoint(warm []byte) {
	w, x, settings := t.worker, t.x, &t.route.Endpoint
	t.setState(stateRelaying)
	t.opened = w.loop.Now()
	w.counters.opened++
	w.logOpen(t)
	coding := settings.coding(x.accepted)
	t.endpoint = &endpoint{aside: &nothing}
	t.endpoint.decoder.Init(&t.up.frames, coding,
		frame.Bounds{Message: uint64(settings.MessageBytes), Frame: uint64(settings.FrameBytes)})
	t.endpoint.encoder.Init(&t.down.frames, coding)
	if x.extension != "" {
		t.endpoint.compress = true
		t.endpoint.decoder.AcceptCompressed()
	}
	t.up.raw = true
	t.startPings()
	t.armClocks()
	t.down.skip = int32(len(x.reply))
	valid := t.beginWarm(warm)
	t.forward(&t.down, &t.client, x.reply, sendingExchange)
	if !valid && t.relays() {
		t.blame(sideBackend, causeNotText)
		t.part(farewellNotText)
	}
	if early := x.early(); len(early) > 0 && t.relays() {
		t.fromClient(early, sendingExchange)
	}
	if !t.relays() {
		return
	}
	t.releaseExchange()
	t.resume(&t.up)
	t.resume(&t.down)
}

// translate takes what was received from one side to the other.
func (t *Tunnel) translate(f *flow, op *loop.Op) {
	if f == &t.up {
		t.fromClient(op.Buf(), sendingLent)
	} else {
		t.fromBackend(op)
	}
	if !t.relays() || f.finished {
		return
	}
	if source, sink := t.ends(f); t.full(f, sink) {
		t.holdBack(source)
	}
}

// fromClient forwards what is in the client's frames, moved together in b, and
// does what its control frames ask for.
func (t *Tunnel) fromClient(b []byte, memory sending) {
	t.up.heard++
	if i := t.endpoint.aside.inflation; i != nil {
		i.spent = 0
	}
	t.takeFrames(b, memory)
	if t.relays() {
		t.endInflation()
	}
}

// takeFrames is fromClient for b, or for what of it had to wait.
func (t *Tunnel) takeFrames(b []byte, memory sending) {
	var payload []byte
	pinged := false
	for decoder := &t.endpoint.decoder; len(b) > 0; {
		n, part, event := decoder.Next(b)
		if decoder.Compressed() && (len(part) > 0 || event == frame.Complete) {
			t.toBackend(payload, memory)
			payload = nil
			if !t.relays() || t.up.finished || !t.inflate(b[n-len(part):], len(part), event == frame.Complete) {
				break
			}
			b = b[n:]
			continue
		}
		b = b[n:]
		if len(payload) == 0 {
			payload = part
		} else {
			payload = append(payload, part...) // to the left, within b
		}
		switch event {
		case frame.Ping:
			pinged = true
			t.answerPing(decoder.Control())
		case frame.Close, frame.Violation:
			t.toBackend(payload, memory)
			t.closedByClient(event)
			return
		}
	}
	if pinged && t.relays() {
		t.active = t.worker.loop.Now()
		t.sendWaiting()
	}
	t.toBackend(payload, memory)
}

func (t *Tunnel) toBackend(payload []byte, memory sending) {
	f := &t.up
	if len(payload) == 0 || f.finished {
		return
	}
	t.active = t.worker.loop.Now()
	if t.replaceable(&t.down) && t.replacedFor(payload) {
		return
	}
	if memory != sendingParked {
		t.forward(f, &t.backend, payload, memory)
		return
	}
	f.pump.Park(payload) // nobody's to hold
	if t.backend.Out.InFlight() {
		t.worker.loop.Await(&t.backend)
	} else {
		t.sendParked(f, &t.backend)
	}
}

// closedByClient ends the tunnel after the client's Close, or the first byte that
// no frame could have. What came before is on its way to the backend.
func (t *Tunnel) closedByClient(event frame.Event) {
	if t.replacing() {
		t.endpoint.own().leaving = event
		return
	}
	if !t.relays() {
		return // the backend's socket has failed
	}
	if event == frame.Violation {
		t.up.violated = true
		t.blame(sideClient, causeViolation)
		t.part(farewellsViolation[t.endpoint.decoder.Status()])
		return
	}
	t.closedFirst.CompareAndSwap(uint32(sideNone), uint32(sideClient))
	t.blame(sideClient, causeEnd)
	code, _ := t.up.frames.CloseCode()
	t.part(farewell{code: ws.StatusCode(code)})
}

// fromBackend makes one message of what the backend sent.
func (t *Tunnel) fromBackend(op *loop.Op) {
	e, f := t.endpoint, &t.down
	f.heard++
	t.active = t.worker.loop.Now()
	if e.aside.untried != nil {
		e.aside.untried = nil
		t.server.Connected()
	}
	if e.encoder.Coding() == frame.Base64 {
		t.inBase64(op.Buf())
		return
	}
	var prefix [frame.PrefixBytesMax]byte
	m, n, valid := e.encoder.Frame(&prefix, op.Buf())
	if m > 0 {
		whole := op.WithRoom(m)[:m+n]
		copy(whole, prefix[:m])
		if smaller, ok := t.compressed(whole); ok {
			whole = whole[:copy(whole, smaller)] // which may be sent from there
		}
		t.forward(f, &t.client, whole, sendingLent)
	}
	if !valid && t.relays() && !f.finished {
		t.blame(sideBackend, causeNotText)
		t.part(farewellNotText)
	}
}

// inBase64 is fromBackend for a client that wants base64, which takes more room
// than there is.
func (t *Tunnel) inBase64(b []byte) {
	w := t.worker
	w.encoded = t.endpoint.encoder.AppendBase64(w.encoded[:0], b)
	message := w.encoded
	if smaller, ok := t.compressed(message); ok {
		message = smaller
	}
	t.down.pump.Park(message)
	t.sendWaiting()
}

// backendEnded returns what the client is told when the backend has ended its
// connection in good order.
func (t *Tunnel) backendEnded() farewell {
	if t.endpoint.encoder.Whole() {
		return farewellBackendEnded
	}
	t.blame(sideBackend, causeNotText)
	return farewellNotText
}

// answerPing parks the answer to a ping, or keeps it until the client has read
// more. A later ping takes the place of one that waits.
func (t *Tunnel) answerPing(payload []byte) {
	e := t.endpoint
	switch parked := t.parkPong(payload); {
	case !parked:
		own := e.own()
		own.owed, own.owing = true, append(own.owing[:0], payload...)
	case e.aside.owed:
		e.aside.owed = false
	}
}

// sendOwedPong sends the pong that is owed, if there is one and the client reads.
func (t *Tunnel) sendOwedPong() {
	if e := t.endpoint; e != nil && e.aside.owed && t.relays() && t.parkPong(e.aside.owing) {
		e.aside.owed = false
		t.sendWaiting()
	}
}

// parkPong leaves a Pong to be sent, unless too much waits for the client.
func (t *Tunnel) parkPong(payload []byte) bool {
	f := &t.down
	if !f.speaks() || f.pump.Parked() > pongsParkedMax {
		return false
	}
	var room [frame.PongBytesMax]byte
	pong := frame.AppendPong(room[:0], payload)
	f.skip += int32(len(pong))
	f.pump.Park(pong)
	return true
}

// sendWaiting sends what was parked for the client, all in one: a read may bring
// thousands of pings.
func (t *Tunnel) sendWaiting() {
	switch f := &t.down; {
	case f.finished || f.pump.Parked() == 0:
	case t.client.Out.InFlight():
		t.worker.loop.Await(&t.client)
	default:
		t.sendParked(f, &t.client)
	}
}
