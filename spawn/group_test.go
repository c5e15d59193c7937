package spawn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// TestSlotMovesAreDocumented compares the table with the comment.
func TestSlotMovesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("slot.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := 0
	for line := range strings.Lines(string(text)) {
		row, ok := strings.CutPrefix(line, "//\t")
		columns := strings.Split(row, "|")
		if !ok || len(columns) != 3 || strings.TrimSpace(columns[0]) == "state" {
			continue
		}
		from := slotState(documented)
		if strings.TrimSpace(columns[0]) != from.String() {
			t.Errorf("row %d is %s, want %v", documented, columns[0], from)
		}
		documented++
		var moves []string
		for _, to := range slotMoves[from] {
			moves = append(moves, to.String())
		}
		if want := strings.Join(moves, ", "); strings.TrimSpace(columns[1]) != want {
			t.Errorf("%v goes to %s, but the table has %s", from, columns[1], want)
		}
	}
	if documented != len(slotMoves) {
		t.Errorf("%d rows for %d states", documented, len(slotMoves))
	}
}

// TestLoadStartsOneMore raises the load of each process in turn.
func TestLoadStartsOneMore(t *testing.T) {
	c := backendConfig(t)
	c.Max, c.Load = 3, 2
	r := start(t, c)
	r.loads[0].open.Store(2) // not more than the load
	r.wantCalm("0")
	r.loads[0].open.Store(3)
	r.waitHealthy("01")
	r.wantCalm("01") // the second has room
	r.loads[1].open.Store(3)
	r.waitHealthy("012")
	r.loads[2].open.Store(9)
	r.wantCalm("012")
	if n := len(r.log.lines("backend started")); n != 3 {
		t.Errorf("%d processes were started", n)
	}
}

// wantCalm fails when other backends become healthy than those, for many ticks.
func (r *rig) wantCalm(want string) {
	r.t.Helper()
	ticker := time.NewTicker(quick.tick)
	defer ticker.Stop()
	for range 20 {
		if got := r.healthy(); got != want {
			r.t.Fatalf("healthy are %s, want %s", got, want)
		}
		<-ticker.C
	}
}

// TestIdleProcessesEnd has all but Min of them end, one after the other, and
// none that has a tunnel.
func TestIdleProcessesEnd(t *testing.T) {
	c := backendConfig(t)
	c.Min, c.Max, c.Idle = 1, 3, 50*time.Millisecond
	r := start(t, c)
	r.loads[0].open.Store(2)
	r.waitHealthy("01")
	r.loads[1].open.Store(2)
	r.waitHealthy("012")
	r.loads[0].open.Store(0)
	r.waitLog(1, "backend ended", r.group.Endpoints()[2].Address)
	r.waitHealthy("01")
	r.wantCalm("01") // without the first, the second would have too many
	r.loads[1].open.Store(1)
	r.waitLog(1, "backend ended", r.group.Endpoints()[0].Address)
	r.waitHealthy("1")
	r.loads[1].open.Store(0)
	r.wantCalm("1")
}

// TestFirstClientStartsProcess begins without a process and comes back to that.
func TestFirstClientStartsProcess(t *testing.T) {
	for _, most := range []int{1, 2} {
		c := backendConfig(t)
		c.Min, c.Max, c.Idle = 0, most, 50*time.Millisecond
		r := start(t, c)
		r.wantCalm("0")
		if lines := r.log.lines("backend started"); len(lines) > 0 {
			t.Fatal("there is a process without a client")
		}
		for i := range 2 {
			conn, err := net.Dial("unix", r.group.Endpoints()[0].Address) // waits in the queue
			if err != nil {
				t.Fatal(err)
			}
			r.loads[0].open.Store(1)
			if pid := number(t, talk(t, conn, "pid")); !alive(pid) {
				t.Error("nobody answers")
			}
			conn.Close()
			r.loads[0].open.Store(0)
			r.waitLog(i+1, "backend ended")
			r.waitHealthy("0")
		}
	}
}

