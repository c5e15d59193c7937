package load

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestHistogramQuantilesWithinPrecision(t *testing.T) {
	h := newHistogram()
	values := make([]time.Duration, 10_000)
	for i := range values {
		values[i] = time.Duration(rand.ExpFloat64() * float64(time.Millisecond))
	}
	var recorders sync.WaitGroup
	for i, part := range slices.Collect(slices.Chunk(values, 1000)) {
		recorders.Go(func() {
			for _, v := range part {
				h.record(uint32(i), v)
			}
		})
	}
	recorders.Wait()
	slices.Sort(values)
	got := h.latency()
	for q, d := range map[float64]time.Duration{0.5: got.P50, 0.99: got.P99, 0.999: got.P999, 1: got.Max} {
		want := values[int(q*float64(len(values)))-1]
		if d < want-latencyMin || d > want+want/1000+latencyMin {
			t.Errorf("quantile %v = %v, want %v to 0.1%% above", q, d, want)
		}
	}
}

func TestHistogramTakesAnyValue(t *testing.T) {
	h := newHistogram()
	if got := h.latency(); got != (Latency{}) {
		t.Errorf("latency of nothing = %+v, want zero", got)
	}
	h.record(0, -time.Second)
	h.record(1, 24*time.Hour)
	got := h.latency()
	if got.P50 > latencyMin || got.Max < latencyMax || got.Max > latencyMax+latencyMax/1000 {
		t.Errorf("latency of -1s and a day = %+v, want 0 and %v", got, latencyMax)
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	h := newHistogram()
	b.ReportAllocs()
	for b.Loop() {
		h.record(3, 123456)
	}
}
