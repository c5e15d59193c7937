package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UringSetup opens an io_uring with at least entries submission slots; params
// points to struct io_uring_params (io_uring_setup(2)).
func UringSetup(entries uint32, params unsafe.Pointer) (FD, Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(params), 0)
	if errno != 0 {
		return NoFD, errno
	}
	return FD(r), 0
}

// UringEnterRaw submits up to submit entries and, with GETEVENTS in flags,
// waits for complete completions (io_uring_enter(2)), without telling the Go
// scheduler: as for EpollWaitRaw, bound the wait to a few milliseconds.
func (fd FD) UringEnterRaw(submit, complete, flags uint32, arg unsafe.Pointer, size uintptr) (int, Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), uintptr(complete),
		uintptr(flags), uintptr(arg), size)
	return int(r), errno
}

// UringEnter is UringEnterRaw with the Go scheduler told.
func (fd FD) UringEnter(submit, complete, flags uint32, arg unsafe.Pointer, size uintptr) (int, Errno) {
	r, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), uintptr(complete),
		uintptr(flags), uintptr(arg), size)
	return int(r), errno
}

// UringRegister is io_uring_register(2).
func (fd FD) UringRegister(op uint32, arg unsafe.Pointer, count uint32) (int, Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), uintptr(op), uintptr(arg), uintptr(count), 0, 0)
	return int(r), errno
}

// Flags for the ring's own versions of send(2) and accept(2).
const (
	MsgDontWait uint32 = unix.MSG_DONTWAIT
	MsgWaitAll  uint32 = unix.MSG_WAITALL
	MsgNoSignal uint32 = unix.MSG_NOSIGNAL

	AcceptFlags uint32 = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
)

// Map maps bytes of fd from offset, shared and filled in advance; with NoFD it
// is private memory that belongs to no file. Unmap gives it back.
func Map(fd FD, offset int64, bytes int) ([]byte, error) {
	flags := unix.MAP_SHARED | unix.MAP_POPULATE
	if fd == NoFD {
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	}
	b, err := unix.Mmap(int(fd), offset, bytes, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return b, nil
}

// Unmap gives back what Map gave.
func Unmap(b []byte) { _ = unix.Munmap(b) }

// Raw returns where the address lies and how long it is, for calls that take a
// struct sockaddr. a must stay alive and unchanged as long as the kernel reads.
func (a *Sockaddr) Raw() (address unsafe.Pointer, size uint32) {
	return unsafe.Pointer(&a.raw), a.size
}

// Room returns where a call may write an address and where its size stands,
// which is set to the room there is.
func (a *Sockaddr) Room() (address, size unsafe.Pointer) {
	a.size = uint32(len(a.raw))
	return unsafe.Pointer(&a.raw), unsafe.Pointer(&a.size)
}

// Fit cuts the size that a call reported down to the room there is: the kernel
// tells how long the address would have been (accept(2)).
func (a *Sockaddr) Fit() { a.size = min(a.size, uint32(len(a.raw))) }
