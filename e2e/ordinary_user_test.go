package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

// nobody is the user that Debian keeps for processes without rights.
const nobody = 65534

// ordinaryUser returns a user without rights to run the proxy as: 0 for the
// caller, when it is one already.
func ordinaryUser() int {
	if os.Getuid() == 0 {
		return nobody
	}
	return 0
}

// newPipeEaterRole makes pipes until the kernel gives its user only small
// ones. "eat USER" answers with the capacity that a new pipe has then, and
// "release" gives everything back.
func newPipeEaterRole() rig.Role {
	var held [][2]int
	return func(ask string) string {
		var user int
		switch n, _ := fmt.Sscanf(ask, "eat %d", &user); {
		case n == 1:
			if user != 0 {
				if err := rig.Become(user); err != nil {
					return "error: " + err.Error()
				}
			}
			capacity, err := eatPipes(&held)
			if err != nil {
				return "error: " + err.Error()
			}
			return fmt.Sprint(capacity)
		case ask == "release":
			for _, p := range held {
				_ = unix.Close(p[0])
				_ = unix.Close(p[1])
			}
			held = nil
			return "released"
		}
		return "error: " + ask + "?"
	}
}

// eatPipes returns the capacity of the first pipe that came out small.
func eatPipes(held *[][2]int) (capacity int, err error) {
	const most, small, pipesMax = 1 << 20, 8 << 10, 2000
	for range pipesMax {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return 0, err
		}
		*held = append(*held, p)
		// Large ones use up the budget with fewer descriptors; the rest of
		// it goes to pipes of the size they are born with.
		_, _ = unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, most)
		capacity, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETPIPE_SZ, 0)
		if err != nil || capacity <= small {
			return capacity, err
		}
	}
	return 0, fmt.Errorf("%d pipes did not use up the budget", pipesMax)
}

// TestBulkBeyondThePipeBudget runs the proxy as an ordinary user, another of
// whose processes has taken all the pipe memory that the kernel grants a user.
// Bulk must still arrive, through whatever is left.
func TestBulkBeyondThePipeBudget(t *testing.T) {
	user := ordinaryUser()
	eater := rig.StartHelper(t, "pipe eater")
	capacity := eater.AskNumber(rig.Soon, "eat %d", user)
	t.Logf("a new pipe of this user holds %d bytes now", capacity)
	bothWays(t, rig.Config{User: user}, func(t *testing.T, p *rig.Proxy, first, second end) {
		before := p.Metrics()
		transfer(t, first, second, 22, 64<<20)
		transfer(t, second, first, 23, 64<<20)
		after := p.Metrics()
		for _, lane := range []string{"copy", "splice"} {
			t.Logf("%s lane: %.0f bytes", lane, laneBytes(after, lane)-laneBytes(before, lane))
		}
	})
}

// TestSplicingComesBack gives the pipe memory back to a process that had to do
// without it.
func TestSplicingComesBack(t *testing.T) {
	needsSplice(t)
	user := ordinaryUser()
	eater := rig.StartHelper(t, "pipe eater")
	eater.AskNumber(rig.Soon, "eat %d", user)
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{User: user})
	client, server := rig.Open(proxy, backend, "/ws/x")
	transfer(t, client, server, 24, 16<<20)
	eater.Ask(rig.Soon, "release")
	start := laneBytes(proxy.Metrics(), "splice")
	rig.Eventually(t, 3*rig.Soon, "bulk is spliced again", func() bool {
		transfer(t, client, server, 25, 16<<20)
		return laneBytes(proxy.Metrics(), "splice")-start > 8<<20
	})
}

func laneBytes(m rig.Metrics, lane string, labels ...string) float64 {
	return m.Sum("wsplice_relayed_bytes_total", append(labels, `lane="`+lane+`"`)...)
}

// TestOrdinaryUser serves as one, within its budget: nothing needs root.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "needs root, to run wsplice as somebody else; every other test runs it as you")
	}
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{User: nobody, Timeouts: rig.Settings{"drain": "0s"}})
	client, server := rig.Open(proxy, backend, "/ws/x")
	transfer(t, client, server, 26, 32<<20)
	if laneBytes(proxy.Metrics(), "splice") == 0 && rig.Splices() {
		t.Error("bulk is not spliced for an ordinary user")
	}
	if share := proxy.CPUShare(300 * time.Millisecond); share > idleCPUMax {
		t.Errorf("idle, the proxy uses %.0f%% of a CPU", 100*share)
	}
}

// needsSplice skips a test of the splice lane, where WSPLICE_TLS leaves that no work.
func needsSplice(t *testing.T) {
	t.Helper()
	if !rig.Splices() {
		t.Skip("is about splice(2), and bytes of TLS are opened and sealed instead")
	}
}