// TestAClientAtTheLastMomentKeepsTheProcess opens a tunnel after the process has
// been chosen to leave.
func TestAClientAtTheLastMomentKeepsTheProcess(t *testing.T) {
	c := backendConfig(t)
	c.Max, c.Idle = 2, 1
	r := prepare(t, c)
	m, g := r.manager, r.group
	if err := m.connect(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, s := range g.slots {
		m.start(s, now)
		for s.state != stateRunning {
			m.handle(<-m.link.events, now)
		}
	}
	r.loads[0].open.Store(1)
	m.tick(now.Add(time.Second))
	if g.slots[1].state != stateLeaving || r.healthy() != "0" {
		t.Fatalf("the second process is %v, healthy are %s", g.slots[1].state, r.healthy())
	}
	r.loads[1].open.Store(1)
	m.tick(now.Add(2 * time.Second))
	if g.slots[1].state != stateRunning || r.healthy() != "01" {
		t.Fatalf("the second process is %v, healthy are %s", g.slots[1].state, r.healthy())
	}
	r.loads[1].open.Store(0)
	m.tick(now.Add(3 * time.Second))
	m.tick(now.Add(4 * time.Second))
	if g.slots[1].state != stateStopping {
		t.Fatalf("the second process is %v", g.slots[1].state)
	}
}

func TestDeadProcessIsReplaced(t *testing.T) {
	c := backendConfig(t)
	c.Max, c.Min = 2, 2
	r := start(t, c)
	first, second := r.pid(0), r.pid(1)
	for i := range 5 { // livedLong is 0: at once
		kill(t, r.pid(0))
		r.waitLog(i+1, "backend died", `status="signal: killed"`, "next_try_in=0s")
	}
	if pid := r.pid(0); pid == first { // waits in the queue until it is there
		t.Error("a dead process answers")
	}
	if r.pid(1) != second {
		t.Error("the other process was replaced too")
	}
}

// TestCrashingProcessIsPutOff has a process that works once and then never.
func TestCrashingProcessIsPutOff(t *testing.T) {
	c := backendConfig(t, "once-only")
	c.Env = append(os.Environ(), "MARK="+filepath.Join(t.TempDir(), "mark"))
	r := prepare(t, c)
	r.manager.pace.livedLong = time.Hour
	if err := r.manager.Start(); err != nil {
		t.Fatal(err)
	}
	kill(t, r.pid(0))
	r.waitHealthy("")
	waits := []string{"20ms", "40ms", "80ms", "80ms"}
	r.waitLog(len(waits), "backend died")
	for i, line := range r.log.lines("backend died")[:len(waits)] {
		if !strings.Contains(line, "next_try_in="+waits[i]) {
			t.Errorf("death %d: %s", i, line)
		}
	}
}

// TestClientsWaitForTheReplacement has a client come while no process runs.
func TestClientsWaitForTheReplacement(t *testing.T) {
	r := prepare(t, backendConfig(t))
	r.manager.pace.livedLong, r.manager.pace.backoff = time.Hour, 25*time.Millisecond
	if err := r.manager.Start(); err != nil {
		t.Fatal(err)
	}
	old := r.pid(0)
	kill(t, old)
	r.waitLog(1, "backend died", "next_try_in=25ms")
	r.wantCalm("0")
	if pid := r.pid(0); pid == old {
		t.Error("a dead process answers")
	}
}

func TestStartErrors(t *testing.T) {
	missing := backendConfig(t)
	missing.Path = "/no/such/file"
	large := backendConfig(t)
	large.Env = []string{"X=" + strings.Repeat("x", messageBytesMax)}
	crashing := backendConfig(t)
	crashing.Path, crashing.Args = "/bin/sh", []string{"sh", "-c", "echo last words; exit 4"}
	for want, c := range map[string]Config{
		"no such file or directory":             missing,
		"copy_environment":                      large,
		"start /bin/sh: it ended at once: exit": crashing,
	} {
		r := prepare(t, c)
		err := r.manager.Start()
		var failed *StartError
		if !errors.As(err, &failed) || failed.Group != r.group || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		r.manager.Close()
		if want := "last words"; c.Path == "/bin/sh" && len(r.log.lines(want)) != 1 {
			t.Errorf("no %s in the log", want)
		}
	}
}

func TestManagerWithoutGroups(t *testing.T) {
	m := New(nil)
	if err := m.Start(); err != nil || m.link != nil {
		t.Errorf("%v, or a supervisor for nothing", err)
	}
	m.Close()
	m.Close()
}

// freePorts returns the first of two free ports, below those that the kernel
// gives to clients.
func freePorts(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		first, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			return port
		}
	}
	t.Fatal("no two free ports")
	return 0
}

