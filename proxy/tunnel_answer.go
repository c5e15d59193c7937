package proxy

import (
	"strconv"

	"wsplice/handshake"
	"wsplice/loop"
)

// refuse answers with r and ends the connection. What the client sent behind
// its request is not looked at again.
func (t *Tunnel) refuse(r *handshake.Refusal) {
	if t.replacing() {
		t.notReplaced()
		return
	}
	t.worker.refused(t, r)
	t.beginAnswer()
	t.x.reply = r.AppendResponse(t.x.reply[:0])
	t.sendAnswer()
}

// answerPage answers with a page of our own.
func (t *Tunnel) answerPage(page *Page) {
	t.beginAnswer()
	out := append(t.x.reply[:0], "HTTP/1.1 200 OK\r\nContent-Type: "...)
	out = append(out, page.ContentType...)
	out = append(out, "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(page.Body)), 10)
	out = append(out, "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"...)
	t.x.reply = append(out, page.Body...)
	t.sendAnswer()
}

// beginAnswer drops the backend: its connection never serves another request.
func (t *Tunnel) beginAnswer() {
	w := t.worker
	if t.x == nil {
		t.x = w.takeExchange()
	}
	t.setState(stateAnswering)
	t.releaseServer()
	t.releaseAdmission()
	if t.backend.Attached() {
		w.loop.Close(&t.backend)
	}
}

func (t *Tunnel) sendAnswer() {
	t.worker.loop.Arm(&t.timer, t, lingerTimeout)
	if !t.client.Out.InFlight() { // else an interim answer goes first
		t.sendReply()
	}
}

func (t *Tunnel) sendReply() {
	if t.worker.loop.Send(&t.client, t.x.reply, false) {
		t.answerSent(&t.client.Out)
	}
}

// onAnswering waits for the answer to be out.
func (t *Tunnel) onAnswering(op *loop.Op, kind loop.Kind) {
	switch kind {
	case loop.Send:
		if t.down.sending == sendingNothing {
			t.answerSent(op)
		} else if t.sent(&t.down, &t.client, op); t.state == stateAnswering && !t.client.Out.InFlight() {
			t.sendReply()
		}
	case loop.PollHangup:
		t.close()
	}
}

func (t *Tunnel) answerSent(op *loop.Op) {
	if op.Err() != 0 {
		t.close()
		return
	}
	t.linger(&t.client)
}

// startReply relays a backend's refusal as ordinary HTTP. The answer's head
// has n bytes and is parsed.
func (t *Tunnel) startReply(n int) {
	w, x := t.worker, t.x
	x.body = w.response.Body(x.toHead)
	// What the client sent before it could know of the refusal was meant for a
	// tunnel: it must not become a request.
	x.keepAlive = x.keepAlive && x.body.Kind() != handshake.BodyUntilClose && !w.draining && !w.loop.Pending(&t.client)
	x.reply = w.response.AppendReply(x.reply[:0], x.keepAlive)
	t.setState(stateReplying)
	w.counters.relayedRefusals++
	w.journal.relayed(w, t, w.response.Status())
	w.loop.Arm(&t.timer, t, w.server.config.Timeouts.Upgrade)
	t.active = w.loop.Now()
	t.forward(&t.down, &t.client, x.reply, sendingExchange)
	if t.state == stateReplying {
		t.relayBody(x.answer[n:], sendingExchange)
	}
}

// onReplying moves the refusal's body.
func (t *Tunnel) onReplying(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	t.active = t.worker.loop.Now()
	switch {
	case kind == loop.PollHangup:
		t.close()
	case s == &t.client:
		t.sent(&t.down, s, op)
		if t.state == stateReplying && !t.client.Out.InFlight() {
			t.continueReply()
		}
	case kind == loop.Send:
		t.headSent()
	case op.Err() != 0, op.N == 0 && t.x.body.Kind() == handshake.BodyUntilClose && t.cutShort():
		// A body that ends with the connection must not seem complete.
		t.resetOnClose(&t.client)
		t.end(sideBackend, causeReset)
	case op.N == 0:
		t.down.ended = true
		t.continueReply()
	default:
		t.relayBody(op.Buf(), sendingLent)
	}
}

// relayBody forwards what of b belongs to the body.
func (t *Tunnel) relayBody(b []byte, memory sending) {
	n, done, err := t.x.body.Scan(b)
	if err != nil {
		// The head is out, so no answer of ours can follow: the client sees that
		// the body is not complete.
		t.end(sideBackend, causeProtocol)
		return
	}
	if done {
		t.x.complete, t.down.ended = true, true
		// Before the last of the body is out, the client cannot know that the
		// answer is complete: what it has sent is no next request either.
		if n > 0 && t.worker.loop.Pending(&t.client) {
			t.x.keepAlive = false
		}
	}
	t.forward(&t.down, &t.client, b[:n], memory)
	if t.state == stateReplying {
		t.continueReply()
	}
}

// continueReply goes on after something was sent or the body ended.
func (t *Tunnel) continueReply() {
	w := t.worker
	switch {
	case t.client.Out.InFlight():
		w.loop.Pause(&t.backend)
		w.loop.Await(&t.client)
	case !t.down.ended:
		if !t.backend.In.InFlight() {
			w.loop.Recv(&t.backend)
		}
	default:
		t.finishReply()
	}
}

// finishReply lets the client send its next request on the same connection,
// or ends it.
func (t *Tunnel) finishReply() {
	w := t.worker
	w.loop.Pause(&t.client)
	t.releaseServer()
	t.releaseAdmission()
	if t.backend.Open() && w.loop.Close(&t.backend) {
		t.nextRequest()
	} // else onClosed goes on
}

func (t *Tunnel) nextRequest() {
	if !t.x.complete || !t.x.keepAlive {
		t.linger(&t.client)
		return
	}
	t.readRequest(nil)
}

// readRequest begins to read the client's next request, which begins with left.
func (t *Tunnel) readRequest(left []byte) {
	w := t.worker
	w.giveExchange(t.x)
	t.x = nil
	t.up, t.down = flow{}, flow{}
	t.route, t.served = nil, true
	t.setState(stateReading)
	w.loop.Arm(&t.timer, t, w.server.config.Timeouts.Head)
	if len(left) > 0 {
		if t.add(left); !t.scanRequest() {
			return
		}
	}
	w.loop.Recv(&t.client)
}

// linger shuts s down for writing and drops what it still sends, for a bounded
// time: closing at once, with bytes unread, would send RST, and that can
// destroy the answer that was just written.
func (t *Tunnel) linger(s *loop.Socket) {
	w := t.worker
	t.setState(stateLingering)
	other := &t.backend
	if s == &t.backend {
		other = &t.client
	}
	if other.Open() {
		w.loop.Close(other)
	}
	w.loop.ShutdownWrite(s)
	w.loop.Arm(&t.timer, t, lingerTimeout)
	w.loop.Pause(s)
	w.loop.Recv(s)
}

// lingering returns the side that is being lingered for.
func (t *Tunnel) lingering() *loop.Socket {
	if t.client.Open() {
		return &t.client
	}
	return &t.backend
}

// onLingering drops what comes.
func (t *Tunnel) onLingering(op *loop.Op, kind loop.Kind) {
	switch {
	case kind == loop.PollHangup:
		t.close()
	case kind != loop.Recv:
	case op.Err() != 0 || op.N == 0:
		t.close()
	default:
		t.lingered += op.N
		if s := t.lingering(); t.lingered > lingerBytesMax {
			t.worker.loop.Pause(s)
			// It gets its time to read the answer, but is not read any more:
			// closing now would send the RST that lingering is to avoid.
			t.worker.loop.PollHangup(s)
		}
	}
}
