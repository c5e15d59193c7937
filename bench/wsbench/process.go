package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"wsplice/bench/procstat"
)

const (
	// readyTimeout bounds the wait until a started process serves.
	readyTimeout = 15 * time.Second

	// stopTimeout is how long a process may take to end by itself.
	stopTimeout = 3 * time.Second

	// pollPeriod is how often a starting process is looked at.
	pollPeriod = 20 * time.Millisecond

	// outputBytesMax bounds what is kept of a process's stderr.
	outputBytesMax = 16 << 10
)

// A process is a child with its descendants. It is ended by id, with stop,
// and by the kernel should this process die before that.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner // stdout
	stderr *tail
	ended  chan struct{} // closed when the child has been waited for
	pids   []int         // with descendants, as of the last tree call
}

// start runs argv in a process group of its own, so that Ctrl-C reaches this
// process alone, which then ends the others in order.
func start(name string, argv ...string) (*process, error) { return startIn("", name, argv...) }

// startIn is start in a directory that argv takes for its home.
func startIn(dir, name string, argv ...string) (*process, error) {
	p := &process{name: name, stderr: &tail{}, ended: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	if dir != "" {
		p.cmd.Dir = dir
		p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = stopTimeout // a descendant may keep stderr open
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	// An os.Pipe of our own: StdoutPipe would be closed by Wait under the
	// reader of the last line.
	stdout, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.cmd.Stdout, p.stdin = w, stdin
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = stdout.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.lines = bufio.NewScanner(stdout)
	p.lines.Buffer(nil, 1<<20)
	p.pids = []int{p.cmd.Process.Pid}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter, only that it did
		close(p.ended)
	}()
	return p, nil
}

// tree returns the process and its descendants.
func (p *process) tree() ([]int, error) {
	pids, err := procstat.Tree(p.cmd.Process.Pid)
	if err == nil {
		p.pids = pids
	}
	return pids, err
}

// readLine decodes the next line of stdout into v.
func (p *process) readLine(ctx context.Context, v any) error {
	line := make(chan error, 1)
	go func() {
		if !p.lines.Scan() {
			line <- errors.Join(io.ErrUnexpectedEOF, p.lines.Err())
			return
		}
		line <- json.Unmarshal(p.lines.Bytes(), v)
	}()
	select {
	case err := <-line:
		if err != nil {
			return fmt.Errorf("read from %s: %w: %s", p.name, err, p.stderr)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitListening waits until address accepts connections.
func (p *process) waitListening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-p.ended:
			return fmt.Errorf("%s ended instead of serving: %s", p.name, p.stderr)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve on %s: %w: %s", p.name, address, ctx.Err(), p.stderr)
		}
	}
}

// waitReady waits for a line with word on stderr.
func (p *process) waitReady(ctx context.Context, word string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	for !strings.Contains(p.stderr.String(), word) {
		select {
		case <-poll.C:
		case <-p.ended:
			return fmt.Errorf("%s ended instead of serving: %s", p.name, p.stderr)
		case <-ctx.Done():
			return fmt.Errorf("%s did not say %q: %w: %s", p.name, word, ctx.Err(), p.stderr)
		}
	}
	return nil
}

// wait waits until the process has ended by itself.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s ended with %d: %s", p.name, code, p.stderr)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the process and what it started: by SIGTERM, and after
// stopTimeout by SIGKILL. It returns when the process is gone.
func (p *process) stop() {
	_, _ = p.tree()
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
	}
	for _, pid := range p.pids[1:] {
		// A worker that outlived its master: still in our child's group, or
		// the number is another process's by now.
		if group, err := syscall.Getpgid(pid); err == nil && group == p.cmd.Process.Pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// tail keeps the last outputBytesMax written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - outputBytesMax; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String returns what was kept, without the space around it.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// freePort returns a port of 127.0.0.1 that nobody listens on. It is below
// the range the kernel gives to outgoing connections, so that none of the
// thousands the bench opens can take it before its proxy does.
func freePort() (int, error) {
	for port := firstPort; port < lastPort; port++ {
		nextPort = max(firstPort, (nextPort+1)%lastPort)
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nextPort))
		if err == nil {
			return nextPort, ln.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

// Ports are taken in turn from this range, which lies below Linux's default
// ip_local_port_range. Processes with ids side by side begin portStride apart,
// so that two of them do not find the same port free at the same time.
const (
	firstPort  = 20000
	lastPort   = 30000
	portStride = 389
)

var nextPort = firstPort + os.Getpid()*portStride%(lastPort-firstPort)
