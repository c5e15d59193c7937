package loop

import (
	"errors"
	"io"

	"wsplice/internal/sys"
)

// A Layer stands between what a socket carries and what its owner reads and
// writes, as TLS does. It does no I/O: the loop feeds it and sends what it makes.
// All methods but the function given to Start are called on the loop's goroutine,
// and from those that serve a socket which the loop has forgotten.
type Layer interface {
	// Start is called once. wake asks for Settle to be called; it may be called
	// from any goroutine, at any time.
	Start(wake func())

	// Settle reports whether bytes of the owner may pass: the layer's handshake is
	// over. The error says that it has failed.
	Settle() (ready bool, err error)

	// Full reports whether the handshake has more than enough to work on.
	Full() bool

	// Room returns how large a buffer Open needs for n received bytes; 0 if it opens
	// them where they are.
	Room(n int) int

	// Open returns what is in received bytes for the owner: appended to dst, if that
	// is not nil, or inside received, which it may overwrite. The error is io.EOF
	// where the peer has ended its stream, and anything else where the connection is
	// of no more use. Before Settle has said that the layer is ready it returns
	// nothing, and keeps what came.
	Open(dst, received []byte) ([]byte, error)

	// Seal appends what carries b to dst, behind Output.
	Seal(dst, b []byte) []byte

	// Output appends what the layer has to say by itself to dst.
	Output(dst []byte) []byte

	// Finish appends Output and the end of the stream to dst.
	Finish(dst []byte) []byte

	// Close ends the use of the layer.
	Close()
}

// A layered socket has a layer. It is the owner as the engine sees it: the
// engine's operations are the layer's, and the owner is told of its own.
//
//	handshake  the layer's bytes go both ways, and the owner hears of nothing but
//	           a failure, a hang-up and the end. It may receive, and wait
//	ready      what is received is opened; what is sent is sealed, and the send is
//	           over when all that carries it is
//
// The owner's Recv is the engine's. Its Send is one or two of the engine's: once,
// and then for what did not fit, since what was sealed cannot be given back.
type layered struct {
	loop   *Loop
	owner  Owner
	layer  Layer
	socket *Socket

	ready   bool
	closed  bool
	held    bool // the layer has enough of the handshake for now: the owner's Recv is paused
	slow    bool // what was sealed did not fit and waits for the peer
	pending bool // the layer may hold bytes, or the end, that the owner was not told of

	sending Kind   // what the owner has in flight: None, Send or Connect
	size    int32  // of its bytes
	sealed  []byte // what the engine is sending, a block of the loop's
	first   []byte // of a Connect, to be sent behind the handshake
	fin     bool   // the connection is to be shut down behind what is being sent
}

// Layer puts layer between s and its owner. Nothing of s may be in flight but a
// Recv, of which early was delivered and belongs to the layer.
func (l *Loop) Layer(s *Socket, layer Layer, early []byte) {
	y := l.insert(s, layer)
	layer.Start(func() { _ = l.Post(y.wake) }) // a loop that has ended needs no telling
	if len(early) > 0 {
		y.feed(early)
	}
}

// Resume is Layer with a layer that is ready and was started elsewhere. It holds
// nothing for the owner.
func (l *Loop) Resume(s *Socket, layer Layer) { l.insert(s, layer).ready = true }

// insert puts layer between s and its owner.
func (l *Loop) insert(s *Socket, layer Layer) *layered {
	mustBeIdle(&s.Out)
	y := &layered{loop: l, owner: s.owner, layer: layer, socket: s}
	s.owner = y
	s.flags |= flagLayered
	return y
}

// LayerOf returns the layer of s, or nil.
func (l *Loop) LayerOf(s *Socket) Layer {
	if y := s.layered(); y != nil {
		return y.layer
	}
	return nil
}

// Slow reports whether the peer of s does not take what was sealed for it.
func (s *Socket) Slow() bool {
	y := s.layered()
	return y != nil && y.slow
}

// Layered reports whether what s carries is not what its owner sees.
func (s *Socket) Layered() bool { return s.flags&flagLayered != 0 }

func (s *Socket) layered() *layered {
	if s.flags&flagLayered == 0 {
		return nil
	}
	return s.owner.(*layered)
}

// ShutdownWrite ends what s sends, as shutdown(2) does. Nothing of the owner's
// may be in flight towards it.
func (l *Loop) ShutdownWrite(s *Socket) {
	if y := s.layered(); y != nil {
		y.shutdown()
		return
	}
	s.FD.ShutdownWrite()
}

// Complete takes what the engine has done.
func (y *layered) Complete(s *Socket, op *Op, kind Kind) {
	switch kind {
	case Recv:
		y.received(op)
	case Send:
		y.sent(op)
	case Connect:
		y.connected(op)
	default:
		y.owner.Complete(s, op, kind)
	}
}

