package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestStopWhenFull ends a process that has no descriptors left while clients
// wait in its queues and others leave, so that accepting resumes, finds room
// for some and not for all, and is told to stop meanwhile.
func TestStopWhenFull(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			proxy := startToBackend(t, rig.EchoBackend(t), rig.Config{Files: 64})
			c := &crowd{outcomes: ask(t, proxy, 100)}
			c.settle(t)
			for _, client := range c.open[:len(c.open)/2] {
				_ = client.Close()
			}
			proxy.Signal(syscall.SIGTERM)
			if code := proxy.WaitExit(rig.Soon); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}
