package loop

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"wsplice/internal/sys"
)

// A Loop runs the sockets of one CPU core.
//
// Run locks its goroutine to a thread and returns after Stop. Each tick waits
// for the kernel, delivers at most eventsPerTickMax (256) sockets' completions,
// gives those that used up their turn another one, fires due timers and then
// applies messages from other goroutines. The order keeps one busy socket from
// starving the rest.
//
// Now is the monotonic time read once per tick, so that deadlines are late by
// up to one tick and never early.
type Loop struct {
	engine  engine
	refused error // why auto did not take io_uring
	table   table
	wheel   wheel
	start   time.Time
	now     time.Duration
	ticks   uint64
	pin     int // CPU index to bind to, or -1

	blocks blocks // of layered sockets

	posts   []func() // guarded by postsMu
	postsMu sync.Mutex
	woken   bool     // guarded by postsMu: a wake-up is on its way
	spare   []func() // the other slice, reused
	stopped bool
	ending  bool // guarded by postsMu: Stop was called
	closed  bool // guarded by postsMu: the engine is gone, nothing may wake it
}

// Config says how a loop runs.
type Config struct {
	Lend    int    // most bytes lent with one completion; 0 = 64 KiB
	Engine  string // "io_uring", "epoll", or "auto": io_uring where it works
	Sockets int    // how many sockets it may have to hold; 0 = 16,384
	Pin     int    // index of the CPU to bind the thread to, or -1
}

// ErrEngine says that an engine is unknown.
var ErrEngine = errors.New("loop: unknown engine (have: auto, io_uring, epoll)")

// ErrPostsFull says that a loop has postsMax (65,536) messages waiting.
var ErrPostsFull = errors.New("loop: too many messages waiting (max 65536)")

// ErrStopped says that a loop has ended and takes no more messages.
var ErrStopped = errors.New("loop: stopped")

// New prepares a loop. It must then be Run, or Release gives back what it
// holds.
func New(c Config) (*Loop, error) {
	if c.Lend <= 0 || c.Lend > LendMax {
		c.Lend = LendMax
	}
	if c.Sockets <= 0 {
		c.Sockets = socketsUntold
	}
	l := &Loop{start: time.Now(), pin: c.Pin}
	l.wheel.init()
	var err error
	switch c.Engine {
	case "auto":
		if l.engine, l.refused = newUring(l, sizesFor(c.Sockets, c.Lend)); l.refused != nil {
			l.engine, err = newEpoll(l, c.Lend)
		}
	case "io_uring":
		l.engine, err = newUring(l, sizesFor(c.Sockets, c.Lend))
	case "epoll":
		l.engine, err = newEpoll(l, c.Lend)
	default:
		err = ErrEngine
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Engine names the engine that serves the loop. refused says why it is not
// io_uring although the choice was left to the loop.
func (l *Loop) Engine() (name string, refused error) { return l.engine.name(), l.refused }

// EngineMemory returns how many bytes the engine's queues and buffers may take.
func (l *Loop) EngineMemory() int { return l.engine.memory() }

// Run serves the loop until Stop. The calling goroutine keeps its thread for
// ever, since the thread is set up for this: the runtime ends it with the
// goroutine.
func (l *Loop) Run() {
	runtime.LockOSThread()
	// What is refused here costs speed, not correctness. A batch thread does not
	// interrupt who is running when it is woken, so that it finds more to do in
	// one go when it gets its turn: 3% less in echo, 7% in open loop.
	_ = sys.BatchThread()
	if l.pin >= 0 {
		_ = sys.PinThread(l.pin)
	}
	l.readClock()
	for !l.stopped {
		l.engine.wait(l.untilNextTimer())
		l.tick()
	}
	l.Release()
}

// tick works off what a wait found.
func (l *Loop) tick() {
	l.ticks++
	l.readClock()
	l.engine.dispatch()
	l.wheel.advance(uint64(l.now / wheelTick))
	l.runPosts()
}

// Release gives back what a loop holds that is never Run.
func (l *Loop) Release() {
	l.postsMu.Lock()
	l.closed = true
	l.postsMu.Unlock()
	l.engine.stop()
}

// Stop makes Run return after the current tick, however many messages wait.
// Sockets still attached are not closed. It may be called from any goroutine.
func (l *Loop) Stop() {
	l.postsMu.Lock()
	defer l.postsMu.Unlock()
	if l.closed {
		return
	}
	l.ending = true
	l.wakeLocked()
}

// Now returns the time since the loop began, as read at the start of the tick.
func (l *Loop) Now() time.Duration { return l.now }

// Wall returns the wall-clock time that belongs to Now.
func (l *Loop) Wall() time.Time { return l.start.Add(l.now) }

// Clock reads the time that Now tells of anew. It may be called from any
// goroutine.
func (l *Loop) Clock() time.Duration { return time.Since(l.start) }

func (l *Loop) readClock() { l.now = l.Clock() }

// Post runs f on the loop's goroutine soon, in the order of the calls. It may
// be called from any goroutine; the error is ErrPostsFull or ErrStopped. What
// was posted when the loop stops is dropped.
func (l *Loop) Post(f func()) error {
	l.postsMu.Lock()
	if l.closed {
		l.postsMu.Unlock()
		return ErrStopped
	}
	if len(l.posts) >= postsMax {
		l.postsMu.Unlock()
		return ErrPostsFull
	}
	l.posts = append(l.posts, f)
	l.wakeLocked()
	l.postsMu.Unlock()
	return nil
}

// wakeLocked is called with postsMu held: after Release the eventfd's number
// may be another file's.
func (l *Loop) wakeLocked() {
	if !l.woken {
		l.woken = true
		l.engine.wake()
	}
}

func (l *Loop) runPosts() {
	l.postsMu.Lock()
	if !l.woken {
		l.postsMu.Unlock()
		return
	}
	posts := l.posts
	l.posts = l.spare[:0]
	l.woken = false
	l.stopped = l.ending
	l.postsMu.Unlock()
	for i, f := range posts {
		posts[i] = nil
		f()
	}
	l.spare = posts
}

// Arm makes t call owner once after at least d; an armed t is moved.
func (l *Loop) Arm(t *Timer, owner TimerOwner, d time.Duration) {
	t.owner = owner
	l.wheel.arm(t, uint64((l.now+d+wheelTick-1)/wheelTick))
}

// Disarm stops t if it is armed.
func (l *Loop) Disarm(t *Timer) { l.wheel.stop(t) }

func (l *Loop) untilNextTimer() time.Duration {
	tick, ok := l.wheel.nextTick()
	if !ok {
		return -1
	}
	return max(time.Duration(tick)*wheelTick-l.now, 0)
}

// Stats are counters of a loop. They belong to its goroutine.
type Stats struct {
	Ticks   uint64 // times round the loop
	Sockets int    // attached now, the listeners among them
	Timers  int    // armed now
	Stale   uint64 // events for sockets that were gone

	Dry       uint64 // io_uring: receives that found no buffer and were started again
	Overflows uint64 // io_uring: times that completions had to wait for room
}

// Stats returns the loop's counters; call it on the loop's goroutine.
func (l *Loop) Stats() Stats {
	s := Stats{Ticks: l.ticks, Sockets: l.table.open(), Timers: l.wheel.armed, Stale: l.table.stale}
	l.engine.addTo(&s)
	return s
}
