package splice

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// A line is two connections with a pump between them: what is written to in
// comes out of out.
type line struct {
	in, source, sink, out sys.FD
	pump                  Pump
	pipes                 *Pipes
	budget                *Budget
}

func newLine(t testing.TB) *line {
	t.Helper()
	l := &line{budget: NewBudget(1000, 0)}
	l.pipes = NewPipes(l.budget)
	l.in, l.source = tcpPair(t)
	l.sink, l.out = tcpPair(t)
	t.Cleanup(func() {
		l.pump.Drop(l.pipes)
		l.pipes.Trim()
		for _, fd := range []sys.FD{l.in, l.source, l.sink, l.out} {
			fd.Close()
		}
		if l.budget.Left() != 1000 || l.budget.Pipes() != 0 {
			t.Errorf("budget not restored: %d of 1000 left, %d pipes", l.budget.Left(), l.budget.Pipes())
		}
	})
	if !l.pump.StartSplice(l.pipes) {
		t.Fatal("no pipe to be had")
	}
	return l
}

func tcpPair(t testing.TB) (a, b sys.FD) {
	t.Helper()
	any := sys.TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	listener, err := sys.ListenTCP(&any, sys.ListenOptions{Backlog: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addr, err := listener.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	a, errno := sys.StreamSocket(addr.Family())
	if errno != 0 {
		t.Fatal(errno)
	}
	a.NoDelay()
	if errno = a.Connect(&addr); errno != 0 && errno != sys.EINPROGRESS {
		t.Fatal(errno)
	}
	var peer sys.Sockaddr
	testutil.Eventually(t, 5*time.Second, "connection in the queue", func() bool {
		b, errno = listener.Accept(&peer)
		return errno == 0
	})
	return a, b
}

func send(t testing.TB, fd sys.FD, b []byte) {
	t.Helper()
	if n, errno := fd.Send(b); errno != 0 || n != len(b) {
		t.Fatalf("sent %d of %d bytes: %v", n, len(b), errno)
	}
}

func take(fd sys.FD) []byte {
	var all []byte
	b := make([]byte, 256<<10)
	for {
		n, errno := fd.Recv(b)
		if errno != 0 || n == 0 {
			return all
		}
		all = append(all, b[:n]...)
	}
}

// 64 MiB of noise come out as they went in, with a reader that is slow in
// random steps.
func TestPumpMovesEverything(t *testing.T) {
	l := newLine(t)
	random := rand.New(rand.NewPCG(3, 4))
	const total = 64 << 20
	sent, got, moved := 0, 0, 0
	sample := make([]byte, 128<<10)
	for i := range sample {
		sample[i] = byte(i*7 + i>>8)
	}
	b := make([]byte, 200<<10)
	for got < total {
		if sent < total {
			from := sent % (64 << 10)
			n, _ := l.in.Send(sample[from : from+min(64<<10, total-sent)])
			sent += n
		}
		n, need, errno := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		moved += n
		if errno != 0 || need == SourceFailed || need == SinkFailed || need == NeedCopy {
			t.Fatalf("Move: need %d, %v", need, errno)
		}
		n, _ = l.out.Recv(b[:1+random.IntN(len(b)-1)])
		for i := range n {
			if at := (got + i) % (64 << 10); b[i] != sample[at] {
				t.Fatalf("byte %d is %d, want %d", got+i, b[i], sample[at])
			}
		}
		got += n
	}
	if moved != total || l.pump.Held() != 0 {
		t.Errorf("moved %d, holds %d; want %d and 0", moved, l.pump.Held(), total)
	}
}

// 1-byte segments fill a pipe's slots with a byte each; a pump that took
// EAGAIN for an empty source would hang here.
func TestPumpTinySegments(t *testing.T) {
	l := newLine(t)
	var want, got []byte
	for i := range 5000 {
		want = append(want, byte(i))
		send(t, l.in, want[i:])
		if i%500 == 499 {
			l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
			got = append(got, take(l.out)...)
		}
	}
	testutil.Eventually(t, 5*time.Second, "all bytes", func() bool {
		l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		got = append(got, take(l.out)...)
		return len(got) == len(want)
	})
	if !bytes.Equal(got, want) {
		t.Error("bytes differ")
	}
}

// With a sink that takes nothing, what is held is bounded by the pipe, and the
// source's bytes stay in its socket.
func TestPumpBackPressure(t *testing.T) {
	l := newLine(t)
	chunk := make([]byte, 64<<10)
	sent := 0
	for quiet := 0; quiet < 3; {
		n, _ := l.in.Send(chunk)
		sent += n
		moved, need, _ := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		if n == 0 && moved == 0 && need == NeedSink {
			quiet++
		} else {
			quiet = 0
		}
	}
	if held := l.pump.Held(); held == 0 || held > pipeBytes {
		t.Errorf("holds %d bytes, want 1 to %d", held, pipeBytes)
	}
	got := 0
	testutil.Eventually(t, 10*time.Second, "the rest after reading again", func() bool {
		got += len(take(l.out))
		l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		return got == sent
	})
}

// The end of the stream is for the copy lane to find, after the last byte.
func TestPumpEnd(t *testing.T) {
	l := newLine(t)
	send(t, l.in, []byte("last words"))
	l.in.ShutdownWrite()
	var got []byte
	testutil.Eventually(t, 5*time.Second, "NeedCopy", func() bool {
		_, need, _ := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		return need == NeedCopy
	})
	testutil.Eventually(t, 5*time.Second, "last words", func() bool {
		got = append(got, take(l.out)...)
		return string(got) == "last words"
	})
	if l.pump.Lane() != Copy || l.pump.Held() != 0 {
		t.Errorf("in lane %v with %d bytes held", l.pump.Lane(), l.pump.Held())
	}
	if n, errno := l.source.Recv(make([]byte, 1)); n != 0 || errno != 0 {
		t.Errorf("the copy lane finds %d bytes, %v; want the end", n, errno)
	}
}

// At urgent data splice(2) says that the source is empty although it is not.
// Whoever sees that there is some stops splicing and finds the rest.
func TestPumpUrgentDataIsForTheCopyLane(t *testing.T) {
	l := newLine(t)
	send(t, l.in, []byte("before "))
	if err := syscall.Sendto(int(l.in), []byte("!"), syscall.MSG_OOB, nil); err != nil {
		t.Fatal(err)
	}
	send(t, l.in, []byte("after"))
	var got []byte
	testutil.Eventually(t, 5*time.Second, "what stands before the mark", func() bool {
		_, need, _ := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		if need != NeedSource {
			t.Fatalf("need %d", need)
		}
		got = append(got, take(l.out)...)
		return string(got) == "before "
	})
	l.pump.StopSplice()
	b := make([]byte, 100)
	testutil.Eventually(t, 5*time.Second, "what stands behind it", func() bool {
		n, _ := l.source.Recv(b)
		got = append(got, b[:n]...)
		return string(got) == "before after"
	})
}

func TestPumpFailures(t *testing.T) {
	t.Run("source reset", func(t *testing.T) {
		l := newLine(t)
		l.in.ResetOnClose()
		l.in.Close()
		l.in = sys.NoFD
		testutil.Eventually(t, 5*time.Second, "failure", func() bool {
			_, need, errno := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
			return need == SourceFailed && errno == sys.ECONNRESET
		})
	})
	t.Run("sink reset with bytes in the pipe", func(t *testing.T) {
		l := newLine(t)
		chunk := make([]byte, 64<<10)
		for l.pump.Held() == 0 {
			l.in.Send(chunk)
			l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
		}
		l.out.ResetOnClose()
		l.out.Close()
		l.out = sys.NoFD
		testutil.Eventually(t, 5*time.Second, "failure", func() bool {
			_, need, _ := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
			return need == SinkFailed
		})
		if lost := l.pump.Drop(l.pipes); lost == 0 {
			t.Error("nothing was in the pipe")
		}
		if len(l.pipes.idle) != 0 {
			t.Error("the dirty pipe was kept")
		}
	})
}

// A direction is spliced only while it is bulk.
func TestPumpChoosesLane(t *testing.T) {
	var p Pump
	for range 10 {
		if p.Saw(4096) {
			t.Fatal("4 KiB reads taken for bulk")
		}
	}
	if p.Saw(bulkReadBytes) || p.Saw(100) || p.Saw(bulkReadBytes) {
		t.Error("single large reads taken for bulk")
	}
	if !p.Saw(bulkReadBytes) {
		t.Error("two large reads in a row are bulk")
	}
	l := newLine(t)
	var calm bool
	for range smallMoves {
		send(t, l.in, []byte("small"))
		testutil.Eventually(t, 5*time.Second, "a small move", func() bool {
			n, _, _ := l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
			return n > 0
		})
		calm = l.pump.Calm()
	}
	if !calm || l.pump.Lane() != Copy {
		t.Error("small moves did not end the splicing")
	}
}

func TestPumpDoesNotOvertakeParkedBytes(t *testing.T) {
	budget := NewBudget(1000, 0)
	pipes := NewPipes(budget)
	defer pipes.Trim()
	var p Pump
	p.Park([]byte("first"))
	if p.StartSplice(pipes) {
		t.Error("splicing began over parked bytes")
	}
	p.Park([]byte(" second"))
	if got := string(p.ParkedBytes()); got != "first second" || p.Parked() != len(got) {
		t.Errorf("parked %q", got)
	}
	p.Unpark(6)
	if got := string(p.ParkedBytes()); got != "second" {
		t.Errorf("parked %q after 6 bytes went", got)
	}
	p.Unpark(6)
	if p.parked != nil {
		t.Error("an empty parking is kept")
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(pipeHeadroom+5, 1)
	if !b.Take(2) || b.Left() != pipeHeadroom+3 {
		t.Errorf("left %d", b.Left())
	}
	if !b.takePipe() {
		t.Error("the surplus gives no pipe")
	}
	if b.takePipe() {
		t.Error("a second pipe beyond the limit of 1")
	}
	b.givePipe()
	if !b.Take(4) {
		t.Error("tunnels may use the headroom")
	}
	if b.takePipe() {
		t.Error("a pipe out of the headroom")
	}
	if b.Take(pipeHeadroom) {
		t.Error("more taken than there is")
	}
	b.Give(6)
	if b.Left() != pipeHeadroom+5 || b.Pipes() != 0 {
		t.Errorf("left %d, pipes %d", b.Left(), b.Pipes())
	}
}

const asNobody = "WSPLICE_TEST_AS_NOBODY"

// An ordinary user beyond pipe-user-pages-soft gets pipes of two pages; the
// stock must notice and refuse them. Run as nobody in a process of its own.
func TestPipesBeyondTheUsersBudget(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		exhaustUsersPipes(t)
		return
	}
	if os.Getuid() != 0 {
		testutil.Missing(t, "needs root to become an ordinary user")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && len(d) > 4; d = d[:bytes.LastIndexByte([]byte(d), '/')] {
		_ = os.Chmod(d, 0o755)
	}
	binary := dir + "/splice.test"
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run", "^TestPipesBeyondTheUsersBudget$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asNobody+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("refused after")) {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func exhaustUsersPipes(t *testing.T) {
	content, err := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft")
	if err != nil {
		t.Fatal(err)
	}
	soft, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil {
		t.Fatal(err)
	}
	budget := NewBudget(100_000, 0)
	pipes := NewPipes(budget)
	var open []*Pipe
	defer func() {
		for _, pipe := range open {
			pipes.destroy(pipe)
		}
	}()
	for range soft/16 + 10 {
		pipe := pipes.Get()
		if pipe == nil {
			break
		}
		size, _ := pipe.read.PipeSize()
		if size < pipeBytesMin {
			t.Fatalf("got a pipe of %d bytes", size)
		}
		open = append(open, pipe)
	}
	if pipes.Refused() == 0 {
		t.Fatalf("%d pipes and no refusal", len(open))
	}
	t.Logf("refused after %d pipes", len(open))
	if pipes.Get() != nil || pipes.Refused() != 1 {
		t.Error("the kernel is asked again at once")
	}
}

func BenchmarkPumpSplice(b *testing.B) {
	l := newLine(b)
	benchmarkLine(b, l, func() {
		l.pump.Move(l.source, l.sink, l.pipes, Unlimited)
	})
}

func BenchmarkPumpCopy(b *testing.B) {
	l := newLine(b)
	buf := make([]byte, 64<<10)
	benchmarkLine(b, l, func() {
		n, _ := l.source.Recv(buf)
		for sent := 0; sent < n; {
			m, _ := l.sink.Send(buf[sent:n])
			sent += m
			if m == 0 {
				take(l.out)
			}
		}
	})
}

func benchmarkLine(b *testing.B, l *line, move func()) {
	chunk, room := make([]byte, 256<<10), make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		n, _ := l.in.Send(chunk)
		for got := 0; got < n; {
			move()
			m, _ := l.out.Recv(room)
			got += m
		}
	}
}
