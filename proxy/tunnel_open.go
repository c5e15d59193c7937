package proxy

import (
	"net/http"
	"net/netip"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/loop"
)

// open begins the life of a tunnel with an accepted connection. The two
// descriptors of a tunnel were taken from the budget.
func (t *Tunnel) open(fd sys.FD, peer netip.AddrPort, listener *Listener) {
	t.peer, t.listener = peer, listener
	t.worker.loop.Attach(&t.client, fd, t)
	if listener.ProxyProtocol == GreetingOff {
		t.setState(stateReading)
		t.secureClient(nil)
	} else {
		t.setState(stateGreeting)
	}
	t.worker.loop.Arm(&t.timer, t, t.worker.server.config.Timeouts.Head)
	t.worker.loop.Recv(&t.client)
}

// onRequest collects the request head.
func (t *Tunnel) onRequest(op *loop.Op) {
	switch {
	case !t.collect(op):
	case t.speaksHTTP2():
		t.serveHTTP2()
	default:
		t.scanRequest()
	}
}

// collect appends what came to the request, or closes the tunnel at its end.
func (t *Tunnel) collect(op *loop.Op) bool {
	if op.Err() == sys.EPROTO {
		t.insecure()
		return false
	}
	if op.Err() != 0 || op.N == 0 {
		t.close() // gone before it asked for anything
		return false
	}
	t.add(op.Buf())
	return true
}

// add appends b to the request.
func (t *Tunnel) add(b []byte) {
	if t.x == nil {
		t.x = t.worker.takeExchange()
	}
	t.x.request = append(t.x.request, b...)
}

// scanRequest looks for the end of the request head, and judges it. It reports
// whether more is to come.
func (t *Tunnel) scanRequest() (more bool) {
	x, limit := t.x, t.worker.server.config.Limits.Head
	n, refusal := x.requestScan.Scan(x.request)
	switch {
	case refusal != nil:
	case n > limit || n == 0 && len(x.request) > limit:
		refusal = handshake.RefusalHeadTooLarge
	case n == 0:
		return true
	}
	t.worker.loop.Pause(&t.client)
	if refusal != nil {
		t.refuse(refusal)
		return false
	}
	x.head = n
	t.judge()
	return false
}

func (t *Tunnel) headTimeout() {
	if t.x == nil && t.worker.draining && t.excuse() {
		return
	}
	if t.x == nil && (t.served || t.worker.draining) {
		t.close() // it has no further request, or came too late with its first
		return
	}
	t.worker.loop.Pause(&t.client)
	t.refuse(handshake.RefusalHeadTimeout)
}

// judge decides on a complete request head.
func (t *Tunnel) judge() {
	w, x := t.worker, t.x
	request := &w.request
	if refusal := request.Parse(x.request[:x.head]); refusal != nil {
		t.refuse(refusal)
		return
	}
	x.path = append(x.path[:0], request.Path()...)
	if page := w.server.matchPage(request.Path()); page != nil && isGet(request) {
		t.answerPage(page)
		return
	}
	chosen, outcome, refusal := w.server.choose(&w.subject, request)
	switch outcome {
	case outcomeRefuse:
		t.refuse(refusal)
	case outcomeHTTP:
		t.serveHTTP(chosen)
	case outcomeTunnel:
		t.startTunnel(chosen)
	}
}

// startTunnel begins to look for a backend that makes the worker's request a
// tunnel.
func (t *Tunnel) startTunnel(route *Route) {
	w, x := t.worker, t.x
	request := &w.request
	if refusal := request.CheckOrigin(route.Origins); refusal != nil {
		t.refuse(refusal)
		return
	}
	if refusal := t.admit(); refusal != nil {
		t.refuse(refusal)
		return
	}
	t.route = route
	x.keepAlive = request.KeepAlive() && len(x.early()) == 0
	x.toHead = string(request.Method()) == "HEAD"
	x.search.key = w.keyOf(route.Upstream, t.peer)
	// A warm connection may be dead, and only a GET is sent again. What a client
	// sends to an endpoint before it is answered would be sent at once, and lost.
	x.cold = string(request.Method()) != "GET" || route.Mode == ModeEndpoint && len(x.early()) > 0
	t.setState(stateDialing)
	// A client that gives up meanwhile frees its backend at once. A mere FIN is
	// a half-close: it may still read.
	w.loop.PollHangup(&t.client)
	t.dialNext(true)
}

