package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestComparisonOfDirect runs every loaded scenario without a proxy, through
// real processes, and reads the samples back.
func TestComparisonOfDirect(t *testing.T) {
	results := t.TempDir()
	err := run(mustContext(t), []string{
		"--proxies", "direct", "--rounds", "1", "--duration", "100ms", "--warmup", "50ms", "--results", results,
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("result files %v, %v, want one", files, err)
	}
	r, err := report.Read(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) != 3 {
		t.Fatalf("%d samples, want echo, bulk-down and bulk-up", len(r.Samples))
	}
	for _, s := range r.Samples {
		if s.Load == nil || s.Load.Bytes == 0 || s.Load.Errors != 0 || s.Load.CPU["backend"].Sched == 0 {
			t.Errorf("%s: %+v", s.Scenario, s.Load)
		}
	}
	root := t.TempDir()
	if err := run(mustContext(t), []string{"report", "--in", files[0], "--root", root}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, reportFile)); err != nil {
		t.Error(err)
	}
	if err := run(mustContext(t), []string{"report", "--in", files[0], "--root", root, "--check"}); err == nil {
		t.Error("--check passes without a figure of wsplice")
	}
}

func TestInterruptedComparisonLeavesNothing(t *testing.T) {
	b, err := newBench(options{rounds: 1, duration: time.Minute, proxies: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	backend, _, err := b.startBackend(ctx, &scenarios[0])
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := b.run(ctx, &scenarios[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("run = %v, want canceled", err)
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
		{"--scenarios", "echo", "--proxies", "squid"},
		{"--rounds", "0"},
		{"--duration", "0s"},
		{"stray"},
		{"--rounds", "1", "stray"},
		{"serve", "--mode", "mirror"},
		{"load", "--watch", "proxy"},
		{"load", "--scenario", "storm"},
	} {
		if err := run(mustContext(t), args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestConfigurationsNameBothPorts(t *testing.T) {
	for _, p := range peers("bin/wsplice") {
		if p.config == nil {
			continue
		}
		text := p.config(place{port: 20001, backendPort: 20002})
		if !strings.Contains(text, "20001") || !strings.Contains(text, "20002") {
			t.Errorf("%s: %s", p.name, text)
		}
		if strings.HasPrefix(p.name, "wsplice-") != strings.Contains(text, "engine: "+strings.TrimPrefix(p.name, "wsplice-")) {
			t.Errorf("%s: %s", p.name, text)
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
