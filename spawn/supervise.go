package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// Command is the first argument with which the binary starts itself as a
// supervisor. It must then call Supervise with the arguments behind it.
const Command = "supervise"

// execArgument comes second where the supervisor starts the binary once more,
// to become a process that must be told its own number.
const execArgument = "exec"

// selfPath is this binary, even when its file has been replaced meanwhile.
const selfPath = "/proc/self/exe"

// lifelineFD is the descriptor at which a supervisor finds its lifeline.
const lifelineFD sys.FD = 3

// ErrNoLifeline says that a supervisor was not started by wsplice.
var ErrNoLifeline = errors.New("this command is for wsplice itself, which starts it for the backends that it spawns")

// Supervise is the supervisor's life. It starts and stops processes as the
// lifeline asks, until that ends because wsplice has ended; then it ends all
// processes with their groups and returns.
func Supervise(args []string) error {
	if len(args) > 1 && args[0] == execArgument {
		return become(args[1], args[2:])
	}
	return supervise(defaultEscalation)
}

// become turns this process into another program, which LISTEN_PID must name
// (sd_listen_fds(3)): who starts a process cannot know its number before.
func become(path string, args []string) error {
	return sys.Exec(path, args, append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid())))
}

// A supervisor is the parent of the processes.
type supervisor struct {
	wire       *wire
	escalation escalation
	files      []ownFile
	awaiting   sync.WaitGroup // goroutines of await

	mu        sync.Mutex // protects processes
	processes map[uint64]*process
}

// A process is a child of the supervisor, and leads a process group.
type process struct {
	number uint64
	pid    int
	kill   syscall.Signal
	gone   chan struct{} // closed when it has ended

	mu     sync.Mutex // protects reaped
	reaped bool       // pid may be another's
}

func supervise(e escalation) error {
	w, err := newWire(lifelineFD)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoLifeline, err)
	}
	// Who stops all processes of a service stops this one too early. Signals that
	// are caught, unlike those that are ignored, are not so in children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	s := &supervisor{wire: w, escalation: e, processes: make(map[uint64]*process)}
	for {
		var r request
		files, err := w.receive(&r)
		if err != nil {
			break
		}
		switch {
		case r.Start != nil:
			s.start(r.Start, files)
		case r.Stop != 0:
			s.stop(r.Stop)
		case len(r.Remove) > 0:
			s.files = append(s.files, ownFiles(r.Remove)...)
		}
		closeAll(files)
	}
	s.end()
	return nil
}

// report tells wsplice. If it is gone or does not listen, all of it ends: after a
// lost event wsplice would count on a process that is not there.
func (s *supervisor) report(e event) {
	if s.wire.send(e) != nil {
		_ = s.wire.conn.Close()
	}
}

func (s *supervisor) start(r *startRequest, files []*os.File) {
	child, err := fork(r, files)
	if err != nil {
		s.report(event{Process: r.Process, Failed: err.Error()})
		return
	}
	p := &process{number: r.Process, pid: child.Pid, kill: r.KillSignal, gone: make(chan struct{})}
	s.mu.Lock()
	s.processes[p.number] = p
	s.mu.Unlock()
	s.report(event{Process: p.number, PID: p.pid})
	s.awaiting.Add(1)
	go s.await(p, child)
}

// fork starts a process with the listening socket as descriptor 0 and its
// output as 1 and 2. It returns when the program runs, or why it does not.
func fork(r *startRequest, files []*os.File) (*os.Process, error) {
	if len(files) != 2 {
		return nil, fmt.Errorf("start needs two descriptors, but %d came", len(files))
	}
	socket, output := files[0], files[1]
	attr := &os.ProcAttr{
		Dir: r.Dir, Env: []string{}, Sys: sys.NewGroup(), // a nil Env would be the supervisor's own
		Files: []*os.File{socket, output, output},
	}
	for _, variable := range r.Env {
		attr.Env = append(attr.Env, string(variable))
	}
	if !r.Systemd {
		return os.StartProcess(r.Path, r.Args, attr)
	}
	attr.Files = append(attr.Files, socket)
	attr.Env = append(attr.Env, "LISTEN_FDS=1")
	return os.StartProcess(selfPath, append([]string{os.Args[0], Command, execArgument, r.Path}, r.Args...), attr)
}

// await takes note of the end of a process, and ends what is left of its group.
func (s *supervisor) await(p *process, child *os.Process) {
	defer s.awaiting.Done()
	if err := sys.AwaitExit(p.pid); err == nil {
		p.signal(syscall.SIGKILL) // the leader is dead, but its number is not free yet
	}
	p.mu.Lock()
	state, err := child.Wait()
	p.reaped = true
	p.mu.Unlock()
	close(p.gone)
	status := "unknown status"
	if err == nil {
		status = state.String()
	}
	s.mu.Lock()
	delete(s.processes, p.number)
	s.mu.Unlock()
	s.report(event{Process: p.number, Exited: status})
}

// signal signals the group of a process, unless that is over.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = sys.KillGroup(p.pid, sig) // ESRCH and EPERM: nothing there that could be helped
	}
}

// stop ends one process, by stronger and stronger means.
func (s *supervisor) stop(number uint64) {
	s.mu.Lock()
	p := s.processes[number]
	s.mu.Unlock()
	if p == nil {
		return // it has ended by itself; the event is on its way
	}
	p.signal(p.kill)
	go p.escalate(s.escalation)
}

func (p *process) escalate(e escalation) {
	steps := []struct {
		after  time.Duration // since the first signal
		signal syscall.Signal
	}{{e.again, p.kill}, {e.term, syscall.SIGTERM}, {e.kill, syscall.SIGKILL}}
	var passed time.Duration
	for _, step := range steps {
		timer := time.NewTimer(step.after - passed)
		select {
		case <-p.gone:
			timer.Stop()
			return
		case <-timer.C:
			p.signal(step.signal)
			passed = step.after
		}
	}
}

// end ends everything. The files go first: a wsplice that starts now must find
// its addresses free.
func (s *supervisor) end() {
	removeFiles(s.files)
	s.signalAll(func(p *process) syscall.Signal { return p.kill })
	if !s.allGone(s.escalation.end) {
		s.signalAll(func(*process) syscall.Signal { return syscall.SIGKILL })
		s.allGone(endKill)
	}
}

func (s *supervisor) signalAll(sig func(*process) syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		p.signal(sig(p))
	}
}

// allGone reports whether all processes have ended within limit.
func (s *supervisor) allGone(limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		s.awaiting.Wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
