package spawn

import (
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// figures are what a rig's group is expected to say of its processes.
type figures struct {
	running                  int
	starts, deaths, failures uint64
}

func (r *rig) waitFigures(what string, want figures) {
	r.t.Helper()
	var got GroupStats
	testutil.Eventually(r.t, soon, what, func() bool {
		got = r.manager.Stats()[0]
		return figures{got.Running, got.Starts, got.Deaths, got.Failures} == want
	})
	if got.Name != "u" || got.Path != r.group.config.Path {
		r.t.Errorf("the figures are of %s, %s", got.Name, got.Path)
	}
}

func TestStatsOfDeaths(t *testing.T) {
	c := backendConfig(t)
	c.Min, c.Max = 2, 2
	r := start(t, c)
	r.waitFigures("two run", figures{2, 2, 0, 0})
	kill(t, r.pid(0))
	r.waitFigures("one is replaced", figures{2, 3, 1, 0})
	kill(t, parent(t, r.pid(1)))
	r.waitFigures("both are, after their supervisor", figures{2, 5, 3, 0})
	r.manager.Close()
	r.waitFigures("who is told to end does not die", figures{0, 5, 3, 0})
}

func TestStatsOfIdleProcesses(t *testing.T) {
	c := backendConfig(t)
	c.Max, c.Idle = 2, 50*time.Millisecond
	r := start(t, c)
	r.loads[0].open.Store(2)
	r.waitFigures("two run", figures{2, 2, 0, 0})
	r.loads[0].open.Store(0)
	r.waitFigures("one is not needed any more", figures{1, 2, 0, 0})
}

func TestStatsOfFailures(t *testing.T) {
	c := backendConfig(t)
	c.Min, c.Path = 0, "/no/such/program"
	r := start(t, c)
	r.loads[0].open.Store(1)
	testutil.Eventually(t, soon, "two starts fail", func() bool { return r.manager.Stats()[0].Failures >= 2 })
	if got := r.manager.Stats()[0]; got.Running != 0 || got.Starts != 0 || got.Deaths != 0 {
		t.Errorf("the figures are %+v", got)
	}
}
