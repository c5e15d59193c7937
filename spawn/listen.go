package spawn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"wsplice/internal/sys"
)

// ErrTaken says that another process listens where one of ours should.
var ErrTaken = errors.New("another process listens there; stop it (ss -lxtp shows it), or remove `command` to use it as it is")

// listen opens the listening socket of process i. An address that is taken may
// be that of an earlier wsplice's processes, which are about to end, so it is
// waited for until ctx or bindMax is over.
func listen(ctx context.Context, c *Config, i int) (Endpoint, sys.FD, error) {
	endpoint, addr, err := locate(ctx, c, i)
	if err != nil {
		return endpoint, sys.NoFD, err
	}
	ctx, cancel := context.WithTimeout(ctx, bindMax)
	defer cancel()
	for {
		fd, err := listenOnce(endpoint, &addr, c.Backlog)
		if !errors.Is(err, ErrTaken) {
			return endpoint, fd, err
		}
		timer := time.NewTimer(bindEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return endpoint, sys.NoFD, err
		}
	}
}

func listenOnce(endpoint Endpoint, addr *sys.Sockaddr, backlog int) (sys.FD, error) {
	if endpoint.Network == "unix" {
		err := sys.RemoveStaleUnix(endpoint.Address, addr)
		if errors.Is(err, sys.ErrUnixInUse) {
			err = ErrTaken
		}
		if err != nil {
			return sys.NoFD, err
		}
	}
	fd, err := sys.ListenBlocking(addr, backlog)
	if errors.Is(err, sys.ErrPortTaken) {
		err = ErrTaken
	}
	return fd, err
}

// locate returns the address of process i. A name stands for its first address,
// since a process has one socket.
func locate(ctx context.Context, c *Config, i int) (Endpoint, sys.Sockaddr, error) {
	if c.Network == "unix" {
		path := c.Address + "-" + strconv.Itoa(i)
		addr, err := sys.UnixAddr(path)
		return Endpoint{"unix", path}, addr, err
	}
	host, portText, err := net.SplitHostPort(c.Address)
	if err != nil {
		return Endpoint{"tcp", c.Address}, sys.Sockaddr{}, err
	}
	port, err := strconv.Atoi(portText)
	if port += i; err != nil || port < 1 || port > 65535 {
		return Endpoint{"tcp", c.Address}, sys.Sockaddr{}, fmt.Errorf("process %d would have port %d; choose a lower one", i, port)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return Endpoint{"tcp", c.Address}, sys.Sockaddr{}, err
	}
	address := netip.AddrPortFrom(ips[0].Unmap(), uint16(port))
	return Endpoint{"tcp", address.String()}, sys.TCPAddr(address, 0), nil
}
