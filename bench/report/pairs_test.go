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

// TestOuterRank compares with the printed tables of the sign test.
func TestOuterRank(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 0, 5: 0, 6: 1, 8: 1, 9: 2, 12: 3, 15: 4, 20: 6, 25: 8, 30: 10, 50: 18} {
		if got := outerRank(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}

func TestIntervalOfKnownRatios(t *testing.T) {
	ratios := []float64{1.5, 1.01, 1.03, 0.99, 1.02, 1.00, 1.04, 0.5, 1.05} // ranks 2 and 8 of 9
	before := slices.Clone(ratios)
	got, ok := intervalOf(ratios)
	if want := (Interval{Median: 1.02, Low: 0.99, High: 1.05, Count: 9}); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !slices.Equal(ratios, before) {
		t.Errorf("the ratios were changed to %v", ratios)
	}
	if v, ok := intervalOf(ratios[:5]); ok {
		t.Errorf("of five: %+v", v)
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
		"## Following frames", "has to be within 1.03", "by the order of the pairs alone",
		"| frames-held | wsplice | 15 | 5.05 µs/round trip | 5.00 µs/round trip | 1.010 | 1.004–1.016 | ≤ 1.03 | held | 0 |",
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
