package proxy

import (
	"wsplice/deflate"
	"wsplice/frame"
	"wsplice/loop"
)

// Where an endpoint's client has agreed on permessage-deflate, each message is
// compressed by itself, so a tunnel holds state of it only while a message of the
// client is on its way: an inflation.
//
// A message is expanded piece by piece, and each piece goes to the backend before
// the next one is made. What of a read becomes more than inflateTurnBytes, or more
// than the backend takes, waits in the inflation with what is behind it, and the
// client is not read until that is through.

// An inflation expands the messages of one tunnel.
type inflation struct {
	inflater deflate.Inflater
	tunnel   *Tunnel
	turn     loop.Timer // the next one, where the backend is not what is waited for

	begun bool // a message is not complete
	spent int  // of inflateTurnBytes

	// What the client sent and was not looked at: payload of the message in
	// progress, and frames behind it.
	waits   bool
	waiting []byte
	payload int  // bytes of payload in waiting
	last    bool // the message ends with them
}

// OnTimer gives the tunnel its next turn.
func (i *inflation) OnTimer(*loop.Timer) { i.tunnel.inflateOn() }

// waits reports whether bytes of the client wait to be expanded.
func (t *Tunnel) waits() bool {
	return t.endpoint != nil && t.endpoint.aside.inflation != nil && t.endpoint.aside.inflation.waits
}

// inflate expands the first n bytes of b, payload of a compressed message, for the
// backend; last says that the message ends there, and the rest of b are frames
// behind it. It reports whether those may be looked at now.
func (t *Tunnel) inflate(b []byte, n int, last bool) bool {
	w, e := t.worker, t.endpoint
	own := e.own()
	if own.inflation == nil {
		own.inflation = w.takeInflation(t)
	}
	i, status := own.inflation, deflate.Full
	for status == deflate.Full {
		if i.spent >= inflateTurnBytes || t.sinkFull(&t.up, &t.backend) {
			i.wait(b, n, last)
			return false
		}
		var made, taken int
		piece := w.takePiece()
		room := piece[:max(deflate.RoomBytesMin, min(len(piece), w.lend))]
		made, taken, status = i.inflater.Inflate(room, b[:n], last)
		b, n = b[taken:], n-taken
		i.spent += made + i.inflater.Built()*inflateTableCost + inflateCallCost
		content, ok := e.decoder.Expanded(piece[:made], status == deflate.Done)
		t.toBackend(content, sendingPiece)
		if t.up.sending == sendingPiece && own.piece == nil {
			own.piece = piece
		} else {
			w.givePiece(piece)
		}
		if ok && status == deflate.Broken {
			e.decoder.Unexpandable()
			ok = false
		}
		if !ok {
			t.closedByClient(frame.Violation)
		}
		if !ok || !t.relays() || t.up.finished {
			return false
		}
	}
	i.begun = status == deflate.Hungry
	return true
}

// wait keeps b, which may be in waiting itself, for the next turn. If the backend
// is what is waited for, it comes when that takes bytes.
func (i *inflation) wait(b []byte, n int, last bool) {
	t := i.tunnel
	i.waits, i.waiting, i.payload, i.last = true, append(i.waiting[:0], b...), n, last
	if !t.sinkFull(&t.up, &t.backend) {
		t.worker.loop.Arm(&i.turn, i, 0)
	}
}

// inflateOn goes on with what waits, and then with the client.
func (t *Tunnel) inflateOn() {
	if !t.relays() || !t.waits() || t.up.finished || t.sinkFull(&t.up, &t.backend) {
		return
	}
	i := t.endpoint.aside.inflation
	t.worker.loop.Disarm(&i.turn)
	i.waits, i.spent = false, 0
	if b, n := i.waiting, i.payload; t.inflate(b, n, i.last) {
		t.takeFrames(b[n:], sendingParked)
	}
	if !t.relays() || t.up.finished {
		return
	}
	if !t.waits() {
		t.endInflation()
		t.resume(&t.up)
		return
	}
	if t.client.In.Kind != loop.PollHangup && !t.up.died {
		t.holdBack(&t.client)
	}
}

// endInflation gives the inflation back, unless it is still wanted.
func (t *Tunnel) endInflation() {
	if i := t.endpoint.aside.inflation; i != nil && !i.begun && !i.waits {
		t.dropInflation()
	}
}

// dropInflation gives the inflation back, with what is in it.
func (t *Tunnel) dropInflation() {
	if t.endpoint == nil || t.endpoint.aside.inflation == nil {
		return
	}
	w, i := t.worker, t.endpoint.aside.inflation
	w.loop.Disarm(&i.turn)
	t.endpoint.aside.inflation = nil
	if len(w.inflations) < inflationsKeptMax {
		i.inflater.Reset()
		i.tunnel, i.begun, i.spent, i.waits, i.waiting = nil, false, 0, false, emptied(i.waiting)
		w.inflations = append(w.inflations, i)
	}
}

func (w *worker) takeInflation(t *Tunnel) *inflation {
	n := len(w.inflations)
	if n == 0 {
		return &inflation{tunnel: t}
	}
	i := w.inflations[n-1]
	w.inflations = w.inflations[:n-1]
	i.tunnel = t
	return i
}

// A piece is what a message is expanded into, until it was sent.
type piece [inflatePieceBytes]byte

func (w *worker) takePiece() *piece {
	n := len(w.pieces)
	if n == 0 {
		return new(piece)
	}
	p := w.pieces[n-1]
	w.pieces = w.pieces[:n-1]
	return p
}

func (w *worker) givePiece(p *piece) {
	if len(w.pieces) < piecesKeptMax {
		w.pieces = append(w.pieces, p)
	}
}

// releasePiece gives back the piece of which a send is over, if there is one.
func (t *Tunnel) releasePiece() {
	if e := t.endpoint; e != nil && e.aside.piece != nil {
		t.worker.givePiece(e.aside.piece)
		e.aside.piece = nil
	}
}

// compressed returns the frame in the worker's memory that whole, a frame of a
// message of the backend, becomes when it is compressed, and whether it is worth
// it: the client agreed, and it is shorter.
func (t *Tunnel) compressed(whole []byte) (smaller []byte, ok bool) {
	payload := frame.Payload(whole)
	if !t.endpoint.compress || len(payload) < compressMin {
		return nil, false
	}
	w := t.worker
	var header [frame.HeaderBytesMax]byte
	w.packed, ok = w.deflater.Append(append(w.packed[:0], header[:]...), payload)
	if !ok {
		return nil, false
	}
	// The header goes right before the payload.
	head := frame.AppendCompressedHeader(header[:0], whole, len(w.packed)-len(header))
	smaller = w.packed[len(header)-len(head):]
	copy(smaller, head)
	return smaller, true
}