// isGet reports whether a page of our own answers the request.
func isGet(r *handshake.Request) bool {
	return r.Upgrade() == handshake.NoUpgrade && string(r.Method()) == "GET" && !r.HasBody()
}

// dialNext connects to the next address that was not tried. parsed says that
// the worker's request still is this tunnel's.
func (t *Tunnel) dialNext(parsed bool) {
	for t.nextAddress(parsed) {
		parsed = false
		t.x.dialUntil = t.worker.loop.Now() + t.worker.server.config.Timeouts.Dial
		if !t.connect() {
			return
		}
	}
}

// connect begins to connect to the current address. It reports whether that
// has failed and the next is to be tried.
func (t *Tunnel) connect() (failed bool) {
	w, x := t.worker, t.x
	if t.connectWarm() {
		return false
	}
	addr := x.search.address()
	fd, errno := sys.StreamSocket(addr.Family())
	if errno != 0 {
		t.refuse(handshake.RefusalShortage)
		return false
	}
	if t.bindSource(fd, addr.Family()) != 0 {
		fd.Close()
		t.refuse(handshake.RefusalShortage)
		return false
	}
	if addr.Family() != sys.AFUnix {
		fd.NoDelay()
	}
	w.loop.Attach(&t.backend, fd, t)
	t.secureBackend()
	w.loop.Arm(&t.timer, t, x.dialUntil-w.loop.Now())
	if !w.loop.Connect(&t.backend, addr, x.out) {
		return false
	}
	errno = t.backend.Out.Err()
	switch {
	case errno == 0:
		t.sendHead()
		return false
	case shortage(errno):
		t.refuse(handshake.RefusalShortage)
		return false
	case errno == sys.EAGAIN && w.loop.Now()+queuePause < x.dialUntil:
		// A unix socket's queue is full, and nothing tells when it has room.
		w.loop.Arm(&t.timer, t, queuePause)
		w.loop.Close(&t.backend)
		return false
	}
	t.failedDial(errno)
	return w.loop.Close(&t.backend) // if not, onClosed goes on
}

// onDialing takes the result of a connect, or the client's hang-up.
func (t *Tunnel) onDialing(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	switch {
	case s == &t.client && kind == loop.Send:
		t.sent(&t.down, s, op) // an endpoint's, whose backend is being replaced
		return
	case s == &t.client:
		if t.replacing() {
			t.blame(sideClient, causeReset)
		}
		t.close()
		return
	}
	switch errno := op.Err(); {
	case errno == 0:
		t.sendHead()
	case shortage(errno) || errno == sys.EPROTO && t.busyWithTLS():
		t.refuse(handshake.RefusalShortage)
	default:
		if errno == sys.EPROTO {
			t.insecureBackend()
		}
		t.redial(errno)
	}
}

// dialTimeout gives up an address, or tries a full queue again.
func (t *Tunnel) dialTimeout() {
	switch {
	case t.backend.Open():
		t.redial(sys.ETIMEDOUT)
	case t.backend.Attached():
		// onClosed goes on
	case t.connect():
		t.dialNext(false)
	}
}

// redial gives up the current connection attempt and makes the next.
func (t *Tunnel) redial(errno sys.Errno) {
	t.failedDial(errno)
	if t.worker.loop.Close(&t.backend) {
		t.dialNext(false)
	}
}

// failedDial takes note of why the current address is given up.
func (t *Tunnel) failedDial(errno sys.Errno) {
	t.worker.counters.dialFailures++
	t.x.search.failure = errno
}

// shortage reports whether a failed socket(2) or connect(2) is our own lack of
// ports, descriptors or memory: another server would not help, and this one is
// not to blame.
func shortage(errno sys.Errno) bool {
	switch errno {
	case sys.EADDRNOTAVAIL, sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM:
		return true
	}
	return false
}

