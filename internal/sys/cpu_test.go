package sys

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A batch thread is that thread alone, and whoever it starts has no share in it.
func TestBatchThread(t *testing.T) {
	policies := make(chan uintptr)
	policy := func() {
		p, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
		if errno != 0 {
			t.Error(errno)
		}
		policies <- p
	}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := BatchThread(); err != nil {
			t.Error(err)
		}
		policy()
	}()
	if p := <-policies; p != unix.SCHED_BATCH {
		t.Errorf("policy %d, want SCHED_BATCH", p)
	}
	go policy()
	if p := <-policies; p != unix.SCHED_NORMAL {
		t.Errorf("another thread has policy %d, want SCHED_NORMAL", p)
	}
}
