package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"wsplice/internal/sys"
)

// A Server is one backend of an upstream.
type Server struct {
	name  string
	host  string
	addrs []sys.Sockaddr
	open  atomic.Int64
}

// ErrNoAddress says that a host name resolved to nothing usable.
var ErrNoAddress = errors.New("pool: no usable address")

// NewServer resolves a backend. network is "tcp" with address host:port, or
// "unix" with a path. host is what the Host header of its requests says, empty
// to keep the client's.
//
// Names are resolved once, here; ctx bounds that. Errors wrap those of
// net.Resolver, ErrNoAddress or sys.ErrUnixPath.
func NewServer(ctx context.Context, network, address, host string) (*Server, error) {
	s := &Server{name: address, host: host}
	var err error
	if network == "unix" {
		s.name = "unix:" + address
		var addr sys.Sockaddr
		addr, err = sys.UnixAddr(address)
		s.addrs = []sys.Sockaddr{addr}
	} else {
		s.addrs, err = resolve(ctx, address)
	}
	if err != nil {
		return nil, fmt.Errorf("resolve backend %s: %w", s.name, err)
	}
	return s, nil
}

func resolve(ctx context.Context, address string) ([]sys.Sockaddr, error) {
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", portText)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNoAddress
	}
	var addrs []sys.Sockaddr
	for _, ip := range found[:min(len(found), addressesMax)] {
		ip = ip.Unmap()
		addrs = append(addrs, sys.TCPAddr(netip.AddrPortFrom(ip, uint16(port)), zoneIndex(ip.Zone())))
	}
	return addrs, nil
}

func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if iface, err := net.InterfaceByName(zone); err == nil {
		return uint32(iface.Index)
	}
	index, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(index)
}

// Name says which backend this is, for logs: host:port or unix:/path.
func (s *Server) Name() string { return s.name }

// Host is the Host header for this backend, or empty to keep the client's.
func (s *Server) Host() string { return s.host }

// Addresses are what Name resolved to, to be tried in order. They must not be
// changed.
func (s *Server) Addresses() []sys.Sockaddr { return s.addrs }

// Open returns how many leases are out.
func (s *Server) Open() int64 { return s.open.Load() }

// Release gives back the lease that Pick took.
func (s *Server) Release() {
	if s.open.Add(-1) < 0 {
		panic("pool: lease of " + s.name + " released twice")
	}
}