// sendHead goes on with a connected backend: it sends what the socket has not
// taken yet of the request, most often nothing.
func (t *Tunnel) sendHead() {
	w := t.worker
	if !t.x.warm { // which may be dead
		t.server.Connected()
	}
	if t.endpoint != nil {
		t.rejoin()
		return
	}
	if t.route.Mode == ModeEndpoint {
		t.startEndpoint(nil) // which has no head
		return
	}
	rest := t.x.out[t.backend.Out.N:]
	t.setState(stateUpgrading)
	w.loop.Arm(&t.timer, t, w.server.config.Timeouts.Upgrade)
	w.loop.Recv(&t.backend)
	if len(rest) == 0 {
		return
	}
	if !w.loop.Send(&t.backend, rest, false) {
		// The exchange must stay, and these bytes are not the tunnel's, even if
		// the backend answers before it has read them all.
		t.up.sending, t.up.skip = sendingExchange, int32(len(rest))
	} else if t.backend.Out.Err() != 0 {
		t.unanswered()
	}
}

// headSent takes note that the backend's socket has the whole head, or never
// will: then the answer may still have come before the failure.
func (t *Tunnel) headSent() { t.up.sending, t.up.skip = sendingNothing, 0 }

// onUpgrading collects the backend's answer.
func (t *Tunnel) onUpgrading(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	switch {
	case s == &t.client && kind == loop.Send:
		t.sent(&t.down, s, op) // an interim answer
	case s == &t.client:
		t.close()
	case kind == loop.Send:
		t.headSent()
	case op.Err() != 0 || op.N == 0:
		t.unanswered()
	default:
		if t.x.warm && len(t.x.answer) == 0 {
			t.server.Connected()
		}
		t.x.answer = append(t.x.answer, op.Buf()...)
		t.scanAnswer()
	}
}

func (t *Tunnel) upgradeTimeout() {
	if !t.awaitsProof() {
		t.refuse(handshake.RefusalUpgradeTimeout)
	}
}

// scanAnswer looks for the end of the answer's head, past interim ones.
func (t *Tunnel) scanAnswer() {
	w, x := t.worker, t.x
	for {
		n, refusal := x.answerScan.ScanResponse(x.answer)
		limit := w.server.config.Limits.Head
		if refusal == nil && (n > limit || n == 0 && len(x.answer) > limit) {
			refusal = handshake.RefusalAnswerTooLarge
		}
		if refusal == nil && n == 0 {
			return
		}
		if refusal == nil {
			refusal = w.response.Parse(x.answer[:n])
		}
		switch {
		case refusal != nil:
			t.refuse(refusal)
			return
		case !w.response.Interim():
			t.judgeAnswer(n)
			return
		}
		if x.interims++; x.interims > interimMax {
			t.refuse(handshake.RefusalBadAnswer)
			return
		}
		if t.passInterim(); t.state != stateUpgrading {
			return
		}
		x.answer = x.answer[:copy(x.answer, x.answer[n:])]
		x.answerScan = handshake.HeadScanner{}
	}
}

// passInterim relays a 1xx, as RFC 9110 section 15.2 wants.
func (t *Tunnel) passInterim() {
	w := t.worker
	w.target = w.response.AppendInterim(w.target[:0])
	t.down.pump.Park(w.target)
	if !t.client.Out.InFlight() {
		t.sendParked(&t.down, &t.client)
	}
}

// judgeAnswer decides on the backend's answer, whose head has n bytes.
func (t *Tunnel) judgeAnswer(n int) {
	w, x := t.worker, t.x
	if x.warm && x.interims == 0 && w.response.Status() == http.StatusRequestTimeout {
		// The server was tired of an idle connection before the request came.
		x.answer, x.answerScan = x.answer[:0], handshake.HeadScanner{}
		t.redialStale()
		return
	}
	if w.response.Status() != 101 {
		t.startReply(n)
		return
	}
	if refusal := w.response.CheckUpgrade(&handshake.Offer{Sent: x.out}, t.route.Lenient); refusal != nil {
		t.refuse(refusal)
		return
	}
	t.startRelay(n)
}
