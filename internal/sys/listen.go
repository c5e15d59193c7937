package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ListenOptions are the settings of a listening TCP socket; what it accepts
// inherits them.
type ListenOptions struct {
	Backlog     int           // connections that may wait; the kernel caps it at net.core.somaxconn
	Keepalive   time.Duration // see FD.Keepalive
	UserTimeout time.Duration // see FD.UserTimeout
	DeferAccept time.Duration // TCP_DEFER_ACCEPT, rounded to seconds; 0 = off
}

// ErrPortTaken says that another socket listens on the address already.
var ErrPortTaken = errors.New("address already in use by another socket")

// ProbePort proves that nobody listens on addr: a bind without SO_REUSEPORT
// fails even when the other side has set it, where a second SO_REUSEPORT
// listener would silently share its connections (socket(7)). It returns
// ErrPortTaken, or another error that says what failed.
func ProbePort(addr *Sockaddr) error {
	fd, err := bindTCP(addr, false)
	if err != nil {
		return err
	}
	fd.Close()
	return nil
}

// ListenTCP opens a listening socket on addr that shares its port with others
// of this process (SO_REUSEPORT). An unspecified IPv6 address also takes IPv4.
func ListenTCP(addr *Sockaddr, o ListenOptions) (FD, error) {
	fd, err := bindTCP(addr, true)
	if err != nil {
		return NoFD, err
	}
	fd.NoDelay()
	fd.Keepalive(o.Keepalive)
	fd.UserTimeout(o.UserTimeout)
	if o.DeferAccept > 0 {
		fd.setInt(unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, max(int(o.DeferAccept/time.Second), 1))
	}
	if err := unix.Listen(int(fd), o.Backlog); err != nil {
		fd.Close()
		return NoFD, takenOr("listen", err)
	}
	return fd, nil
}

func bindTCP(addr *Sockaddr, share bool) (FD, error) {
	fd, errno := StreamSocket(addr.Family())
	if errno != 0 {
		return NoFD, os.NewSyscallError("socket", errno)
	}
	// SO_REUSEADDR lets a restart bind over connections in TIME_WAIT; on Linux
	// it never lets two sockets listen on one port.
	fd.setInt(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if share {
		fd.setInt(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if addr.Family() == AFInet6 {
		only := 1
		if addr.AddrPort().Addr().IsUnspecified() {
			only = 0
		}
		fd.setInt(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if errno := fd.bind(addr); errno != 0 {
		fd.Close()
		return NoFD, takenOr("bind", errno)
	}
	return fd, nil
}

func takenOr(call string, err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return ErrPortTaken
	}
	return os.NewSyscallError(call, err)
}

// ListenUnix opens a listening AF_UNIX socket on addr, whose path must be
// free. mode is set with the umask out of the way: the socket is created
// closed to others (bind(2) honours fchmod on the unbound socket).
func ListenUnix(addr *Sockaddr, mode os.FileMode, backlog int) (FD, error) {
	fd, errno := StreamSocket(AFUnix)
	if errno != 0 {
		return NoFD, os.NewSyscallError("socket", errno)
	}
	// On Linux the mode of the socket's inode before bind(2) is the mode of the
	// file that bind(2) makes, minus the umask: nobody can connect in between.
	if err := unix.Fchmod(int(fd), uint32(mode.Perm())); err != nil {
		fd.Close()
		return NoFD, os.NewSyscallError("fchmod", err)
	}
	if errno := fd.bind(addr); errno != 0 {
		fd.Close()
		return NoFD, takenOr("bind", errno)
	}
	if err := unix.Listen(int(fd), backlog); err != nil {
		fd.Close()
		return NoFD, os.NewSyscallError("listen", err)
	}
	return fd, nil
}

// ProbeUnix reports whether somebody accepts connections at a unix socket:
// false for a stale file that nobody listens on.
func ProbeUnix(addr *Sockaddr) (bool, error) {
	fd, errno := StreamSocket(AFUnix)
	if errno != 0 {
		return false, os.NewSyscallError("socket", errno)
	}
	defer fd.Close()
	switch errno := fd.Connect(addr); errno {
	case 0, unix.EAGAIN, unix.EINPROGRESS: // EAGAIN: its queue is full, so it lives
		return true, nil
	case unix.ECONNREFUSED, unix.ENOENT:
		return false, nil
	default:
		return false, fmt.Errorf("probe: %w", os.NewSyscallError("connect", errno))
	}
}

// Errors of RemoveStaleUnix.
var (
	// ErrUnixInUse says that another process accepts connections on a unix socket.
	ErrUnixInUse = errors.New("another process accepts connections on this socket; stop it or choose another path")

	// ErrNotSocket says that a unix socket's path is taken by another kind of file.
	ErrNotSocket = errors.New("the path exists and is not a socket; remove it or choose another path")
)

// RemoveStaleUnix makes room for a socket at path, which addr stands for too: it
// removes one that nobody listens on. Nothing there is no error.
func RemoveStaleUnix(path string, addr *Sockaddr) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	served, err := ProbeUnix(addr)
	if err != nil {
		return err
	}
	if served {
		return ErrUnixInUse
	}
	return os.Remove(path)
}
