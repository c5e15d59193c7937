package sys

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SleepFor blocks the calling thread for d on the monotonic clock
// (clock_nanosleep(2)), to within the thread's timer slack and the time it
// takes to be scheduled again; nothing happens where d is not positive.
//
// It is for pacing in steps shorter than the millisecond to which an idle Go
// process rounds its timers. The scheduler knows that the thread sleeps.
func SleepFor(d time.Duration) {
	if d <= 0 {
		return
	}
	left := unix.NsecToTimespec(int64(d))
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, &left), unix.EINTR) {
	}
}

// SetTimerSlack sets by how much the kernel may lengthen the sleeps of the
// calling thread to let timers expire together (PR_SET_TIMERSLACK); 50 µs is
// what a thread begins with. The goroutine must be locked to its thread, and
// should end without unlocking it. Zero goes back to what the thread began
// with.
func SetTimerSlack(d time.Duration) error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0))
}
