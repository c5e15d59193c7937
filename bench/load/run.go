package load

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/bench/procstat"
)

// stage is where a run stands; it only moves forward.
type stage int32

const (
	warming   stage = iota // traffic flows, nothing is counted
	measuring              // the window
	stopping               // tunnels finish what is under way and close
)

// A run is what all tunnels of one run share.
type run struct {
	config Config
	dialer *dialer
	stage  atomic.Int32
	epoch  time.Time // what the times of a window are counted from

	// The window's ends, in ns since epoch. Written by measure.
	windowBegin, windowEnd atomic.Int64

	messages    atomic.Int64
	bytes       atomic.Int64
	sent        atomic.Int64 // of bytes, those that went up
	connections atomic.Int64
	late        atomic.Int64
	latencies   *histogram
	upgrades    *histogram

	measured chan struct{}  // closed when the window has been sampled
	busy     sync.WaitGroup // tunnels with something under way
	left     atomic.Int64   // how many those are
	problems problems

	security   *security              // nil = none
	negotiated atomic.Pointer[string] // what TLS sessions have in common
	primed     atomic.Bool            // there is a session to resume
	resumed    atomic.Int64           // sessions, in the window

	upFrames [][]byte // what bulk senders send, read only
	pacer    *pacer   // of Open
}

func newRun(c Config) (*run, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	d, err := newDialer(c.Address, c.Sources)
	if err != nil {
		return nil, err
	}
	if c.patience == 0 {
		c.patience = cycleTimeout
	}
	r := &run{
		config: c, dialer: d, epoch: time.Now(), measured: make(chan struct{}),
		latencies: newHistogram(), upgrades: newHistogram(),
	}
	if r.security, err = newSecurity(r); err != nil {
		return nil, err
	}
	r.windowBegin.Store(math.MaxInt64)
	r.windowEnd.Store(math.MaxInt64)
	if c.Scenario == Up || c.Scenario == Both {
		r.upFrames = maskedFrames(c.MessageBytes)
	}
	return r, nil
}

func (r *run) in(s stage) bool { return stage(r.stage.Load()) == s }

// begin and end bracket what settle waits for.
func (r *run) begin() {
	r.left.Add(1)
	r.busy.Add(1)
}

func (r *run) end() {
	r.left.Add(-1)
	r.busy.Done()
}

// count adds one message or frame of n bytes when the window is open.
func (r *run) count(messages, bytes int64) {
	if r.in(measuring) {
		r.messages.Add(messages)
		r.bytes.Add(bytes)
	}
}

// inWindow reports whether a moment, given since epoch, lies in the window,
// as far as that is known by now.
func (r *run) inWindow(at time.Duration) bool {
	return int64(at) >= r.windowBegin.Load() && int64(at) < r.windowEnd.Load()
}

// Run opens the tunnels, drives them and returns what happened. Errors of
// single tunnels are counted in the result; Run itself fails when the
// configuration is wrong, when no tunnel opened, when ctx ended before the
// window did, or when a watched process is gone.
func Run(ctx context.Context, c Config) (*Result, error) {
	r, err := newRun(c)
	if err != nil {
		return nil, err
	}
	switch c.Scenario {
	case Churn:
		return r.runChurn(ctx)
	case Storm:
		return r.runStorm(ctx)
	}
	return r.runTunnels(ctx)
}

// runTunnels is for the scenarios whose tunnels stay.
func (r *run) runTunnels(ctx context.Context) (*Result, error) {
	does := r.config.Scenario
	if r.config.Burst != nil {
		does = burst
	}
	tunnels, idlers := r.openAll(ctx, r.config.Tunnels, does), r.openAll(ctx, r.config.Idlers, Idle)
	defer closeAll(tunnels)
	defer closeAll(idlers)
	if len(tunnels) == 0 {
		return nil, fmt.Errorf("load: no tunnel opened: %v", r.problems.list())
	}
	if r.config.Scenario == Open {
		r.pacer = newPacer(r, tunnels)
	}
	for _, list := range [][]*tunnel{tunnels, idlers} {
		for _, t := range list {
			r.begin()
			t.start()
		}
	}
	if r.pacer != nil {
		r.begin()
		go r.pacer.run()
	}
	if r.config.OnOpen != nil {
		r.config.OnOpen(len(tunnels)+len(idlers), r.problems.count())
	}
	if r.config.Scenario == Idle {
		r.hold(ctx, tunnels)
		r.stage.Store(int32(stopping))
		return r.result(), nil
	}
	spent, err := r.measure(ctx)
	for _, t := range idlers {
		t.finish(nil)
	}
	r.settle()
	if err != nil {
		return nil, err
	}
	return r.resultWith(spent), nil
}