func TestPorts(t *testing.T) {
	first := freePorts(t)
	c := backendConfig(t)
	c.Network, c.Address, c.Min, c.Max = "tcp", fmt.Sprintf("localhost:%d", first), 2, 2
	r := start(t, c)
	for i, e := range r.group.Endpoints() {
		_, port, err := net.SplitHostPort(e.Address)
		if err != nil || e.Network != "tcp" || port != fmt.Sprint(first+i) {
			t.Errorf("process %d has %v", i, e)
		}
		r.pid(i)
	}
}

// TestSocketPaths has process i at path-i, where a dead socket gives way and
// nothing else does.
func TestSocketPaths(t *testing.T) {
	dir := t.TempDir()
	c := backendConfig(t)
	c.Network, c.Address, c.Max = "unix", filepath.Join(dir, "s"), 2
	stale, err := sys.UnixAddr(c.Address + "-1")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.ListenUnix(&stale, 0o600, 1)
	if err != nil {
		t.Fatal(err)
	}
	fd.Close() // the file stays
	r := start(t, c)
	var got []string
	for _, e := range r.group.Endpoints() {
		got = append(got, filepath.Base(e.Address))
	}
	if !slices.Equal(got, []string{"s-0", "s-1"}) {
		t.Errorf("sockets %v", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*bindEvery)
	defer cancel()
	m := New(nil)
	defer m.Close()
	if _, err := m.Add(ctx, c); !errors.Is(err, ErrTaken) {
		t.Errorf("an address in use: %v", err)
	}
	r.manager.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := os.WriteFile(c.Address+"-0", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Add(context.Background(), c); !errors.Is(err, sys.ErrNotSocket) {
		t.Errorf("a file: %v", err)
	}
	c.Address = filepath.Join(dir, strings.Repeat("x", 200))
	if _, err := m.Add(context.Background(), c); !errors.Is(err, sys.ErrUnixPath) {
		t.Errorf("a long path: %v", err)
	}
}

// TestAddressThatBecomesFreeIsTaken waits for processes of an earlier wsplice.
func TestAddressThatBecomesFreeIsTaken(t *testing.T) {
	other, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", freePorts(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := backendConfig(t)
	c.Network, c.Address = "tcp", other.Addr().String()
	timer := time.AfterFunc(2*bindEvery, func() { other.Close() })
	defer timer.Stop()
	r := start(t, c)
	r.pid(0)
}

func TestEnvironment(t *testing.T) {
	own := []string{"A=1", "B=2", "C=", "LISTEN_FDS=1", "LISTEN_PID=9"}
	tests := []struct {
		copied []string
		set    []Variable
		want   string
	}{
		{nil, nil, "A=1 B=2 C="},
		{[]string{}, nil, ""},
		{[]string{"B", "D"}, nil, "B=2"},
		{nil, []Variable{{"B", "x=y"}, {"D", ""}}, "A=1 C= B=x=y D="},
		{[]string{"A"}, []Variable{{"A", "2"}}, "A=2"},
	}
	for _, test := range tests {
		got := Environment(own, test.copied, test.set)
		if strings.Join(got, " ") != test.want || got == nil {
			t.Errorf("copied %v, set %v: %v", test.copied, test.set, got)
		}
	}
}
