package spawn

import (
	"fmt"
	"slices"
	"time"

	"wsplice/internal/sys"
)

// A slotState says what stands behind a listening socket:
//
//	state    | may go to                  | true while in it
//	empty    | starting                   | no process, and none is wanted
//	starting | running, waiting           | the supervisor was asked for a process
//	running  | leaving, starting, waiting | a process serves the socket
//	leaving  | running, stopping, empty   | no client is sent to the process any more
//	stopping | empty                      | the process was told to end
//	waiting  | starting, empty            | the process died soon; another is due later
type slotState uint8

const (
	stateEmpty slotState = iota
	stateStarting
	stateRunning
	stateLeaving
	stateStopping
	stateWaiting
)

var slotMoves = [...][]slotState{
	stateEmpty:    {stateStarting},
	stateStarting: {stateRunning, stateWaiting},
	stateRunning:  {stateLeaving, stateStarting, stateWaiting},
	stateLeaving:  {stateRunning, stateStopping, stateEmpty},
	stateStopping: {stateEmpty},
	stateWaiting:  {stateStarting, stateEmpty},
}

func (s slotState) String() string {
	return [...]string{"empty", "starting", "running", "leaving", "stopping", "waiting"}[s]
}

// A slot is a listening socket of a group, with or without a process behind it.
// It lives as long as the group.
type slot struct {
	group    *Group
	endpoint Endpoint
	backend  Backend
	listener sys.FD
	output   *output
	state    slotState

	// Of the process.
	number  uint64 // of this start; 0 = none
	pid     int    // 0 before it runs
	started time.Time
	used    time.Time // when it last had a tunnel

	// Of those that died soon.
	failures int           // in a row
	wait     time.Duration // before the next
	due      time.Time     // while waiting
	failed   error         // why the last one could not be started, or ended
}

// move changes the state. A move that the table does not have is a bug.
func (s *slot) move(to slotState) {
	if !slices.Contains(slotMoves[s.state], to) {
		panic(fmt.Sprintf("spawn: %s goes from %v to %v", s.endpoint.Address, s.state, to))
	}
	s.state = to
	if to == stateEmpty || to == stateWaiting {
		s.number, s.pid = 0, 0
	}
}

// told reports whether the process is to end, or about to be told so.
func (s *slot) told() bool { return s.state == stateLeaving || s.state == stateStopping }

// request describes the next process of the slot.
func (s *slot) request(number uint64) *startRequest {
	c := &s.group.config
	r := &startRequest{
		Process: number, Path: c.Path, Dir: c.Dir, Args: c.Args,
		KillSignal: c.KillSignal, Systemd: c.Systemd,
	}
	for _, variable := range c.Env {
		r.Env = append(r.Env, []byte(variable))
	}
	return r
}

// close gives back the slot's descriptors.
func (s *slot) close() {
	s.listener.Close()
	s.output.close()
}
