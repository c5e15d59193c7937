package loop

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/uring"
)

// engines are what the conformance suite runs over. The last is io_uring as on
// kernels that cannot end a receive after so many bytes (before Linux 6.17).
var engines = []string{"epoll", "io_uring", oneshot}

const oneshot = "io_uring-oneshot"

// overEngines runs test once for each engine.
func overEngines(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { test(t, newRig(t, engine)) })
	}
}

// needUring skips a test where the kernel refuses io_uring, unless the
// environment says that it must not (REQUIRE_URING=1, as in CI).
func needUring(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, uring.ErrRefused) && os.Getenv("REQUIRE_URING") == "" {
		t.Skipf("tested with epoll alone: %v", err)
	}
}

// A rig drives a loop tick by tick on the test's goroutine.
type rig struct {
	*Loop
	t testing.TB
}

func newRig(t testing.TB, engine string) *rig {
	t.Helper()
	name, _, old := strings.Cut(engine, "-oneshot")
	l, err := New(Config{Engine: name, Pin: -1})
	needUring(t, err)
	if err != nil {
		t.Fatal(err)
	}
	r := rigOf(t, l)
	if old {
		r.withoutLimit()
	}
	return r
}

// rigOf drives l on the calling goroutine, which keeps its thread: a ring
// belongs to one.
func rigOf(t testing.TB, l *Loop) *rig {
	runtime.LockOSThread()
	t.Cleanup(func() {
		l.Release()
		runtime.UnlockOSThread()
	})
	return &rig{Loop: l, t: t}
}

// until ticks until condition holds.
func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never happened: %s", what)
		}
		r.step(10 * time.Millisecond)
	}
}

// step ticks once.
func (r *rig) step(wait time.Duration) {
	r.engine.wait(min(wait, positive(r.untilNextTimer())))
	r.tick()
}

func positive(d time.Duration) time.Duration {
	if d < 0 {
		return time.Hour
	}
	return d
}

// settle ticks a few times, so that what is not to happen has had its chance.
func (r *rig) settle() {
	for range 5 {
		r.step(2 * time.Millisecond)
	}
}

// event is a completion as a recorder saw it.
type event struct {
	socket *Socket
	kind   Kind
	more   bool
	n      int
	err    sys.Errno
	bytes  string
}

// A recorder is an owner that remembers completions and reacts by on.
type recorder struct {
	t      testing.TB
	events []event
	calls  bool // inside a call to the loop: nothing may come
	on     func(s *Socket, op *Op, kind Kind)
}

func (r *recorder) Complete(s *Socket, op *Op, kind Kind) {
	if r.calls {
		r.t.Error("completion delivered from within a call of the owner")
	}
	if err := op.Err(); err == sys.EAGAIN || err == sys.EINTR {
		r.t.Errorf("owner saw %v", err)
	}
	r.events = append(r.events, event{s, kind, op.More, int(op.N), op.Err(), string(op.Buf())})
	if r.on != nil {
		r.on(s, op, kind)
	}
}

// received joins the bytes of all receives on s.
func (r *recorder) received(s *Socket) string {
	var text strings.Builder
	for _, e := range r.events {
		if e.socket == s && e.kind == Recv {
			text.WriteString(e.bytes)
		}
	}
	return text.String()
}

func (r *recorder) count(s *Socket, kind Kind) (n int) {
	for _, e := range r.events {
		if e.socket == s && e.kind == kind {
			n++
		}
	}
	return n
}

// pair attaches one end of a connection; the other end stays raw.
func (r *rig) pair(owner Owner, tcp bool) (s *Socket, raw sys.FD) {
	r.t.Helper()
	var near sys.FD
	if tcp {
		near, raw = tcpPair(r.t)
	} else {
		var err error
		if near, raw, err = sys.SocketPair(); err != nil {
			r.t.Fatal(err)
		}
	}
	s = new(Socket)
	r.Attach(s, near, owner)
	r.t.Cleanup(func() { r.shut(s) })
	return s, raw
}

// shut closes s if it is not, and waits until that is over.
func (r *rig) shut(s *Socket) {
	if s.Attached() && !r.Close(s) {
		r.until("close", func() bool { return !s.Attached() })
	}
}

// listenTCP opens a listener on a free port of loopback.
func listenTCP(t testing.TB) (sys.FD, sys.Sockaddr) {
	t.Helper()
	any := sys.TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	fd, err := sys.ListenTCP(&any, sys.ListenOptions{Backlog: 128})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := fd.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	return fd, addr
}

// dialRaw connects to a listener of this process; the connection is in its
// queue afterwards.
func dialRaw(t testing.TB, addr *sys.Sockaddr) sys.FD {
	t.Helper()
	fd, errno := sys.StreamSocket(addr.Family())
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := fd.Connect(addr); errno != 0 && errno != sys.EINPROGRESS {
		t.Fatal(errno)
	}
	return fd
}

// tcpPair returns two connected TCP sockets.
func tcpPair(t testing.TB) (a, b sys.FD) {
	t.Helper()
	listener, addr := listenTCP(t)
	defer listener.Close()
	a = dialRaw(t, &addr)
	var peer sys.Sockaddr
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		b, errno := listener.Accept(&peer)
		if errno == 0 {
			return a, b
		}
	}
	t.Fatal("connection never reached the queue")
	return
}

// fillSink writes to fd until nothing more fits and returns how much that was.
func fillSink(fd sys.FD) (total int) {
	chunk := make([]byte, 64<<10)
	for {
		n, errno := fd.Send(chunk)
		if errno != 0 {
			return total
		}
		total += n
	}
}

// readAll takes what is there now.
func readAll(fd sys.FD) (text string) {
	b := make([]byte, 64<<10)
	for {
		n, errno := fd.Recv(b)
		if errno != 0 || n == 0 {
			return text
		}
		text += string(b[:n])
	}
}
