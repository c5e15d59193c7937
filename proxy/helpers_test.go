package proxy

import (
	"net"
	"net/netip"

	"wsplice/internal/sys"
)

// blockers keep a listener's queue full until unblock.
var blockers []sys.FD

func unblock() {
	for _, fd := range blockers {
		fd.Close()
	}
	blockers = nil
}

// closedPort returns an address of loopback that nobody listens on.
func closedPort() netip.AddrPort {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}
