package echo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/cloudwego/netpoll"
)

// A listener is a listening socket that netpoll polls and nobody else does.
//
// netpoll's own wrapper of a net.Listener closes one descriptor number twice,
// which in a process with other sockets can close somebody else's.
type listener struct {
	file *os.File
	fd   int
	addr net.Addr
	path string // of a unix socket, removed by Close
}

var _ netpoll.Listener = (*listener)(nil)

// listen opens the socket through package net, takes a duplicate of it and
// drops the original, so that the Go runtime's poller does not see it.
func listen(network, address string) (*listener, error) {
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	l := &listener{addr: ln.Addr()}
	switch ln := ln.(type) {
	case *net.TCPListener:
		l.file, err = ln.File()
	case *net.UnixListener:
		ln.SetUnlinkOnClose(false)
		l.path = l.addr.String()
		l.file, err = ln.File()
	default:
		err = net.UnknownNetworkError(network)
	}
	if err = errors.Join(err, ln.Close()); err != nil {
		return nil, err
	}
	l.fd = int(l.file.Fd()) // puts the socket into blocking mode
	if err := syscall.SetNonblock(l.fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("set nonblocking: %w", err), l.Close())
	}
	return l, nil
}

// Accept returns the next connection, or nil and no error when none waits.
func (l *listener) Accept() (net.Conn, error) {
	fd, peer, err := syscall.Accept4(l.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	switch err {
	case nil:
	case syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED:
		return nil, nil
	default:
		return nil, err // bare: netpoll looks for EMFILE and ENFILE
	}
	c := &accepted{fd: fd, local: l.addr, remote: l.addr}
	switch peer := peer.(type) {
	case *syscall.SockaddrInet4:
		c.remote = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(peer.Addr), uint16(peer.Port)))
	case *syscall.SockaddrInet6:
		c.remote = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(peer.Addr), uint16(peer.Port)))
	default:
		return c, nil // a unix socket has no Nagle to turn off
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	return c, nil
}

// Close closes the socket and removes its path.
func (l *listener) Close() error {
	err := l.file.Close()
	if l.path != "" {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// Addr returns the address of the socket.
func (l *listener) Addr() net.Addr { return l.addr }

// Fd returns the descriptor netpoll polls.
func (l *listener) Fd() int { return l.fd }

// An accepted connection hands a descriptor to netpoll, which asks it for
// these three things once and owns the descriptor from then on.
type accepted struct {
	net.Conn // nil: nothing else is ever called
	fd       int
	local    net.Addr
	remote   net.Addr
}

func (a *accepted) Fd() int              { return a.fd }
func (a *accepted) LocalAddr() net.Addr  { return a.local }
func (a *accepted) RemoteAddr() net.Addr { return a.remote }
