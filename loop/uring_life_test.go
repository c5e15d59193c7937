package loop

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"wsplice/internal/sys"
)

// A loop may end with thousands of operations in flight: afterwards the kernel
// writes to none of their memory, and their descriptors are the owner's.
func TestUringReleaseWithOperationsInFlight(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 3 {
		l, err := New(Config{Engine: "io_uring", Pin: -1})
		needUring(t, err)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Loop: l, t: t}
		owner := &recorder{t: t}
		var sockets []*Socket
		var raws []sys.FD
		big := make([]byte, 1<<20)
		for i := range 1500 {
			near, raw, err := sys.SocketPair()
			if err != nil {
				t.Fatal(err)
			}
			s := new(Socket)
			r.Attach(s, near, owner)
			if r.Recv(s); i%3 == 0 {
				r.Send(s, big, false)
			}
			if i%5 == 0 {
				raw.Send([]byte("x"))
			}
			sockets, raws = append(sockets, s), append(raws, raw)
			if i%100 == 0 {
				r.step(0)
			}
		}
		l.Release()
		for i, s := range sockets {
			s.FD.Close()
			raws[i].Close()
		}
	}
}

// Loops that come and go leave neither descriptors nor mappings behind.
func TestUringLoopsLeaveNothingBehind(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var files, maps int
	for i := range 200 {
		l, err := New(Config{Engine: "io_uring", Sockets: 1024, Pin: -1})
		needUring(t, err)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			l.engine.wait(0)
			l.tick()
		}
		l.Release()
		if i == 50 {
			files, maps = holds(t)
		}
	}
	if f, m := holds(t); f > files || m > maps+8 {
		t.Errorf("%d descriptors and %d mappings, before %d and %d", f, m, files, maps)
	}
}

// holds counts the descriptors and mappings of this process.
func holds(t *testing.T) (files, maps int) {
	t.Helper()
	files, err := sys.OpenDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return files, bytes.Count(text, []byte("\n"))
}

// A loop that could not get all it needs gives back what it got.
func TestUringRefusedLeavesNothingBehind(t *testing.T) {
	_, maps := holds(t)
	for range 20 {
		z := tight
		z.large = 3 // the kernel wants a power of two
		if e, err := newUring(&Loop{}, z); err == nil {
			e.stop()
			t.Fatal("three buffers were accepted")
		}
	}
	restore := exhaustDescriptors(t)
	_, err := New(Config{Engine: "io_uring", Pin: -1})
	restore()
	if err == nil {
		t.Error("an engine without descriptors")
	}
	if _, m := holds(t); m > maps+2 {
		t.Errorf("%d mappings, before %d", m, maps)
	}
}
