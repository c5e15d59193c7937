package report

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
)

// near reports whether two figures agree to a ten-thousandth.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-4 }

// TestStudent compares with the printed tables of the t distribution.
func TestStudent(t *testing.T) {
	for freedom, want := range map[int]float64{
		1: 12.7062, 2: 4.3027, 14: 2.1448, 30: 2.0423, 31: 2.0395, 40: 2.0211, 60: 2.0003, 120: 1.9799,
	} {
		if got := student(freedom); !near(got, want) {
			t.Errorf("%d: %v, want %v", freedom, got, want)
		}
	}
	for freedom := 2; freedom < 200; freedom++ {
		if student(freedom) >= student(freedom-1) {
			t.Errorf("%d: %v, not below that of %d", freedom, student(freedom), freedom-1)
		}
	}
}

func TestIntervalOfKnownRatios(t *testing.T) {
	// Logarithms 0, 0.1 and 0.2: their mean is 0.1, their deviation 0.1, and
	// half the interval is 4.3027 × 0.1/√3.
	half := 4.3027 * 0.1 / math.Sqrt(3)
	got, ok := intervalOf([]float64{math.Exp(0.2), 1, math.Exp(0.1)})
	if !ok || got.Count != 3 || !near(got.Median, math.Exp(0.1)) || !near(got.Mean, math.Exp(0.1)) ||
		!near(got.Low, math.Exp(0.1-half)) || !near(got.High, math.Exp(0.1+half)) {
		t.Errorf("%+v, want %v–%v around %v", got, math.Exp(0.1-half), math.Exp(0.1+half), math.Exp(0.1))
	}
	// Which variant is above and which below does not matter.
	turned, _ := intervalOf([]float64{math.Exp(-0.2), 1, math.Exp(-0.1)})
	if !near(turned.Low, 1/got.High) || !near(turned.High, 1/got.Low) {
		t.Errorf("turned %+v, of %+v", turned, got)
	}
	if same, ok := intervalOf([]float64{1.01, 1.01, 1.01}); !ok || !near(same.Low, 1.01) || !near(same.High, 1.01) {
		t.Errorf("of the same thrice: %+v", same)
	}
	for _, few := range [][]float64{nil, {1}} {
		if v, ok := intervalOf(few); ok {
			t.Errorf("of %v: %+v", few, v)
		}
	}
	ratios := []float64{3, 1, 2}
	if _, ok := intervalOf(ratios); !ok || !slices.Equal(ratios, []float64{3, 1, 2}) {
		t.Errorf("the ratios were changed to %v", ratios)
	}
}

// paired adds pairs whose ratio goes from low to high in equal steps.
func paired(r *Results, scenario string, kind load.Scenario, above string, low, high float64) {
	const pairs = 15
	for i := range pairs {
		without := 500 * time.Millisecond
		with := time.Duration(float64(without) * (low + (high-low)*float64(i)/(pairs-1)))
		for proxy, cpu := range map[string]time.Duration{above: with, FramesOff: without} {
			if r.at(scenario, proxy, i) != nil {
				continue // of another variant
			}
			s := loaded(scenario, proxy, i, kind, cpu)
			s.Paired = true
			if proxy == Subject && kind == load.Down {
				s.Blind = 4
			}
			r.Samples = append(r.Samples, s)
		}
	}
}

func pairedResults() *Results {
	r := sampleResults()
	paired(r, "frames-held", load.Echo, Subject, 1.00, 1.02)
	paired(r, "frames-open", load.Echo, Subject, 0.90, 1.14)
	paired(r, "frames-missed", load.Echo, Subject, 1.08, 1.12)
	paired(r, "frames-bulk", load.Down, Subject, 1.00, 1.20)
	paired(r, "frames-bulk", load.Down, FramesAlways, 2.00, 2.20)
	return r
}

func TestPairingsHoldTheirLimit(t *testing.T) {
	want := []struct {
		scenario, above string
		median, limit   float64
		held            bool
		outcome         string
	}{
		{"frames-held", Subject, 1.01, framesLimit, true, "held"},
		{"frames-open", Subject, 1.02, framesLimit, false, "not shown: the interval goes beyond"},
		{"frames-missed", Subject, 1.10, framesLimit, false, "missed by 7%"},
		{"frames-bulk", Subject, 1.10, 0, true, "–"},
		{"frames-bulk", FramesAlways, 2.10, 0, true, "–"},
	}
	got := pairedResults().Pairings()
	if len(got) != len(want) {
		t.Fatalf("%d pairings, want %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		p := got[i]
		if p.Scenario != w.scenario || p.Above != w.above || p.Below != FramesOff || !near(p.Ratio.Median, w.median) ||
			p.Limit != w.limit || p.Held() != w.held || p.outcome() != w.outcome || p.Ratio.Count != 15 {
			t.Errorf("%v, want %+v", p, w)
		}
	}
	if got[3].Blind.Median != 4 || got[4].Blind.Median != 0 || !strings.Contains(got[3].String(), "0.550 s/GB ÷ 0.500 s/GB") {
		t.Errorf("blind %v and %v, %v", got[3].Blind, got[4].Blind, got[3])
	}
	if none := sampleResults().Pairings(); none != nil {
		t.Errorf("pairings of a comparison: %v", none)
	}
	for _, scenario := range []string{"frames-held", "frames-bulk"} {
		for _, v := range pairedResults().Judge(nil) {
			if v.Scenario == scenario {
				t.Errorf("judged among the peers: %v", v)
			}
		}
	}
}

func TestPairingsHaveASectionOfTheirOwn(t *testing.T) {
	file, err := pairedResults().Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := Merge(sampleResults(), again).WriteMarkdown(root, "BENCHMARKS.md", "charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## Following frames", "has to be within 1.03", "the 95% confidence",
		"| frames-held | wsplice | 15 | 5.05 µs/round trip | 5.00 µs/round trip | 1.010 | 1.006–1.014 | ≤ 1.03 | held | 0 |",
		"| **missed by 7%** |", "| frames-bulk | wsplice-frames-always | 15 | 1.050 s/GB |", "<details><summary>frames-bulk: ",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(string(b), "## frames-") || strings.Contains(string(b), "charts/frames-") {
		t.Error("pairs stand among the peers")
	}
	if err := sampleResults().WriteMarkdown(root, "BENCHMARKS.md", "charts"); err != nil {
		t.Fatal(err)
	}
	b, err = os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil || strings.Contains(string(b), "Following frames") {
		t.Errorf("a section of what was not measured: %v", err)
	}
}

func TestPairsAreNoPointsOfACurve(t *testing.T) {
	var single, double Results
	for i, size := range []int{4 << 10, 16 << 10, 64 << 10} {
		s := loaded("bulk-"+messageSize(size), Subject, 0, load.Down, time.Second)
		s.Load.MessageBytes = size
		single.Samples = append(single.Samples, s)
		if s.Scenario = "frames-" + s.Scenario; i == 0 {
			s.Paired = true
			double.Samples = append(double.Samples, s)
		}
	}
	double.Samples = append(double.Samples, single.Samples[1:]...)
	byFrame := &curves[slices.IndexFunc(curves, func(c curve) bool { return c.file == "bulk-by-size" })]
	if names, _, xs := single.lines(byFrame); len(names) != 1 || len(xs) != 3 {
		t.Errorf("%v through %v, want one line through three points", names, xs)
	}
	if names, _, xs := double.lines(byFrame); names != nil {
		t.Errorf("%v through %v, one of them of pairs", names, xs)
	}
}
