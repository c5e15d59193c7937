package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll readiness bits (epoll_ctl(2)).
const (
	EpollIn    uint32 = unix.EPOLLIN
	EpollOut   uint32 = unix.EPOLLOUT
	EpollPri   uint32 = unix.EPOLLPRI
	EpollErr   uint32 = unix.EPOLLERR
	EpollHup   uint32 = unix.EPOLLHUP
	EpollRdHup uint32 = unix.EPOLLRDHUP
	EpollEdge  uint32 = 1 << 31 // EPOLLET, which x/sys has as a negative number
)

// EpollEvent is struct epoll_event: packed to 12 bytes on amd64, which Go
// expresses by splitting the user data in two halves.
type EpollEvent = unix.EpollEvent

// User returns the user data given to EpollAdd.
func User(e *EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

// OpenEpoll opens an epoll instance.
func OpenEpoll() (FD, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return NoFD, os.NewSyscallError("epoll_create1", err)
	}
	return FD(fd), nil
}

// EpollAdd registers target under user.
func (fd FD) EpollAdd(target FD, events uint32, user uint64) Errno {
	return fd.epollCtl(unix.EPOLL_CTL_ADD, target, events, user)
}

// EpollModify replaces the registration of target. A level that already holds
// is reported again, also edge-triggered (epoll(7)).
func (fd FD) EpollModify(target FD, events uint32, user uint64) Errno {
	return fd.epollCtl(unix.EPOLL_CTL_MOD, target, events, user)
}

// EpollDelete ends the registration of target.
func (fd FD) EpollDelete(target FD) Errno { return fd.epollCtl(unix.EPOLL_CTL_DEL, target, 0, 0) }

func (fd FD) epollCtl(op int, target FD, events uint32, user uint64) Errno {
	event := EpollEvent{Events: events, Fd: int32(uint32(user)), Pad: int32(uint32(user >> 32))}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(fd), uintptr(op), uintptr(target),
		uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno
}

// EpollWaitRaw waits up to timeout milliseconds without telling the Go
// scheduler: the caller keeps its P, so garbage collection and other
// goroutines of that P wait too. Keep timeout to a few milliseconds.
func (fd FD) EpollWaitRaw(events []EpollEvent, timeout int) (int, Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeout), 0, 0)
	return int(r), errno
}

// EpollWait waits up to timeout milliseconds, or for ever when it is -1, with
// the Go scheduler told.
func (fd FD) EpollWait(events []EpollEvent, timeout int) (int, Errno) {
	r, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeout), 0, 0)
	return int(r), errno
}
