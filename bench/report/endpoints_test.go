package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
)

// endpointResults are of one round: wsplice at a half of lighttpd, and 20 ms sooner
// with warm connections.
func endpointResults() *Results {
	r := &Results{Set: "endpoints", Rounds: 1, Proxies: []Proxy{{Name: Subject, Version: "2"}, {Name: "websockify", Version: "3"}}}
	r.SetUp("wsplice, endpoint", "mode: endpoint")
	r.SetUp("wsplice, endpoint", "mode: another")
	add := func(s Sample, family string) {
		s.Family = family
		r.Samples = append(r.Samples, s)
	}
	for proxy, bytes := range map[string]int64{Subject: 900, "websockify": 3 << 20} {
		tunnels := map[string]int{Subject: 8000, "websockify": 200}[proxy]
		add(Sample{Scenario: EndpointIdle, Proxy: proxy, Idle: &Idle{Tunnels: tunnels, HeldBytes: int64(tunnels) * bytes}}, Endpoint)
	}
	for proxy, cpu := range map[string]time.Duration{Subject: 400, "lighttpd": 800, "websockify": 9000} {
		add(loaded(EndpointEcho, proxy, 0, load.Echo, cpu*time.Millisecond), Endpoint)
		down := loaded("endpoint-bulk-down-16KiB-4", proxy, 0, load.Down, cpu*time.Millisecond)
		down.Load.MessageBytes = 16 << 10
		add(down, Endpoint)
	}
	for proxy, upgraded := range map[string]time.Duration{Subject: 40, WarmSubject: 20} {
		s := loaded(WarmChurn, proxy, 0, load.Churn, time.Second)
		s.RoundTrip = 20 * time.Millisecond
		s.Load.Upgrade = load.Latency{P50: upgraded * time.Millisecond, P99: 2 * upgraded * time.Millisecond}
		if proxy == WarmSubject {
			s.WarmPart = 0.5
		}
		add(s, Warm)
	}
	return r
}

func TestEndpointsAreJudgedWhereTheyWereMeasured(t *testing.T) {
	verdicts := endpointResults().Judge([]string{EndpointEcho, EndpointIdle})
	if len(verdicts) != len(endpointRules())+1 {
		t.Errorf("%d verdicts of %d rules", len(verdicts), len(endpointRules()))
	}
	for _, v := range verdicts {
		if !v.Held() {
			t.Errorf("not held: %v", v)
		}
	}
	worse := endpointResults()
	for i := range worse.Samples {
		switch s := &worse.Samples[i]; {
		case s.Proxy != Subject:
		case s.Idle != nil:
			s.Idle.HeldBytes = int64(s.Idle.Tunnels) * 1025
		default:
			*s = loaded(s.Scenario, Subject, 0, s.Load.Scenario, 9001*time.Millisecond)
		}
	}
	for _, v := range worse.Judge([]string{EndpointEcho, EndpointIdle}) {
		if v.Scenario != "all" && v.Held() {
			t.Errorf("held: %v", v)
		}
	}
	unjudged := func(r *Results) bool {
		return !slices.ContainsFunc(r.Judge(nil), func(v Verdict) bool { return v.Scenario == EndpointEcho })
	}
	if !unjudged(sampleResults()) || unjudged(Merge(sampleResults(), endpointResults())) {
		t.Error("endpoints are to be judged where they were measured, and nowhere else")
	}
}

// TestFamiliesHaveSectionsOfTheirOwn writes the page of a comparison and of
// endpoints together.
func TestFamiliesHaveSectionsOfTheirOwn(t *testing.T) {
	comparison := sampleResults()
	comparison.Proxies[0].Config = "routes: []"
	page := pageOf(t, Merge(comparison, endpointResults()))
	for _, want := range []string{
		"\n## Endpoint mode\n", "\n### " + EndpointEcho + ": 128 B messages", "docs/charts/" + EndpointEcho + ".svg",
		"| websockify (200 tunnels) | 3145728 |", "| wsplice | 900 | 1 |",
		"\n## Warm connections\n", "; backend 20ms away", "| wsplice-warm-32 | 20.0 | 2.00 | 40.0 | 2.00 | 50 |",
		"is 20.0 ms instead of 40.0 ms in the\nmedian, and 40.0 ms instead of 80.0 ms",
		"<summary>wsplice, endpoint</summary>\n\n```\nmode: endpoint\n", "```\nroutes: []\n", "ran on epoll",
		"| wsplice | short: 1; endpoints: 2, ran",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "\n## "+EndpointEcho) || strings.Contains(page, "mode: another") {
		t.Error("an endpoint stands in the comparison, or a second configuration in the place of the first")
	}
	if strings.Index(page, "## storm") > strings.Index(page, "## Endpoint mode") {
		t.Error("endpoints come before the comparison")
	}
	alone := pageOf(t, sampleResults())
	for _, none := range []string{"Endpoint mode", "Warm connections"} {
		if strings.Contains(alone, "## "+none) {
			t.Errorf("%s has a section, and was not measured", none)
		}
	}
}

func pageOf(t *testing.T, r *Results) string {
	t.Helper()
	root := t.TempDir()
	if err := r.WriteMarkdown(root, "BENCHMARKS.md", "docs/charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scenario := range r.scenarios() {
		svg, err := os.ReadFile(filepath.Join(root, "docs/charts", scenario+".svg"))
		if err == nil {
			wellFormed(t, scenario, svg)
			if fewer := strings.Contains(string(svg), "; 200 tunnels"); fewer != (scenario == EndpointIdle) {
				t.Errorf("the chart of %s names fewer tunnels: %v", scenario, fewer)
			}
		} else if !strings.HasSuffix(scenario, Alone) {
			t.Error(err)
		}
	}
	return string(b)
}

// TestCurvesAreOfTheComparison has points that would lie on one.
func TestCurvesAreOfTheComparison(t *testing.T) {
	var r Results
	for i, tunnels := range []int{10, 100, 1000} {
		s := loaded("echo-128B-"+plain(tunnels), Subject, 0, load.Echo, time.Duration(i+1)*time.Second)
		s.Load.Tunnels, s.Family = tunnels, Endpoint
		r.Samples = append(r.Samples, s)
	}
	if names, _, _ := r.lines(&curves[0]); names != nil {
		t.Errorf("a curve of endpoints: %v", names)
	}
}

func TestMergeTakesTheLastSetup(t *testing.T) {
	before, after := endpointResults(), endpointResults()
	after.Setups[0].Config = "later"
	before.SetUp("lighttpd, endpoint", "server.modules")
	got := Merge(before, after).Setups
	if len(got) != 2 || !slices.Contains(got, Setup{"wsplice, endpoint", "later"}) {
		t.Errorf("%v", got)
	}
}
