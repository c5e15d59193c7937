package procstat

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

// burn uses CPU until this process has used d more.
func burn(t *testing.T, d time.Duration) {
	t.Helper()
	before, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := Of(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.Sub(before).Sched >= d && now.Sub(before).Stat >= d-3*tick {
			return
		}
	}
}

func TestBothClocksCountTheSameWork(t *testing.T) {
	machine, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	burn(t, 100*time.Millisecond)
	after, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	if after-machine < 50*time.Millisecond {
		t.Errorf("machine counted %v while this process used 100 ms", after-machine)
	}
}

// TestMachineIsWithinItsCPUs holds what Machine says of a stretch of time
// against the most that there is to use.
func TestMachineIsWithinItsCPUs(t *testing.T) {
	begin := time.Now()
	before, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	burn(t, 200*time.Millisecond)
	after, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	passed := time.Since(begin)
	if busy := after - before; busy < 150*time.Millisecond || busy > time.Duration(runtime.NumCPU())*passed+4*tick {
		t.Errorf("busy for %v in %v of %d CPUs with 200 ms of work", busy, passed, runtime.NumCPU())
	}
}

func TestBestTakesStatOnlyWhenThreadsAreMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		in   CPU
		want time.Duration
	}{
		{"within a tick", CPU{Sched: 95 * time.Millisecond, Stat: 100 * time.Millisecond}, 95 * time.Millisecond},
		{"a thread exited", CPU{Sched: 400 * time.Millisecond, Stat: 900 * time.Millisecond}, 900 * time.Millisecond},
	} {
		if got := c.in.Best(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTreeHoldsChildren(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tree, err := Tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if tree[0] != os.Getpid() || !slices.Contains(tree, cmd.Process.Pid) {
		t.Errorf("tree %v of %d lacks child %d", tree, os.Getpid(), cmd.Process.Pid)
	}
	_ = stdin.Close()
	_ = cmd.Wait()
	if _, err := Of(cmd.Process.Pid); err == nil {
		t.Error("no error for a process that has ended")
	}
}

func TestPSSSeesTouchedMemory(t *testing.T) {
	before, err := PSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := PSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 || before <= 0 {
		t.Errorf("PSS grew from %d by %d for %d touched bytes", before, grown, len(b))
	}
}
