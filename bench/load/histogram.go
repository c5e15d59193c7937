package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets grow with the value: each power of two is cut into subBuckets, so a
// value is known to 1/subBuckets of itself, 1.6%.
const (
	subBucketBits = 6
	subBuckets    = 1 << subBucketBits
	histogramMax  = 1<<40 - 1 // ns, 18 minutes; longer values count as this
	bucketCount   = (40 - subBucketBits + 1) * subBuckets
)

// A histogram counts durations, from any goroutine.
type histogram struct {
	counts [bucketCount]atomic.Uint32
	maxNs  atomic.Int64
}

// record adds one value.
func (h *histogram) record(d time.Duration) {
	ns := min(max(int64(d), 0), histogramMax)
	h.counts[bucketOf(ns)].Add(1)
	for {
		longest := h.maxNs.Load()
		if ns <= longest || h.maxNs.CompareAndSwap(longest, ns) {
			return
		}
	}
}

// bucketOf returns the index of the bucket that holds ns.
func bucketOf(ns int64) int {
	exponent := bits.Len64(uint64(ns)) - subBucketBits - 1
	if exponent < 0 {
		return int(ns)
	}
	return exponent*subBuckets + int(ns>>exponent)
}

// bucketTop returns the largest value of a bucket, in ns.
func bucketTop(bucket int) int64 {
	exponent := bucket/subBuckets - 1
	if exponent < 0 {
		return int64(bucket)
	}
	return (int64(bucket-exponent*subBuckets)+1)<<exponent - 1
}

// total returns how many values were recorded.
func (h *histogram) total() int64 {
	var n int64
	for i := range h.counts {
		n += int64(h.counts[i].Load())
	}
	return n
}

// quantile returns the smallest duration that at least q (0 to 1) of the
// values do not exceed, up to the width of a bucket.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(1, int64(math.Ceil(q*float64(h.total()))))
	var seen int64
	for i := range h.counts {
		if seen += int64(h.counts[i].Load()); seen >= rank {
			return time.Duration(min(bucketTop(i), h.maxNs.Load()))
		}
	}
	return 0
}
