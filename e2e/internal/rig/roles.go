package rig

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Role is what this test binary does when it is started again as a helper
// process: it answers each line on stdin with one line on stdout. A process
// of its own has its own descriptor limit and its own user.
type Role func(ask string) (answer string)

const (
	roleEnv   = "WSPLICE_E2E_ROLE"
	launchEnv = "WSPLICE_E2E_LAUNCH"
)

// RunRole plays the role this process was started for and exits; in the test
// process itself it returns at once. TestMain calls it first.
func RunRole(roles map[string]func() Role) {
	switch name := os.Getenv(roleEnv); name {
	case "":
		return
	case "launch":
		die(execLimited())
	default:
		start, ok := roles[name]
		if !ok {
			die(fmt.Errorf("no role %q", name))
		}
		play(start())
	}
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "e2e helper:", err)
	os.Exit(3)
}

func play(role Role) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(role(in.Text()))
	}
	os.Exit(0)
}

// limited is what the role "launch" needs to become another program.
type limited struct {
	Files   uint64
	User    int
	NoUring bool
	CPU     int    // the only one it may use, counted from 1; 0 = all
	Role    string // played by Argv
	Argv    []string
}

// command runs argv with the limits of cfg. They are set by this binary in
// between, because only the process itself can lower them before it starts.
func command(cfg Config, argv ...string) *exec.Cmd {
	if cfg.Files == 0 && cfg.User == 0 && !cfg.NoUring {
		return exec.Command(argv[0], argv[1:]...)
	}
	text, err := json.Marshal(limited{Files: cfg.Files, User: cfg.User, NoUring: cfg.NoUring, Argv: argv})
	if err != nil {
		panic(err)
	}
	return launcher(string(text))
}

func launcher(limits string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=launch", launchEnv+"="+limits)
	return cmd
}

func execLimited() error {
	var l limited
	if err := json.Unmarshal([]byte(os.Getenv(launchEnv)), &l); err != nil {
		return err
	}
	if l.Files != 0 {
		limit := syscall.Rlimit{Cur: l.Files, Max: l.Files}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	if l.User != 0 {
		if err := Become(l.User); err != nil {
			return err
		}
	}
	if l.CPU != 0 {
		var only unix.CPUSet
		only.Set(l.CPU - 1)
		runtime.LockOSThread() // the thread's CPUs are the new program's
		if err := unix.SchedSetaffinity(0, &only); err != nil {
			return fmt.Errorf("stay on CPU %d: %w", l.CPU-1, err)
		}
	}
	if l.NoUring {
		if err := forbidUring(); err != nil {
			return fmt.Errorf("forbid io_uring: %w", err)
		}
	}
	_ = os.Unsetenv(roleEnv)
	_ = os.Unsetenv(launchEnv)
	if l.Role != "" {
		_ = os.Setenv(roleEnv, l.Role)
	}
	return syscall.Exec(l.Argv[0], l.Argv, os.Environ())
}

// forbidUring makes io_uring_setup(2) fail with EPERM, as the seccomp profiles
// of containers do.
func forbidUring() error {
	const offsetNr = 0 // of struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetNr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // the filter is the thread's, and so the new program's
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// Become gives up root for user and its group of the same number.
func Become(user int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(user); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setuid(user); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return nil
}

// A Helper is this test binary, running again in a role.
type Helper struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  chan string
	role string
}

// StartHelper starts a helper process; the end of the test ends it.
func StartHelper(t testing.TB, role string) *Helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return startHelper(t, role, cmd)
}

// StartHelperOn is StartHelper for one that may use no other CPU than cpu, counted
// from 0.
func StartHelperOn(t testing.TB, role string, cpu int) *Helper {
	t.Helper()
	text, err := json.Marshal(limited{CPU: cpu + 1, Role: role, Argv: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	return startHelper(t, role, launcher(string(text)))
}

func startHelper(t testing.TB, role string, cmd *exec.Cmd) *Helper {
	t.Helper()
	h := &Helper{t: t, role: role, cmd: cmd, out: make(chan string)}
	h.cmd.Stderr = os.Stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.in = in
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go h.read(out)
	t.Cleanup(h.stop)
	return h
}

// In returns the same process for a sub-test; see Proxy.In.
func (h *Helper) In(t testing.TB) *Helper {
	other := *h
	other.t = t
	return &other
}

func (h *Helper) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		h.out <- lines.Text()
	}
	close(h.out)
}

// Ask sends one line and returns the answer; one that begins with "error"
// ends the test.
func (h *Helper) Ask(limit time.Duration, format string, args ...any) string {
	h.t.Helper()
	ask := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(h.in, ask+"\n"); err != nil {
		h.t.Fatalf("ask the helper %s: %v", h.role, err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case answer := <-h.out:
		if strings.HasPrefix(answer, "error") || answer == "" {
			h.t.Fatalf("helper %s, asked %q: %s", h.role, ask, or(answer, "died"))
		}
		return answer
	case <-timer.C:
		h.t.Fatalf("helper %s, asked %q: no answer within %v", h.role, ask, limit)
	}
	return ""
}

// AskToListen asks a helper that is a backend for the address on which it is.
func (h *Helper) AskToListen() string {
	h.t.Helper()
	address := h.Ask(Soon, "listen")
	SecureBackendAt(address)
	return address
}

// AskNumber is Ask for answers that are a number.
func (h *Helper) AskNumber(limit time.Duration, format string, args ...any) int {
	h.t.Helper()
	n, err := strconv.Atoi(h.Ask(limit, format, args...))
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Kill ends the process at once, as kill -9 does.
func (h *Helper) Kill() {
	h.t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		h.t.Fatalf("kill the helper %s: %v", h.role, err)
	}
}

func (h *Helper) stop() {
	_ = h.in.Close()
	late := time.AfterFunc(Soon, func() { _ = h.cmd.Process.Kill() })
	defer late.Stop()
	for range h.out { // the reader must not stay blocked on an unread answer
	}
	_ = h.cmd.Wait()
}
