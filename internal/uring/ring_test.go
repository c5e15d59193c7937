package uring

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// opNop does nothing but complete.
const opNop = 0

// open opens a ring. Where the kernel refuses io_uring the test is skipped, unless
// the environment says that it must not (REQUIRE_URING=1, as in CI).
func open(t testing.TB, entries, completions uint32) *Ring {
	t.Helper()
	r, err := Open(entries, completions)
	if errors.Is(err, ErrRefused) && os.Getenv("REQUIRE_URING") == "" {
		t.Skipf("the kernel refuses it: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newRing opens a ring that belongs to the test's thread.
func newRing(t testing.TB, entries, completions uint32) *Ring {
	t.Helper()
	r := open(t, entries, completions)
	runtime.LockOSThread()
	t.Cleanup(func() {
		r.Close()
		runtime.UnlockOSThread()
	})
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	return r
}

// nop queues a no-operation.
func (r *Ring) nop(t testing.TB, user uint64) {
	t.Helper()
	e := r.Next()
	if e == nil {
		t.Fatal("no room for an entry")
	}
	e.Opcode, e.UserData = opNop, user
}

func TestSubmitCompletes(t *testing.T) {
	r := newRing(t, 4, 8)
	if submissions, completions := r.Entries(); submissions != 4 || completions != 8 {
		t.Errorf("room for %d and %d", submissions, completions)
	}
	r.nop(t, 7)
	r.nop(t, 8)
	if n := r.Pending(); n != 2 {
		t.Errorf("%d entries pending, want 2", n)
	}
	if errno := r.Submit(); errno != 0 {
		t.Fatal(errno)
	}
	list := r.Take(nil)
	if len(list) != 2 || list[0].UserData != 7 || list[1].UserData != 8 || list[0].Res != 0 {
		t.Errorf("completions %+v", list)
	}
	if r.Ready() || r.Pending() != 0 {
		t.Error("something is left")
	}
}

func TestNextReportsAFullQueue(t *testing.T) {
	r := newRing(t, 4, 8)
	for range 4 {
		r.nop(t, 1)
	}
	if r.Next() != nil || r.Room(1) {
		t.Error("there is room for a fifth entry of four")
	}
	if r.Submit(); !r.Room(4) || r.Room(5) {
		t.Error("submitting makes no room")
	}
}

// An entry is cleared before it is used again.
func TestEntriesAreCleared(t *testing.T) {
	r := newRing(t, 1, 2)
	e := r.Next()
	e.Opcode, e.Flags, e.FD, e.UserData, e.OptLen, e.Group = opNop, SkipSuccess, 5, 9, 7, 3
	r.Submit()
	if e := r.Next(); *e != (SQE{}) {
		t.Errorf("the entry holds %+v", *e)
	}
}

func TestWaitEndsAtItsTime(t *testing.T) {
	r := newRing(t, 4, 8)
	for _, told := range []bool{false, true} {
		begin := time.Now()
		errno := r.Wait(3*time.Millisecond, told)
		for errno == sys.EINTR { // the runtime preempts threads by signals
			begin = time.Now()
			errno = r.Wait(3*time.Millisecond, told)
		}
		if errno != sys.ETIME {
			t.Errorf("told=%v: %v, want ETIME", told, errno)
		}
		if took := time.Since(begin); took < 3*time.Millisecond || took > time.Second {
			t.Errorf("told=%v: waited %v", told, took)
		}
		r.nop(t, 1)
		for errno = r.Wait(-1, told); errno == sys.EINTR; errno = r.Wait(-1, told) {
		}
		if errno != 0 || !r.Ready() {
			t.Errorf("told=%v: %v, ready %v", told, errno, r.Ready())
		}
		if n := len(r.Take(nil)); n != 1 {
			t.Errorf("told=%v: %d completions", told, n)
		}
	}
}

// The positions in the queues are 32 bits of which few are used: they go round
// many times.
func TestQueuesGoRound(t *testing.T) {
	r := newRing(t, 4, 8)
	var list []CQE
	user := uint64(0)
	for round := range 20000 {
		first := user
		for range 1 + round%4 {
			r.nop(t, user)
			user++
		}
		if errno := r.Submit(); errno != 0 {
			t.Fatal(errno)
		}
		list = r.Take(list[:0])
		for i, c := range list {
			if c.UserData != first+uint64(i) {
				t.Fatalf("round %d: completion %d is for %d", round, i, c.UserData)
			}
		}
		if first+uint64(len(list)) != user {
			t.Fatalf("round %d: %d completions", round, len(list))
		}
	}
}

// What does not fit into the completion queue comes later, in order.
func TestOverflowIsKept(t *testing.T) {
	r := newRing(t, 4, 4)
	const all = 40
	for user := range uint64(all) {
		if !r.Room(1) {
			r.Submit()
		}
		r.nop(t, user)
	}
	r.Submit()
	if !r.Overflowed() {
		t.Error("40 completions fitted into 4")
	}
	list := r.Take(nil)
	for tries := 0; r.Overflowed() && tries < 2*all; tries++ {
		if errno := r.Submit(); errno != 0 && errno != sys.EBUSY {
			t.Fatal(errno)
		}
		list = r.Take(list)
	}
	if len(list) != all {
		t.Fatalf("%d completions of %d", len(list), all)
	}
	for i, c := range list {
		if c.UserData != uint64(i) {
			t.Fatalf("completion %d is for %d", i, c.UserData)
		}
	}
	r.nop(t, 99)
	r.Submit()
	if list = r.Take(list[:0]); len(list) != 1 || list[0].UserData != 99 || r.Overflowed() {
		t.Errorf("afterwards: %+v", list)
	}
}

// A wait finds completions that did not fit.
func TestWaitBringsOverflowIn(t *testing.T) {
	r := newRing(t, 4, 4)
	for user := range uint64(8) {
		if !r.Room(1) {
			r.Submit()
		}
		r.nop(t, user)
	}
	r.Submit()
	list := r.Take(nil)
	for tries := 0; len(list) < 8 && tries < 8; tries++ {
		if errno := r.Wait(time.Second, false); errno == sys.ETIME {
			t.Fatal("the wait slept although completions were kept")
		}
		list = r.Take(list)
	}
	if len(list) != 8 {
		t.Errorf("%d completions of 8", len(list))
	}
}

// Closing ends what is in flight, and what it pointed to is not written later.
func TestCloseWithReceivesInFlight(t *testing.T) {
	for range 20 {
		r := open(t, 64, 128)
		runtime.LockOSThread()
		if err := r.Enable(); err != nil {
			t.Fatal(err)
		}
		b, err := r.Register(0, 4, 64, 0)
		if err != nil {
			t.Fatal(err)
		}
		memory := make([]byte, 64)
		var ends []sys.FD
		for i := range 32 {
			near, far, err := sys.SocketPair()
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, near, far)
			e := r.Next()
			e.Opcode, e.FD = OpRecv, int32(near)
			if i%2 == 0 {
				e.Flags, e.IOPrio = BufferSelect, RecvMultishot
			} else {
				e.Addr, e.Len = address(memory), uint32(len(memory))
			}
		}
		r.Submit()
		begin := time.Now()
		r.Close()
		b.Free()
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("closing took %v", took)
		}
		for i := 1; i < len(ends); i += 2 {
			ends[i].Send([]byte("too late"))
		}
		for _, fd := range ends {
			fd.Close()
		}
		runtime.UnlockOSThread()
		if memory[0] != 0 {
			t.Error("memory was written after Close")
		}
	}
}

// Only the thread that enabled a ring may use it.
func TestRingBelongsToOneThread(t *testing.T) {
	r := newRing(t, 4, 8)
	r.nop(t, 1)
	other := make(chan sys.Errno)
	go func() {
		runtime.LockOSThread() // another thread than the test's, which is locked too
		other <- r.Submit()
	}()
	if errno := <-other; errno == 0 {
		t.Error("another thread may submit")
	}
	if r.Submit(); len(r.Take(nil)) != 1 {
		t.Error("the entry is lost")
	}
}

// Rings come and go without leaving mappings behind.
func TestRingsLeaveNothingBehind(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := 0
	for i := range 200 {
		r := open(t, 64, 512)
		b, err := r.Register(3, 16, 4096, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		b.Free()
		if i == 20 {
			before = mappings(t)
		}
	}
	if after := mappings(t); after > before+5 {
		t.Errorf("%d mappings, %d before", after, before)
	}
}

func mappings(t *testing.T) (lines int) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range text {
		if c == '\n' {
			lines++
		}
	}
	return lines
}

// A round trip through the kernel that does nothing.
func BenchmarkNop(b *testing.B) {
	r := newRing(b, 4, 8)
	var list []CQE
	b.ReportAllocs()
	for b.Loop() {
		r.nop(b, 1)
		r.Wait(time.Second, false)
		list = r.Take(list[:0])
	}
}
