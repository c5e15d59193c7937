package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startMax bounds the time from exec to the ready line.
const startMax = 20 * time.Second

// A Proxy is a running wsplice process, as one test sees it.
type Proxy struct {
	*process
	t testing.TB // the test that a failing method ends
}

// A process is what every view of a Proxy shares.
type process struct {
	Logs *Logs
	PID  int
	Dir  string // holds the configuration and the sockets of this process
	File string // the configuration

	cfg    Config
	admin  string        // address of the admin server
	stderr *os.File      // the reading end
	talks  bool          // to a human, between its log lines
	exited chan struct{} // closed when the process has ended
	code   int           // exit status, valid once exited is closed
	killed bool          // by the test
}

// In returns the same process for a sub-test: only the goroutine of a test may
// end it, so the failures of a sub-test must be its own.
func (p *Proxy) In(t testing.TB) *Proxy { return &Proxy{p.process, t} }

// Start runs wsplice with cfg and returns when it says that it is ready. The
// end of the test stops it with SIGTERM and fails the test unless it then
// exits with status 0, without having panicked, raced or torn a log line.
func Start(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	p := launch(t, cfg)
	t.Cleanup(p.finish)
	p.awaitReady()
	return p
}

func launch(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	dir := TempDir(t, cfg.User)
	p := &Proxy{t: t, process: &process{
		Logs: newLogs(), Dir: dir, File: filepath.Join(dir, "wsplice.yaml"),
		cfg: cfg, admin: cfg.adminAddress(dir), exited: make(chan struct{}), talks: cfg.Warned,
	}}
	if err := os.WriteFile(p.File, []byte(cfg.yaml(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(cfg, bin, "run", "--config", p.File)
	p.run(cmd)
	return p
}

// StartCommand runs wsplice with other arguments than a configuration, and
// returns when its log says that it is ready. It stops as Start says.
func StartCommand(t testing.TB, ready func(Line) bool, args ...string) *Proxy {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, process: &process{
		Logs: newLogs(), Dir: TempDir(t, 0), exited: make(chan struct{}), talks: true,
	}}
	p.run(command(Config{}, append([]string{bin}, args...)...))
	t.Cleanup(p.finish)
	if _, ok := p.Logs.Wait(0, startMax, ready); !ok {
		t.Fatalf("wsplice %s did not get ready; its log:\n%s", strings.Join(args, " "), p.Logs.Tail(40))
	}
	return p
}

// run starts cmd with stderr collected, and reaps it when it ends.
func (p *Proxy) run(cmd *exec.Cmd) {
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.cfg.TinyLogPipe {
		if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			p.t.Fatalf("shrink the log pipe: %v", err)
		}
	}
	cmd.Stderr = w
	// A test binary that dies must not leave proxies behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = w.Close()
	p.PID = cmd.Process.Pid
	p.stderr = r
	go p.Logs.collect(r)
	go func() {
		err := cmd.Wait()
		p.code = exitCode(err)
		close(p.exited)
	}()
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func (p *Proxy) awaitReady() {
	p.t.Helper()
	if _, ok := p.Logs.Wait(0, startMax, func(l Line) bool { return l.Msg() == "ready" }); !ok {
		p.t.Fatalf("wsplice did not say that it is ready; its log:\n%s", p.Logs.Tail(40))
	}
}

// Addr returns the address of the i-th listener, with its real port.
func (p *Proxy) Addr(i int) string {
	p.t.Helper()
	var addresses []string
	for _, line := range p.Logs.Since(0) {
		a := line.Text("address")
		if line.Msg() == "listening" && a != p.admin && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	for _, a := range addresses {
		listens(a, secures(p.cfg.ListenerX))
	}
	if i >= len(addresses) {
		p.t.Fatalf("the log names %d listeners, want more than %d:\n%s", len(addresses), i, p.Logs.Tail(40))
	}
	return addresses[i]
}

// URL returns the beginning of the URLs of WebSockets at the i-th listener.
func (p *Proxy) URL(i int) string {
	p.t.Helper()
	address := p.Addr(i)
	if isSecure(address) {
		return "wss://" + address
	}
	return "ws://" + address
}

// Signal sends s to the process.
func (p *Proxy) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.PID, s); err != nil {
		p.t.Fatalf("signal wsplice: %v", err)
	}
}

// Kill ends the process at once, as kill -9 does.
func (p *Proxy) Kill() {
	p.t.Helper()
	p.killed = true
	p.Signal(syscall.SIGKILL)
	p.WaitExit(Soon)
}

// Exited is closed when the process has ended.
func (p *Proxy) Exited() <-chan struct{} { return p.exited }

// WaitExit returns the status the process ended with, and ends the test when
// it goes on for longer than limit.
func (p *Proxy) WaitExit(limit time.Duration) int {
	p.t.Helper()
	if !p.waitExit(limit) {
		p.t.Fatalf("wsplice still runs after %v; its log:\n%s", limit, p.Logs.Tail(40))
	}
	return p.code
}

func (p *Proxy) waitExit(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// WaitLog returns the first line from mark on that match accepts, and ends
// the test when none comes.
func (p *Proxy) WaitLog(mark int, what string, match func(Line) bool) Line {
	p.t.Helper()
	line, ok := p.Logs.Wait(mark, Soon, match)
	if !ok {
		p.t.Fatalf("no log line within %v: %s; the log:\n%s", Soon, what, p.Logs.Tail(40))
	}
	return line
}

// HangUp closes the reading end of stderr, as a log collector that dies does.
func (p *Proxy) HangUp() { _ = p.stderr.Close() }

// finish is the end of every process: SIGTERM, a clean exit, a clean log.
func (p *Proxy) finish() {
	p.stop()
	for _, text := range p.Logs.Strange() {
		if !p.talks || crashed.MatchString(text) {
			p.t.Errorf("stderr has a line that is no log line: %s", text)
		}
	}
	if p.t.Failed() {
		p.t.Logf("last log lines of wsplice:\n%s", p.Logs.Tail(12))
	}
}

// crashed is what the Go runtime writes before a process ends badly.
var crashed = regexp.MustCompile(`^(panic:|fatal error:|SIG|goroutine \d|WARNING: DATA RACE)`)

func (p *Proxy) stop() {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.PID, syscall.SIGCONT)
		_ = syscall.Kill(p.PID, syscall.SIGTERM)
	}
	if !p.waitExit(Soon + p.drain()) {
		// The goroutine dump says where it hangs.
		_ = syscall.Kill(p.PID, syscall.SIGQUIT)
		if !p.waitExit(2 * time.Second) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			<-p.exited
		}
		p.t.Errorf("wsplice did not stop on SIGTERM within %v", Soon+p.drain())
		return
	}
	if p.code != 0 && !p.killed {
		p.t.Errorf("wsplice exited with status %d", p.code)
	}
}