// hold keeps tunnels until ctx ends, with one burst of traffic where that is asked
// for.
func (r *run) hold(ctx context.Context, tunnels []*tunnel) {
	select {
	case <-r.config.Burst:
		r.burst(tunnels)
		r.config.OnBurst(r.problems.count())
	case <-ctx.Done():
	}
	<-ctx.Done()
}

// spending is what a window took.
type spending struct {
	window  time.Duration
	cpu     map[string]procstat.CPU
	machine time.Duration
}

// measure waits for the warm-up, opens the window, closes it, and stops the
// run, whatever happens.
func (r *run) measure(ctx context.Context) (*spending, error) {
	defer close(r.measured)
	defer r.stage.Store(int32(stopping))
	if err := wait(ctx, r.config.Warmup); err != nil {
		return nil, err
	}
	before, err := r.sample()
	if err != nil {
		return nil, err
	}
	begin := time.Since(r.epoch)
	r.windowBegin.Store(int64(begin))
	r.stage.Store(int32(measuring))
	if err := wait(ctx, r.config.Window); err != nil {
		return nil, err
	}
	// As at the beginning: so what the reading takes is in neither or in both, and
	// nobody has been told yet to end.
	after, err := r.sample()
	if err != nil {
		return nil, err
	}
	r.stage.Store(int32(stopping))
	end := time.Since(r.epoch)
	r.windowEnd.Store(int64(end))
	return after.since(before, end-begin), nil
}

func (r *run) result() *Result {
	res := &Result{
		Scenario:     r.config.Scenario,
		Tunnels:      r.config.Tunnels,
		MessageBytes: r.config.MessageBytes,
		Rate:         r.config.Rate,
		Idlers:       r.config.Idlers,
		Messages:     r.messages.Load(),
		Bytes:        r.bytes.Load(),
		Connections:  r.connections.Load(),
		Latency:      r.latencies.latency(),
		Upgrade:      r.upgrades.latency(),
		Late:         r.late.Load(),
		Errors:       r.problems.count(),
		ErrorTexts:   r.problems.list(),
		CPU:          map[string]procstat.CPU{},
	}
	res.Resumed = r.resumed.Load()
	if text := r.negotiated.Load(); text != nil {
		res.TLS = *text
	}
	if r.pacer != nil {
		res.Pacer, res.PacerMisses = r.pacer.lateness.latency(), r.pacer.misses.Load()
	}
	return res
}

func (r *run) resultWith(s *spending) *Result {
	res := r.result()
	res.Window, res.CPU, res.Machine = s.window, s.cpu, s.machine
	return res
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
	for label, pids := range r.config.WatchTrees {
		for _, pid := range pids {
			cpu, err := procstat.OfTree(pid)
			if err != nil {
				return s, fmt.Errorf("load: watch %s: %w", label, err)
			}
			s.cpu[label] = s.cpu[label].Add(cpu)
		}
	}
	var err error
	if s.cpu["load"], err = procstat.Of(os.Getpid()); err != nil {
		return s, err
	}
	s.machine, err = procstat.Machine()
	return s, err
}

// spentSince samples again and returns the difference.
func (r *run) spentSince(before sample, window time.Duration) (*spending, error) {
	after, err := r.sample()
	if err != nil {
		return nil, err
	}
	return after.since(before, window), nil
}

// since returns what was spent in a window between two samples.
func (s sample) since(before sample, window time.Duration) *spending {
	spent := &spending{window: window, cpu: map[string]procstat.CPU{}, machine: s.machine - before.machine}
	for label := range s.cpu {
		spent.cpu[label] = s.cpu[label].Sub(before.cpu[label])
	}
	return spent
}

// settle waits until no tunnel has anything under way; those that are not
// done in time are counted.
func (r *run) settle() {
	done := make(chan struct{})
	go func() {
		r.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(settleTimeout):
		r.problems.add(fmt.Errorf("%d tunnels did not finish within %v", r.left.Load(), settleTimeout))
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
