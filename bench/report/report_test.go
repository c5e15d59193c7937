package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/procstat"
)

// loaded returns a sample of one second in which the proxy used cpu.
func loaded(scenario, proxy string, round int, kind load.Scenario, cpu time.Duration) Sample {
	res := &load.Result{
		Scenario: kind, Tunnels: 4, MessageBytes: 128, Window: time.Second,
		Messages: 100_000, Bytes: 1e9, Connections: 10_000, Late: 1000,
		Machine: 2 * time.Second, Recovery: 250 * time.Millisecond,
		Latency: load.Latency{P50: time.Millisecond, P99: 2 * time.Millisecond, P999: 3 * time.Millisecond},
		CPU:     map[string]procstat.CPU{"load": {Sched: time.Second, Stat: time.Second}},
	}
	if proxy != Direct {
		res.CPU["proxy"] = procstat.CPU{Sched: cpu, Stat: cpu}
	}
	return Sample{Scenario: scenario, Proxy: proxy, Round: round, Load: res}
}

// sampleResults has every judged scenario: wsplice at 0.8 of nginx in echo,
// with one bad round, at 0.5 of HAProxy everywhere, and at 500 bytes a tunnel.
func sampleResults() *Results {
	r := &Results{
		Started: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Set: "short",
		Machine: Machine{CPU: "a <CPU>", CPUs: 2}, Rounds: 3,
		Proxies: []Proxy{
			{Name: Subject, Version: "1", Engine: "epoll"},
			{Name: "nginx", Version: "2", Config: "events {}"},
			{Name: "haproxy", Version: "3"},
			{Name: "haproxy-splice", Version: "3"},
		},
	}
	r.LeaveOut("echo-128B-100", "apache", "too | many\ntunnels")
	for round, nginx := range []time.Duration{500, 2000, 500} {
		wsplice := nginx * 8 / 10
		if round == 1 {
			wsplice = nginx * 3
		}
		add := func(name string, kind load.Scenario, proxies map[string]time.Duration) {
			for _, proxy := range order {
				if cpu, ok := proxies[proxy]; ok {
					r.Samples = append(r.Samples, loaded(name, proxy, round, kind, cpu*time.Millisecond))
				}
			}
		}
		for _, echo := range []string{"echo-128B-100", "echo-128B-1000", "echo-4KiB-100"} {
			add(echo, load.Echo, map[string]time.Duration{Direct: 0, Subject: wsplice, "nginx": nginx, "haproxy": 2 * wsplice})
		}
		add("open-10000", load.Open, map[string]time.Duration{Subject: 400, "nginx": 500, "haproxy": 900})
		for _, bulk := range []string{"bulk-down-16KiB-4", "bulk-up-16KiB-4"} {
			kind := load.Down
			if strings.Contains(bulk, "up") {
				kind = load.Up
			}
			add(bulk, kind, map[string]time.Duration{Subject: 250, "nginx": 600, "haproxy": 700, "haproxy-splice": 500})
		}
		add("churn", load.Churn, map[string]time.Duration{Subject: 400, "nginx": 500, "haproxy": 800})
		add("mixed", load.Echo, map[string]time.Duration{Subject: 410})
		add("mixed"+Alone, load.Echo, map[string]time.Duration{Subject: 400})
		add("storm", load.Storm, map[string]time.Duration{Subject: 400, "nginx": 500})
		for proxy, bytes := range map[string]int64{Direct: 0, Subject: 50_000, "haproxy": 500_000} {
			r.Samples = append(r.Samples, Sample{Scenario: "idle", Proxy: proxy, Round: round, Idle: &Idle{
				Tunnels: 100, ZeroBytes: 10 << 20, HeldBytes: 10<<20 + bytes, KernelZeroBytes: 1 << 20, KernelHeldBytes: 2<<20 + 4*bytes,
			}})
		}
	}
	return r
}

func TestSpread(t *testing.T) {
	if s, ok := spreadOf([]float64{3, 1, 2}); !ok || s != (Spread{2, 1, 3}) {
		t.Errorf("of three: %+v", s)
	}
	if s, ok := spreadOf([]float64{4, 1}); !ok || s != (Spread{2.5, 1, 4}) {
		t.Errorf("of two: %+v", s)
	}
	if s, ok := spreadOf(nil); ok {
		t.Errorf("of none: %+v", s)
	}
}

func TestRatioPairsRounds(t *testing.T) {
	r := sampleResults()
	const echo = "echo-128B-100"
	got, ok := r.ratio(proxyCPU, lane{echo, Subject}, lane{echo, "nginx"})
	if !ok || got.Median < 0.799 || got.Median > 0.801 || got.Max < 2.99 {
		t.Fatalf("ratio %+v, %v, want a median of 0.8 and a greatest of 3", got, ok)
	}
	if _, ok := r.ratio(proxyCPU, lane{echo, Subject}, lane{echo, Direct}); ok {
		t.Error("a ratio to a proxy that is not there")
	}
}

