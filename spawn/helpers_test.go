package spawn

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// soon bounds the wait for what must happen.
const soon = 10 * time.Second

// quick is a pace at which tests need not wait.
var quick = pace{
	tick: 10 * time.Millisecond, demand: 5 * time.Millisecond,
	backoff: 20 * time.Millisecond, backoffMax: 80 * time.Millisecond, patience: 30 * time.Millisecond,
	instantDeath: 100 * time.Millisecond,
}

// quickArgument makes a supervisor of the tests escalate sooner.
const quickArgument = "quick"

var quickEscalation = escalation{
	again: 50 * time.Millisecond, term: 100 * time.Millisecond, kill: 150 * time.Millisecond, end: 200 * time.Millisecond,
}

// TestMain also plays the roles of this binary: a supervisor, a backend, and a
// process that holds a manager and is killed.
func TestMain(m *testing.M) {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case Command:
		exit(playSupervisor(os.Args[2:]))
	case "backend":
		exit(playBackend(os.Args[2:]))
	case "manager":
		exit(playManager())
	}
	testutil.Main(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func playSupervisor(args []string) error {
	if len(args) == 1 && args[0] == quickArgument {
		return supervise(quickEscalation)
	}
	return Supervise(args)
}

// self is this binary as a configuration names it.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A load is a server of the pool, as a test plays it.
type load struct {
	open    atomic.Int64
	healthy atomic.Bool
}

func (l *load) Open() int64                            { return l.open.Load() }
func (l *load) SetHealthy(healthy bool) (changed bool) { return l.healthy.Swap(healthy) != healthy }

// A logged holds what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines returns the lines that have all of the words.
func (l *logged) lines(words ...string) []string {
	var found []string
next:
	for line := range strings.Lines(l.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// A rig is a manager with one group.
type rig struct {
	t       testing.TB
	manager *Manager
	group   *Group
	loads   []*load
	log     *logged
}

// backendConfig describes one backend of this binary, which the words instruct.
func backendConfig(t testing.TB, words ...string) Config {
	t.Helper()
	path := self(t)
	return Config{
		Name: "u", Path: path, Dir: filepath.Dir(path), Args: append([]string{path, "backend"}, words...),
		Env: os.Environ(), KillSignal: syscall.SIGTERM, Backlog: 16, Min: 1, Max: 1, Load: 1,
	}
}

// prepare makes a manager of one group, which the end of the test closes.
func prepare(t testing.TB, c Config) *rig {
	t.Helper()
	r := &rig{t: t, log: &logged{}}
	r.manager = New(slog.New(slog.NewTextHandler(r.log, nil)))
	r.manager.pace, r.manager.args = quick, []string{Command, quickArgument}
	t.Cleanup(func() {
		r.manager.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", r.log)
		}
	})
	r.group = r.add(c)
	return r
}

// add makes a group whose backends are the rig's loads.
func (r *rig) add(c Config) *Group {
	r.t.Helper()
	g, err := r.manager.Add(context.Background(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	var backends []Backend
	for range g.Endpoints() {
		l := &load{}
		r.loads = append(r.loads, l)
		backends = append(backends, l)
	}
	g.Serve(backends)
	return g
}

func start(t testing.TB, c Config) *rig {
	t.Helper()
	r := prepare(t, c)
	if err := r.manager.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask sends one line to the process of endpoint i and returns its answer.
func (r *rig) ask(i int, question string) string {
	r.t.Helper()
	return ask(r.t, r.group.Endpoints()[i], question)
}

func ask(t testing.TB, e Endpoint, question string) string {
	t.Helper()
	c, err := net.DialTimeout(e.Network, e.Address, soon)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return talk(t, c, question)
}

func talk(t testing.TB, c net.Conn, question string) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, question+"\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatalf("%s: %v", question, err)
	}
	return strings.TrimSpace(answer)
}

// pid returns the number of the process of endpoint i.
func (r *rig) pid(i int) int {
	r.t.Helper()
	return number(r.t, r.ask(i, "pid"))
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// healthy returns which endpoints may have clients, as digits.
func (r *rig) healthy() string {
	var list strings.Builder
	for i, l := range r.loads {
		if l.healthy.Load() {
			list.WriteString(strconv.Itoa(i))
		}
	}
	return list.String()
}

func (r *rig) waitHealthy(want string) {
	r.t.Helper()
	testutil.Eventually(r.t, soon, "healthy are "+want, func() bool { return r.healthy() == want })
}

// waitLog waits until so many lines have the words, and returns them.
func (r *rig) waitLog(count int, words ...string) []string {
	r.t.Helper()
	testutil.Eventually(r.t, soon, fmt.Sprintf("%d log lines with %q", count, words), func() bool {
		return len(r.log.lines(words...)) >= count
	})
	return r.log.lines(words...)
}

// waitGone waits for the end of a process. A zombie has ended: where its parent
// is not ours, nobody may ever ask for it.
func waitGone(t testing.TB, pid int) {
	t.Helper()
	testutil.Eventually(t, soon, fmt.Sprintf("process %d has ended", pid), func() bool { return !alive(pid) })
}

func alive(pid int) bool {
	stat := status(pid)
	return stat != nil && stat[0] != "Z" && stat[0] != "X"
}

// status returns the fields of a process from its state on, or nil.
func status(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// parent returns the number of a process's parent.
func parent(t testing.TB, pid int) int {
	t.Helper()
	stat := status(pid)
	if stat == nil {
		t.Fatalf("there is no process %d", pid)
	}
	return number(t, stat[1])
}

// kill ends a process at once.
func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
