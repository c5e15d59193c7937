package load

import (
	"runtime"
	"sync/atomic"
	"time"

	"wsplice/internal/sys"
)

// A pacer sends the messages of Open at their times. Message n of a run is
// due n/Rate seconds after the pacer's begin and belongs to tunnel n modulo
// their number: each tunnel sends at fixed intervals, and all together
// smoothly.
//
// It has a thread of its own that sleeps in the kernel, because the timers of
// an idle Go process are a millisecond coarse.
type pacer struct {
	r        *run
	tunnels  []*tunnel
	begin    time.Duration // since the run's epoch; written before run
	lateness *histogram
	misses   atomic.Int64
	ended    atomic.Bool // nothing falls due any more
}

func newPacer(r *run, tunnels []*tunnel) *pacer {
	for i, t := range tunnels {
		t.id = uint32(i) // its place in the order of sending
	}
	return &pacer{r: r, tunnels: tunnels, begin: time.Since(r.epoch), lateness: newHistogram()}
}

// intended returns when message number of tunnel id is due, since the run's
// epoch.
func (p *pacer) intended(id, number uint32) time.Duration {
	return p.due(int64(number-1)*int64(len(p.tunnels)) + int64(id))
}

func (p *pacer) due(n int64) time.Duration {
	rate := int64(p.r.config.Rate)
	return p.begin + time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}

// run sends until the run stops, and then lets the tunnels end that have
// nothing unanswered; the others end with their last echo.
func (p *pacer) run() {
	defer p.r.end()
	runtime.LockOSThread() // for good: the thread ends with its timer slack
	if err := sys.SetTimerSlack(time.Microsecond); err != nil {
		p.r.problems.add(err)
	}
	for n := int64(0); p.await(p.due(n)); n++ {
		p.tunnels[n%int64(len(p.tunnels))].onDue(p.due(n))
	}
	p.ended.Store(true)
	defer func() { <-p.r.measured }() // what this thread used ends with it
	for _, t := range p.tunnels {
		t.mu.Lock()
		done, err := t.endIfAnswered()
		t.mu.Unlock()
		if done {
			t.finish(err)
		}
	}
}

// await sleeps until a moment and reports false when the run stopped instead.
func (p *pacer) await(due time.Duration) bool {
	r := p.r
	for !r.in(stopping) {
		now := time.Since(r.epoch)
		left := due - now
		if left > 0 {
			sys.SleepFor(min(max(left, pacerStep), pacerSleepMax))
			continue
		}
		if r.inWindow(due) {
			p.lateness.record(0, -left)
			if -left > pacerLateMax {
				p.misses.Add(1)
			}
		}
		return true
	}
	return false
}

// onDue sends the message whose time has come, unless too many before it are
// unanswered; then it is sent with the echo that makes room.
func (t *tunnel) onDue(at time.Duration) {
	if t.finished.Load() {
		return // counted when it ended
	}
	t.mu.Lock()
	t.due++
	full := t.full()
	var err error
	if !full {
		err = t.sendMessageLocked()
	}
	t.mu.Unlock()
	if full && t.run.inWindow(at) {
		t.run.late.Add(1)
	}
	if err != nil {
		t.finish(err)
		_ = t.conn.Close()
	}
}

// full reports whether as much is unanswered as may be.
func (t *tunnel) full() bool {
	unanswered := int(t.sequence.Load() - t.confirmed)
	return unanswered >= max(1, min(inflightMax, inflightBytesMax/t.run.config.MessageBytes))
}

// onOpenEcho is onEcho of Open.
func (t *tunnel) onOpenEcho(size int64) error {
	t.answered++
	intended := t.run.pacer.intended(t.id, t.answered)
	if t.run.inWindow(intended) {
		t.run.latencies.record(t.id, time.Since(t.run.epoch)-intended)
	}
	t.run.count(1, size)

	t.mu.Lock()
	t.confirmed = t.answered
	var err error
	if t.due != t.sequence.Load() {
		err = t.sendMessageLocked()
	}
	done := false
	if err == nil {
		done, err = t.endIfAnswered()
	}
	t.mu.Unlock()
	if done {
		t.finish(err)
	}
	return err
}

// endIfAnswered says goodbye when nothing falls due any more and all is
// answered, and reports whether it did. The caller holds mu.
func (t *tunnel) endIfAnswered() (done bool, err error) {
	if !t.run.pacer.ended.Load() || t.due != t.confirmed || t.closeSent.Load() {
		return false, nil
	}
	return true, t.sendCloseLocked()
}
