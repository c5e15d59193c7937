package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// probe notes when its timer fired.
type probe struct {
	timer Timer
	wheel *wheel
	due   uint64
	fired []uint64
	then  func(p *probe)
}

func (p *probe) OnTimer(*Timer) {
	p.fired = append(p.fired, p.wheel.now)
	if p.then != nil {
		p.then(p)
	}
}

func newWheel() *wheel {
	w := new(wheel)
	w.init()
	return w
}

func (p *probe) arm(w *wheel, due uint64) {
	p.wheel, p.due, p.timer.owner = w, due, p
	w.arm(&p.timer, due)
}

// Timers fire at their tick, whatever their distance and however the wheel is
// advanced.
func TestWheelFiresInTime(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w := newWheel()
	w.advance(random.Uint64N(1 << 20))
	probes := make([]probe, 20000)
	var last uint64
	for i := range probes {
		distance := 1 + random.Uint64N(1<<(1+random.Uint64N(26)))
		probes[i].arm(w, w.now+distance)
		last = max(last, w.now+distance)
	}
	for w.now < last {
		to := min(w.now+1+random.Uint64N(1<<random.Uint64N(22)), last)
		w.advance(to)
	}
	for i := range probes {
		p := &probes[i]
		if len(p.fired) != 1 || p.fired[0] != p.due {
			t.Fatalf("timer due at %d fired at %v", p.due, p.fired)
		}
	}
	if w.armed != 0 || w.occupied != [wheelLevels]uint64{} {
		t.Errorf("left: %d armed, occupied %v", w.armed, w.occupied)
	}
}

func TestWheelStopAndMove(t *testing.T) {
	w := newWheel()
	var stopped, moved, never probe
	stopped.arm(w, 100)
	moved.arm(w, 100)
	moved.arm(w, 5000)
	w.stop(&stopped.timer)
	w.stop(&never.timer)
	w.advance(4999)
	if len(stopped.fired)+len(moved.fired) != 0 {
		t.Errorf("fired early: stopped %v, moved %v", stopped.fired, moved.fired)
	}
	w.advance(6000)
	if len(stopped.fired) != 0 || len(moved.fired) != 1 || moved.timer.Armed() {
		t.Errorf("stopped %v, moved %v", stopped.fired, moved.fired)
	}
}

// Owners may arm and stop any timer from within, also one of the same tick.
func TestWheelChangesFromWithin(t *testing.T) {
	w := newWheel()
	var a, b, c probe
	a.then = func(*probe) { w.stop(&b.timer); c.arm(w, w.now+1) }
	b.then = func(*probe) { w.stop(&a.timer); c.arm(w, w.now+1) }
	a.arm(w, 70)
	b.arm(w, 70)
	w.advance(200)
	if len(a.fired)+len(b.fired) != 1 {
		t.Errorf("a fired %v, b fired %v: want one of them", a.fired, b.fired)
	}
	if len(c.fired) != 1 || c.fired[0] != 71 {
		t.Errorf("c fired at %v, want 71", c.fired)
	}
	var again probe
	again.then = func(p *probe) {
		if len(p.fired) < 3 {
			p.arm(w, w.now+10)
		}
	}
	again.arm(w, 300)
	w.advance(1000)
	if len(again.fired) != 3 || again.fired[2] != 320 {
		t.Errorf("re-armed timer fired at %v", again.fired)
	}
}

// Beyond the wheel's range a timer fires at the range's end.
func TestWheelRange(t *testing.T) {
	w := newWheel()
	var p probe
	p.arm(w, 1<<60)
	w.advance(uint64(timerMax / wheelTick))
	if len(p.fired) != 1 {
		t.Error("not fired at the end of the range")
	}
}

// 100,000 armed timers must not make a tick dearer.
func TestWheelTickCost(t *testing.T) {
	cost := func(timers int) time.Duration {
		w := newWheel()
		probes := make([]probe, timers)
		for i := range probes {
			probes[i].arm(w, 1_000_000+uint64(i))
		}
		best := time.Hour
		for range 20 {
			begin := time.Now()
			for range 1000 {
				w.nextTick()
				w.advance(w.now + 1)
			}
			best = min(best, time.Since(begin))
		}
		return best / 1000
	}
	none, many := cost(0), cost(100_000)
	t.Logf("a tick costs %v with no timer, %v with 100,000", none, many)
	if many > none+time.Microsecond {
		t.Errorf("a tick costs %v with 100,000 timers, %v with none", many, none)
	}
}

func TestLoopTimerIsNeverEarly(t *testing.T) {
	r := newRig(t, "epoll")
	for _, d := range []time.Duration{time.Microsecond, time.Millisecond, 7 * time.Millisecond, 23 * time.Millisecond} {
		p := &loopProbe{}
		r.readClock()
		armed := time.Now()
		r.Arm(&p.timer, p, d)
		for !p.fired {
			r.engine.wait(r.untilNextTimer())
			r.tick()
		}
		if took := time.Since(armed); took < d {
			t.Errorf("armed for %v, fired after %v", d, took)
		}
	}
}

type loopProbe struct {
	timer Timer
	fired bool
}

func (p *loopProbe) OnTimer(*Timer) { p.fired = true }

func BenchmarkWheelArmAndStop(b *testing.B) {
	w := newWheel()
	var p probe
	for i := range b.N {
		p.arm(w, w.now+30_000+uint64(i&1023))
		w.stop(&p.timer)
	}
}
