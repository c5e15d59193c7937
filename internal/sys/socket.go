package sys

import (
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// StreamSocket opens a non-blocking, close-on-exec stream socket of family
// unix.AF_INET, AF_INET6 or AF_UNIX, as Sockaddr.Family names it.
func StreamSocket(family int) (FD, Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family),
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return NoFD, errno
	}
	return FD(r), 0
}

// Recv reads into b. (0, 0) is the end of the stream; EAGAIN says that nothing
// is there now. b must not be empty.
func (fd FD) Recv(b []byte) (int, Errno) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Send writes what fits of b and returns how much that was; EAGAIN says that
// nothing fits now. It never raises SIGPIPE.
func (fd FD) Send(b []byte) (int, Errno) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Accept takes one connection off a listener's queue: non-blocking and
// close-on-exec. The peer's address goes to addr.
func (fd FD) Accept(addr *Sockaddr) (FD, Errno) {
	for {
		size := uint32(len(addr.raw))
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd),
			uintptr(unsafe.Pointer(&addr.raw)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			addr.size = min(size, uint32(len(addr.raw)))
			return FD(r), 0
		}
		if errno != unix.EINTR {
			return NoFD, errno
		}
	}
}

// Connect starts to connect. EINPROGRESS means: wait until writable, then ask
// SocketError. An interrupted connect(2) goes on in the kernel (man page), so
// EINTR is answered as EINPROGRESS.
func (fd FD) Connect(addr *Sockaddr) Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd),
		uintptr(unsafe.Pointer(&addr.raw)), uintptr(addr.size))
	if errno == unix.EINTR {
		return unix.EINPROGRESS
	}
	return errno
}

// BindSource sets the address that fd connects from. Its port is chosen by
// Connect, which knows the other end, so that one port may serve several
// destinations (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func (fd FD) BindSource(source netip.Addr) Errno {
	if errno := fd.setInt(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); errno != 0 {
		return errno
	}
	addr := TCPAddr(netip.AddrPortFrom(source, 0), 0)
	return fd.bind(&addr)
}

// CheckSource reports why source cannot be connected from: EADDRNOTAVAIL says
// that it is no address of this machine.
func CheckSource(source netip.Addr) Errno {
	family := AFInet
	if source.Is6() {
		family = AFInet6
	}
	fd, errno := StreamSocket(family)
	if errno != 0 {
		return errno
	}
	defer fd.Close()
	return fd.BindSource(source)
}

// SocketError takes the pending error of a socket (SO_ERROR, socket(7)).
func (fd FD) SocketError() Errno {
	value, err := fd.getInt(unix.SOL_SOCKET, unix.SO_ERROR)
	if err != 0 {
		return err
	}
	return Errno(value)
}

// ShutdownWrite sends FIN after what is queued (shutdown(2), SHUT_WR).
func (fd FD) ShutdownWrite() Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

// ResetOnClose makes the next Close send RST instead of FIN and drop what is
// queued (SO_LINGER with zero seconds, socket(7)).
func (fd FD) ResetOnClose() {
	linger := unix.Linger{Onoff: 1, Linger: 0}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}

// Peek reports what the next Recv would, for one byte, without taking it: (1, 0)
// for bytes, (0, 0) for the end of the stream, EAGAIN for neither.
func (fd FD) Peek() (int, Errno) {
	var b [1]byte
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Pending reports whether bytes, or the end of the stream, wait to be read.
func (fd FD) Pending() bool {
	_, errno := fd.Peek()
	return errno == 0
}

// Ended reports whether the stream has come to its end, also behind bytes that wait
// to be read: the peer's FIN is here, or an error (poll(2), POLLRDHUP).
func (fd FD) Ended() bool {
	poll := unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
	var now unix.Timespec
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return poll.Revents != 0
}

// Unsent returns how many bytes wait in the send queue until the peer has
// acknowledged them, or on AF_UNIX read them (SIOCOUTQ, tcp(7), unix(7)).
func (fd FD) Unsent() int {
	var n int32
	_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	return int(n)
}

// NoDelay turns Nagle's algorithm off (TCP_NODELAY). On a listener, what it
// accepts inherits it.
func (fd FD) NoDelay() { fd.setInt(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// Keepalive asks for TCP keepalive probes after idle, repeated every quarter
// of it (at least 1 s), three times. 0 leaves them off.
func (fd FD) Keepalive(idle time.Duration) {
	if idle <= 0 {
		return
	}
	seconds := max(int(idle/time.Second), 1)
	fd.setInt(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	fd.setInt(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	fd.setInt(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(seconds/4, 1))
	fd.setInt(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
}

// UserTimeout bounds how long sent bytes may stay unacknowledged before the
// connection fails (TCP_USER_TIMEOUT, tcp(7)). 0 leaves the kernel's rule.
func (fd FD) UserTimeout(limit time.Duration) {
	if limit > 0 {
		fd.setInt(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit/time.Millisecond))
	}
}

func (fd FD) setInt(level, name, value int) Errno {
	v := int32(value)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
	return errno
}

func (fd FD) getInt(level, name int) (int, Errno) {
	var v int32
	size := uint32(unsafe.Sizeof(v))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	return int(v), errno
}

// SocketPair returns two connected AF_UNIX stream sockets, for tests.
func SocketPair() (a, b FD, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return NoFD, NoFD, os.NewSyscallError("socketpair", err)
	}
	return FD(pair[0]), FD(pair[1]), nil
}

func (fd FD) bind(addr *Sockaddr) Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&addr.raw)), uintptr(addr.size))
	return errno
}
