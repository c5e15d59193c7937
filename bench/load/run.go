package load

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/bench/procstat"
)

// A Scenario says what the tunnels do.
type Scenario string

// The scenarios.
const (
	Echo Scenario = "echo" // one message at a time per tunnel, sent again when it is back
	Down Scenario = "down" // reads what a source backend sends
	Up   Scenario = "up"   // sends frames to a sink backend without pause
	Idle Scenario = "idle" // opens tunnels and holds them until the context ends
)

// Config describes a run.
type Config struct {
	Scenario     Scenario
	Address      string        // host:port of the proxy or backend
	Tunnels      int           // 1 to 60,000
	MessageBytes int           // payload of a message or frame, 1 B to 16 MiB; ignored when idle
	Warmup       time.Duration // between opening and the window
	Window       time.Duration // what is measured

	// Watch names processes whose CPU time is read at both ends of the
	// window.
	Watch map[string][]int

	// OnOpen, if set, is called once when all tunnels are open or failed.
	OnOpen func(open int, errors int64)
}

func (c *Config) check() error {
	switch c.Scenario {
	case Echo, Down, Up, Idle:
	default:
		return fmt.Errorf("load: scenario %q is none of echo, down, up, idle", c.Scenario)
	}
	if c.Tunnels < 1 || c.Tunnels > tunnelsMax {
		return fmt.Errorf("load: %d tunnels, must be 1 to %d", c.Tunnels, tunnelsMax)
	}
	if c.Scenario != Idle && (c.MessageBytes < 1 || c.MessageBytes > messageBytesMax) {
		return fmt.Errorf("load: messages of %d bytes, must be 1 to %d", c.MessageBytes, messageBytesMax)
	}
	return nil
}

// stage is where a run stands; it only moves forward.
type stage int32

const (
	warming   stage = iota // traffic flows, nothing is counted
	measuring              // the window
	stopping               // tunnels finish what is under way and close
)

// A run is what all tunnels of one run share.
type run struct {
	config    Config
	stage     atomic.Int32
	messages  atomic.Int64
	bytes     atomic.Int64
	latencies histogram
	busy      sync.WaitGroup // tunnels with something under way
	problems  problems
	upFrames  [][]byte // what bulk senders send, read only
}

func (r *run) in(s stage) bool { return stage(r.stage.Load()) == s }

// count adds one message or frame of n bytes when the window is open.
func (r *run) count(messages, bytes int64) {
	if r.in(measuring) {
		r.messages.Add(messages)
		r.bytes.Add(bytes)
	}
}

// Run opens the tunnels, drives them and returns what happened. Errors of
// single tunnels are counted in the result; Run itself fails when the
// configuration is wrong, when no tunnel opened, when ctx ended before the
// window did, or when a watched process is gone.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	r := &run{config: c}
	if c.Scenario == Up {
		r.upFrames = maskedFrames(c.MessageBytes)
	}
	tunnels := r.openAll(ctx)
	defer closeAll(tunnels)
	if len(tunnels) == 0 {
		return nil, fmt.Errorf("load: no tunnel opened: %v", r.problems.list())
	}
	for _, t := range tunnels {
		r.busy.Add(1)
		t.start()
	}
	if c.OnOpen != nil {
		c.OnOpen(len(tunnels), r.problems.count())
	}
	if c.Scenario == Idle {
		<-ctx.Done()
		r.stage.Store(int32(stopping))
		return r.result(0), nil
	}
	res, err := r.measure(ctx)
	r.stage.Store(int32(stopping))
	r.settle(tunnels)
	if err != nil {
		return nil, err
	}
	res.Errors, res.ErrorTexts = r.problems.count(), r.problems.list()
	return res, nil
}

// measure waits for the warm-up, opens the window, and closes it.
func (r *run) measure(ctx context.Context) (*Result, error) {
	if err := wait(ctx, r.config.Warmup); err != nil {
		return nil, err
	}
	before, err := r.sample()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	r.stage.Store(int32(measuring))
	if err := wait(ctx, r.config.Window); err != nil {
		return nil, err
	}
	r.stage.Store(int32(stopping))
	window := time.Since(begin)
	after, err := r.sample()
	if err != nil {
		return nil, err
	}
	res := r.result(window)
	res.Machine = after.machine - before.machine
	for label := range after.cpu {
		res.CPU[label] = after.cpu[label].Sub(before.cpu[label])
	}
	return res, nil
}

func (r *run) result(window time.Duration) *Result {
	return &Result{
		Scenario:     r.config.Scenario,
		Tunnels:      r.config.Tunnels,
		MessageBytes: r.config.MessageBytes,
		Window:       window,
		Messages:     r.messages.Load(),
		Bytes:        r.bytes.Load(),
		Latency:      r.latencies.latency(),
		Errors:       r.problems.count(),
		ErrorTexts:   r.problems.list(),
		CPU:          map[string]procstat.CPU{},
	}
}

// A sample is the CPU time of the watched processes at one moment.
type sample struct {
	cpu     map[string]procstat.CPU
	machine time.Duration
}

func (r *run) sample() (sample, error) {
	s := sample{cpu: map[string]procstat.CPU{}}
	for label, pids := range r.config.Watch {
		cpu, err := procstat.Of(pids...)
		if err != nil {
			return s, fmt.Errorf("load: watch %s: %w", label, err)
		}
		s.cpu[label] = cpu
	}
	var err error
	if s.cpu["load"], err = procstat.Of(os.Getpid()); err != nil {
		return s, err
	}
	s.machine, err = procstat.Machine()
	return s, err
}

// settle waits until no tunnel has anything under way; those that are not
// done in time are counted.
func (r *run) settle(tunnels []*tunnel) {
	done := make(chan struct{})
	go func() {
		r.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(settleTimeout):
		left := 0
		for _, t := range tunnels {
			if !t.finished.Load() {
				left++
			}
		}
		r.problems.add(fmt.Errorf("%d tunnels did not finish within %v", left, settleTimeout))
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
