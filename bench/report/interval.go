package report

import (
	"math"
	"slices"
)

// An Interval is where the median of some ratios lies with 95% confidence or a
// little more: between two of them that were measured, by their order alone. It
// assumes nothing of how they are spread, and a run that was disturbed moves it
// by one place at most.
type Interval struct {
	Median    float64
	Low, High float64
	Count     int
}

// intervalOf returns the interval of ratios; ok is false for fewer than six, of
// which not even the smallest and the largest enclose the median with such
// confidence.
func intervalOf(ratios []float64) (v Interval, ok bool) {
	n := len(ratios)
	outer := outerRank(n)
	if outer == 0 {
		return Interval{}, false
	}
	sorted := slices.Sorted(slices.Values(ratios))
	middle, _ := spreadOf(ratios)
	return Interval{Median: middle.Median, Low: sorted[outer-1], High: sorted[n-outer], Count: n}, true
}

// outerRank returns the largest k for which the median lies between the k-th
// smallest and the k-th largest of n values with 95% confidence, or 0: that
// fewer than k of n lie below the median has a chance of at most 2.5%, which is
// that of so few heads in n tosses of a coin.
func outerRank(n int) (k int) {
	chance, below := math.Pow(0.5, float64(n)), 0.0 // of k heads, and of at most k
	for ; k < n/2; k++ {
		if below += chance; below > 0.025 {
			break
		}
		chance *= float64(n-k) / float64(k+1)
	}
	return k
}
