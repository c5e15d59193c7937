package procstat

import (
	"bufio"
	"io"
	"os/exec"
	"testing"
	"time"
)

// A forker is a process that starts children and waits for them, as told.
type forker struct {
	cmd   *exec.Cmd
	tell  io.WriteCloser
	lines *bufio.Reader
}

// newForker starts a shell that answers each line that it is told, when it has
// done what the line says.
func newForker(t *testing.T) *forker {
	t.Helper()
	f := &forker{cmd: exec.Command("/bin/sh", "-c", `while read -r line; do eval "$line"; echo done; done`)}
	stdin, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.tell, f.lines = stdin, bufio.NewReader(stdout)
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = f.cmd.Wait()
	})
	return f
}

func (f *forker) do(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(f.tell, line+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}

func (f *forker) used(t *testing.T) CPU {
	t.Helper()
	c, err := OfTree(f.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// burning takes a shell some hundred milliseconds, and burnt at least.
const (
	burnt   = 100 * time.Millisecond
	burning = `i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done`
)

// TestTreeCountsChildrenThatHaveEnded has a child work and end, and one work and
// stay: both are in what the tree used, whichever way it is read.
func TestTreeCountsChildrenThatHaveEnded(t *testing.T) {
	f := newForker(t)
	alone, err := Of(f.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	before := f.used(t)
	f.do(t, "( "+burning+" )") // a child, waited for
	after := f.used(t)
	itself, err := Of(f.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := after.Sub(before)
	if ended.Best() < burnt || ended.Best() < 5*itself.Sub(alone).Best() {
		t.Errorf("%v of a tree whose ended child worked, %v of the parent alone", ended, itself.Sub(alone))
	}
	f.do(t, "( "+burning+"; exec sleep 60 ) & child=$!")
	t.Cleanup(func() { f.do(t, "kill $child; wait $child || true") })
	living := CPU{}
	for deadline := time.Now().Add(time.Minute); living.Sched < burnt; living = f.used(t).Sub(after) {
		if time.Now().After(deadline) {
			t.Fatalf("%v of a tree whose living child works", living)
		}
	}
}

func TestTreeOfNobodyIsAnError(t *testing.T) {
	f := newForker(t)
	_ = f.tell.Close()
	_ = f.cmd.Wait()
	if c, err := OfTree(f.cmd.Process.Pid); err == nil {
		t.Errorf("%+v of a process that has ended", c)
	}
}