// received opens what came.
func (y *layered) received(op *Op) {
	switch {
	case (op.Err() != 0 || op.N == 0) && y.sending == Connect:
		y.complete(sys.ECONNRESET) // in the middle of the handshake
	case op.Err() != 0 || op.N == 0:
		y.pass(op, Recv)
	case y.ready:
		y.open(op, op.Buf())
	default:
		y.feed(op.Buf())
	}
}

// pass tells the owner of a completion as it is.
func (y *layered) pass(op *Op, kind Kind) { y.owner.Complete(y.socket, op, kind) }

// feed gives the layer bytes of its handshake.
func (y *layered) feed(b []byte) {
	_, _ = y.layer.Open(nil, b) // Settle tells what comes of it
	if y.layer.Full() {
		y.held = true
		y.loop.Pause(y.socket) // advance goes on
	}
}

// open lends the owner what is in b. The completion it came with is op.
func (y *layered) open(op *Op, b []byte) {
	l, s := y.loop, y.socket
	var block, dst []byte
	if room := y.layer.Room(len(b)); room > 0 {
		block = l.blocks.take(Headroom + room)
		dst = block[Headroom:Headroom]
	}
	plain, err := y.layer.Open(dst, b)
	if len(plain) > 0 {
		op.N, op.errno, op.More = int32(len(plain)), 0, true
		op.setBuf(plain)
		y.pass(op, Recv)
	}
	if block != nil {
		l.engine.hold(block)
	}
	switch {
	case y.closed || s.In.Kind != Recv || s.In.stopping:
		y.pending = y.pending || err != nil // it is told when it asks again
	case err != nil:
		y.ended(err)
	}
}

// ended tells the owner of the end of the stream, or that it is broken.
func (y *layered) ended(err error) {
	if errors.Is(err, io.EOF) {
		y.endRecv(sys.OK)
		return
	}
	y.broken()
}

// broken tells the peer what the layer says about it, as far as that goes, and
// the owner that the connection is of no use.
func (y *layered) broken() {
	if s := y.socket; !s.Out.InFlight() {
		if b := y.layer.Output(nil); len(b) > 0 {
			_, _ = s.FD.Send(b) // it is over anyway
		}
	}
	y.fail(sys.EPROTO)
}

// fail ends what the owner waits for with errno.
func (y *layered) fail(errno sys.Errno) {
	s := y.socket
	if y.sending == Connect {
		y.loop.Pause(s)
		y.complete(errno)
		return
	}
	y.pending = true
	if s.In.Kind == Recv {
		y.endRecv(errno)
	}
}

// endRecv ends the owner's Recv and tells it why. If the owner asks again it is
// told again, as by a socket.
func (y *layered) endRecv(errno sys.Errno) {
	s := y.socket
	y.pending = true
	y.loop.Pause(s)
	op := &s.In
	op.N, op.errno, op.More = 0, uint16(errno), false
	op.setBuf(nil)
	y.pass(op, Recv)
}

// wake goes on after the layer has asked for it.
func (y *layered) wake() {
	if y.closed {
		return
	}
	if !y.ready {
		y.advance()
		return
	}
	y.deliver()
}

// deliver gives the owner what the layer holds of received bytes.
func (y *layered) deliver() {
	if in := &y.socket.In; y.closed || !y.pending || in.Kind != Recv || in.stopping {
		return
	}
	y.pending = false
	op := &y.socket.In
	op.More = true
	y.open(op, nil)
}

// advance goes on with the handshake: what the layer has to say goes out, and then
// it may be over.
func (y *layered) advance() {
	if y.socket.Out.InFlight() {
		return // sent goes on
	}
	if !y.speak() {
		return
	}
	ready, err := y.layer.Settle()
	if err != nil {
		y.broken()
		return
	}
	if y.held && !y.layer.Full() {
		y.held = false
		y.loop.startIn(y.socket, Recv)
	}
	if !ready {
		return
	}
	y.ready, y.pending = true, true
	if y.sending == Connect {
		y.loop.Pause(y.socket) // what came is delivered with the owner's Recv
		y.sendFirst()
		return
	}
	y.deliver()
}

// speak sends what the layer has to say, and reports whether that is out.
func (y *layered) speak() bool {
	block := y.loop.blocks.take(blockSmall)
	out := y.layer.Output(block[:0])
	if len(out) == 0 {
		y.loop.blocks.give(block)
		return true
	}
	if !y.push(out) {
		return false
	}
	if errno := y.socket.Out.Err(); errno != 0 {
		y.fail(errno)
		return false
	}
	return true
}

