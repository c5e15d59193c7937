package sys

import (
	"runtime"
	"testing"
	"time"
)

func TestSleepForIsNeverShort(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 300 * time.Microsecond, 3 * time.Millisecond} {
		began := time.Now()
		SleepFor(d)
		if slept := time.Since(began); slept < d || slept > 2*time.Second {
			t.Errorf("SleepFor(%v) took %v", d, slept)
		}
	}
}

// TestSleepForIsFiner sleeps shorter than Go's own timers can in an idle
// process; the best of many sleeps counts, because the machine may be busy.
func TestSleepForIsFiner(t *testing.T) {
	ended := make(chan time.Duration)
	go func() {
		runtime.LockOSThread() // not undone: the thread ends with its slack
		if err := SetTimerSlack(time.Microsecond); err != nil {
			t.Error(err)
		}
		best := time.Hour
		for range 200 {
			began := time.Now()
			SleepFor(100 * time.Microsecond)
			best = min(best, time.Since(began))
		}
		ended <- best
	}()
	if best := <-ended; best > 500*time.Microsecond {
		t.Errorf("the best of 200 sleeps of 100 µs took %v", best)
	}
}
