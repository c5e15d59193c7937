package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/report"
)

func TestPairScenariosAreSound(t *testing.T) {
	all := peers("bin/wsplice")
	for _, s := range pairScenarios() {
		if slices.ContainsFunc(scenarios(), func(other scenario) bool { return other.name == s.name }) {
			t.Errorf("%s is in the comparison, too", s.name)
		}
		list := s.contenders("", false)
		if _, err := choosePeers(list, all); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		want := []string{report.Subject, report.FramesOff}
		if s.bulk() {
			want = slices.Insert(want, 0, report.FramesAlways)
		}
		if !s.paired || s.sweep || !slices.Equal(list, want) {
			t.Errorf("%s: %v, want %v", s.name, list, want)
		}
	}
}

// TestPairsTakeLessThanFiveMinutes holds the promise of make bench-frames.
// Bulk that is copied lingers for 2 s at its end, which the plan does not know.
func TestPairsTakeLessThanFiveMinutes(t *testing.T) {
	o, err := parseOptions([]string{"--pairs", "15"})
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 15 || o.duration != pairWindow || o.warmup != pairWarmup || o.set() != "frames" {
		t.Errorf("%+v", o)
	}
	chosen, err := o.choose()
	if err != nil || len(chosen) != len(pairScenarios()) {
		t.Fatalf("%v, %v", names(chosen), err)
	}
	b := &bench{options: o}
	var lingers time.Duration
	for _, s := range chosen {
		for range s.contenders("", false) {
			b.plan.add(b.cost(&s))
		}
		if s.bulk() {
			lingers += time.Duration(b.rounds(&s)) * 2 * time.Second
		}
	}
	if took := b.plan.total + lingers; took > 4*time.Minute+40*time.Second {
		t.Errorf("%d runs take %v", b.plan.runs, took)
	}
}

// TestPairsEndInAReport measures six pairs of moments and follows them into
// the page.
func TestPairsEndInAReport(t *testing.T) {
	results := t.TempDir()
	args := []string{
		"--pairs", "6", "--duration", "100ms", "--warmup", "50ms", "--results", results,
		"--scenarios", "frames-echo-128B-100", "--wsplice", builtWsplice(t),
	}
	if err := run(mustContext(t), args); err != nil {
		t.Fatal(err)
	}
	r, file := onlyResult(t, results)
	var order []string
	for _, s := range r.Samples {
		order = append(order, s.Proxy)
		if !s.Paired || s.Load.Errors != 0 || s.Load.Messages == 0 || s.Load.CPU["proxy"].Sched == 0 {
			t.Errorf("%+v, %+v", s, s.Load)
		}
	}
	turn := []string{report.Subject, report.FramesOff, report.FramesOff, report.Subject}
	if want := slices.Repeat(turn, 3); !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	pairings := r.Pairings()
	if len(pairings) != 1 || pairings[0].Ratio.Count != 6 || pairings[0].Ratio.Median <= 0 || pairings[0].Limit != 1.03 {
		t.Fatalf("pairings %+v", pairings)
	}
	root := t.TempDir()
	if err := run(mustContext(t), []string{"report", "--root", root, file}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, reportFile))
	if err != nil || !strings.Contains(string(page), "## Following frames") {
		t.Errorf("%v, %s", err, page)
	}
}

// A pair with one half is none: nobody is left out of it.
func TestPairsGoOnWithoutNobody(t *testing.T) {
	b, err := newBench(options{rounds: 2, duration: 50 * time.Millisecond, wsplice: builtWsplice(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	s := pairScenarios()[0]
	s.full, s.tunnels = []string{report.Subject, "no-such-engine"}, 5
	b.peers = append(b.peers, unknownEngine(b.options.wsplice))
	if err := b.prepare(mustContext(t), &s); err != nil {
		t.Fatal(err)
	}
	if err := b.run(mustContext(t), &s); err == nil || !strings.Contains(err.Error(), "no-such-engine ended") {
		t.Errorf("run = %v, want that of the missing half", err)
	}
}
