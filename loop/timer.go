package loop

import (
	"math/bits"
	"time"
)

// A wheel holds timers in 5 levels of 64 slots: a slot of level 0 is one tick
// (1 ms), one of level n is 64^n ticks. A timer sits in the level its distance
// asks for and moves down as its time comes near, at most four times. Arming
// and stopping cost the same for any number of timers, and a bit per slot lets
// a tick skip everything empty, so that 100,000 armed timers cost a tick nothing
// (TestWheelTickCost).
//
// Timers are late by up to one tick plus the length of the loop's turn, never
// early.
type wheel struct {
	now      uint64 // ticks since the wheel began
	occupied [wheelLevels]uint64
	slots    [wheelLevels][wheelSlots]Timer // heads of circular lists
	armed    int
}

const (
	wheelTick   = time.Millisecond
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 5

	// timerMax is the longest time a timer can be armed for, about 12 days: a
	// longer one fires then, and an owner that wants more time arms it again.
	timerMax = (1<<(wheelBits*wheelLevels) - 1) * wheelTick

	levelNone   = 0xff // not armed
	levelFiring = 0xfe // in the list of those that fire now
)

// TimerOwner is told when a timer it armed is due.
type TimerOwner interface {
	OnTimer(t *Timer)
}

// Timer calls its owner once when it is due. The zero value is not armed. It
// is embedded in its owner and belongs to one loop.
type Timer struct {
	next, prev *Timer
	due        uint64 // tick
	level      uint8
	slot       uint8
	linked     bool
	owner      TimerOwner
}

// Armed reports whether the timer will fire.
func (t *Timer) Armed() bool { return t.linked }

func (w *wheel) init() {
	for level := range w.slots {
		for slot := range w.slots[level] {
			head := &w.slots[level][slot]
			head.next, head.prev = head, head
		}
	}
}

// arm makes t due at tick due; one that is armed already is moved.
func (w *wheel) arm(t *Timer, due uint64) {
	if t.linked {
		w.stop(t)
	}
	most := w.now + uint64(timerMax/wheelTick)
	t.due = min(max(due, w.now+1), most)
	w.armed++
	w.place(t)
}

// place links t into the slot that its distance asks for.
func (w *wheel) place(t *Timer) {
	distance := t.due - w.now
	level := 0
	for distance >= 1<<(wheelBits*(level+1)) {
		level++
	}
	slot := t.due >> (wheelBits * level) & (wheelSlots - 1)
	t.level, t.slot = uint8(level), uint8(slot)
	w.occupied[level] |= 1 << slot
	link(&w.slots[level][slot], t)
}

// stop unlinks t if it is armed.
func (w *wheel) stop(t *Timer) {
	if !t.linked {
		return
	}
	unlink(t)
	w.armed--
	if t.level < wheelLevels {
		if head := &w.slots[t.level][t.slot]; head.next == head {
			w.occupied[t.level] &^= 1 << t.slot
		}
	}
	t.level = levelNone
}

// nextTick returns the first tick after now at which a slot must be looked at, or
// false when no timer is armed.
func (w *wheel) nextTick() (uint64, bool) {
	best, found := uint64(0), false
	for level, occupied := range w.occupied {
		if occupied == 0 {
			continue
		}
		at := w.now >> (wheelBits * level)
		turned := bits.RotateLeft64(occupied, -int((at+1)&(wheelSlots-1)))
		tick := (at + 1 + uint64(bits.TrailingZeros64(turned))) << (wheelBits * level)
		if !found || tick < best {
			best, found = tick, true
		}
	}
	return best, found
}

// advance moves the wheel to tick to and fires what is due.
func (w *wheel) advance(to uint64) {
	for w.now < to {
		tick, found := w.nextTick()
		if !found || tick > to {
			w.now = to
			return
		}
		w.now = tick
		for level := wheelLevels - 1; level > 0; level-- {
			if tick&(1<<(wheelBits*level)-1) == 0 {
				w.moveDown(level, int(tick>>(wheelBits*level)&(wheelSlots-1)))
			}
		}
		w.fire(int(tick & (wheelSlots - 1)))
	}
}

// moveDown spreads a slot that has come near over the levels below.
func (w *wheel) moveDown(level, slot int) {
	head := &w.slots[level][slot]
	w.occupied[level] &^= 1 << slot
	for head.next != head {
		t := head.next
		unlink(t)
		w.place(t)
	}
}

// fire calls the owners of one slot of level 0. They may arm and stop any
// timer meanwhile, also one that is in this slot.
func (w *wheel) fire(slot int) {
	head := &w.slots[0][slot]
	if head.next == head {
		return
	}
	w.occupied[0] &^= 1 << slot
	var due Timer
	due.next, due.prev = &due, &due
	for head.next != head {
		t := head.next
		unlink(t)
		t.level = levelFiring
		link(&due, t)
	}
	for due.next != &due {
		t := due.next
		unlink(t)
		t.level = levelNone
		w.armed--
		t.owner.OnTimer(t)
	}
}

func link(head, t *Timer) {
	t.next, t.prev = head, head.prev
	head.prev.next = t
	head.prev = t
	t.linked = true
}

func unlink(t *Timer) {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	t.linked = false
}
