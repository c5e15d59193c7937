package sys

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTUN makes a network device that ends in this process: what is routed to it
// is read from the file, an IPv4 packet at a time, and what is written to the file
// has come in (the kernel's tuntap documentation). It is up, has the address local,
// and peer is routed to it. The device is gone when the file is closed.
//
// pattern names it; %d in it is replaced by a number that is free. It takes
// CAP_NET_ADMIN and /dev/net/tun.
func OpenTUN(pattern string, local, peer netip.Addr) (*os.File, error) {
	request, err := unix.NewIfreq(pattern)
	if err != nil {
		return nil, fmt.Errorf("name a device %q: %w", pattern, err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err == nil {
		err = bringUp(request.Name(), local, peer)
	}
	if err != nil {
		FD(fd).Close()
		return nil, os.NewSyscallError("ioctl", err)
	}
	return os.NewFile(uintptr(fd), request.Name()), nil // only now: before, it cannot be polled
}

// bringUp gives a device its addresses and starts it (netdevice(7)).
func bringUp(name string, local, peer netip.Addr) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer FD(socket).Close()
	for _, step := range []struct {
		request uint
		address netip.Addr
	}{{unix.SIOCSIFADDR, local}, {unix.SIOCSIFDSTADDR, peer}} {
		request, err := unix.NewIfreq(name)
		if err == nil {
			err = request.SetInet4Addr(step.address.AsSlice())
		}
		if err == nil {
			err = unix.IoctlIfreq(socket, step.request, request)
		}
		if err != nil {
			return err
		}
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request)
	}
	if err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
