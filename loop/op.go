package loop

import "wsplice/internal/sys"

// Kind says what an operation does.
type Kind uint8

// A socket has room for one operation of the In group and one of the Out
// group at a time.
const (
	None Kind = iota // idle

	Recv       // In: lend received bytes, again and again (completions carry More)
	PollIn     // In: readable, or ended; no buffer is held meanwhile
	PollHangup // In: reset, or closed in both directions; a mere FIN does not count
	Accept     // In: connections of a listener, again and again

	Send    // Out: send all of Buf
	PollOut // Out: writable, or failed
	Connect // Out: connected, or failed

	Close // In: the descriptor is closed and nothing is in flight
)

// Op is an operation of a socket, owned by whoever owns the socket.
type Op struct {
	Kind  Kind // what was submitted; None when idle
	More  bool // with a completion: the operation goes on
	lent  bool // Send: Buf was lent by the engine
	ready bool // engine: the result is known and waits for its turn
	errno uint16
	N     int32  // Recv: bytes, 0 at the end of the stream; Accept: descriptor; Send: bytes sent
	Buf   []byte // Recv: the lent bytes; Accept: nil; Send: what is still to go
}

// Err is the kernel's error of a completion, or 0.
func (o *Op) Err() sys.Errno { return sys.Errno(o.errno) }

// InFlight reports whether the operation was submitted and is not over.
func (o *Op) InFlight() bool { return o.Kind != None }

// Owner is told of completions.
//
// Complete is called on the loop's goroutine, never from within a call that
// the owner makes. op is &s.In or &s.Out; unless op.More is set it is idle
// again (its Kind says None) and kind tells what it was. A lent op.Buf ends
// with the call.
type Owner interface {
	Complete(s *Socket, op *Op, kind Kind)
}

// Socket is a non-blocking descriptor that a loop drives. It is embedded in its
// owner and must stay where it is from Attach until Close is over.
type Socket struct {
	FD sys.FD

	id         uint32 // index into the loop's table
	generation uint32 // tells this use of the index from earlier ones
	flags      socketFlags

	In, Out Op
	owner   Owner
}

// Attached reports whether the socket is known to a loop.
func (s *Socket) Attached() bool { return s.flags&flagAttached != 0 }

// Urgent reports whether the peer has sent urgent data, at which splice(2) and
// short reads stop early.
func (s *Socket) Urgent() bool { return s.flags&flagUrgent != 0 }

type socketFlags uint16

// Readiness follows HAProxy's rule: a side is ready from the kernel's edge
// until a call finds it is not.
const (
	flagAttached  socketFlags = 1 << iota
	flagWatched               // registered with epoll
	flagWatchOut              // registered for EPOLLOUT too
	flagReadable              // an edge came and no read has found it empty since
	flagBlocked               // a send found the buffer full and no edge came since
	flagEnded                 // the peer's FIN was announced: read to the end
	flagHangup                // reset, or closed both ways
	flagUrgent                // urgent data was seen: short reads prove nothing
	flagQueued                // waits in the ready queue
	flagListening             // a listener
)
