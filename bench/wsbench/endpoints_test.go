package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/far"
	"wsplice/bench/load"
	"wsplice/bench/report"
	"wsplice/internal/testutil"
)

func endpointBench(t *testing.T, args ...string) *bench {
	t.Helper()
	o, err := parseOptions(append([]string{"--endpoints"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{options: o}
}

func TestEndpointScenariosAreSound(t *testing.T) {
	b := endpointBench(t)
	seen := names(slices.Concat(scenarios(), pairScenarios()))
	for _, s := range endpointScenarios() {
		if slices.Contains(seen, s.name) {
			t.Errorf("%s is there twice", s.name)
		}
		seen = append(seen, s.name)
		chosen, err := b.contending(&s)
		if err != nil || len(chosen) < 4 || chosen[0].name != report.Subject {
			t.Errorf("%s: %d contenders, %v", s.name, len(chosen), err)
		}
		if raw := slices.Contains(s.backend(), "--raw"); raw != (s.family == report.Endpoint) || s.sweep || s.paired {
			t.Errorf("%+v, backend %q", s, s.backend())
		}
	}
	wantJudgedMeasured(t, seen)
	for _, judged := range []string{report.EndpointEcho, report.EndpointIdle, report.WarmChurn} {
		if !slices.Contains(seen, judged) {
			t.Errorf("%s is not measured", judged)
		}
	}
}

// wantJudgedMeasured holds that nothing is judged that no scenario measures.
func wantJudgedMeasured(t *testing.T, scenarios []string) {
	t.Helper()
	for _, v := range (&report.Results{}).Judge(scenarios) {
		if !slices.Contains(scenarios, v.Scenario) && v.Scenario != "all" {
			t.Errorf("%v: judged, and not measured", v)
		}
	}
}

// TestEndpointsTakeLessThanSixMinutes holds the promise of make bench-endpoints.
// wsplice lingers for up to 4 s after bulk, which the plan does not know, nor how
// long websockify takes to start its processes.
func TestEndpointsTakeLessThanSixMinutes(t *testing.T) {
	b := endpointBench(t)
	o := b.options
	if o.rounds != shortRounds || o.duration != endpointWindow || o.warmup != endpointWarmup || o.set() != "endpoints" {
		t.Errorf("%+v", o)
	}
	chosen, err := b.options.choose()
	if err != nil || len(chosen) != len(endpointScenarios()) {
		t.Fatalf("%v, %v", names(chosen), err)
	}
	var besides time.Duration
	for _, s := range chosen {
		for _, name := range s.contenders("", false) {
			b.plan.add(b.cost(&s))
			if s.bulk() && strings.HasPrefix(name, report.Subject) {
				besides += time.Duration(b.rounds(&s)) * 4 * time.Second
			}
			if name == websockify {
				besides += time.Duration(b.rounds(&s)) * time.Second
			}
		}
	}
	if took := b.plan.total + besides; took > 6*time.Minute {
		t.Errorf("%d runs take %v", b.plan.runs, took)
	}
}

func TestEndpointConfigurationsNameTheirBackends(t *testing.T) {
	where := place{port: 20001, backendPorts: []int{20002}}
	for _, p := range endpointPeers("bin/wsplice") {
		for _, want := range []string{"20001", "20002"} {
			if text := p.config(where); !strings.Contains(text, want) {
				t.Errorf("%s lacks %s:\n%s", p.name, want, text)
			}
		}
	}
	where.backendHost = "198.18.0.1"
	for _, p := range warmPeers("bin/wsplice") {
		text := p.config(where)
		for _, want := range []string{"20001", "198.18.0.1:20002"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s:\n%s", p.name, want, text)
			}
		}
		if warm := strings.Contains(text, fmt.Sprintf("warm: %d", warmCount)); warm != (p.name == report.WarmSubject) {
			t.Errorf("%s: warm connections %v\n%s", p.name, warm, text)
		}
	}
	if want := fmt.Sprintf("wsplice-warm-%d", warmCount); report.WarmSubject != want {
		t.Errorf("it is called %s and not %s", report.WarmSubject, want)
	}
}

// TestEndpointsAreMeasured runs everything with few tunnels for moments, through
// the programs themselves, and follows it into the page.
func TestEndpointsAreMeasured(t *testing.T) {
	needsEndpointPeers(t)
	b, err := newBench(options{
		endpoints: true, rounds: 1, duration: 300 * time.Millisecond, warmup: 100 * time.Millisecond, wsplice: builtWsplice(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, s := range endpointScenarios() {
		s.tunnels = min(s.tunnels, 20)
		if s.load == load.Idle {
			s.full = []string{websockify} // of wsplice it takes long to settle
		}
		if err := b.prepare(ctx, &s); err != nil {
			t.Fatal(err)
		}
		if err := b.run(ctx, &s); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	if len(b.results.Omitted) != 0 || len(b.results.Samples) != 1+3*4+4 {
		t.Fatalf("%d samples, left out %v", len(b.results.Samples), b.results.Omitted)
	}
	for _, s := range b.results.Samples {
		switch {
		case s.Idle != nil:
			if s.Idle.Tunnels != 20 || s.Idle.Errors != 0 || s.Idle.PerTunnel() <= 0 {
				t.Errorf("%s, %s: %+v", s.Scenario, s.Proxy, s.Idle)
			}
		case s.Load.Errors != 0 || s.Load.Messages == 0 || s.Load.CPU["proxy"].Best() <= 0:
			t.Errorf("%s, %s: %+v", s.Scenario, s.Proxy, s.Load)
		}
		if warm := s.WarmPart > 0.9; s.Family == "" || warm != (s.Proxy == report.WarmSubject) {
			t.Errorf("%s, %s: of family %q, %.2f warm", s.Scenario, s.Proxy, s.Family, s.WarmPart)
		}
		if s.Family != report.Warm {
			continue
		}
		// To connect is a round trip, and to ask is another.
		waits := 2 * s.RoundTrip
		if s.Proxy == report.WarmSubject {
			waits = s.RoundTrip
		}
		if got := s.Load.Upgrade.P50; s.RoundTrip != 2*farDelay || got < waits || s.Load.CPU["network"].Best() <= 0 {
			t.Errorf("%s: upgraded after %v at %v away, %v", s.Proxy, got, s.RoundTrip, s.Load.CPU)
		}
	}
	root := t.TempDir()
	if err := b.results.WriteMarkdown(root, reportFile, chartsDir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, reportFile))
	for _, want := range []string{"## Endpoint mode", "## Warm connections", "mode: endpoint", "mod_wstunnel", "warm: 32"} {
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q, %v", want, err)
		}
	}
}

// needsEndpointPeers skips where a program or the privilege to be far away is
// missing.
func needsEndpointPeers(t *testing.T) {
	t.Helper()
	for _, p := range slices.Concat(endpointPeers(""), warmPeers("")) {
		if p.program == "" {
			continue
		}
		if _, err := p.find(); err != nil {
			testutil.Missing(t, "%v", err)
		}
	}
	link, err := far.Open(farDelay)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		testutil.Missing(t, "needs root and TUN devices (CONFIG_TUN, /dev/net/tun): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWhoForksIsWatchedWithItsChildren looks at the flags of the load.
func TestWhoForksIsWatchedWithItsChildren(t *testing.T) {
	p, err := start("cat", "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	pid := fmt.Sprint(p.cmd.Process.Pid)
	for forks, want := range map[bool][]string{true: {"--watch-tree", "proxy=" + pid}, false: {"--watch", "proxy=" + pid}} {
		l := &lane{peer: &peer{forks: forks}, process: p}
		if got, err := l.watch(); err != nil || !slices.Equal(got, want) {
			t.Errorf("forks %v: %q, %v", forks, got, err)
		}
	}
	if got, err := (&lane{peer: &peer{}}).watch(); got != nil || err != nil {
		t.Errorf("of nobody: %q, %v", got, err)
	}
}
