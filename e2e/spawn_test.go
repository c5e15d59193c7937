package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wsplice/e2e/internal/rig"
)

// spawnTick is how often wsplice looks at the load of its processes.
const spawnTick = time.Second

// escalateMax is the time after which no signal can be ignored any more when
// wsplice ends.
const escalateMax = 4 * time.Second

// spawning is a configuration with one server, this binary, with the keys in
// addition. The words are its arguments.
func spawning(t testing.TB, keys string, words ...string) rig.Config {
	t.Helper()
	needsWsplice(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{strconv.Quote(self), spawnedArgument}
	command = append(command, words...)
	if keys != "" {
		keys = ", " + keys
	}
	return rig.Config{
		Routes:    "- {path: /ws/, upstream: u}",
		Upstreams: fmt.Sprintf("  u: {servers: [{command: [%s]%s}]}", strings.Join(command, ", "), keys),
	}
}

// startSpawning starts wsplice with one spawned server.
func startSpawning(t testing.TB, keys string, words ...string) *rig.Proxy {
	t.Helper()
	return rig.Start(t, spawning(t, keys, words...))
}

// askSpawned opens a tunnel for one question.
func askSpawned(t testing.TB, proxy *rig.Proxy, question string) string {
	t.Helper()
	c := rig.MustOpenEcho(t, proxy, "/ws/x")
	defer func() { _ = c.Close() }()
	return askTunnel(t, c, question)
}

func askTunnel(t testing.TB, c *rig.Client, question string) string {
	t.Helper()
	c.Put(question + "\n")
	_ = c.SetReadDeadline(time.Now().Add(rig.Soon))
	answer, err := c.R.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return strings.TrimSuffix(answer, "\n")
}

func askNumber(t testing.TB, c *rig.Client, question string) int {
	t.Helper()
	n, err := strconv.Atoi(askTunnel(t, c, question))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// processes returns the numbers of all that the log says were started.
func processes(proxy *rig.Proxy) []int {
	var pids []int
	for _, line := range proxy.Logs.Since(0) {
		if line.Msg() == "backend started" {
			pids = append(pids, int(line.Number("pid")))
		}
	}
	return pids
}

// running returns those that still run.
func running(proxy *rig.Proxy) []int {
	var pids []int
	for _, pid := range processes(proxy) {
		if rig.Alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func waitRunning(t testing.TB, proxy *rig.Proxy, want int) {
	t.Helper()
	rig.Eventually(t, rig.Soon, fmt.Sprintf("%d processes run", want), func() bool { return len(running(proxy)) == want })
}

func openSpawned(t testing.TB, proxy *rig.Proxy, count int) []*rig.Client {
	t.Helper()
	var list []*rig.Client
	for range count {
		list = append(list, rig.MustOpenEcho(t, proxy, "/ws/x"))
	}
	return list
}

func TestSpawnMinProcs(t *testing.T) {
	t.Run("2", func(t *testing.T) {
		proxy := startSpawning(t, "min_procs: 2")
		if n := len(running(proxy)); n != 2 {
			t.Errorf("%d processes when ready, want 2", n)
		}
		tunnels := openSpawned(t, proxy, 2)
		if askTunnel(t, tunnels[0], "pid") == askTunnel(t, tunnels[1], "pid") {
			t.Error("two tunnels in one process, though there are two")
		}
	})
	t.Run("0", func(t *testing.T) {
		proxy := startSpawning(t, "min_procs: 0, idle_timeout: 1s")
		rig.Lapse(spawnTick)
		if n := len(processes(proxy)); n != 0 {
			t.Errorf("%d processes without a client", n)
		}
		for range 2 {
			tunnel := rig.MustOpenEcho(t, proxy, "/ws/x")
			askNumber(t, tunnel, "pid")
			waitRunning(t, proxy, 1)
			_ = tunnel.Close()
			waitRunning(t, proxy, 0)
		}
	})
}

func TestSpawnMaxProcs(t *testing.T) {
	proxy := startSpawning(t, "max_procs: 2")
	openSpawned(t, proxy, 2)
	waitRunning(t, proxy, 2)
	openSpawned(t, proxy, 4)
	rig.Lapse(2 * spawnTick)
	if n := len(processes(proxy)); n != 2 {
		t.Errorf("%d processes for 6 tunnels, want 2", n)
	}
}

func TestSpawnMaxLoadPerProc(t *testing.T) {
	proxy := startSpawning(t, "max_load_per_proc: 3")
	openSpawned(t, proxy, 3)
	rig.Lapse(2 * spawnTick)
	if n := len(processes(proxy)); n != 1 {
		t.Errorf("%d processes for 3 tunnels, want 1", n)
	}
	openSpawned(t, proxy, 1)
	waitRunning(t, proxy, 2)
}

func TestSpawnIdleTimeout(t *testing.T) {
	proxy := startSpawning(t, "idle_timeout: 1s")
	tunnels := openSpawned(t, proxy, 3)
	waitRunning(t, proxy, 2)
	pid := askTunnel(t, tunnels[0], "pid")
	for _, c := range tunnels[1:] {
		_ = c.Close()
	}
	waitRunning(t, proxy, 1)
	if got := askTunnel(t, tunnels[0], "pid"); got != pid {
		t.Errorf("the tunnel is with %s, was with %s", got, pid)
	}
	proxy.WaitLog(0, "the end of the idle process", func(l rig.Line) bool {
		return l.Msg() == "backend ended" && l.Text("status") == "signal: terminated"
	})
}

func TestSpawnEnvironment(t *testing.T) {
	t.Setenv("WSPLICE_TEST_MODE", "inherited")
	t.Setenv("WSPLICE_TEST_MORE", "kept")
	proxy := startSpawning(t, `environment: {WSPLICE_TEST_MODE: "a=b c", WSPLICE_TEST_EMPTY: ""}`)
	for question, want := range map[string]string{
		"env WSPLICE_TEST_MODE": "=a=b c", "env WSPLICE_TEST_EMPTY": "=", "env WSPLICE_TEST_MORE": "=kept",
		"env WSPLICE_TEST_NOT": "unset",
	} {
		if got := askSpawned(t, proxy, question); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
}

func TestSpawnCopyEnvironment(t *testing.T) {
	t.Setenv("WSPLICE_TEST_MODE", "inherited")
	for keys, want := range map[string]string{
		"copy_environment: [WSPLICE_TEST_MODE, WSPLICE_TEST_NOT]": "WSPLICE_TEST_MODE",
		"copy_environment: []":                      "",
		"copy_environment: [], environment: {A: b}": "A",
	} {
		proxy := startSpawning(t, keys)
		if got := askSpawned(t, proxy, "environment"); got != want {
			t.Errorf("%s: the process has %q, want %q", keys, got, want)
		}
	}
}

// TestSpawnListenBacklog counts how many connections wait at a process that
// accepts none: one more than the backlog (unix_recvq_full in the kernel).
func TestSpawnListenBacklog(t *testing.T) {
	dir := rig.TempDir(t, 0)
	for backlog, want := range map[string]int{"": 30, ", listen_backlog: 3": 4} {
		path := filepath.Join(dir, fmt.Sprint("s", want))
		proxy := startSpawning(t, fmt.Sprintf("socket: %s%s", path, backlog), "deaf")
		proxy.WaitLog(0, "the process runs", func(l rig.Line) bool { return l.Text("line") == "deaf" })
		connected := 0
		for range 30 {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(fd) }()
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path + "-0"})
			if err == nil {
				connected++
			} else if !errors.Is(err, unix.EAGAIN) {
				t.Fatal(err)
			}
		}
		if connected != want {
			t.Errorf("with %q %d of 30 connections wait, want %d", backlog, connected, want)
		}
	}
}

func TestSpawnKillSignal(t *testing.T) {
	proxy := startSpawning(t, "kill_signal: SIGUSR1", "report-usr1")
	proxy.WaitLog(0, "the process listens", func(l rig.Line) bool { return l.Text("line") == "listening" })
	proxy.Signal(syscall.SIGTERM)
	proxy.WaitExit(rig.Soon)
	proxy.WaitLog(0, "the process got SIGUSR1", func(l rig.Line) bool { return l.Text("line") == "ended by SIGUSR1" })
	proxy.WaitLog(0, "and ended by itself", func(l rig.Line) bool { return l.Text("status") == "exit status 7" })
}

// TestSpawnKillSignalIsIgnored has a process and its child ignore the signal.
func TestSpawnKillSignalIsIgnored(t *testing.T) {
	proxy := startSpawning(t, "", "ignore-term")
	tunnel := rig.MustOpenEcho(t, proxy, "/ws/x")
	pid, child := askNumber(t, tunnel, "pid"), askNumber(t, tunnel, "fork")
	_ = tunnel.Close()
	proxy.Signal(syscall.SIGTERM)
	proxy.WaitExit(escalateMax + rig.Soon)
	for _, pid := range []int{pid, child} {
		if rig.Alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	proxy.WaitLog(0, "the process was killed", func(l rig.Line) bool { return l.Text("status") == "signal: killed" })
}

// TestSpawnSocketIsDescriptorZero is how lighttpd hands the socket over.
func TestSpawnSocketIsDescriptorZero(t *testing.T) {
	proxy := startSpawning(t, "")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := askSpawned(t, proxy, "dir"), filepath.Dir(self); got != want {
		t.Errorf("the process runs in %s, want %s", got, want)
	}
	if got := askSpawned(t, proxy, "env LISTEN_FDS"); got != "unset" {
		t.Errorf("LISTEN_FDS: %s", got)
	}
}

// TestSpawnSocketActivation is how systemd hands the socket over.
func TestSpawnSocketActivation(t *testing.T) {
	proxy := startSpawning(t, "socket_activation: systemd, copy_environment: []", "activated")
	if got := askSpawned(t, proxy, "environment"); got != "LISTEN_FDS LISTEN_PID" {
		t.Errorf("the process has %s", got)
	}
	if got := askSpawned(t, proxy, "env LISTEN_FDS"); got != "=1" {
		t.Errorf("LISTEN_FDS: %s", got)
	}
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
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return port
		}
	}
	t.Fatal("no two free ports")
	return 0
}

// TestSpawnAddresses has the processes listen at ports and paths that the
// configuration names.
func TestSpawnAddresses(t *testing.T) {
	path := filepath.Join(rig.TempDir(t, 0), "s")
	startSpawning(t, "min_procs: 2, socket: "+path)
	for i := range 2 {
		c, err := net.Dial("unix", fmt.Sprintf("%s-%d", path, i))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	port := freePorts(t)
	startSpawning(t, fmt.Sprintf(`min_procs: 2, max_procs: 2, url: "ws://127.0.0.1:%d"`, port))
	for i := range 2 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// TestSpawnKilledProcessIsReplaced kills one of two processes: its tunnels end,
// those of the other go on, and a new process takes its place.
func TestSpawnKilledProcessIsReplaced(t *testing.T) {
	proxy := startSpawning(t, "min_procs: 2, max_procs: 2")
	tunnels := openSpawned(t, proxy, 4)
	victim := askTunnel(t, tunnels[0], "pid")
	pid, _ := strconv.Atoi(victim)
	var other []*rig.Client
	var gone []*rig.Client
	for _, c := range tunnels {
		if askTunnel(t, c, "pid") == victim {
			gone = append(gone, c)
		} else {
			other = append(other, c)
		}
	}
	if len(other) != 2 {
		t.Fatalf("%d of 4 tunnels are with the second process", len(other))
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, c := range gone {
		c.WantGone()
	}
	proxy.WaitLog(0, "the death", func(l rig.Line) bool {
		return l.Msg() == "backend died" && l.Text("status") == "signal: killed" && int(l.Number("pid")) == pid
	})
	waitRunning(t, proxy, 2)
	rig.Eventually(t, rig.Soon, "new tunnels reach a new process", func() bool {
		got := askSpawned(t, proxy, "pid")
		return got != victim && got != askTunnel(t, other[0], "pid")
	})
	for _, c := range other {
		if askTunnel(t, c, "pid") == victim {
			t.Error("a dead process answers")
		}
	}
}

// TestSpawnClientsWaitForTheReplacement kills the only process: who comes before
// there is another is not refused.
func TestSpawnClientsWaitForTheReplacement(t *testing.T) {
	proxy := startSpawning(t, "max_procs: 1")
	old := askSpawned(t, proxy, "pid")
	pid, _ := strconv.Atoi(old)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	proxy.WaitLog(0, "the death", isMsg("backend died"))
	if got := askSpawned(t, proxy, "pid"); got == old {
		t.Error("a dead process answers")
	}
}

// TestSpawnNothingIsLeft ends wsplice in each way: its processes, what they have
// started, and the supervisor end too.
func TestSpawnNothingIsLeft(t *testing.T) {
	for name, end := range map[string]func(*rig.Proxy){
		"SIGKILL": func(p *rig.Proxy) { p.Kill() },
		"SIGTERM": func(p *rig.Proxy) { p.Signal(syscall.SIGTERM); p.WaitExit(rig.Soon) },
		"SIGINT":  func(p *rig.Proxy) { p.Signal(syscall.SIGINT); p.WaitExit(rig.Soon) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(rig.TempDir(t, 0), "s")
			proxy := startSpawning(t, "min_procs: 2, socket: "+path)
			tunnel := rig.MustOpenEcho(t, proxy, "/ws/x")
			pids := append(running(proxy), askNumber(t, tunnel, "fork"))
			pids = append(pids, rig.Children(t, proxy.PID)...)
			if len(pids) != 4 {
				t.Fatalf("%d processes: %v", len(pids), pids)
			}
			_ = tunnel.Close()
			end(proxy)
			for _, pid := range pids {
				rig.Eventually(t, rig.Soon, fmt.Sprintf("process %d has ended", pid), func() bool { return !rig.Alive(pid) })
			}
			if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// TestSpawnAfterKill starts wsplice again at once with the same ports.
func TestSpawnAfterKill(t *testing.T) {
	keys := fmt.Sprintf(`max_procs: 1, url: "ws://127.0.0.1:%d"`, freePorts(t))
	first := startSpawning(t, keys, "ignore-term")
	old := askSpawned(t, first, "pid")
	first.Kill()
	if pid := askSpawned(t, startSpawning(t, keys), "pid"); pid == old {
		t.Error("the old process serves the new wsplice")
	}
}

func TestSpawnErrors(t *testing.T) {
	needsWsplice(t)
	text := func(server string) string {
		return "listeners: [{address: \"127.0.0.1:0\"}]\nadmin: {address: \"\"}\n" +
			"routes: [{path: /, upstream: u}]\nupstreams:\n  u:\n    servers:\n      - " + server + "\n"
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, test := range []struct{ command, server, want string }{
		{"check", "command: [/no/such/file]", `7:19: upstreams.u.servers[0].command[0]: cannot find "/no/such/file"`},
		{"run", `command: [/bin/sh, -c, "exit 3"]`, "7:9: start /bin/sh: it ended at once: exit status 3"},
		{"run", fmt.Sprintf(`{command: [/bin/cat], url: "ws://%s"}`, taken.Addr()), "another process listens there"},
	} {
		result, file := rig.RunConfig(t, test.command, text(test.server))
		lines := strings.Split(strings.TrimSpace(result.Stderr), "\n")
		last := lines[len(lines)-1]
		if result.Code != 1 || !strings.HasPrefix(last, file+":") || !strings.Contains(last, test.want) {
			t.Errorf("%s of %s: exit status %d, %s", test.command, test.server, result.Code, result.Stderr)
		}
	}
}
