package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// FD is an open descriptor, or NoFD.
type FD int32

// NoFD is the FD that stands for "none".
const NoFD FD = -1

// Close closes fd, unless it is NoFD. Linux frees the number even when close(2) reports an
// error, so there is nothing to retry and nothing to return.
func (fd FD) Close() {
	if fd < 0 {
		return
	}
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// Dup returns a second descriptor for what fd refers to, close-on-exec: both
// share one open file description (dup(2)). The errors are EMFILE and EBADF.
func (fd FD) Dup() (FD, Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return NoFD, errno
	}
	return FD(r), 0
}

// File returns fd, which is non-blocking, for goroutines, with deadlines, and
// gives it into the ownership of the file. Unlike a net.Conn made of it, the file
// leaves the socket's options as they are. It is nil for NoFD.
func (fd FD) File() *os.File { return os.NewFile(uintptr(fd), "socket") }

// DescriptorLimit returns the number of files this process may hold open
// (the soft RLIMIT_NOFILE, getrlimit(2)).
func DescriptorLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	const most = 1 << 30
	return int(min(limit.Cur, most)), nil
}

// RaiseDescriptorLimit lifts the soft RLIMIT_NOFILE to the hard one and
// returns what then holds. Go does this at start too, but gives the soft limit
// back to children only; calling it makes the number explicit.
func RaiseDescriptorLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, os.NewSyscallError("setrlimit", err)
		}
	}
	return DescriptorLimit()
}

// OpenDescriptors returns how many descriptors this process holds open now.
// It reads a directory: for start and for tests, not for a loop.
func OpenDescriptors() (int, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	return len(names) - 1, nil // without the directory itself
}

func (fd FD) String() string { return strconv.Itoa(int(fd)) }
