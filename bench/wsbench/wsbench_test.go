package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// TestMain lets the test binary be the wsbench that a comparison starts for
// its backend and its load.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "load") {
		main()
		return
	}
	os.Exit(m.Run())
}

func mustContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// shortArgs are flags of a comparison that takes moments.
func shortArgs(results string, more ...string) []string {
	return append([]string{"--rounds", "1", "--duration", "100ms", "--warmup", "50ms", "--results", results}, more...)
}

// onlyResult reads the one file that a comparison left.
func onlyResult(t *testing.T, dir string) (*report.Results, string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("result files %v, %v, want one", files, err)
	}
	r, err := report.Read(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return r, files[0]
}

// TestComparisonOfDirect runs every kind of load without a proxy, through
// real processes, reads the samples back and writes the report.
func TestComparisonOfDirect(t *testing.T) {
	results := t.TempDir()
	names := "echo-128B-100,open-1000,bulk-down-16KiB-4,bulk-up-16KiB-4,bulk-both,churn"
	if err := run(mustContext(t), shortArgs(results, "--proxies", "direct", "--scenarios", names)); err != nil {
		t.Fatal(err)
	}
	r, file := onlyResult(t, results)
	if len(r.Samples) != 6 || r.Partial || r.Failed {
		t.Fatalf("%d samples of %s, partial %v, failed %v", len(r.Samples), names, r.Partial, r.Failed)
	}
	for _, s := range r.Samples {
		work := s.Load.Messages + s.Load.Connections
		if s.Load.Bytes == 0 || work == 0 || s.Load.Errors != 0 || s.Load.CPU["backend"].Sched == 0 {
			t.Errorf("%s: %+v", s.Scenario, s.Load)
		}
	}
	root := t.TempDir()
	if err := run(mustContext(t), []string{"report", "--root", root, file, file}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, reportFile)); err != nil {
		t.Error(err)
	}
	if err := run(mustContext(t), []string{"report", "--root", root, "--check", file}); err == nil {
		t.Error("--check passes without a figure of wsplice")
	}
}

