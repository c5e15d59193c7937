package rig

import (
	"os"
	"testing"
	"time"
)

// Soon bounds waits for what takes microseconds when all is well. It is long,
// because a slow machine must not fail a test, and only a failing test waits.
var Soon = soon()

// pollEvery is how often a condition that sends no event is looked at.
const pollEvery = 2 * time.Millisecond

func soon() time.Duration {
	if os.Getenv("WSPLICE_RACE") == "1" {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// Eventually ends the test unless ok reports true within limit. It is for
// conditions that announce themselves nowhere, such as a count in /proc.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !Poll(limit, ok) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// Poll reports whether ok became true within limit.
func Poll(limit time.Duration, ok func() bool) bool {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-end.C:
			return ok()
		case <-tick.C:
		}
	}
}

// Lapse blocks for d. It is for tests whose stimulus is the passing of time
// itself (a timeout, a measured second, the pace of a slow sender), and never
// for waiting until something has happened.
func Lapse(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// Receive returns the next value of events, and ends the test when none comes.
func Receive[T any](t testing.TB, events <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(Soon)
	defer timer.Stop()
	select {
	case v, ok := <-events:
		if !ok {
			t.Fatalf("channel closed while waiting for %s", what)
		}
		return v
	case <-timer.C:
		t.Fatalf("not within %v: %s", Soon, what)
	}
	panic("unreachable")
}
