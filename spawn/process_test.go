package spawn

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestProcessGetsItsSocketAndEnvironment(t *testing.T) {
	c := backendConfig(t)
	c.Min, c.Max = 2, 3
	c.Env = []string{"MODE=prod", "EMPTY=", "BYTES=\xff\xfe"}
	r := start(t, c)
	if r.pid(0) == r.pid(1) {
		t.Error("two sockets, but one process")
	}
	if got := r.healthy(); got != "01" {
		t.Errorf("healthy are %s", got)
	}
	for question, want := range map[string]string{
		"env MODE": "prod", "env BYTES": "\xff\xfe", "env EMPTY": "", "env PATH": "unset", "env LISTEN_FDS": "unset",
		"dir": c.Dir, "blocking": "true",
	} {
		if got := r.ask(0, question); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
	for _, e := range r.group.Endpoints() {
		info, err := os.Stat(e.Address)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: %v, %v", e, info.Mode(), err)
		}
	}
	if info, err := os.Stat(r.manager.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v", err)
	}
	pid := r.pid(0)
	r.manager.Close()
	waitGone(t, pid)
	if _, err := os.Stat(r.manager.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left over: %v", err)
	}
}

// TestProcessInheritsNothingElse lists the descriptors of a process, while the
// test's own process has one that is not close-on-exec.
func TestProcessInheritsNothingElse(t *testing.T) {
	const high = 100
	leak, _, errno := syscall.Syscall(syscall.SYS_FCNTL, 2, syscall.F_DUPFD, high)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer syscall.Close(int(leak))
	for systemd, want := range map[bool]string{false: "0 1 2", true: "0 1 2 3"} {
		c := backendConfig(t)
		c.Path, c.Args, c.Systemd = "/bin/sh", []string{"sh", "-c", "echo has /proc/$$/fd/*; exec sleep 1000"}, systemd
		r := start(t, c)
		_, list, _ := strings.Cut(r.waitLog(1, "backend output", "has ")[0], "has ")
		var got []string
		for _, path := range strings.Fields(strings.Trim(list, "\"\n")) {
			got = append(got, filepath.Base(path))
		}
		got = got[:len(got)-1] // the directory that the shell reads
		if strings.Join(got, " ") != want {
			t.Errorf("systemd %v: descriptors %v, want %v", systemd, got, want)
		}
		r.manager.Close()
	}
}

func TestSocketActivation(t *testing.T) {
	c := backendConfig(t, "activated")
	c.Systemd = true
	r := start(t, c)
	if got := r.ask(0, "env LISTEN_FDS"); got != "1" {
		t.Errorf("LISTEN_FDS is %q", got)
	}
	if pid := r.pid(0); len(r.log.lines("backend started", "pid="+strconv.Itoa(pid))) != 1 {
		t.Errorf("process %d is not the one in the log", pid)
	}
}

func TestOutputIsLogged(t *testing.T) {
	r := start(t, backendConfig(t))
	r.ask(0, "print one line")
	r.waitLog(1, "backend output", `line="one line"`, "upstream=u", "address="+r.group.Endpoints()[0].Address)
	long := strings.Repeat("x", lineBytesMax+10)
	r.ask(0, "print "+long)
	r.waitLog(1, "backend output", "line="+long[:lineBytesMax]+"\n")
	r.waitLog(1, "backend output", "line=xxxxxxxxxx\n")
}

func TestGroupEndsWithItsLeader(t *testing.T) {
	r := start(t, backendConfig(t))
	grandchild := number(t, r.ask(0, "fork"))
	if !alive(grandchild) {
		t.Fatal("there is no grandchild")
	}
	kill(t, r.pid(0))
	waitGone(t, grandchild)

	r.waitLog(2, "backend started")
	grandchild = number(t, r.ask(0, "fork"))
	r.manager.Close()
	waitGone(t, grandchild)
}

// TestKillSignalEscalates ends processes that ignore the kill signal, and one
// that ignores SIGTERM too.
func TestKillSignalEscalates(t *testing.T) {
	for word, want := range map[string]string{
		"":              "signal: hangup",
		"ignore-hangup": "signal: terminated",
		"ignore-all":    "signal: killed",
	} {
		t.Run(want, func(t *testing.T) {
			c := backendConfig(t, word)
			c.KillSignal, c.Max, c.Idle = syscall.SIGHUP, 2, 1
			r := start(t, c)
			r.pid(0) // it is up, and ignores what it shall
			r.loads[0].open.Store(2)
			second := r.waitLog(2, "backend started")[1]
			r.pid(1)
			r.loads[0].open.Store(0)
			r.waitLog(1, "backend ended", "status=\""+want+"\"", pidOf(second))
			r.waitHealthy("0")
		})
	}
}

