package admission

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// taken takes tokens at one time until there are none, at most n.
func taken(r *Rate, at time.Time, n int) int {
	for i := range n {
		if !r.Take(at) {
			return i
		}
	}
	return n
}

func TestBurstIsOneSecondsWorth(t *testing.T) {
	for _, rate := range []int{1, 3, 7, 1000, 999_999} {
		r, now := NewRate(rate), time.Now()
		if n := taken(r, now, rate+10); n != rate {
			t.Errorf("rate %d: %d at once", rate, n)
		}
		if n := taken(r, now.Add(time.Hour), rate+10); n != rate {
			t.Errorf("rate %d: %d at once an hour later", rate, n)
		}
	}
}

func TestTokensComeBackOneByOne(t *testing.T) {
	r, now := NewRate(4), time.Now()
	taken(r, now, 4)
	for i := range 20 {
		now = now.Add(200 * time.Millisecond)
		if r.Take(now) {
			t.Fatalf("%d: a token after 200ms", i)
		}
		now = now.Add(50 * time.Millisecond)
		if n := taken(r, now, 5); n != 1 {
			t.Fatalf("%d: %d tokens after 250ms", i, n)
		}
	}
	if n := taken(r, now.Add(500*time.Millisecond), 5); n != 2 {
		t.Errorf("%d tokens after 500ms", n)
	}
}

// Callers' clocks are not read at the same moment: who is behind gains nothing,
// and costs nobody else a token.
func TestTimesOutOfOrder(t *testing.T) {
	r, now := NewRate(3), time.Now()
	later := now.Add(time.Millisecond)
	if n := taken(r, later, 2); n != 2 {
		t.Fatalf("%d tokens of 3", n)
	}
	if r.Take(now) {
		t.Error("a token that only comes back later")
	}
	if n := taken(r, later, 2); n != 1 {
		t.Errorf("%d tokens left, want 1", n)
	}
}

func TestNoRate(t *testing.T) {
	for _, rate := range []int{0, -1} {
		if n := taken(NewRate(rate), time.Now(), 10_000); n != 10_000 {
			t.Errorf("rate %d: refused after %d", rate, n)
		}
	}
}

func TestRateFromManyLoops(t *testing.T) {
	const rate = 1000
	r, now := NewRate(rate), time.Now()
	var total atomic.Int64
	var loop sync.WaitGroup
	for range 8 {
		loop.Go(func() { total.Add(int64(taken(r, now, rate))) })
	}
	loop.Wait()
	if total.Load() != rate {
		t.Errorf("%d tokens, want %d", total.Load(), rate)
	}
}

func TestRateDoesNotAllocate(t *testing.T) {
	r, now := NewRate(10), time.Now()
	if n := testing.AllocsPerRun(100, func() { r.Take(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
