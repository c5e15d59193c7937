package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// PacketPair returns two connected AF_UNIX sockets that keep the bounds of
// messages and carry descriptors: blocking and close-on-exec.
func PacketPair() (a, b FD, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return NoFD, NoFD, os.NewSyscallError("socketpair", err)
	}
	return FD(pair[0]), FD(pair[1]), nil
}

// Rights returns the control message that hands descriptors to the other end
// of a unix socket (unix(7), SCM_RIGHTS). The sender keeps its own.
func Rights(fds ...FD) []byte {
	numbers := make([]int, 0, len(fds))
	for _, fd := range fds {
		numbers = append(numbers, int(fd))
	}
	return unix.UnixRights(numbers...)
}

// RightsSize returns how many bytes Rights takes for so many descriptors.
func RightsSize(count int) int { return unix.CmsgSpace(4 * count) }

// ParseRights returns the descriptors of a received control message. They are
// the caller's, also those that come with an error.
func ParseRights(control []byte) ([]FD, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var fds []FD
	for i := range messages {
		numbers, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		for _, number := range numbers {
			fds = append(fds, FD(number))
		}
	}
	return fds, nil
}

// SetBlocking makes calls on fd wait, as programs expect of descriptors that
// they are started with. The mode is that of the open file, not of fd alone.
func (fd FD) SetBlocking() error {
	return os.NewSyscallError("fcntl", unix.SetNonblock(int(fd), false))
}

// spawnedMode is the mode of a unix socket that nobody but this user, who
// starts the server, has to connect to.
const spawnedMode = 0o600

// ListenBlocking opens a listening socket for another program: blocking, on a
// port of its own, or on a path that must be free, with mode 0600. The error is
// ErrPortTaken where another socket has the address.
func ListenBlocking(addr *Sockaddr, backlog int) (FD, error) {
	var fd FD
	var err error
	if addr.Family() == AFUnix {
		fd, err = ListenUnix(addr, spawnedMode, backlog)
	} else if fd, err = bindTCP(addr, false); err == nil {
		err = takenOr("listen", unix.Listen(int(fd), backlog))
	}
	if err == nil {
		err = fd.SetBlocking()
	}
	if err != nil {
		fd.Close()
		return NoFD, err
	}
	return fd, nil
}
