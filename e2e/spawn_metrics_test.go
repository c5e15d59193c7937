package e2e

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestSpawnMetrics kills one of two processes and reads in the metrics what
// became of it. The processes of both entries have one command.
func TestSpawnMetrics(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := spawning(t, "")
	entry := fmt.Sprintf(`{command: [%q, %s], max_procs: 1}`, self, spawnedArgument)
	cfg.Upstreams = fmt.Sprintf("  u: {servers: [%s, %[1]s]}", entry)
	proxy := rig.Start(t, cfg)
	wantSpawned := func(what string, processes, starts, deaths float64) {
		t.Helper()
		labels := []string{`upstream="u"`, fmt.Sprintf("command=%q", self)}
		var got [4]float64
		if !rig.Poll(rig.Soon, func() bool {
			m := proxy.Metrics()
			for i, name := range []string{"processes", "starts_total", "deaths_total", "start_failures_total"} {
				got[i] = m.Sum("wsplice_spawned_"+name, labels...)
			}
			return got == [4]float64{processes, starts, deaths, 0}
		}) {
			t.Fatalf("%s: processes, starts, deaths and failures are %v", what, got)
		}
	}
	wantSpawned("at the start", 2, 2, 0)
	pid, _ := strconv.Atoi(askSpawned(t, proxy, "pid"))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantSpawned("when a process was killed and replaced", 2, 3, 1)
}

// TestSpawnMetricsOfNone: who starts nothing has nothing to show.
func TestSpawnMetricsOfNone(t *testing.T) {
	proxy := startToBackend(t, rig.EchoBackend(t), rig.Config{})
	if proxy.Metrics().Has("wsplice_spawned_processes") {
		t.Error("there are figures of processes where none is configured")
	}
}
