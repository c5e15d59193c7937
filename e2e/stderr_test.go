package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"wsplice/e2e/internal/rig"
)

// churn opens and closes n tunnels, and echoes on each.
func churn(t *testing.T, proxy *rig.Proxy, n int) {
	t.Helper()
	for i := range n {
		c, err := rig.OpenEcho(proxy.Addr(0), fmt.Sprintf("/ws/%d", i))
		if err != nil {
			t.Fatalf("tunnel %d: %v", i, err)
		}
		c.Reset() // leaves no port behind in TIME_WAIT
	}
}

// TestStalledStderr lets nobody read the log while tunnels come and go: it
// says some hundred times more than the pipe holds, and must not be stopped by
// that. What is lost may be lost; the tunnels may not.
func TestStalledStderr(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{TinyLogPipe: true})
	lasting := rig.MustOpenEcho(t, proxy, "/ws/lasting")
	churn(t, proxy, 10)
	memory := proxy.RSS()
	proxy.Logs.Stall()
	for i := range 10 {
		churn(t, proxy, 200)
		lasting.WantEcho(fmt.Sprintf("still here after %d", i))
	}
	if growth := proxy.RSS() - memory; growth > rssGrowthMax {
		t.Errorf("the unread log cost %d bytes of memory, want at most %d", growth, rssGrowthMax)
	}
	proxy.Logs.Resume()
	mark := proxy.Logs.Mark()
	churn(t, proxy, 1)
	proxy.WaitLog(mark, "the log goes on once it is read", isMsg("tunnel closed"))
}

// TestStopWithStalledStderr must end although its last words find no reader.
func TestStopWithStalledStderr(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{TinyLogPipe: true})
	proxy.Logs.Stall()
	defer proxy.Logs.Resume()
	churn(t, proxy, 300)
	proxy.Signal(syscall.SIGTERM)
	if code := proxy.WaitExit(rig.Soon); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestClosedStderr has the reader of the log die. Its tunnels must outlive it.
func TestClosedStderr(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy := startToBackend(t, backend, rig.Config{})
	lasting := rig.MustOpenEcho(t, proxy, "/ws/lasting")
	proxy.HangUp()
	churn(t, proxy, 100)
	lasting.WantEcho("still here")
}
