package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramBucketsAreContiguous(t *testing.T) {
	for b := 1; b < bucketCount; b++ {
		if got := bucketOf(bucketTop(b - 1)); got != b-1 {
			t.Fatalf("top of bucket %d is in bucket %d", b-1, got)
		}
		if got := bucketOf(bucketTop(b-1) + 1); got != b {
			t.Fatalf("value after bucket %d is in bucket %d", b-1, got)
		}
	}
	if got := bucketOf(histogramMax); got != bucketCount-1 {
		t.Fatalf("the longest value is in bucket %d of %d", got, bucketCount)
	}
}

func TestHistogramQuantilesWithinABucket(t *testing.T) {
	var h histogram
	values := make([]time.Duration, 10_000)
	for i := range values {
		values[i] = time.Duration(rand.ExpFloat64() * float64(time.Millisecond))
		h.record(values[i])
	}
	slices.Sort(values)
	for _, q := range []float64{0.5, 0.99, 0.999, 1} {
		want := values[int(q*float64(len(values)))-1]
		if got := h.quantile(q); got < want || got > want+want/subBuckets+1 {
			t.Errorf("quantile %v = %v, want %v to 1.6%% above", q, got, want)
		}
	}
	if h.total() != int64(len(values)) {
		t.Errorf("total %d", h.total())
	}
}

func TestHistogramTakesAnyValue(t *testing.T) {
	var h histogram
	h.record(-time.Second)
	h.record(24 * time.Hour)
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of -1s and a day = %v, want 0", got)
	}
}
