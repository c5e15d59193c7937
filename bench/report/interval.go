package report

import (
	"math"
	"slices"
)

// An Interval is where the mean of some ratios lies with 95% confidence: the
// geometric mean between its bounds, by Student's t on the logarithms of the
// ratios, as twice as much and half as much are equally far from the same.
type Interval struct {
	Median, Mean float64
	Low, High    float64
	Count        int
}

// intervalOf returns the interval of ratios, all positive; ok is false for
// fewer than two, of which nothing can be said.
func intervalOf(ratios []float64) (v Interval, ok bool) {
	n := len(ratios)
	if n < 2 {
		return Interval{}, false
	}
	middle, _ := spreadOf(ratios)
	// In order, so that the same ratios give the same sum.
	logs := slices.Sorted(slices.Values(ratios))
	mean := 0.0
	for i := range logs {
		logs[i] = math.Log(logs[i])
		mean += logs[i] / float64(n)
	}
	squares := 0.0
	for _, l := range logs {
		squares += (l - mean) * (l - mean)
	}
	half := student(n-1) * math.Sqrt(squares/float64(n-1)/float64(n))
	return Interval{
		Median: middle.Median, Mean: math.Exp(mean), Low: math.Exp(mean - half), High: math.Exp(mean + half), Count: n,
	}, true
}

// studentTable holds the 97.5% quantiles of Student's t distribution for 1 to
// 30 degrees of freedom.
var studentTable = [...]float64{
	12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
	2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
	2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
}

// student returns the 97.5% quantile for at least 1 degree of freedom: beyond
// the table by Fisher's expansion from the normal distribution, which is within
// 0.0001 there (Abramowitz and Stegun, 26.7.5).
func student(freedom int) float64 {
	if freedom <= len(studentTable) {
		return studentTable[freedom-1]
	}
	const z = 1.959964
	v := float64(freedom)
	return z + (z*z*z+z)/(4*v) + (5*math.Pow(z, 5)+16*z*z*z+3*z)/(96*v*v)
}
