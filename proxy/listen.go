package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"wsplice/internal/sys"
)

// deferAcceptTime is for how long the kernel holds back a silent connection
// when a listener asks for that.
const deferAcceptTime = 5 * time.Second

// bound is a listener's sockets: one for each loop (TCP), or one for all
// (AF_UNIX has no SO_REUSEPORT).
type bound struct {
	listener *Listener
	address  string // as it can be connected to
	sockets  []sys.FD
	inode    fs.FileInfo // unix: the file that was made, to remove no other
}

// A ListenError says which of the configuration's listeners could not be
// bound, and why.
type ListenError struct {
	Index   int
	Address string
	Err     error
}

func (e *ListenError) Error() string { return "listen on " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

func bind(l *Listener, c *Config, loops int) (*bound, error) {
	if l.Network == "unix" {
		return bindUnix(l)
	}
	addr, err := resolveListen(l.Address)
	if err != nil {
		return nil, err
	}
	b := &bound{listener: l}
	if addr.AddrPort().Port() != 0 {
		if err := sys.ProbePort(&addr); err != nil {
			return nil, withFix(err)
		}
	}
	options := sys.ListenOptions{
		Backlog: backlog, Keepalive: c.TCP.Keepalive, UserTimeout: c.TCP.UserTimeout,
	}
	if l.DeferAccept {
		options.DeferAccept = deferAcceptTime
	}
	for range loops {
		fd, err := sys.ListenTCP(&addr, options)
		if err != nil {
			b.discard()
			return nil, withFix(err)
		}
		b.sockets = append(b.sockets, fd)
		if addr, err = fd.LocalAddr(); err != nil { // port 0: the rest share what the kernel chose
			b.discard()
			return nil, err
		}
	}
	b.address = addr.AddrPort().String()
	return b, nil
}

func withFix(err error) error {
	if errors.Is(err, sys.ErrPortTaken) {
		return fmt.Errorf("%w; stop the process that listens there (ss -ltnp shows it) or choose another port", err)
	}
	return err
}

// resolveListen reads host:port; an empty host is every address, IPv6 and
// IPv4 where the machine has both.
func resolveListen(address string) (sys.Sockaddr, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return sys.Sockaddr{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return sys.Sockaddr{}, fmt.Errorf("port %q is not a number from 0 to 65535", portText)
	}
	if host == "" {
		ip := netip.IPv6Unspecified()
		if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
			ip = netip.IPv4Unspecified()
		}
		return sys.TCPAddr(netip.AddrPortFrom(ip, uint16(port)), 0), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return sys.Sockaddr{}, err
	}
	ip := ips[0].Unmap()
	var zone uint32
	if ip.Zone() != "" {
		iface, err := net.InterfaceByName(ip.Zone())
		if err != nil {
			return sys.Sockaddr{}, err
		}
		zone = uint32(iface.Index)
	}
	return sys.TCPAddr(netip.AddrPortFrom(ip, uint16(port)), zone), nil
}

// bindUnix takes a path that is free, or whose socket nobody serves any more.
func bindUnix(l *Listener) (*bound, error) {
	addr, err := sys.UnixAddr(l.Address)
	if err != nil {
		return nil, err
	}
	abstract := l.Address[0] == '@'
	if !abstract {
		if err := sys.RemoveStaleUnix(l.Address, &addr); err != nil {
			return nil, err
		}
	}
	mode := l.Mode
	if mode == 0 {
		mode = 0o666
	}
	fd, err := sys.ListenUnix(&addr, mode, backlog)
	if err != nil {
		return nil, err
	}
	b := &bound{listener: l, address: "unix:" + l.Address, sockets: []sys.FD{fd}}
	if abstract {
		return b, nil
	}
	if err := b.adopt(); err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

// adopt gives the socket file its owner and mode and remembers which it is.
func (b *bound) adopt() error {
	path, l := b.listener.Address, b.listener
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	b.inode = info
	if l.UID >= 0 || l.GID >= 0 {
		if err := os.Lchown(path, l.UID, l.GID); err != nil {
			return err
		}
	}
	if l.Mode != 0 { // bind(2) applied the umask
		return os.Chmod(path, l.Mode)
	}
	return nil
}

// start gives each worker its socket, or all sockets to the first.
func (b *bound) start(workers []*worker) {
	for i, fd := range b.sockets {
		a := &acceptor{
			worker: workers[i], waiting: sys.NoFD,
			tcp: b.listener.Network != "unix", listener: b.listener,
		}
		if len(b.sockets) < len(workers) {
			a.spread = workers
		}
		a.worker.post(func() {
			a.worker.acceptors = append(a.worker.acceptors, a)
			a.worker.loop.Attach(&a.socket, fd, a)
			a.start()
		})
	}
	b.sockets = nil // the loops own them now
}

// discard closes what no loop owns yet.
func (b *bound) discard() {
	for _, fd := range b.sockets {
		fd.Close()
	}
	b.sockets = nil
	b.unlink()
}

// unlink removes the socket file, unless it has been replaced meanwhile.
func (b *bound) unlink() {
	if b.inode == nil {
		return
	}
	if info, err := os.Lstat(b.listener.Address); err == nil && os.SameFile(info, b.inode) {
		_ = os.Remove(b.listener.Address) // a leftover is taken over at the next start
	}
}
