package spawn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// A Manager holds the groups of processes, and the supervisor that is their
// parent. Without groups it does nothing.
type Manager struct {
	log    *slog.Logger
	pace   pace
	args   []string // with which the binary becomes a supervisor
	groups []*Group
	dir    string // private, for sockets without a place of their own; "" = none yet
	files  []ownFile

	// Of the supervisor, for the goroutine of run once that has started.
	link    *link            // nil while there is none
	retry   time.Time        // when the next may be started
	numbers uint64           // of the last start
	slots   map[uint64]*slot // by the number of their process
	closing bool
	due     chan struct{} // has a value when a process is due

	quit   chan struct{} // closed to end run; nil before it has started
	ended  chan struct{} // closed by run
	closed sync.Once
}

// A StartError says which group's processes could not be started.
type StartError struct {
	Group *Group
	Err   error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start %s: %v; start it by hand to see why", e.Group.config.Path, e.Err)
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// New returns a manager that logs to log. The binary must know Command.
func New(log *slog.Logger) *Manager {
	return &Manager{log: log, pace: defaultPace, args: []string{Command}, slots: make(map[uint64]*slot), due: make(chan struct{}, 1)}
}

// Add opens the listening sockets of a group, within ctx; Close gives them
// back. The errors are ErrTaken, sys.ErrNotSocket, sys.ErrUnixPath and those of the
// system and the resolver.
func (m *Manager) Add(ctx context.Context, c Config) (*Group, error) {
	if c.Network == "" {
		if err := m.makeDir(); err != nil {
			return nil, err
		}
		c.Network, c.Address = "unix", m.dir+"/"+strconv.Itoa(len(m.groups))
	}
	g := &Group{config: c, patience: m.pace.patience}
	m.groups = append(m.groups, g) // so that Close finds what is open
	for i := range c.Max {
		endpoint, listener, err := listen(ctx, &c, i)
		if err != nil {
			return nil, fmt.Errorf("listen on %s for %s: %w", endpoint.Address, c.Path, err)
		}
		if endpoint.Network == "unix" {
			m.files = append(m.files, ownFiles([]string{endpoint.Address})...)
		}
		s := &slot{group: g, endpoint: endpoint, listener: listener}
		s.output, err = newOutput(m.log.With("upstream", c.Name, "address", endpoint.Address))
		if err != nil {
			listener.Close()
			return nil, err
		}
		g.slots = append(g.slots, s)
	}
	return g, nil
}

// makeDir makes the directory for sockets that nobody but this user can reach.
func (m *Manager) makeDir() error {
	if m.dir != "" {
		return nil
	}
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return err
	}
	m.dir, err = os.MkdirTemp(parent, "wsplice-")
	return err
}

// Start starts the supervisor and the first processes of all groups, and
// returns when they run. The error is a StartError when a command cannot be
// started, or ends at once. Close must be called in any case.
func (m *Manager) Start() error {
	if len(m.groups) == 0 {
		return nil
	}
	if err := m.connect(); err != nil {
		return fmt.Errorf("start the supervisor of the backends: %w", err)
	}
	now := time.Now()
	for _, g := range m.groups {
		for _, s := range g.slots[:g.config.Min] {
			m.start(s, now)
		}
		g.publish()
	}
	if err := m.settled(); err != nil {
		return err
	}
	m.quit, m.ended = make(chan struct{}), make(chan struct{})
	go m.run()
	return nil
}

// serving reports whether Start is over.
func (m *Manager) serving() bool { return m.quit != nil }

// settled waits until all processes that were asked for run, and have not ended
// for a moment.
func (m *Manager) settled() error {
	late := time.NewTimer(startMax)
	defer late.Stop()
	var calm <-chan time.Time // runs when all have started
	for {
		starting := false
		for _, g := range m.groups {
			if waiting := g.inState(stateWaiting); len(waiting) > 0 {
				return &StartError{Group: g, Err: waiting[0].failed}
			}
			starting = starting || len(g.inState(stateStarting)) > 0
		}
		if len(m.slots) == 0 { // all are for the first client to start
			return nil
		}
		if !starting && calm == nil {
			timer := time.NewTimer(m.pace.instantDeath)
			defer timer.Stop()
			calm = timer.C
		}
		select {
		case e, ok := <-m.link.events:
			if !ok {
				return errors.New("the supervisor of the backends has ended; see its last words above")
			}
			m.handle(e, time.Now())
		case <-calm:
			return nil
		case <-late.C:
			return fmt.Errorf("the supervisor of the backends did not answer within %v", startMax)
		}
	}
}

// connect starts a supervisor, and tells it what to remove at the end.
func (m *Manager) connect() error {
	room := eventsSpare
	for _, g := range m.groups {
		room += 2 * len(g.slots)
	}
	link, err := startSupervisor(m.args, room)
	if err != nil {
		return err
	}
	m.link = link
	for _, g := range m.groups {
		m.send(request{Remove: g.ownPaths()})
	}
	if m.dir != "" {
		m.send(request{Remove: []string{m.dir}})
	}
	return nil
}

// Close ends all processes and gives everything back. It takes at most some
// seconds more than the processes take to end, and not much more than endGrace
// where they do not.
func (m *Manager) Close() { m.closed.Do(m.close) }

func (m *Manager) close() {
	if m.serving() {
		close(m.quit)
		<-m.ended
	}
	m.closing = true
	if m.link == nil { // else the supervisor does it, before anybody can take the addresses
		removeFiles(m.files)
	} else {
		m.link.hangUp()
		m.link.drain(endGrace+endKill+sendMax, func(e event) { m.handle(e, time.Now()) })
		for _, s := range m.slots { // of a supervisor that did not do it
			_ = sys.KillGroup(s.pid, syscall.SIGKILL)
		}
	}
	for _, g := range m.groups {
		for _, s := range g.slots {
			s.close()
		}
	}
	if m.dir != "" {
		_ = os.Remove(m.dir) // not there any more, unless the supervisor was not
	}
}
