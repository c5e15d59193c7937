package rig

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Blackhole returns the address of a port where a connect neither succeeds
// nor fails: its queue of one is full, and Linux then ignores further SYNs.
func Blackhole(t testing.TB) string {
	t.Helper()
	ln := rawSocket(t)
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(ln, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(ln)
	if err != nil {
		t.Fatal(err)
	}
	// Several, since a queue of length n admits n+1 or n+2 connections.
	connected := 0
	for range 8 {
		fd := rawSocket(t)
		if err := unix.Connect(fd, name); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		if established(fd) {
			connected++
		}
	}
	if connected == 8 {
		t.Skip("this kernel accepts more connections than the backlog says; no way to make a pending connect")
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

func rawSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// established reports whether a connect on loopback has finished, which it
// does before connect(2) returns unless the SYN was ignored.
func established(fd int) bool {
	_, err := unix.Getpeername(fd)
	return err == nil
}

// RefusingAddress returns a port of 127.0.0.1 where nobody listens. It stays
// bound until the end of the test, so that nobody else can get it.
func RefusingAddress(t testing.TB) string {
	t.Helper()
	fd := rawSocket(t)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// FreeAddress returns a port of 127.0.0.1 that was free just now. It is for
// programs that cannot be given port 0; somebody else may be faster.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
