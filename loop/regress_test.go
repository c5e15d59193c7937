package loop

import (
	"os"
	"sync"
	"testing"
	"time"
)

// A watchedEngine holds a wake-up up until the engine is stopped, or for a
// moment if that does not come.
type watchedEngine struct {
	engine
	t       *testing.T
	waking  chan struct{} // closed when a wake-up has begun
	stopped chan struct{} // closed when the engine stops
}

func (e *watchedEngine) wake() {
	close(e.waking)
	moment := time.NewTimer(50 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-e.stopped:
		e.t.Error("the engine was stopped during a wake-up: its eventfd may be another file by now")
	case <-moment.C:
		e.engine.wake()
	}
}

func (e *watchedEngine) stop() {
	close(e.stopped)
	e.engine.stop()
}

// A Post that races with Release either comes before it or fails. One that woke
// the loop afterwards would write to a descriptor that is somebody else's.
func TestReleaseWaitsForAWakeUp(t *testing.T) {
	overEngines(t, func(t *testing.T, _ *rig) {
		l, err := New(Config{Engine: "auto", Pin: -1})
		if err != nil {
			t.Fatal(err)
		}
		watched := &watchedEngine{
			engine: l.engine, t: t,
			waking: make(chan struct{}), stopped: make(chan struct{}),
		}
		l.engine = watched
		posted := make(chan error)
		go func() { posted <- l.Post(func() {}) }()
		<-watched.waking
		l.Release()
		if err := <-posted; err != nil {
			t.Errorf("Post, which came first: %v", err)
		}
	})
}

// The same with a real engine: the pipes opened after the end take the eventfd's
// number over, and must stay empty.
func TestPostWritesToNobodyAfterTheEnd(t *testing.T) {
	for range 200 {
		l, err := New(Config{Engine: "auto", Pin: -1})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run() }()
		slots := make(chan struct{}, 1000) // so few that Stop finds room
		var posters sync.WaitGroup
		for range 8 {
			posters.Go(func() {
				for err := error(nil); err == nil; err = l.Post(func() { <-slots }) {
					select {
					case slots <- struct{}{}:
					case <-ended:
						return
					}
				}
			})
		}
		l.Stop()
		<-ended
		var reads, writes [2]*os.File
		for i := range reads {
			if reads[i], writes[i], err = os.Pipe(); err != nil {
				t.Fatal(err)
			}
		}
		posters.Wait()
		for i := range reads {
			writes[i].Close()
			b := make([]byte, 64)
			if n, _ := reads[i].Read(b); n > 0 {
				t.Errorf("%d bytes in a pipe that nobody writes to: % x", n, b[:n])
			}
			reads[i].Close()
		}
	}
}
