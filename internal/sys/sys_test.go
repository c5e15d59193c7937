package sys

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

func TestTCPAddrRoundTrip(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "[::1]:65535", "[2001:db8::7]:1", "0.0.0.0:0"} {
		want := netip.MustParseAddrPort(text)
		addr := TCPAddr(want, 0)
		if got := addr.AddrPort(); got != want {
			t.Errorf("%s came back as %s", want, got)
		}
	}
	mapped := TCPAddr(netip.MustParseAddrPort("[::ffff:192.0.2.1]:5"), 0)
	if got := mapped.AddrPort().String(); got != "192.0.2.1:5" {
		t.Errorf("an IPv4-mapped address came back as %s", got)
	}
}

func TestUnixAddr(t *testing.T) {
	long := make([]byte, unixPathMax+1)
	for i := range long {
		long[i] = 'x'
	}
	for _, path := range []string{"", string(long)} {
		if _, err := UnixAddr(path); !errors.Is(err, ErrUnixPath) {
			t.Errorf("%d bytes: %v, want ErrUnixPath", len(path), err)
		}
	}
	if addr, err := UnixAddr(string(long[:unixPathMax])); err != nil || addr.Family() != AFUnix {
		t.Errorf("the longest path: %v", err)
	}
}

// Sockets of other processes, here of net, are found out by a bind without
// SO_REUSEPORT, even when they set it.
func TestProbePort(t *testing.T) {
	any := TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	shared, err := ListenTCP(&any, ListenOptions{Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := shared.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	if err := ProbePort(&addr); !errors.Is(err, ErrPortTaken) {
		t.Errorf("a port held with SO_REUSEPORT: %v, want ErrPortTaken", err)
	}
	second, err := ListenTCP(&addr, ListenOptions{Backlog: 1})
	if err != nil {
		t.Errorf("our own loops cannot share the port: %v", err)
	}
	second.Close()
	shared.Close()
	if err := ProbePort(&addr); err != nil {
		t.Errorf("a free port: %v", err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	held := TCPAddr(plain.Addr().(*net.TCPAddr).AddrPort(), 0)
	if err := ProbePort(&held); !errors.Is(err, ErrPortTaken) {
		t.Errorf("a port held without it: %v, want ErrPortTaken", err)
	}
}

// What a listener accepts inherits the options that were set on the listener.
func TestAcceptedSocketsInherit(t *testing.T) {
	any := TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	listener, err := ListenTCP(&any, ListenOptions{Backlog: 1, Keepalive: 60e9, UserTimeout: 120e9})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addr, err := listener.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	client, errno := StreamSocket(AFInet)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer client.Close()
	if errno = client.Connect(&addr); errno != 0 && errno != EINPROGRESS {
		t.Fatal(errno)
	}
	var peer Sockaddr
	var fd FD
	testutil.Eventually(t, 5e9, "connection in the queue", func() bool {
		fd, errno = listener.Accept(&peer)
		return errno == 0
	})
	defer fd.Close()
	own, err := client.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	if named, err := fd.PeerAddr(); err != nil || named.AddrPort() != own.AddrPort() {
		t.Errorf("connected to %v, %v; want %v", named.AddrPort(), err, own.AddrPort())
	}
	for _, option := range []struct {
		name          string
		level, option int
		want          int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 120000},
	} {
		if got, errno := fd.getInt(option.level, option.option); errno != 0 || got != option.want {
			t.Errorf("%s is %d (%v), want %d", option.name, got, errno, option.want)
		}
	}
	if ours := peer.AddrPort(); !ours.Addr().IsLoopback() || ours.Port() == 0 {
		t.Errorf("the peer's address is %v", ours)
	}
}

func TestUnixSocketModeAndProbe(t *testing.T) {
	path := t.TempDir() + "/s"
	addr, err := UnixAddr(path)
	if err != nil {
		t.Fatal(err)
	}
	old := unix.Umask(0)
	fd, err := ListenUnix(&addr, 0o640, 4)
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640 from the first moment", info.Mode(), err)
	}
	if served, err := ProbeUnix(&addr); !served || err != nil {
		t.Errorf("a socket that is served: %v, %v", served, err)
	}
	fd.Close()
	if served, err := ProbeUnix(&addr); served || err != nil {
		t.Errorf("a stale socket: %v, %v", served, err)
	}
}

func TestParseQuota(t *testing.T) {
	for content, want := range map[string]int{
		"max 100000\n": 0, "100000 100000\n": 1, "150000 100000\n": 2, "50000 100000": 1,
		"": 0, "x y": 0, "-1 100000": 0, "100000 0": 0,
	} {
		if got := parseQuota(content); got != want {
			t.Errorf("%q: %d CPUs, want %d", content, got, want)
		}
	}
	if UsableCPUs() < 1 {
		t.Error("no usable CPU")
	}
}

// The user data of an epoll event survives both halves of the field it is
// carried in.
func TestEpollUserData(t *testing.T) {
	epoll, err := OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer epoll.Close()
	event, err := OpenEventFD()
	if err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	const user = 0xfedcba9876543210
	if errno := epoll.EpollAdd(event, EpollIn, user); errno != 0 {
		t.Fatal(errno)
	}
	event.Signal()
	var events [4]EpollEvent
	n, errno := epoll.EpollWait(events[:], 1000)
	if n != 1 || errno != 0 || User(&events[0]) != user {
		t.Errorf("%d events, %v, user data %x", n, errno, User(&events[0]))
	}
	event.Clear()
	if n, _ := epoll.EpollWaitRaw(events[:], 0); n != 0 {
		t.Error("still signalled after Clear")
	}
}

func TestDialNamesTheAddress(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:80": "tcp 127.0.0.1:80", "[2001:db8::7]:1": "tcp [2001:db8::7]:1",
	} {
		addr := TCPAddr(netip.MustParseAddrPort(text), 0)
		if network, address := addr.Dial(); network+" "+address != want {
			t.Errorf("%s: %s %s", text, network, address)
		}
	}
	linkLocal := TCPAddr(netip.MustParseAddrPort("[fe80::1]:80"), 3)
	if _, address := linkLocal.Dial(); address != "[fe80::1%3]:80" {
		t.Errorf("link-local: %s", address)
	}
	for _, path := range []string{"/run/x.sock", "@abstract"} {
		addr, err := UnixAddr(path)
		if err != nil {
			t.Fatal(err)
		}
		if network, address := addr.Dial(); network != "unix" || address != path {
			t.Errorf("%s: %s %q", path, network, address)
		}
	}
}

// A duplicate is a file of its own for goroutines, and the original stays
// open when that is closed.
func TestDupAndFile(t *testing.T) {
	near, far, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	twin, errno := near.Dup()
	if errno != 0 {
		t.Fatal(errno)
	}
	conn := twin.File()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err) // the runtime does not poll it
	}
	far.Send([]byte("in"))
	b := make([]byte, 8)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "in" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	conn.Close()
	if _, errno := near.Recv(b); errno != EAGAIN {
		t.Errorf("the original after the close: %v, want EAGAIN", errno)
	}
	if _, errno := NoFD.Dup(); errno != unix.EBADF {
		t.Errorf("dup of nothing: %v", errno)
	}
	if NoFD.File() != nil {
		t.Error("a file was made of no descriptor")
	}
}

