package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenEventFD opens a non-blocking event counter (eventfd(2)).
func OpenEventFD() (FD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return NoFD, os.NewSyscallError("eventfd", err)
	}
	return FD(fd), nil
}

// Signal adds one to an event counter, which wakes who waits for it. A full
// counter (EAGAIN) is already signalled.
func (fd FD) Signal() {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

// Clear takes the counter back to zero.
func (fd FD) Clear() {
	var count uint64
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
}