// TestScenariosOfAProxy drives small variants of what only makes sense beside
// a proxy through wsplice, and of every scenario that has several backends.
func TestScenariosOfAProxy(t *testing.T) {
	program := builtWsplice(t)
	b, err := newBench(options{rounds: 1, duration: 100 * time.Millisecond, warmup: 20 * time.Millisecond, wsplice: program})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, s := range []scenario{
		{name: "idle", load: load.Idle, tunnels: 50, short: []string{"direct", "wsplice"}},
		{name: "mixed", load: load.Echo, tunnels: 5, size: 128, idlers: 50, short: []string{"wsplice"}},
		{name: "churn", load: load.Churn, tunnels: 5, size: 128, sources: 4, backends: 3, short: []string{"wsplice"}},
		{name: "storm", load: load.Storm, tunnels: 50, size: 128, sources: 4, backends: 3, short: []string{"wsplice"}},
		{name: "twice", load: load.Echo, tunnels: 5, size: 128, short: []string{"wsplice-epoll", "no-such-engine"}},
	} {
		if s.name == "twice" {
			b.peers = append(b.peers, unknownEngine(program))
		}
		ctx := mustContext(t)
		if err := b.prepare(ctx, &s); err != nil {
			t.Fatal(err)
		}
		if err := b.run(ctx, &s); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	var got []string
	for _, s := range b.results.Samples {
		got = append(got, s.Scenario+" "+s.Proxy)
		if s.Load != nil && (s.Load.Messages == 0 || s.Load.Errors != 0 || s.Load.CPU["proxy"].Sched == 0) {
			t.Errorf("%s: %+v", s.Scenario, s.Load)
		}
	}
	want := []string{
		"idle direct", "idle wsplice", "mixed wsplice", "mixed-alone wsplice", "churn wsplice", "storm wsplice", "twice wsplice-epoll",
	}
	if !slices.Equal(got, want) {
		t.Errorf("samples %q, want %q", got, want)
	}
	if left := b.results.Omitted; len(left) != 1 || left[0].Proxy != "no-such-engine" || b.results.Failed {
		t.Errorf("left out %v, failed %v", left, b.results.Failed)
	}
	for _, p := range b.results.Proxies {
		if p.Name == "wsplice-epoll" && p.Engine != "epoll" {
			t.Errorf("the engine of %s is %q", p.Name, p.Engine)
		}
	}
	// Who asks for a contender wants to know why it does not run.
	b.options.proxies = "no-such-engine"
	s := scenario{name: "echo", load: load.Echo, tunnels: 5, size: 128}
	if err := b.run(mustContext(t), &s); err == nil || !strings.Contains(err.Error(), "engine") {
		t.Errorf("run = %v, want what is wrong with the engine", err)
	}
}

func unknownEngine(program string) peer {
	return peer{
		name: "no-such-engine", program: program, version: []string{"version"}, ready: "ready", optional: true,
		config: func(p place) string { return wspliceConfig(p, "engine: steam\n") },
		argv:   func(file string) []string { return []string{"run", "--config", file} },
	}
}

// builtWsplice builds the proxy, from the sources as they are.
func builtWsplice(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "wsplice")
	cmd := exec.CommandContext(mustContext(t), "go", "build", "-o", program, "wsplice/cmd/wsplice")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func TestInterruptedComparisonKeepsItsSamplesAndNothingElse(t *testing.T) {
	results := t.TempDir()
	b, err := newBench(options{rounds: 2, duration: time.Minute, proxies: "direct", results: results})
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{name: "echo", load: load.Echo, tunnels: 5, size: 128}
	ctx, cancel := context.WithCancel(t.Context())
	backend, _, err := b.startBackend(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := b.run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want canceled", err)
	}
	if err := b.keepPart(); err != nil {
		t.Error(err)
	}
	if files, err := filepath.Glob(filepath.Join(results, "*")); err != nil || len(files) != 0 {
		t.Errorf("files %v, %v, of no samples", files, err)
	}
	b.results.Samples = []report.Sample{{Scenario: "echo", Proxy: "direct", Idle: &report.Idle{Tunnels: 1}}}
	if err := b.keepPart(); err != nil {
		t.Error(err)
	}
	if r, _ := onlyResult(t, results); !r.Partial || len(r.Samples) != 1 {
		t.Errorf("partial %v, %d samples", r.Partial, len(r.Samples))
	}
	backend.stop()
	b.close()
	if _, err := os.Stat("/proc/" + joinPIDs(backend.pids)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the backend is still there: %v", err)
	}
	if _, err := os.Stat(b.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestMissingProgramSaysWhatToDo(t *testing.T) {
	for want, p := range map[string]peer{
		"apt-get install nothing-such": {name: "a", program: "no-such-program", debian: "nothing-such"},
		"make build":                   {name: "b", program: "./no/such/path"},
	} {
		if _, err := p.find(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", p.name, err, want)
		}
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--scenarios", "echoo"},
		{"--scenarios", "echo-128B-100", "--proxies", "squid"},
		{"--rounds", "0"},
		{"--duration", "0s"},
		{"stray"},
		{"--rounds", "1", "stray"},
		{"serve", "--mode", "mirror"},
		{"load", "--watch", "proxy"},
		{"load", "--scenario", "stormy"},
		{"--scenarios", "["},
		{"report", "no-such-file"},
		{"--pairs", "5"},
		{"--pairs", "0"},
		{"--pairs", "2", "--full"},
		{"--pairs", "2", "--rounds", "3"},
		{"--pairs", "2", "--proxies", "wsplice"},
		{"--pairs", "2", "--scenarios", "idle"},
		{"--endpoints", "--full"},
		{"--endpoints", "--pairs", "9"},
		{"--endpoints", "--scenarios", "idle"},
		{"--endpoints", "--proxies", "apache"},
		{"--secure", "--full"},
		{"--secure", "--endpoints"},
		{"--secure", "--pairs", "9"},
		{"--secure", "--scenarios", "idle"},
		{"--secure", "--proxies", "apache"},
		{"serve", "--mode", "duplex", "--raw"},
		{"load", "--scenario", "echo", "--burst", "9", "--address", "127.0.0.1:1"},
		{"load", "--scenario", "open", "--rate", "9", "--certificate", "cert.pem", "--address", "127.0.0.1:1"},
	} {
		if err := run(mustContext(t), args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestFreePortIsFree(t *testing.T) {
	a, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	b, err := freePort()
	if err != nil || a == b {
		t.Fatalf("ports %d and %d, %v", a, b, err)
	}
}