// A source is an address of this machine or an error at once, without a port
// being taken for good.
func TestCheckSource(t *testing.T) {
	for address, want := range map[string]Errno{
		"127.0.0.1": 0, "127.8.9.10": 0, "192.0.2.1": EADDRNOTAVAIL, "2001:db8::1": EADDRNOTAVAIL,
	} {
		for range 100 {
			if got := CheckSource(netip.MustParseAddr(address)); got != want {
				t.Fatalf("%s: %v, want %v", address, got, want)
			}
		}
	}
}

// Both families connect from the address that was bound.
func TestBindSource(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		source := netip.MustParseAddr(address)
		if CheckSource(source) != 0 {
			continue // a machine without IPv6
		}
		listener, err := net.Listen("tcp", netip.AddrPortFrom(source, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		addr := TCPAddr(listener.Addr().(*net.TCPAddr).AddrPort(), 0)
		fd, errno := StreamSocket(addr.Family())
		if errno != 0 {
			t.Fatal(errno)
		}
		defer fd.Close()
		if errno := fd.BindSource(source); errno != 0 {
			t.Fatalf("bind to %s: %v", address, errno)
		}
		if errno := fd.Connect(&addr); errno != 0 && errno != EINPROGRESS {
			t.Fatalf("connect from %s: %v", address, errno)
		}
		local, err := fd.LocalAddr()
		if err != nil || local.AddrPort().Addr() != source || local.AddrPort().Port() == 0 {
			t.Errorf("connected from %v, %v", local.AddrPort(), err)
		}
	}
}

// The end of the stream shows although bytes are before it.
func TestEnded(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, peer := FD(pair[0]), FD(pair[1])
	defer fd.Close()
	defer peer.Close()
	if fd.Ended() {
		t.Error("ended at the beginning")
	}
	if peer.Send([]byte("bytes")); fd.Ended() {
		t.Error("ended with bytes to read")
	}
	if peer.ShutdownWrite(); !fd.Ended() {
		t.Error("not ended behind the bytes")
	}
	if n, errno := fd.Peek(); n != 1 || errno != 0 {
		t.Errorf("the bytes are gone: %d, %v", n, errno)
	}
}
