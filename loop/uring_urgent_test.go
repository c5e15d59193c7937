package loop

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Urgent data keeps poll(2) saying that there is something while recv(2) finds
// nothing. That must not send receives to the kernel's worker threads, where each
// would hold a thread and a buffer.
func TestUringUrgentDataNeedsNoWorker(t *testing.T) {
	overRings(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		var feeders []*feeder
		var sockets []*Socket
		for i := range 20 {
			s, raw := r.pair(owner, true)
			defer raw.Close()
			f := &feeder{fd: raw}
			f.feed(40000) // large: one receive at a time
			r.Recv(s)
			r.until("read", func() bool { return len(owner.received(s)) == f.sent })
			for range i % 3 {
				if err := syscall.Sendto(int(raw), []byte("!"), syscall.MSG_OOB, nil); err != nil {
					t.Fatal(err)
				}
				r.step(0)
			}
			feeders, sockets = append(feeders, f), append(sockets, s)
		}
		r.settle()
		if n := workers(t); n > 0 {
			t.Errorf("%d worker threads of the kernel", n)
		}
		for i, f := range feeders {
			f.fd.Send([]byte("after"))
			r.until("goes on", func() bool { return strings.HasSuffix(owner.received(sockets[i]), "after") })
			r.shut(sockets[i])
		}
		r.checkBuffers(2)
	})
}

// workers counts the threads that io_uring has made in this process.
func workers(t *testing.T) (n int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "iou-wrk") {
			n++
		}
	}
	return n
}
