package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a histogram tells apart. Shorter and longer values count as the ends
// of the range.
const (
	latencyMin    = 100 * time.Nanosecond
	latencyMax    = 10 * time.Minute
	latencyDigits = 3 // significant decimal digits: values are known to 0.1%

	// latencyShards is how many histograms share the work of one, so that
	// handlers on different cores seldom wait for one another.
	latencyShards = 4
)

// A histogram counts durations, from any goroutine.
type histogram struct {
	shards [latencyShards]shard
}

type shard struct {
	mu     sync.Mutex // protects values
	values *hdrhistogram.Histogram
}

func newHistogram() *histogram {
	h := &histogram{}
	for i := range h.shards {
		h.shards[i].values = newValues()
	}
	return h
}

func newValues() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(latencyMin), int64(latencyMax), latencyDigits)
}

// record adds one value. Those who record at the same time should have
// different numbers.
func (h *histogram) record(number uint32, d time.Duration) {
	s := &h.shards[number%latencyShards]
	ns := int64(min(max(d, 0), latencyMax))
	s.mu.Lock()
	_ = s.values.RecordValue(ns) // within the range
	s.mu.Unlock()
}

// latency returns the distribution of what was recorded, zero when nothing
// was.
func (h *histogram) latency() Latency {
	all := newValues()
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		all.Merge(s.values)
		s.mu.Unlock()
	}
	if all.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percent float64) time.Duration { return time.Duration(all.ValueAtPercentile(percent)) }
	return Latency{P50: at(50), P99: at(99), P999: at(99.9), Max: time.Duration(all.Max())}
}
