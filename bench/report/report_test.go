package report

import (
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
		Messages: 100_000, Bytes: 1e9, Machine: 2 * time.Second,
		Latency: load.Latency{P50: time.Millisecond, P99: 2 * time.Millisecond, P999: 3 * time.Millisecond},
		CPU:     map[string]procstat.CPU{"load": {Sched: time.Second, Stat: time.Second}},
	}
	if proxy != Direct {
		res.CPU["proxy"] = procstat.CPU{Sched: cpu, Stat: cpu}
	}
	return Sample{Scenario: scenario, Proxy: proxy, Round: round, Load: res}
}

// sampleResults has wsplice at 0.8 of nginx in echo, with one bad round, at
// 0.5 of HAProxy in bulk, and at 500 bytes a tunnel.
func sampleResults() *Results {
	r := &Results{
		Started: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: Machine{CPU: "a <CPU>", CPUs: 2}, Rounds: 3,
		Proxies: []Proxy{{Name: Subject, Version: "1"}, {Name: "nginx", Version: "2", Config: "events {}"}},
	}
	for round, nginx := range []time.Duration{500, 2000, 500} {
		wsplice := nginx * 8 / 10
		if round == 1 {
			wsplice = nginx * 3
		}
		r.Samples = append(r.Samples,
			loaded("echo", Direct, round, load.Echo, 0),
			loaded("echo", Subject, round, load.Echo, wsplice*time.Millisecond),
			loaded("echo", "nginx", round, load.Echo, nginx*time.Millisecond),
			loaded("bulk-down", Subject, round, load.Down, 250*time.Millisecond),
			loaded("bulk-down", "haproxy-splice", round, load.Down, 500*time.Millisecond),
			loaded("bulk-up", Subject, round, load.Up, 250*time.Millisecond),
			loaded("bulk-up", "haproxy-splice", round, load.Up, 500*time.Millisecond),
			Sample{
				Scenario: "idle", Proxy: Subject, Round: round,
				Idle: &Idle{Tunnels: 100, ZeroBytes: 10 << 20, HeldBytes: 10<<20 + 50_000},
			},
		)
	}
	return r
}

func TestSpread(t *testing.T) {
	if s := spreadOf([]float64{3, 1, 2}); s != (Spread{2, 1, 3}) {
		t.Errorf("of three: %+v", s)
	}
	if s := spreadOf([]float64{4, 1}); s != (Spread{2.5, 1, 4}) {
		t.Errorf("of two: %+v", s)
	}
}

func TestRatioPairsRounds(t *testing.T) {
	r := sampleResults()
	got, ok := r.ratio(proxyCPU, "echo", Subject, "nginx")
	if !ok || got.Median < 0.799 || got.Median > 0.801 || got.Max < 2.99 {
		t.Fatalf("ratio %+v, %v, want a median of 0.8 and a greatest of 3", got, ok)
	}
	if _, ok := r.ratio(proxyCPU, "echo", Subject, Direct); ok {
		t.Error("a ratio to a proxy that is not there")
	}
}

func TestUnits(t *testing.T) {
	r := sampleResults()
	if s, _ := r.of(proxyCPU, "echo", "nginx"); s.Median != 5 {
		t.Errorf("500 ms over 100,000 round trips = %v µs, want 5", s.Median)
	}
	if s, _ := r.of(proxyCPU, "bulk-down", "haproxy-splice"); s.Median != 0.5 {
		t.Errorf("500 ms over 1 GB = %v s/GB, want 0.5", s.Median)
	}
	if s, _ := r.of(perTunnel, "idle", Subject); s.Median != 500 {
		t.Errorf("50,000 B over 100 tunnels = %v, want 500", s.Median)
	}
}

func TestFloors(t *testing.T) {
	for _, v := range sampleResults().Floors() {
		if !v.Held {
			t.Errorf("%s: %s is not held", v.What, v.Got)
		}
	}
	worse := sampleResults()
	for i := range worse.Samples {
		if s := &worse.Samples[i]; s.Proxy == Subject && s.Load != nil {
			s.Load.CPU["proxy"] = procstat.CPU{Sched: 9 * time.Second, Stat: 9 * time.Second}
			s.Load.Errors = 1
		} else if s.Idle != nil {
			s.Idle.ZeroBytes, s.Idle.HeldBytes = 33<<20, 34<<20
		}
	}
	for _, r := range []*Results{worse, {}} {
		for _, v := range r.Floors() {
			if v.Held && (len(r.Samples) > 0 || !strings.Contains(v.What, "fails")) {
				t.Errorf("%s: %s is held", v.What, v.Got)
			}
		}
	}
}

func TestNoiseIsNamed(t *testing.T) {
	r := sampleResults()
	if got := r.noise("bulk-down"); !strings.Contains(got, "too much") {
		t.Errorf("a third of the machine used by others: %q", got)
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
	if err := sampleResults().WriteMarkdown(root, "BENCHMARKS.md", "docs/charts"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2030-01-02 03:04 UTC", "## echo:", "docs/charts/idle.svg", "| 0.80 |", "events {}"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, scenario := range sampleResults().scenarios() {
		svg, err := os.Open(filepath.Join(root, "docs/charts", scenario+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(svg)
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s.svg: %v", scenario, err)
		}
		_ = svg.Close()
	}
}