// push hands sealed bytes to the engine and reports whether they are out, or
// have failed.
func (y *layered) push(sealed []byte) (done bool) {
	s := y.socket
	y.sealed = sealed
	s.Out = Op{Kind: Send, once: true}
	s.Out.setBuf(sealed)
	if !y.loop.engine.submit(s, &s.Out) {
		y.loop.engine.await(s)
		return false
	}
	return y.pushed(&s.Out)
}

// pushed goes on after a send of the engine's, and reports whether all is out or
// has failed: what a send once has left goes out in one that waits.
func (y *layered) pushed(op *Op) (done bool) {
	if rest := op.Buf(); op.Err() == 0 && len(rest) > 0 {
		y.slow = true
		*op = Op{Kind: Send}
		op.setBuf(rest)
		if !y.loop.engine.submit(y.socket, op) {
			return false
		}
	}
	y.loop.blocks.give(y.sealed)
	y.sealed, y.slow = nil, false
	op.setBuf(nil)
	return true
}

// send is the owner's Send.
func (y *layered) send(b []byte) (done bool) {
	s := y.socket
	if !y.ready {
		s.Out = Op{errno: uint16(sys.EPROTO)}
		return true
	}
	y.size = int32(len(b))
	block := y.loop.blocks.take(sealedSize(len(b)))
	if y.push(y.layer.Seal(block[:0], b)) {
		y.outcome()
		return true
	}
	y.sending = Send
	return false
}

// SendSealed sends what the layer of s has sealed while others served the
// descriptor. The answer is that of Send; no bytes of the owner's count.
func (l *Loop) SendSealed(s *Socket, sealed []byte) (done bool) {
	mustBeIdle(&s.Out)
	y := s.layered()
	y.size = 0
	if y.push(append(l.blocks.take(len(sealed))[:0], sealed...)) {
		y.outcome()
		return true
	}
	y.sending = Send
	return false
}

// outcome says how much of the owner's bytes went: all or none.
func (y *layered) outcome() {
	op := &y.socket.Out
	op.N = 0
	if op.Err() == 0 {
		op.N = y.size
	}
	if !op.InFlight() { // else it is the handshake's, and the owner will close
		op.setBuf(nil)
	}
}

// sent goes on after a send of the engine's that was in flight.
func (y *layered) sent(op *Op) {
	switch {
	case !y.pushed(op):
	case y.fin:
		y.socket.FD.ShutdownWrite()
		y.size = 0
		y.outcome()
		y.pass(op, Send) // who waits for the socket to be idle is told
	case y.ready && y.sending != None:
		y.complete(op.Err())
	case op.Err() != 0:
		y.fail(op.Err())
	default:
		y.advance()
	}
}

// complete tells the owner how its Send or Connect ended.
func (y *layered) complete(errno sys.Errno) {
	kind, op := y.sending, &y.socket.Out
	y.sending = None
	op.errno = uint16(errno)
	y.outcome()
	y.pass(op, kind)
}

// connect is the owner's Connect: it is over when the handshake is and first
// was sent.
func (y *layered) connect(addr *sys.Sockaddr, first []byte) (done bool) {
	s := y.socket
	y.first, y.size, y.sending = first, int32(len(first)), Connect
	s.Out = Op{Kind: Connect}
	if !y.loop.engine.connect(s, addr) {
		return false
	}
	if s.Out.Err() != 0 {
		y.sending = None
		return true
	}
	_ = y.loop.Post(y.begin) // the owner hears of nothing from within its call
	return false
}

// connected goes on once the connection stands.
func (y *layered) connected(op *Op) {
	if op.Err() != 0 {
		y.complete(op.Err())
		return
	}
	y.begin()
}

// begin starts the handshake of a client.
func (y *layered) begin() {
	if y.closed {
		return
	}
	y.loop.Recv(y.socket)
	y.advance()
}

// sendFirst sends what the owner wants to be the first.
func (y *layered) sendFirst() {
	if len(y.first) == 0 {
		y.complete(sys.OK)
		return
	}
	block := y.loop.blocks.take(sealedSize(len(y.first)))
	if y.push(y.layer.Seal(block[:0], y.first)) {
		y.complete(y.socket.Out.Err())
	}
}

// shutdown sends the end of the stream.
func (y *layered) shutdown() {
	s := y.socket
	if !y.ready || s.Out.InFlight() || y.push(y.layer.Finish(y.loop.blocks.take(blockSmall)[:0])) {
		s.FD.ShutdownWrite()
		return
	}
	y.fin = true
}

// close ends the use of the layer before the socket is closed.
func (y *layered) close() {
	y.closed = true
	y.layer.Close()
}
