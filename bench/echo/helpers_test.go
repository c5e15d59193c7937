package echo

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// stoppedTimer returns a timer that will not fire.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// waitOpen waits until s has n connections.
func waitOpen(t testing.TB, s *Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	for s.Open() != n {
		if ctx.Err() != nil {
			t.Fatalf("%d connections, want %d", s.Open(), n)
		}
		runtime.Gosched()
	}
}
