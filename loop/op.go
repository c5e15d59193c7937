package loop

import (
	"unsafe"

	"wsplice/internal/sys"
)

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
	Connect // Out: connected, with what fitted of Buf sent, or failed

	Close // In: the descriptor is closed and nothing is in flight
)

// Op is an operation of a socket, owned by whoever owns the socket.
type Op struct {
	Kind     Kind // what was submitted; None when idle
	More     bool // with a completion: the operation goes on
	once     bool // Send: what does not fit at the first try is the owner's again
	ready    bool // engine: the result is known and waits for its turn
	stopping bool // engine: the owner asked for the end
	errno    uint16
	N        int32 // Recv: bytes, 0 at the end of the stream; Accept: descriptor; Send: bytes sent
	size     int32 // of Buf
	first    *byte // of Buf: a slice would be 12 bytes larger, four times per tunnel
}

// Buf is, for Recv, the lent bytes; for Send and Connect what is still to go.
func (o *Op) Buf() []byte { return unsafe.Slice(o.first, o.size) }

// WithRoom returns the lent bytes of a Recv with n bytes before them, at most
// Headroom. Those are the owner's to write as long as Buf is lent, and may be
// sent with Buf like a part of it.
func (o *Op) WithRoom(n int) []byte {
	if n < 0 || n > Headroom {
		panic("loop: there are 64 bytes of room before lent ones")
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(o.first), -n)), int(o.size)+n)
}

func (o *Op) setBuf(b []byte) { o.first, o.size = unsafe.SliceData(b), int32(len(b)) }

// skip takes n bytes that went off Buf.
func (o *Op) skip(n int) { o.setBuf(o.Buf()[n:]) }

// address is where Buf begins, for the ring.
func (o *Op) address() uint64 { return uint64(uintptr(unsafe.Pointer(o.first))) }

// Err is the kernel's error of a completion, or 0.
func (o *Op) Err() sys.Errno { return sys.Errno(o.errno) }

// InFlight reports whether the operation was submitted and is not over.
func (o *Op) InFlight() bool { return o.Kind != None }

// Owner is told of completions.
//
// Complete is called on the loop's goroutine, never from within a call that
// the owner makes. op is &s.In or &s.Out; unless op.More is set it is idle
// again (its Kind says None) and kind tells what it was. A lent Buf ends
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
	armed      armedOp // io_uring: what the kernel does for In
	calm       uint8   // io_uring: small reads in a row, while armed once

	In, Out Op
	owner   Owner
}

// Attached reports whether the socket is known to a loop.
func (s *Socket) Attached() bool { return s.flags&flagAttached != 0 }

// Open reports whether the socket is attached and not being closed.
func (s *Socket) Open() bool { return s.flags&(flagAttached|flagClosing) == flagAttached }

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

	flagCancelling // io_uring: a cancel of what is armed is on its way
	flagLarge      // io_uring: received once at a time, into large buffers
	flagEarly      // io_uring: something came that nobody wanted yet
	flagDrained    // io_uring: the last large read has emptied it
	flagClosing    // Close was called and is not over
	flagLayered    // a layer stands between the socket and its owner
)
