package health

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/pool"
)

// A Kind is a way to ask a server.
type Kind uint8

const (
	// TCP connects.
	TCP Kind = iota
	// HTTP sends a GET; an answer of 200 to 399 passes. Redirects are not
	// followed.
	HTTP
	// WebSocket opens a WebSocket (RFC 6455 section 4), sends a ping, which a
	// pong must answer (section 5.5.3), and closes it.
	WebSocket
)

// A Check says how a server is asked, and when its answer counts.
type Check struct {
	Kind     Kind
	Path     string        // of HTTP and WebSocket: an absolute path, with a query or not
	Interval time.Duration // from the start of a check to that of the next, ± 1/8; positive
	Timeout  time.Duration // of a whole check; positive
	Rise     int           // passed in a row, that make an unhealthy server healthy; positive
	Fall     int           // failed in a row, that make a healthy one unhealthy; positive
}

// A Target is a server that is checked. Upstream is the name for log and
// metrics.
type Target struct {
	Upstream string
	Server   *pool.Server
	Check    Check
}

// A Budget counts descriptors. A check takes one.
type Budget interface {
	Take(n int) bool
	Give(n int)
}

// A Monitor checks its targets until it is closed. Its methods may be called
// from any goroutine.
type Monitor struct {
	budget  Budget
	log     *slog.Logger
	watches []*watch
	slots   chan struct{} // holds one for each check that runs
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // checks that run, and timers that will start one

	mu     sync.Mutex // guards closed and the timers of watches
	closed bool
}

// New returns a Monitor that does nothing until Start. The error is that of a
// path that is none.
func New(targets []Target, budget Budget, log *slog.Logger) (*Monitor, error) {
	m := &Monitor{budget: budget, log: log, slots: make(chan struct{}, checksAtOnceMax)}
	for _, t := range targets {
		p, err := newProbe(t)
		if err != nil {
			return nil, err
		}
		w := &watch{monitor: m, target: t, probe: p, standing: standing{healthy: true}}
		w.healthy.Store(true)
		m.watches = append(m.watches, w)
	}
	return m, nil
}

// Start begins to check all servers at once, as far as checksAtOnceMax allows;
// the later checks are spread over the interval. A server counts as healthy
// until its first check has failed.
func (m *Monitor) Start() {
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, w := range m.watches {
		w.arm(0)
	}
}

// Close ends the checks that run, and returns when none does. It follows Start.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	for _, w := range m.watches {
		if w.timer.Stop() {
			m.running.Done()
		}
	}
	m.mu.Unlock()
	m.cancel()
	m.running.Wait()
}

// A Report is what is known of a server.
type Report struct {
	Upstream, Server        string
	Healthy                 bool
	Passed, Failed, Skipped uint64 // checks; skipped are those that wsplice had no descriptor or port for
}

// Reports returns one Report for each target, in their order.
func (m *Monitor) Reports() []Report {
	list := make([]Report, 0, len(m.watches))
	for _, w := range m.watches {
		list = append(list, Report{
			Upstream: w.target.Upstream, Server: w.target.Server.Name(), Healthy: w.healthy.Load(),
			Passed: w.passed.Load(), Failed: w.failed.Load(), Skipped: w.skipped.Load(),
		})
	}
	return list
}

// A watch is the checking of one server. A check owns it while it runs; what
// Reports reads is atomic.
type watch struct {
	monitor  *Monitor
	target   Target
	probe    *probe
	standing standing
	begun    bool        // a check has run
	timer    *time.Timer // starts the next check; guarded by Monitor.mu

	healthy                 atomic.Bool
	passed, failed, skipped atomic.Uint64
}

// arm starts a check after d, unless the monitor was closed.
func (w *watch) arm(d time.Duration) {
	m := w.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.running.Add(1)
	w.timer = time.AfterFunc(d, w.check)
}

// check runs once, in a goroutine of its timer.
func (w *watch) check() {
	m := w.monitor
	defer m.running.Done()
	select {
	case m.slots <- struct{}{}:
	case <-m.ctx.Done():
		return
	}
	start := time.Now()
	err := w.ask()
	<-m.slots
	if m.ctx.Err() != nil {
		return // it says nothing about the server
	}
	w.note(err)
	w.arm(max(w.pause()-time.Since(start), 0))
}

// ask makes one check, with a descriptor from the budget.
func (w *watch) ask() error {
	m := w.monitor
	if !m.budget.Take(1) {
		return errShortage
	}
	defer m.budget.Give(1)
	ctx, cancel := context.WithTimeout(m.ctx, w.target.Check.Timeout)
	defer cancel()
	return w.probe.run(ctx)
}

// pause is the time from the start of a check to that of the next. Behind the
// first, with which all servers begin together, it spreads them.
func (w *watch) pause() time.Duration {
	interval := w.target.Check.Interval
	if !w.begun {
		w.begun = true
		return rand.N(interval)
	}
	return interval - interval/jitterParts + rand.N(interval/(jitterParts/2)+1)
}

// note takes the result of a check.
func (w *watch) note(err error) {
	switch {
	case shortage(err):
		w.skipped.Add(1)
		return
	case err == nil:
		w.passed.Add(1)
	default:
		w.failed.Add(1)
	}
	check := &w.target.Check
	if !w.standing.note(err == nil, check.Rise, check.Fall) {
		return
	}
	healthy := w.standing.healthy
	w.healthy.Store(healthy)
	w.target.Server.SetHealthy(healthy)
	who := []any{"upstream", w.target.Upstream, "server", w.target.Server.Name()}
	if healthy {
		w.monitor.log.Info("server is healthy", append(who, "checks_passed", check.Rise)...)
		return
	}
	w.monitor.log.Warn("server is unhealthy", append(who, "because", w.probe.reason(err))...)
}

// A standing remembers the results of checks. It turns when as many in a row
// as rise or fall say speak against it. The first result of all turns it at
// once: nothing speaks for a server that was never asked.
type standing struct {
	healthy bool
	known   bool
	against int // results in a row
}

// note reports whether the result turned s.
func (s *standing) note(passed bool, rise, fall int) (turned bool) {
	first := !s.known
	s.known = true
	if passed == s.healthy {
		s.against = 0
		return false
	}
	s.against++
	needed := fall
	if passed {
		needed = rise
	}
	if s.against < needed && !first {
		return false
	}
	s.healthy, s.against = passed, 0
	return true
}

// errShortage is a check that was not made for want of a descriptor.
var errShortage = errors.New("health: no descriptor left for a check")
