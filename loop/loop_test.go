package loop

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func startLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New(Config{Engine: "auto", Pin: -1})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	t.Cleanup(func() { l.Stop(); <-ended })
	return l
}

// Messages from many goroutines all arrive, those of one in their order.
func TestPostFromManyGoroutines(t *testing.T) {
	l := startLoop(t)
	const senders, each = 8, 2000
	next := make([]int, senders)
	var all sync.WaitGroup
	all.Add(senders * each)
	for s := range senders {
		go func() {
			for i := range each {
				for l.Post(func() {
					if next[s] != i {
						t.Errorf("sender %d: message %d came after %d", s, i, next[s])
					}
					next[s]++
					all.Done()
				}) != nil {
					continue
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("messages lost")
	}
}

// A message wakes a loop that waits for ever.
func TestPostWakesAnIdleLoop(t *testing.T) {
	l := startLoop(t)
	for range 100 {
		came := make(chan struct{})
		if err := l.Post(func() { close(came) }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-came:
		case <-time.After(5 * time.Second):
			t.Fatal("not woken")
		}
	}
}

func TestPostAfterTheEnd(t *testing.T) {
	l, err := New(Config{Engine: "auto", Pin: 0})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	l.Stop()
	<-ended
	if err := l.Post(func() {}); !errors.Is(err, ErrStopped) {
		t.Errorf("Post: %v, want ErrStopped", err)
	}
}

func TestPostIsBounded(t *testing.T) {
	l, err := New(Config{Engine: "auto", Pin: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	for range postsMax {
		if err := l.Post(func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Post(func() {}); !errors.Is(err, ErrPostsFull) {
		t.Errorf("Post: %v, want ErrPostsFull", err)
	}
}

func TestUnknownEngine(t *testing.T) {
	if _, err := New(Config{Engine: "kqueue"}); !errors.Is(err, ErrEngine) {
		t.Errorf("New: %v, want ErrEngine", err)
	}
}

// A stop is not lost in a full queue.
func TestStopWithAFullQueue(t *testing.T) {
	l, err := New(Config{Engine: "auto", Pin: -1})
	if err != nil {
		t.Fatal(err)
	}
	for l.Post(func() {}) == nil {
		continue
	}
	l.Stop()
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("still running")
	}
}