// pidOf returns the attribute of a log line.
func pidOf(line string) string {
	_, rest, _ := strings.Cut(line, "pid=")
	return "pid=" + strings.TrimSpace(rest)
}

// TestCloseEndsWhatIgnoresSignals holds that the end does not depend on the
// backends.
func TestCloseEndsWhatIgnoresSignals(t *testing.T) {
	r := start(t, backendConfig(t, "ignore-all"))
	pid := r.pid(0)
	r.manager.Close()
	if alive(pid) {
		t.Error("the process is still there")
	}
	if len(r.log.lines("backend ended", `status="signal: killed"`)) != 1 {
		t.Error("its end is not in the log")
	}
}

// TestNothingOutlivesAKilledManager kills the process that holds the manager.
func TestNothingOutlivesAKilledManager(t *testing.T) {
	cmd := exec.Command(self(t), "manager")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	dir := lines.Text()
	lines.Scan()
	pids := []int{number(t, lines.Text())}
	for _, name := range []string{"0-0", "0-1"} {
		e := Endpoint{"unix", filepath.Join(dir, name)}
		pids = append(pids, number(t, ask(t, e, "pid")), number(t, ask(t, e, "fork")))
	}
	kill(t, cmd.Process.Pid)
	_ = cmd.Wait()
	for _, pid := range pids {
		waitGone(t, pid)
	}
	testutil.Eventually(t, soon, "the private directory is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

// TestSupervisorIsReplaced kills the supervisor: its processes end, and others
// take their place behind the same sockets.
func TestSupervisorIsReplaced(t *testing.T) {
	r := start(t, backendConfig(t))
	old := r.pid(0)
	kill(t, parent(t, old))
	r.waitLog(1, "supervisor of the backends has ended")
	waitGone(t, old)
	r.waitLog(2, "backend started")
	if pid := r.pid(0); pid == old || !alive(pid) {
		t.Errorf("process %d serves, after %d", pid, old)
	}
}

func TestSuperviseIsNotForUsers(t *testing.T) {
	out, err := exec.Command(self(t), Command).CombinedOutput()
	if err == nil || !strings.Contains(string(out), ErrNoLifeline.Error()) {
		t.Errorf("%v: %s", err, out)
	}
}

// FuzzReceive holds that whatever comes is a message or the end, and that both
// ends agree on what a message is.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"Start":{"Process":1,"Path":"/bin/x","Args":["x"],"KillSignal":15}}`))
	f.Add([]byte(`{"Stop":18446744073709551616}`))
	f.Add([]byte(`{"Remove":["/a"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b, err := sys.PacketPair()
		if err != nil {
			t.Fatal(err)
		}
		from, err := newWire(a)
		if err != nil {
			t.Fatal(err)
		}
		to, err := newWire(b)
		if err != nil {
			t.Fatal(err)
		}
		defer to.conn.Close()
		defer from.conn.Close()
		if len(data) == 0 || len(data) > messageBytesMax {
			return
		}
		if _, err := from.conn.Write(data); err != nil {
			t.Fatal(err)
		}
		var first, second request
		if _, err := to.receive(&first); err != nil {
			return
		}
		if err := from.send(first); err != nil {
			return // invalid UTF-8 grows when it is replaced
		}
		if _, err := to.receive(&second); err != nil || !sameRequest(first, second) {
			t.Errorf("%+v came as %+v, %v", first, second, err)
		}
	})
}

func sameRequest(a, b request) bool {
	if (a.Start == nil) != (b.Start == nil) || a.Stop != b.Stop || !slices.Equal(a.Remove, b.Remove) {
		return false
	}
	return a.Start == nil || a.Start.Path == b.Start.Path && slices.EqualFunc(a.Start.Env, b.Start.Env, bytes.Equal) &&
		slices.Equal(a.Start.Args, b.Start.Args) && a.Start.Process == b.Start.Process
}
