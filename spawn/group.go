package spawn

import (
	"cmp"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A Config describes the processes of one command. All fields must be set,
// except where a comment says what the zero value means.
type Config struct {
	Name string // for the log

	// What is started.
	Path       string // of the program
	Dir        string // its working directory
	Args       []string
	Env        []string // "NAME=value"; empty = none
	KillSignal syscall.Signal
	Systemd    bool // announce the socket as systemd does, besides descriptor 0

	// Where the processes listen. Process i has port Address+i, or the socket
	// Address-i; an empty Network is a unix socket in a private directory.
	Network string // "tcp" or "unix"
	Address string // host:port, or a path
	Backlog int

	// How many.
	Min, Max int           // processes; with a Min of 0 the first client starts one
	Load     int64         // open tunnels of each process above which one more is started
	Idle     time.Duration // without a tunnel, until one process more than Min ends; 0 = never
}

// An Endpoint is where one process of a group listens.
type Endpoint struct {
	Network string // "tcp" or "unix"
	Address string // IP and port, or a path
}

// A Backend is what the rest of wsplice makes of an endpoint: a server of the
// pool. Its methods must be safe to call while others use it.
type Backend interface {
	// Open returns how many tunnels it has.
	Open() int64
	// SetHealthy says whether it may have more, and reports whether that is news.
	SetHealthy(healthy bool) (changed bool)
}

// A Group is the processes of one command.
type Group struct {
	config   Config
	patience time.Duration // see pace
	slots    []*slot       // config.Max of them
	counts   counts
}

// Endpoints returns where the processes listen, config.Max of them.
func (g *Group) Endpoints() []Endpoint {
	list := make([]Endpoint, 0, len(g.slots))
	for _, s := range g.slots {
		list = append(list, s.endpoint)
	}
	return list
}

// Serve says what was made of the endpoints, in their order. It must be called
// before Manager.Start.
func (g *Group) Serve(backends []Backend) {
	for i, s := range g.slots {
		s.backend = backends[i]
	}
}

// ownPaths returns the files that stand for the endpoints, for a process with
// another working directory.
func (g *Group) ownPaths() []string {
	var paths []string
	for _, s := range g.slots {
		if s.endpoint.Network == "unix" {
			if path, err := filepath.Abs(s.endpoint.Address); err == nil {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// inState returns the slots in a state.
func (g *Group) inState(state slotState) []*slot {
	var list []*slot
	for _, s := range g.slots {
		if s.state == state {
			list = append(list, s)
		}
	}
	return list
}

// open returns the tunnels of all processes.
func (g *Group) open() int64 {
	var sum int64
	for _, s := range g.slots {
		sum += s.backend.Open()
	}
	return sum
}

// crowded returns the slot that shall have one process more, or nil: one is
// needed when each has more tunnels than it should. Where a process is about to
// start, or would not even stay alive, it is not the number that is wrong.
func (g *Group) crowded() *slot {
	var spare *slot
	running := 0
	for _, s := range g.slots {
		switch s.state {
		case stateStarting, stateWaiting:
			return nil
		case stateRunning:
			if s.backend.Open() <= g.config.Load {
				return nil
			}
			running++
		case stateEmpty:
			if spare == nil {
				spare = s
			}
		}
	}
	if running == 0 {
		return nil
	}
	return spare
}

// idle returns a slot whose process is not needed, or nil. One leaves at a time,
// the last one first, and none that crowded would start again.
func (g *Group) idle(now time.Time) *slot {
	running := g.inState(stateRunning)
	if g.config.Idle == 0 || len(running) <= g.config.Min || len(g.inState(stateLeaving)) > 0 {
		return nil
	}
	for i := len(running) - 1; i >= 0; i-- {
		s := running[i]
		roomy := func(other *slot) bool { return other != s && other.backend.Open() <= g.config.Load }
		if s.backend.Open() == 0 && now.Sub(s.used) >= g.config.Idle &&
			(len(running) == 1 || slices.ContainsFunc(running, roomy)) {
			return s
		}
	}
	return nil
}

// front returns the slot that takes clients although no process is behind it:
// they wait in its socket's queue, for a process that is due soon or that their
// coming starts. There is none while processes run, or would not stay alive.
func (g *Group) front() *slot {
	var due, empty, going *slot
	for _, s := range g.slots {
		switch s.state {
		case stateStarting, stateRunning:
			return nil
		case stateWaiting:
			if s.wait > g.patience {
				return nil
			}
			due = cmp.Or(due, s)
		case stateEmpty:
			empty = cmp.Or(empty, s)
		case stateLeaving, stateStopping:
			going = cmp.Or(going, s)
		}
	}
	return cmp.Or(due, empty, going)
}

// publish tells the backends which of them may have clients: first those that
// may, so that there is no moment without one.
func (g *Group) publish() {
	front := g.front()
	for _, healthy := range []bool{true, false} {
		for _, s := range g.slots {
			if healthy == (s == front || s.state == stateStarting || s.state == stateRunning) {
				s.backend.SetHealthy(healthy)
			}
		}
	}
}
