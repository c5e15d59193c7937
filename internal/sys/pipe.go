package sys

import (
	"golang.org/x/sys/unix"
)

// OpenPipe opens a non-blocking pipe: what is written to w is read from r.
func OpenPipe() (r, w FD, errno Errno) {
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return NoFD, NoFD, err.(Errno) //nolint:errorlint // x/sys answers with a bare Errno
	}
	return FD(pair[0]), FD(pair[1]), 0
}

// PipeSize returns the capacity of a pipe in bytes (F_GETPIPE_SZ, fcntl(2)).
func (fd FD) PipeSize() (int, Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETPIPE_SZ, 0)
	return int(r), errno
}

// SetPipeSize asks for a capacity of at least bytes and returns what it became
// (F_SETPIPE_SZ). An ordinary user beyond /proc/sys/fs/pipe-user-pages-soft
// gets EPERM (pipe(7)).
func (fd FD) SetPipeSize(bytes int) (int, Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETPIPE_SZ, uintptr(bytes))
	return int(r), errno
}

// Splice moves up to most bytes from one descriptor to another without
// bringing them into this process; one of the two must be a pipe (splice(2)).
// more says that further bytes follow at once (SPLICE_F_MORE). EAGAIN is
// ambiguous: the source may be empty or a pipe that is the target full.
func Splice(from, to FD, most int, more bool) (int, Errno) {
	flags := uintptr(unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK)
	if more {
		flags |= unix.SPLICE_F_MORE
	}
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), flags)
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
