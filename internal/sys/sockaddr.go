package sys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Address families, as Sockaddr.Family answers them.
const (
	AFUnix  = unix.AF_UNIX
	AFInet  = unix.AF_INET
	AFInet6 = unix.AF_INET6
)

// Sockaddr is a socket address in the kernel's layout, so that connecting to
// it costs no conversion. The zero value is no address.
type Sockaddr struct {
	raw  [unsafe.Sizeof(unix.RawSockaddrUnix{})]byte
	size uint32
}

const (
	offPort4, offAddr4 = 2, 4
	offPort6, offAddr6 = 2, 8
	offScope6          = 24
	sizeInet4          = 16
	sizeInet6          = 28
	offPath            = 2
)

// unixPathMax is the longest path of an AF_UNIX socket in bytes, leaving room
// for the terminating NUL (unix(7)).
const unixPathMax = 107

// ErrUnixPath says that a unix socket's path is empty or too long.
var ErrUnixPath = errors.New("sys: unix socket path must have 1 to 107 bytes")

// TCPAddr returns the Sockaddr of an IP address and port. zone is the
// interface index of a link-local IPv6 address, or 0.
func TCPAddr(ap netip.AddrPort, zone uint32) Sockaddr {
	var s Sockaddr
	addr := ap.Addr()
	if addr.Is4() {
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET)
		binary.BigEndian.PutUint16(s.raw[offPort4:], ap.Port())
		ip := addr.As4()
		copy(s.raw[offAddr4:], ip[:])
		s.size = sizeInet4
		return s
	}
	binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET6)
	binary.BigEndian.PutUint16(s.raw[offPort6:], ap.Port())
	ip := addr.As16()
	copy(s.raw[offAddr6:], ip[:])
	binary.NativeEndian.PutUint32(s.raw[offScope6:], zone)
	s.size = sizeInet6
	return s
}

// UnixAddr returns the Sockaddr of the socket at path; a leading '@' names the
// abstract namespace (unix(7)). The error is ErrUnixPath.
func UnixAddr(path string) (Sockaddr, error) {
	if path == "" || len(path) > unixPathMax {
		return Sockaddr{}, fmt.Errorf("%w: %q", ErrUnixPath, path)
	}
	var s Sockaddr
	binary.NativeEndian.PutUint16(s.raw[:], unix.AF_UNIX)
	copy(s.raw[offPath:], path)
	s.size = uint32(offPath + len(path) + 1)
	if path[0] == '@' {
		s.raw[offPath] = 0
		s.size--
	}
	return s, nil
}

// Family returns AFInet, AFInet6, AFUnix, or 0 for no address.
func (s *Sockaddr) Family() int { return int(binary.NativeEndian.Uint16(s.raw[:])) }

// AddrPort returns the IP address and port, IPv4-mapped addresses as IPv4. It
// is invalid for other families.
func (s *Sockaddr) AddrPort() netip.AddrPort {
	switch s.Family() {
	case unix.AF_INET:
		ip := netip.AddrFrom4([4]byte(s.raw[offAddr4 : offAddr4+4]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(s.raw[offPort4:]))
	case unix.AF_INET6:
		ip := netip.AddrFrom16([16]byte(s.raw[offAddr6 : offAddr6+16])).Unmap()
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(s.raw[offPort6:]))
	}
	return netip.AddrPort{}
}

// Dial returns the address as net.Dialer takes it: "tcp" with host and port, a
// zone as its number, or "unix" with a path.
func (s *Sockaddr) Dial() (network, address string) {
	if s.Family() == unix.AF_UNIX {
		path := s.raw[offPath:s.size]
		if len(path) > 0 && path[0] == 0 {
			return "unix", "@" + string(path[1:])
		}
		return "unix", string(bytes.TrimRight(path, "\x00"))
	}
	addr := s.AddrPort()
	if s.Family() == unix.AF_INET6 {
		if zone := binary.NativeEndian.Uint32(s.raw[offScope6:]); zone != 0 {
			addr = netip.AddrPortFrom(addr.Addr().WithZone(strconv.FormatUint(uint64(zone), 10)), addr.Port())
		}
	}
	return "tcp", addr.String()
}

// LocalAddr returns the address a socket is bound to (getsockname(2)).
func (fd FD) LocalAddr() (Sockaddr, error) { return fd.name(unix.SYS_GETSOCKNAME, "getsockname") }

// PeerAddr returns the address a socket is connected to (getpeername(2)). The
// error is ENOTCONN once the connection is gone.
func (fd FD) PeerAddr() (Sockaddr, error) { return fd.name(unix.SYS_GETPEERNAME, "getpeername") }

func (fd FD) name(call uintptr, text string) (Sockaddr, error) {
	var s Sockaddr
	size := uint32(len(s.raw))
	_, _, errno := unix.RawSyscall(call, uintptr(fd),
		uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return Sockaddr{}, os.NewSyscallError(text, errno)
	}
	s.size = min(size, uint32(len(s.raw)))
	return s, nil
}
