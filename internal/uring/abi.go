package uring

// The layout and the numbers of <linux/io_uring.h>, as far as they are used.

// SQE is struct io_uring_sqe. Union members have the name of the use that this
// project makes of them.
type SQE struct {
	Opcode   uint8
	Flags    uint8
	IOPrio   uint16 // flags of Recv and Accept
	FD       int32
	Off      uint64 // Accept: address of the size; Connect: size
	Addr     uint64 // buffer, address, or user data to cancel
	Len      uint32
	OpFlags  uint32 // MSG_*, POLL*, SOCK_* or cancel flags
	UserData uint64
	Group    uint16 // buffer group
	_        uint16
	OptLen   uint32 // Recv multishot: ends after so many bytes
	_        [2]uint64
}

// CQE is struct io_uring_cqe.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// Operations.
const (
	OpPollAdd     = 6
	OpAccept      = 13
	OpAsyncCancel = 14
	OpConnect     = 16
	OpClose       = 19
	OpSend        = 26
	OpRecv        = 27
)

// Flags of an SQE.
const (
	Link         = 1 << 2 // IOSQE_IO_LINK: the next entry starts when this one succeeded
	BufferSelect = 1 << 5 // IOSQE_BUFFER_SELECT
	SkipSuccess  = 1 << 6 // IOSQE_CQE_SKIP_SUCCESS
)

// SQE.IOPrio of Recv, and SQE.Len of PollAdd.
const (
	RecvPollFirst = 1 << 0
	RecvMultishot = 1 << 1
	PollMulti     = 1 << 0
)

// Flags of a CQE.
const (
	HasBuffer = 1 << 0 // the upper 16 bits are the buffer's id
	More      = 1 << 1 // the operation goes on
	NonEmpty  = 1 << 2 // the socket had more to give
)

const (
	setupCQSize       = 1 << 3
	setupRDisabled    = 1 << 6
	setupSubmitAll    = 1 << 7
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	setupNoSQArray    = 1 << 16

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8
	featCQESkip    = 1 << 11
	featNoIOWait   = 1 << 17

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3
	enterNoIOWait  = 1 << 7

	offSQEs = 0x10000000

	sqCQOverflow = 1 << 1

	registerEnableRings = 12
	registerPBufRing    = 22
	registerSyncCancel  = 24

	cancelAll = 1 << 0
	cancelAny = 1 << 2
)

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32

	_  [3]uint32
	sq struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// waitArg is struct io_uring_getevents_arg.
type waitArg struct {
	sigmask     uint64
	sigmaskSize uint32
	minWaitUsec uint32
	timespec    uint64
}

// timespec is struct __kernel_timespec.
type timespec struct{ sec, nsec int64 }

// bufReg is struct io_uring_buf_reg.
type bufReg struct {
	ringAddr    uint64
	ringEntries uint32
	group       uint16
	flags       uint16
	_           [3]uint64
}

// buf is struct io_uring_buf. The last field of the first one is the tail.
type buf struct {
	addr uint64
	len  uint32
	id   uint16
	tail uint16
}

// syncCancel is struct io_uring_sync_cancel_reg.
type syncCancel struct {
	addr    uint64
	fd      int32
	flags   uint32
	timeout timespec
	opcode  uint8
	_       [7]uint8
	_       [3]uint64
}