func (p *Proxy) drain() time.Duration {
	d, err := time.ParseDuration(p.cfg.timeouts()["drain"])
	if err != nil {
		return 0
	}
	return d
}

// A Result is what a command that ended by itself left behind.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs wsplice until it ends by itself, and ends the test if it does not.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return runLimited(t, Config{}, args...)
}

// runLimited is Run with the limits of cfg.
func runLimited(t testing.TB, cfg Config, args ...string) Result {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	cmd := command(cfg, append([]string{bin}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(startMax, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	if !late.Stop() {
		t.Fatalf("wsplice %s still ran after %v; stderr:\n%s",
			strings.Join(args, " "), startMax, stderr.String())
	}
	return Result{exitCode(err), stdout.String(), stderr.String()}
}

// RunConfig writes text as a configuration and runs command on it. It returns
// the result and the file's path, which the errors must begin with.
func RunConfig(t testing.TB, command, text string) (Result, string) {
	t.Helper()
	file := filepath.Join(TempDir(t, 0), "wsplice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Run(t, command, "--config", file), file
}

// RunFailing runs a process that is expected to refuse to serve cfg.
func RunFailing(t testing.TB, cfg Config) Result {
	t.Helper()
	dir := TempDir(t, 0)
	file := filepath.Join(dir, "wsplice.yaml")
	if err := os.WriteFile(file, []byte(cfg.yaml(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	return runLimited(t, cfg, "run", "--config", file)
}

// TempDir returns a new directory that user (0 = the caller) owns. Unlike
// t.TempDir its path is short enough for the address of a unix socket.
func TempDir(t testing.TB, user int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wsplice-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if user != 0 {
		if err := os.Chown(dir, user, user); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// String names the process in failures.
func (p *Proxy) String() string { return fmt.Sprintf("wsplice[%d]", p.PID) }