func TestUnits(t *testing.T) {
	r := sampleResults()
	for _, test := range []struct {
		scenario, proxy string
		metric          metric
		want            float64
	}{
		{"echo-128B-100", "nginx", proxyCPU, 5},               // 500 ms over 100,000 round trips
		{"bulk-down-16KiB-4", "haproxy-splice", proxyCPU, .5}, // 500 ms over 1 GB
		{"churn", "nginx", proxyCPU, 50},                      // 500 ms over 10,000 connections
		{"churn", "nginx", throughput, 10_000},
		{"storm", Subject, recovery, 250},
		{"open-10000", Subject, late, 1},
		{"idle", Subject, perTunnel, 500},
		{"idle", Subject, kernelPerTunnel, 2000}, // what direct took is not in it
	} {
		if s, ok := r.over(test.scenario, test.proxy, test.metric); !ok || s.Median != test.want {
			t.Errorf("%s of %s in %s: %+v, %v, want %v", test.metric.title, test.proxy, test.scenario, s, ok, test.want)
		}
	}
	if _, ok := r.over("idle", Direct, perTunnel); ok {
		t.Error("memory of no proxy")
	}
}

func TestBestPeerIsNoneOfOurs(t *testing.T) {
	r := sampleResults()
	r.Samples = append(r.Samples, loaded("bulk-down-16KiB-4", "wsplice-epoll", 0, load.Down, time.Millisecond))
	for what, test := range map[string]struct {
		against opponent
		want    string
	}{"all": {bestPeer, "haproxy-splice"}, "copying": {bestCopying, "nginx"}} {
		if got, ok := r.best(proxyCPU, "bulk-down-16KiB-4", test.against.admits); !ok || got != test.want {
			t.Errorf("best of %s: %q, %v, want %s", what, got, ok, test.want)
		}
	}
	if got, ok := r.best(proxyCPU, "none", others); ok {
		t.Errorf("best of a scenario that did not run: %q", got)
	}
}

// worseResults misses every floor that is not of the whole machine.
func worseResults() *Results {
	worse := sampleResults()
	for i := range worse.Samples {
		s := &worse.Samples[i]
		switch {
		case s.Proxy != Subject || s.Scenario == "mixed"+Alone:
		case s.Load != nil:
			s.Load.CPU["proxy"] = procstat.CPU{Sched: 9 * time.Second, Stat: 9 * time.Second}
			s.Load.Machine, s.Load.Latency.P99, s.Load.Errors = 9*time.Second, time.Second, 1
		default:
			s.Idle.ZeroBytes, s.Idle.HeldBytes = 33<<20, 34<<20
		}
	}
	return worse
}

func TestFloorsAndGoals(t *testing.T) {
	held := sampleResults().Judge(nil)
	if len(held) != len(rules())+1 {
		t.Errorf("%d verdicts of %d rules", len(held), len(rules()))
	}
	for _, v := range held {
		if !v.Held() {
			t.Errorf("not held: %v", v)
		}
	}
	for _, r := range []*Results{worseResults(), {}} {
		for _, v := range r.Judge(nil) {
			if v.Held() {
				t.Errorf("held: %v", v)
			}
		}
	}
	some := sampleResults().Judge([]string{"mixed"})
	if len(some) != 2 || some[0].Got.Median < 1.024 || some[0].Got.Median > 1.026 {
		t.Errorf("mixed alone: %v, want 1.025 and the failed tunnels", some)
	}
}

func TestOutcomeSaysByHowMuch(t *testing.T) {
	v := Verdict{Floor: 1, Goal: 0.8, Measured: true, format: digits(2)}
	for figure, want := range map[float64]string{
		0.8: "goal reached", 0.801: "floor held, goal missed by 1%", 1: "floor held, goal missed by 25%",
		1.2: "floor missed by 20%, goal by 50%",
	} {
		v.Got.Median = figure
		if got := v.outcome(); got != want {
			t.Errorf("%v: %q, want %q", figure, got, want)
		}
	}
}

func TestMergeTakesTheLastOfEachScenario(t *testing.T) {
	before, after := sampleResults(), &Results{Machine: Machine{CPU: "another"}, Set: "full", Took: 5}
	after.Samples = []Sample{
		loaded("churn", Subject, 0, load.Churn, 100*time.Millisecond),
		loaded("new", Subject, 0, load.Echo, 100*time.Millisecond),
	}
	after.Proxies = []Proxy{{Name: Subject, Version: "4"}, {Name: "caddy", Version: "5"}}
	after.LeaveOut("churn", "apache", "why not")
	r := Merge(before, after)
	if s, _ := r.over("churn", Subject, proxyCPU); s != (Spread{10, 10, 10}) {
		t.Errorf("churn: %+v, want the later one's 10 µs", s)
	}
	if got := r.in("churn"); len(got) != 1 {
		t.Errorf("in churn: %v, want the later one's only", got)
	}
	if _, ok := r.over("echo-128B-100", "nginx", proxyCPU); !ok || r.first("new") == nil {
		t.Error("a scenario that only one has is lost")
	}
	if r.Proxies[0].Version != "4" || len(r.Proxies) != 5 || len(r.Omitted) != 2 || len(r.runs()) != 2 {
		t.Errorf("proxies %v, omitted %v, %d runs", r.Proxies, r.Omitted, len(r.runs()))
	}
	if len(before.Samples) != len(sampleResults().Samples) || Merge(before) != before {
		t.Error("merging changed what was merged")
	}
}

