package splice

import "sync/atomic"

// Budget shares the descriptors of the process between tunnels, which reserve
// theirs before they are accepted, and pipes, which live off the surplus. It
// is safe from any goroutine.
type Budget struct {
	limit    int64
	pipesMax int64
	used     atomic.Int64
	pipes    atomic.Int64
}

// NewBudget returns a budget of descriptors, of which pipes may take two for
// each of at most pipesMax; 0 means as many as the surplus gives.
func NewBudget(descriptors, pipesMax int) *Budget {
	b := &Budget{limit: int64(descriptors), pipesMax: int64(pipesMax)}
	if pipesMax <= 0 {
		b.pipesMax = int64(descriptors)
	}
	return b
}

// Take reserves n descriptors, or reports that they are not there.
func (b *Budget) Take(n int) bool { return b.take(int64(n), b.limit) }

func (b *Budget) take(n, limit int64) bool {
	for {
		used := b.used.Load()
		if used+n > limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Give returns n descriptors.
func (b *Budget) Give(n int) {
	if b.used.Add(int64(-n)) < 0 {
		panic("splice: more descriptors given back than were taken")
	}
}

// Left returns how many descriptors can still be reserved.
func (b *Budget) Left() int { return int(b.limit - b.used.Load()) }

// Pipes returns how many pipes are open.
func (b *Budget) Pipes() int { return int(b.pipes.Load()) }

func (b *Budget) takePipe() bool {
	if b.pipes.Add(1) > b.pipesMax || !b.take(2, b.limit-pipeHeadroom) {
		b.pipes.Add(-1)
		return false
	}
	return true
}

func (b *Budget) givePipe() {
	b.pipes.Add(-1)
	b.Give(2)
}
