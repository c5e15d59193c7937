package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"wsplice/internal/sys"
)

// A Ring is an io_uring whose completions are worked off by the thread that
// submits (SINGLE_ISSUER, DEFER_TASKRUN): nothing happens behind its back, and
// a completion costs no interrupt of what it does.
type Ring struct {
	fd     sys.FD
	memory []byte // both queues
	slots  []byte // the submission entries

	sqes    []SQE
	sqHead  *uint32 // written by the kernel
	sqTail  *uint32
	sqFlags *uint32
	sqMask  uint32
	tail    uint32 // of our entries; published when entering

	cqes   []CQE
	cqHead *uint32
	cqTail *uint32 // written by the kernel
	cqMask uint32

	enterFlags uint32
	arg        waitArg
	time       timespec
}

// ErrRefused says that this kernel has no io_uring, forbids it, or lacks a part
// that is needed: 6.1 has them all.
var ErrRefused = errors.New("io_uring is refused")

// errFeatures names what setup did not offer.
var errFeatures = errors.New("the kernel is older than 6.1")

// Open makes a ring with room for entries submissions and completions
// completions, each rounded up to a power of two. It cannot be used before
// Enable. The error wraps ErrRefused.
func Open(entries, completions uint32) (*Ring, error) {
	p := params{cqEntries: completions}
	p.flags = setupCQSize | setupRDisabled | setupSubmitAll | setupSingleIssuer | setupDeferTaskrun | setupNoSQArray
	fd, errno := sys.UringSetup(entries, unsafe.Pointer(&p))
	if errno == sys.EINVAL { // before 6.6 the kernel wants an index array
		p = params{cqEntries: completions, flags: p.flags &^ setupNoSQArray}
		fd, errno = sys.UringSetup(entries, unsafe.Pointer(&p))
	}
	if errno != 0 {
		return nil, fmt.Errorf("%w: io_uring_setup: %w%s", ErrRefused, errno, hint(errno))
	}
	r := &Ring{fd: fd}
	const need = featSingleMmap | featNoDrop | featExtArg | featCQESkip
	if p.features&need != need {
		r.Close()
		return nil, fmt.Errorf("%w: %w", ErrRefused, errFeatures)
	}
	if err := r.mapQueues(&p); err != nil {
		r.Close()
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	// A thread that waits for its ring is not waiting for a disk: without this
	// the machine looks as if it did (top's wa).
	r.enterFlags = enterGetEvents | enterExtArg
	if p.features&featNoIOWait != 0 {
		r.enterFlags |= enterNoIOWait
	}
	return r, nil
}

// hint says what an operator may do about errno.
func hint(errno sys.Errno) string {
	switch errno {
	case sys.EPERM:
		return " (see kernel.io_uring_disabled, or the container's seccomp profile)"
	case sys.ENOSYS, sys.EINVAL:
		return " (Linux 6.1 or newer is needed)"
	}
	return ""
}

func (r *Ring) mapQueues(p *params) error {
	size := max(uintptr(p.sq.array)+uintptr(p.sqEntries)*4, uintptr(p.cq.cqes)+uintptr(p.cqEntries)*unsafe.Sizeof(CQE{}))
	var err error
	if r.memory, err = sys.Map(r.fd, 0, int(size)); err != nil {
		return err
	}
	if r.slots, err = sys.Map(r.fd, offSQEs, int(uintptr(p.sqEntries)*unsafe.Sizeof(SQE{}))); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }
	r.sqHead, r.sqTail, r.sqFlags, r.sqMask = at(p.sq.head), at(p.sq.tail), at(p.sq.flags), *at(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(unsafe.SliceData(r.slots))), p.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&r.memory[p.cq.cqes])), p.cqEntries)
	if p.flags&setupNoSQArray == 0 {
		array := unsafe.Slice(at(p.sq.array), p.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

// Enable makes the calling thread the ring's only user, from now on.
func (r *Ring) Enable() error {
	if _, errno := r.fd.UringRegister(registerEnableRings, nil, 0); errno != 0 {
		return fmt.Errorf("enable io_uring: %w", errno)
	}
	return nil
}

// Bytes returns how much memory the queues take.
func (r *Ring) Bytes() int { return len(r.memory) + len(r.slots) }

// Entries returns how many submissions and completions there is room for.
func (r *Ring) Entries() (submissions, completions int) { return len(r.sqes), len(r.cqes) }

// Close ends the ring. Operations in flight are cancelled first and waited for
// a moment, so that the kernel is done with the memory they point to.
func (r *Ring) Close() {
	if r.sqes != nil {
		cancel := syncCancel{fd: -1, flags: cancelAll | cancelAny, timeout: timespec{sec: 1}}
		_, _ = r.fd.UringRegister(registerSyncCancel, unsafe.Pointer(&cancel), 1)
	}
	r.fd.Close()
	for _, b := range [][]byte{r.memory, r.slots} {
		if b != nil {
			sys.Unmap(b)
		}
	}
	*r = Ring{fd: sys.NoFD}
}

// Next returns a cleared entry to fill in, or nil while there is no room: then
// Submit makes some.
func (r *Ring) Next() *SQE {
	if r.tail-atomic.LoadUint32(r.sqHead) >= uint32(len(r.sqes)) {
		return nil
	}
	e := &r.sqes[r.tail&r.sqMask]
	r.tail++
	*e = SQE{}
	return e
}

// Room reports whether n entries fit.
func (r *Ring) Room(n uint32) bool {
	return r.tail-atomic.LoadUint32(r.sqHead)+n <= uint32(len(r.sqes))
}

// Pending returns how many entries the kernel has not taken yet.
func (r *Ring) Pending() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// Submit hands all entries to the kernel and works off what is ready, without
// waiting.
func (r *Ring) Submit() sys.Errno {
	atomic.StoreUint32(r.sqTail, r.tail)
	_, errno := r.fd.UringEnterRaw(r.Pending(), 0, enterGetEvents, nil, 0)
	return errno
}

// Wait submits and then waits for a completion, at most for timeout; negative
// means for ever. told says whether the Go scheduler is told of the wait:
// without, bound it to a few milliseconds. ETIME and EINTR are no failures.
func (r *Ring) Wait(timeout time.Duration, told bool) sys.Errno {
	atomic.StoreUint32(r.sqTail, r.tail)
	r.arg.timespec = 0
	if timeout >= 0 {
		r.time = timespec{sec: int64(timeout / time.Second), nsec: int64(timeout % time.Second)}
		r.arg.timespec = uint64(uintptr(unsafe.Pointer(&r.time)))
	}
	enter := r.fd.UringEnterRaw
	if told {
		enter = r.fd.UringEnter
	}
	_, errno := enter(r.Pending(), 1, r.enterFlags, unsafe.Pointer(&r.arg), unsafe.Sizeof(r.arg))
	return errno
}

// Ready reports whether completions wait to be taken.
func (r *Ring) Ready() bool { return atomic.LoadUint32(r.cqTail) != *r.cqHead }

// Take appends all completions to list and makes room for as many.
func (r *Ring) Take(list []CQE) []CQE {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		list = append(list, r.cqes[head&r.cqMask])
	}
	atomic.StoreUint32(r.cqHead, head)
	return list
}

// Overflowed reports whether completions did not fit: the kernel keeps them
// (NODROP) and Submit brings them in once there is room.
func (r *Ring) Overflowed() bool { return atomic.LoadUint32(r.sqFlags)&sqCQOverflow != 0 }
