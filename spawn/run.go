package spawn

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// run owns the groups until Close.
func (m *Manager) run() {
	defer close(m.ended)
	tick := time.NewTicker(m.pace.tick)
	defer tick.Stop()
	var demand <-chan time.Time
	for _, g := range m.groups {
		if g.config.Min == 0 && demand == nil {
			ticker := time.NewTicker(m.pace.demand)
			defer ticker.Stop()
			demand = ticker.C
		}
	}
	for {
		var events <-chan event
		if m.link != nil {
			events = m.link.events
		}
		select {
		case e, ok := <-events:
			if ok {
				m.handle(e, time.Now())
			} else {
				m.lost(time.Now())
			}
		case now := <-tick.C:
			m.tick(now)
		case now := <-demand:
			m.wake(now)
		case <-m.due:
			m.wake(time.Now())
		case <-m.quit:
			return
		}
	}
}

// tick does once a second what the load asks for.
func (m *Manager) tick(now time.Time) {
	if m.link == nil && !m.reconnect(now) {
		return
	}
	m.wake(now)
	for _, g := range m.groups {
		m.settle(g, now)
		if s := g.crowded(); s != nil {
			m.start(s, now)
		}
		if s := g.idle(now); s != nil {
			s.move(stateLeaving)
		}
		g.publish()
	}
}

// wake starts processes for those who wait in the queue of a socket that has
// none, and those that are due.
func (m *Manager) wake(now time.Time) {
	if m.link == nil {
		return
	}
	for _, g := range m.groups {
		for _, s := range g.slots {
			switch {
			case s.state == stateEmpty && s.backend.Open() > 0:
				m.start(s, now)
			case s.state != stateWaiting || now.Before(s.due):
			case g.config.Min == 0 && g.open() == 0: // nobody wants it any more
				s.move(stateEmpty)
			default:
				m.start(s, now)
			}
		}
		g.publish()
	}
}

// settle notes who is in use, and decides about processes that are leaving:
// since the last tick nobody was sent to them.
func (m *Manager) settle(g *Group, now time.Time) {
	for _, s := range g.slots {
		busy := s.backend.Open() > 0
		if busy {
			s.used = now
		}
		switch {
		case s.state != stateLeaving:
		case busy:
			s.move(stateRunning)
		default:
			s.move(stateStopping)
			m.send(request{Stop: s.number})
		}
	}
}

// start asks for a process behind a slot's socket.
func (m *Manager) start(s *slot, now time.Time) {
	m.numbers++
	s.move(stateStarting)
	s.number, s.pid, s.started, s.used = m.numbers, 0, now, now
	m.slots[s.number] = s
	err := m.link.wire.send(request{Start: s.request(s.number)}, s.listener, s.output.fd())
	if err != nil {
		delete(m.slots, s.number)
		m.failed(s, err, now)
	}
}

// send asks the supervisor for something. If it is gone, its last event is
// already on the way.
func (m *Manager) send(r request) { _ = m.link.wire.send(r) }

// handle takes note of what became of a process.
func (m *Manager) handle(e event, now time.Time) {
	s := m.slots[e.Process]
	if s == nil {
		return
	}
	if e.PID != 0 {
		if s.pid = e.PID; s.state == stateStarting {
			s.move(stateRunning)
		}
		s.group.counts.begun()
		m.log.Info("backend started", "upstream", s.group.config.Name, "address", s.endpoint.Address, "pid", e.PID)
	} else {
		delete(m.slots, e.Process)
		if e.Failed != "" {
			m.failed(s, errors.New(e.Failed), now)
		} else {
			m.exited(s, e.Exited, now)
		}
	}
	if !m.closing {
		s.group.publish()
	}
}

// failed puts off a process that could not even be started.
func (m *Manager) failed(s *slot, err error, now time.Time) {
	s.failed = err
	s.move(stateWaiting)
	s.group.counts.failures.Add(1)
	wait := m.putOff(s, now)
	if m.serving() { // else Start returns the error
		m.log.Error("backend cannot be started", "upstream", s.group.config.Name, "address", s.endpoint.Address,
			"err", err, "next_try_in", wait)
	}
}

// exited replaces a process that has died: at once when it had lived long, else
// later and later.
func (m *Manager) exited(s *slot, status string, now time.Time) {
	lived := now.Sub(s.started)
	s.group.counts.ended(m.closing || s.told())
	attrs := []any{
		"upstream", s.group.config.Name, "address", s.endpoint.Address, "pid", s.pid,
		"status", status, "after", lived.Round(time.Millisecond),
	}
	if lived >= m.pace.livedLong {
		s.failures = 0
	}
	switch {
	case m.closing:
		m.log.Info("backend ended", attrs...)
	case s.told():
		s.move(stateEmpty)
		m.log.Info("backend ended", attrs...)
	case m.serving() && s.state == stateRunning && lived >= m.pace.livedLong:
		m.log.Warn("backend died", append(attrs, "next_try_in", time.Duration(0))...)
		m.start(s, now)
	default:
		s.failed = fmt.Errorf("it ended at once: %s", status)
		s.move(stateWaiting)
		if wait := m.putOff(s, now); m.serving() {
			m.log.Warn("backend died", append(attrs, "next_try_in", wait)...)
		}
	}
}

// putOff says when a slot that failed is tried again.
func (m *Manager) putOff(s *slot, now time.Time) time.Duration {
	wait := m.pace.backoff
	for range s.failures {
		if wait *= 2; wait >= m.pace.backoffMax {
			wait = m.pace.backoffMax
			break
		}
	}
	s.failures++
	s.wait, s.due = wait, now.Add(wait)
	time.AfterFunc(wait, m.wakeUp)
	return wait
}

// wakeUp has run look for processes that are due. It never waits.
func (m *Manager) wakeUp() {
	select {
	case m.due <- struct{}{}:
	default:
	}
}

// lost ends what a supervisor has left behind that did not end with wsplice.
func (m *Manager) lost(now time.Time) {
	m.log.Error("the supervisor of the backends has ended; all of them are started anew", "backends", len(m.slots))
	for _, s := range m.slots {
		_ = sys.KillGroup(s.pid, syscall.SIGKILL)
		if s.pid != 0 {
			s.group.counts.ended(s.told())
		}
		if s.told() {
			s.move(stateEmpty)
			continue
		}
		s.failed = errors.New("the supervisor has ended")
		s.move(stateWaiting)
		s.wait, s.due = 0, now
	}
	clear(m.slots)
	m.link, m.retry = nil, now.Add(m.pace.backoff)
	for _, g := range m.groups {
		g.publish()
	}
}

// reconnect starts another supervisor, if it is time for that.
func (m *Manager) reconnect(now time.Time) bool {
	if now.Before(m.retry) {
		return false
	}
	if err := m.connect(); err != nil {
		m.retry = now.Add(m.pace.backoffMax)
		m.log.Error("the supervisor of the backends cannot be started", "err", err, "next_try_in", m.pace.backoffMax)
		return false
	}
	return true
}
