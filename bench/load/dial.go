package load

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// A remote is one address to connect to.
type remote struct {
	address sys.Sockaddr
	host    string // as the Host header names it
}

// A dialer makes connected sockets, from any goroutine. It goes through the
// remotes first and, when it has been at each of them, to the next source.
//
// It is not netpoll's dialer because that one needs ten system calls and a
// round through its poller where a connection on loopback takes one.
type dialer struct {
	remotes []remote
	sources int
	dialled atomic.Uint64
}

// newDialer resolves a comma list of addresses.
func newDialer(addresses string, sources int) (*dialer, error) {
	d := &dialer{sources: sources}
	for host := range strings.SplitSeq(addresses, ",") {
		a, err := net.ResolveTCPAddr("tcp", host)
		if err != nil {
			return nil, fmt.Errorf("load: address %q: %w", host, err)
		}
		ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if a.IP != nil {
			ip = a.AddrPort().Addr().Unmap()
		}
		if ip.Is6() && sources > 0 {
			return nil, fmt.Errorf("load: address %q: sources are addresses of IPv4", host)
		}
		to := netip.AddrPortFrom(ip, uint16(a.Port))
		d.remotes = append(d.remotes, remote{address: sys.TCPAddr(to, 0), host: host})
	}
	return d, nil
}

// dial begins a connection and returns its socket, which is non-blocking and
// the caller's. On loopback it is connected by then, or refused, which is an
// error; only where the listener's queue is full is it still on its way.
func (d *dialer) dial() (fd int, to *remote, err error) {
	n := d.dialled.Add(1) - 1
	count := uint64(len(d.remotes))
	to = &d.remotes[n%count]
	socket, errno := sys.StreamSocket(to.address.Family())
	if errno != 0 {
		return -1, nil, os.NewSyscallError("socket", errno)
	}
	socket.NoDelay()
	if d.sources > 0 {
		source := netip.AddrFrom4([4]byte{127, 1, 0, byte(n/count%uint64(d.sources) + 1)})
		if errno = socket.BindSource(source); errno != 0 {
			socket.Close()
			return -1, nil, os.NewSyscallError("bind", errno)
		}
	}
	if errno = socket.Connect(&to.address); errno == sys.EINPROGRESS {
		errno = socket.SocketError()
	}
	if errno != 0 {
		socket.Close()
		return -1, nil, os.NewSyscallError("connect", errno)
	}
	return int(socket), to, nil
}

// A leash cuts a connection that takes too long, by shutting its socket down.
// netpoll's own deadlines cannot be used: they need the addresses of a
// connection, and one made from a socket has none.
type leash struct {
	mu       sync.Mutex // protects what follows
	fd       int        // -1 when there is nothing to cut
	deadline time.Time
	cut      bool
	timer    *time.Timer
}

// hold begins to watch fd. The caller must call release before it closes fd.
func (l *leash) hold(fd int, limit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fd, l.deadline, l.cut = fd, time.Now().Add(limit), false
	if l.timer == nil {
		l.timer = time.AfterFunc(limit, l.expire)
	} else {
		l.timer.Reset(limit)
	}
}

func (l *leash) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	// It may have been held anew since the timer fired.
	if l.fd >= 0 && !time.Now().Before(l.deadline) {
		l.cut = true
		_ = syscall.Shutdown(l.fd, syscall.SHUT_RDWR)
	}
}

// release ends the watch and reports whether the connection was cut.
func (l *leash) release() (cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fd = -1
	l.timer.Stop()
	return l.cut
}
