package loop

import (
	"time"

	"wsplice/internal/sys"
)

// engine turns system calls into completions of caller-owned operations.
//
// The contract. Each line is a test in engine_test.go, run over every engine:
//
//  1. Nothing that an owner calls calls the owner back. submit may answer "done
//     already": the result is in the op and no completion follows. cancel and
//     close may answer the same.
//  2. Completions are delivered one at a time, and reading happens immediately
//     before the delivery. A lent buffer ends with the delivery.
//  3. An operation completes exactly once, unless the completion carries More.
//  4. Send once, of lent bytes or the owner's: over at once or with the next
//     tick, and meanwhile the engine holds a lent buffer. Over with N < len and
//     no error, the peer is slow: the rest, Buf, is the owner's to keep.
//     Any other Send: done only when all are sent or it failed; in flight it
//     completes with N = all, or with an error.
//  5. Cancel is a request: unless it was answered "over already", the operation
//     still completes once, perhaps with success, and a receive may deliver
//     until then. Pause is no request: nothing is delivered from the call on,
//     and what came nevertheless is what the next Recv delivers first.
//  6. EINTR and EAGAIN never reach an owner, but for one case: EAGAIN from
//     Connect says that the queue of a unix socket is full (connect(2)); nothing
//     announces room in it, so the owner tries again later.
//  7. The kernel knows sockets by index and generation. What arrives for a
//     socket that was closed is dropped and counted.
//  8. A socket that always has work gets a bounded turn, then the others do.
//  9. Close cancels what is in flight and closes the descriptor only when
//     nothing is. From the call on, nothing else of this socket is delivered.
//  10. PollIn and PollOut may complete early, never late: the owner's next call
//     decides. They assume that the owner has just met EAGAIN; with again set,
//     that it has stopped for fairness.
//  11. Accept reports EMFILE and other lasting errors once, without More; it does
//     not retry by itself. Submitting it again looks at the queue at once.
//  12. Forget leaves the descriptor of a socket that does nothing to others. Until
//     its next operation the engine neither reads nor watches it; what others
//     read, wrote or left there meanwhile is then found as it is.
//  13. Before the lent bytes of a Recv there are Headroom bytes that belong to the
//     loan: what the owner writes there may be sent together with them.
type engine interface {
	// submit starts op, which is &s.In or &s.Out with its Kind set.
	submit(s *Socket, op *Op) (done bool)
	// connect starts a Connect on s.Out; Buf is tried to be sent once connected.
	connect(s *Socket, addr *sys.Sockaddr) (done bool)
	// cancel asks for the end of op.
	cancel(s *Socket, op *Op) (over bool)
	// pause makes s.In idle.
	pause(s *Socket)
	// forget stops watching s, of which nothing is in flight.
	forget(s *Socket)
	// pending reports whether the engine has taken something from s that was
	// not delivered yet.
	pending(s *Socket) bool
	// await keeps the next wait from sleeping if s.Out could be over without.
	await(s *Socket)
	// hold gives a block back to the loop once no send once of this tick can be
	// reading from it.
	hold(block []byte)
	// close ends s.
	close(s *Socket) (done bool)
	// wait blocks until something is to be dispatched, wake is called, or
	// timeout passes; negative means for ever.
	wait(timeout time.Duration)
	// dispatch delivers what wait found.
	dispatch()
	// wake ends a wait, from any goroutine.
	wake()
	// stop releases what the engine holds, from the loop's goroutine.
	stop()
	// acceptedAddr is the peer of the Accept completion being delivered.
	acceptedAddr() *sys.Sockaddr
	name() string
	// addTo adds the engine's own counters to s.
	addTo(s *Stats)
	// memory returns how many bytes its queues and buffers may take.
	memory() int
}