func TestNoiseIsNamed(t *testing.T) {
	r := sampleResults()
	if got := r.noise("bulk-down-16KiB-4"); !strings.Contains(got, "too much") {
		t.Errorf("a third of the machine used by others: %q", got)
	}
	for i := range r.Samples {
		if l := r.Samples[i].Load; l != nil {
			l.Pacer.P99 = l.Latency.P99 * 3 / 4
		}
	}
	if got := r.noise("open-10000"); !strings.Contains(got, "not the proxies'") {
		t.Errorf("most of the latency is the pacer's: %q", got)
	}
	if got := r.noise("idle"); got != "" {
		t.Errorf("idle: %q", got)
	}
}

func TestResultsSurviveTheFile(t *testing.T) {
	path, err := sampleResults().Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(path)
	if err != nil || len(r.Samples) != len(sampleResults().Samples) {
		t.Fatalf("%v, %v", r, err)
	}
	var before, after strings.Builder
	if err := sampleResults().Print(&before); err != nil {
		t.Fatal(err)
	}
	if err := r.Print(&after); err != nil {
		t.Fatal(err)
	}
	if before.String() != after.String() {
		t.Errorf("tables differ after the file:\n%s\n%s", before.String(), after.String())
	}
}

func TestMarkdownAndCharts(t *testing.T) {
	root := t.TempDir()
	stale := filepath.Join(root, "docs/charts/stale.svg")
	if err := errors.Join(os.MkdirAll(filepath.Dir(stale), 0o755), os.WriteFile(stale, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := sampleResults().WriteMarkdown(root, "BENCHMARKS.md", "docs/charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2030-01-02 03:04 UTC", "## echo-128B-100:", "docs/charts/idle.svg", "| 0.80 (0.80–3.00) | goal reached |",
		"best copying peer (nginx)", "| echo-128B-100 | apache | too / many tunnels |", "ran on epoll", "events {}",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a chart of an earlier report is still there")
	}
	if strings.Index(string(b), "## Floors and goals") > strings.Index(string(b), "docs/charts/") {
		t.Error("the judged table does not come first")
	}
	if strings.Contains(string(b), performancePage) {
		t.Error("a link to a page that is not there")
	}
	for _, scenario := range sampleResults().scenarios() {
		if strings.HasSuffix(scenario, Alone) {
			continue
		}
		svg, err := os.ReadFile(filepath.Join(root, "docs/charts", scenario+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, scenario, svg)
	}
}

func wellFormed(t *testing.T, name string, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var err error
	for err == nil {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) || strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
		t.Errorf("%s: %v\n%s", name, err, svg)
	}
}

func TestReportLinksToWhatWasTried(t *testing.T) {
	root := t.TempDir()
	page := filepath.Join(root, performancePage)
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte("# Tried\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sampleResults().WriteMarkdown(root, "BENCHMARKS.md", "docs/charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil || !strings.Contains(string(b), "]("+performancePage+")") {
		t.Errorf("no link to %s, %v", performancePage, err)
	}
}

func TestCurvesNeedPoints(t *testing.T) {
	r := sampleResults()
	byTunnels := &curves[0]
	if svg := r.plot(byTunnels); svg != nil {
		t.Errorf("a curve through one point: %s", svg)
	}
	for i, tunnels := range []int{10, 1000, 9000} {
		for _, proxy := range []string{Subject, "nginx", "apache"} {
			s := loaded("echo-128B-"+plain(tunnels), proxy, 0, load.Echo, time.Duration(i+1)*time.Second)
			s.Load.Tunnels, s.Sweep = tunnels, true
			r.Samples = append(r.Samples, s)
		}
	}
	svg := r.plot(byTunnels)
	wellFormed(t, byTunnels.file, svg)
	for _, want := range []string{">9,000<", ">apache<", ">nginx<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the curve lacks %q", want)
		}
	}
	if strings.Contains(string(svg), ">haproxy<") {
		t.Error("a line through one point")
	}
	root := t.TempDir()
	if err := r.WriteMarkdown(root, "BENCHMARKS.md", "charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	for _, want := range []string{"(charts/cost-by-tunnels.svg)", "<details><summary>echo-128B-9,000"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q: %v", want, err)
		}
	}
}

func TestNamesAtLineEndsDoNotOverlap(t *testing.T) {
	points := map[string][]point{}
	var names []string
	for i := range 8 {
		names = append(names, string(rune('a'+i)))
		points[names[i]] = []point{{100, Spread{Median: 1 + float64(i)/100}}}
	}
	placed := spreadNames(names, points, axis{1, 100, 368, 70})
	for i := 1; i < len(placed); i++ {
		if placed[i].y-placed[i-1].y < nameHeight {
			t.Errorf("%s and %s overlap", placed[i-1].name, placed[i].name)
		}
	}
	if last := placed[len(placed)-1].y; last > 368+nameHeight {
		t.Errorf("the last name is at %v, outside the picture", last)
	}
}
