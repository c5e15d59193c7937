package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"wsplice/internal/sys"
)

// A lookUp is a name to be resolved, and the port behind it.
type lookUp struct {
	name string
	port uint16
}

// A lookUpFunc returns the addresses of a host name.
type lookUpFunc func(ctx context.Context, name string) ([]netip.Addr, error)

func lookUpName(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// ErrNoAddress says that a host name resolved to nothing usable.
var ErrNoAddress = errors.New("pool: no usable address")

// lookUp resolves host:port, and keeps how to do it again where host is a name.
func (s *Server) lookUp(ctx context.Context, address string) ([]sys.Sockaddr, error) {
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", portText)
	}
	l := &lookUp{name, uint16(port)}
	if _, err := netip.ParseAddr(name); err != nil {
		s.look = l
	}
	return l.addresses(ctx, lookUpName)
}

func (l *lookUp) addresses(ctx context.Context, look lookUpFunc) ([]sys.Sockaddr, error) {
	found, err := look(ctx, l.name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNoAddress
	}
	var addrs []sys.Sockaddr
	for _, ip := range found[:min(len(found), addressesMax)] {
		ip = ip.Unmap()
		addrs = append(addrs, sys.TCPAddr(netip.AddrPortFrom(ip, l.port), zoneIndex(ip.Zone())))
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

// resolve looks names up every resolveInterval, until ctx ends.
func (u *Upstream) resolve(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(u.resolveInterval)
	defer ticker.Stop()
	failing := make(map[*Server]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, s := range u.servers {
			if s.look == nil || ctx.Err() != nil {
				continue
			}
			err := u.resolveServer(ctx, s, log)
			if err != nil && !failing[s] && ctx.Err() == nil {
				log.Warn("name of a server not resolved; its last addresses are kept",
					"upstream", u.name, "server", s.name, "error", err)
			}
			failing[s] = err != nil
		}
	}
}

// resolveServer replaces the addresses of s if others were found. Their order is
// not news: a resolver may change it each time.
func (u *Upstream) resolveServer(ctx context.Context, s *Server, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := s.look.addresses(ctx, u.lookUp)
	if err != nil {
		return err
	}
	if known := s.Addresses(); !sameAddresses(known, found) {
		s.SetAddresses(found)
		log.Info("addresses of a server changed", "upstream", u.name, "server", s.name,
			"before", len(known), "now", len(found))
	}
	return nil
}

func sameAddresses(a, b []sys.Sockaddr) bool {
	in := func(list []sys.Sockaddr) func(sys.Sockaddr) bool {
		return func(addr sys.Sockaddr) bool { return !slices.Contains(list, addr) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}
