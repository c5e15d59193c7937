package pool

import (
	"slices"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// Every server is tried once, then there is none.
func TestPickTriesEveryServerOnce(t *testing.T) {
	for name, balance := range every {
		u := equal(t, balance, serversMax)
		order := pickAll(u, pathKey(u, 1))
		slices.Sort(order)
		if len(slices.Compact(order)) != serversMax {
			t.Errorf("%s: %d servers tried, want %d", name, len(order), serversMax)
		}
	}
}

// A reserve is a row of servers and which of them are picked for one request
// after the other, until nothing is left.
type reserve struct {
	members string // by letters: n, h (standby), r (spare), d (drain), x (disabled); / begins the next set
	down    string // indexes of those that are not healthy
	want    []int
}

// build returns the upstream and its servers in the order of the letters.
func (c *reserve) build(t *testing.T) (*Upstream, []*Server) {
	t.Helper()
	statuses := map[rune]Status{
		'n': StatusNormal, 'h': StatusStandby, 'r': StatusSpare, 'd': StatusDrain, 'x': StatusDisabled,
	}
	var list []Member
	set := 0
	for _, letter := range c.members {
		if letter == '/' {
			set += 3
			continue
		}
		list = append(list, Member{Weight: 1, Set: set, Status: statuses[letter], Route: string('a' + rune(len(list)))})
	}
	all := servers(t, len(list))
	for i, s := range all {
		list[i].Server = s
	}
	// The numbers of the sets count, not the order.
	slices.SortStableFunc(list, func(a, b Member) int { return b.Set - a.Set })
	u := build(t, Config{Balance: RoundRobin, Members: list, Cookie: Cookie{Name: "c"}})
	for _, digit := range c.down {
		all[digit-'0'].SetHealthy(false)
	}
	return u, all
}

func TestSetsAndStatus(t *testing.T) {
	for name, c := range map[string]reserve{
		"sets in order":                      {"n/n/n", "", []int{0, 1, 2}},
		"a set that is down":                 {"n/n/n", "0", []int{1, 2}},
		"standby while another is up":        {"nh", "", []int{0, 1}},
		"standby when none is up":            {"nnhh", "01", []int{2, 3}},
		"standby before the next set":        {"nh/n", "0", []int{1, 2}},
		"spare while all are up":             {"nr", "", []int{0, 1}},
		"spare in place of one":              {"nnr", "0", []int{1, 2}},
		"as many spares as are down":         {"nnrr", "01", []int{2, 3}},
		"spares before standbys":             {"nhr", "0", []int{2, 1}},
		"spare in place of one that drains":  {"dr", "", []int{1}},
		"spare in place of a disabled one":   {"xr", "", []int{1}},
		"drain is not for new clients":       {"nd", "", []int{0}},
		"disabled is for nobody":             {"nx", "", []int{0}},
		"nothing but drain":                  {"dd", "", nil},
		"everything down":                    {"nhr/n", "0123", nil},
		"a spare of another set stays there": {"n/r", "0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			u, all := c.build(t)
			var got []int
			for _, i := range pickAll(u, Key{}) {
				got = append(got, slices.Index(all, u.servers[i]))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s with %q down: %v, want %v", c.members, c.down, got, c.want)
			}
		})
	}
}

// At first sight a spare competes with those it stands in for, and no more of
// them than are missing.
func TestSparesShareTheLoad(t *testing.T) {
	u, all := (&reserve{"nnnrr", "0", nil}).build(t)
	counts := make([]int, 5)
	for range 30 {
		counts[slices.Index(all, u.servers[pickOne(u, Key{})])]++
	}
	slices.Sort(counts[3:]) // which of the two is open
	if !slices.Equal(counts, []int{0, 10, 10, 0, 10}) {
		t.Errorf("picks %v", counts)
	}
}

func TestFailedServerIsLeftOut(t *testing.T) {
	u := build(t, Config{Balance: RoundRobin, Members: members(t, 1, 1), DisableTime: time.Second})
	clock := stopClock(u)
	first := u.Servers()[0]
	first.Failed(sys.ECONNREFUSED)
	if first.Up() || !u.Servers()[1].Up() {
		t.Error("the wrong server is up")
	}
	for range 4 {
		clock.pass(200 * time.Millisecond)
		if got := pickAll(u, Key{}); !slices.Equal(got, []int{1}) {
			t.Fatalf("picked %v while server 0 is out", got)
		}
	}
	clock.pass(200 * time.Millisecond)
	// One request tries it; others go there only when they have nowhere else to go.
	picks := []int{pickOne(u, Key{}), pickOne(u, Key{}), pickOne(u, Key{})}
	slices.Sort(picks)
	if !slices.Equal(picks, []int{0, 1, 1}) {
		t.Errorf("picks %v, want one of server 0", picks)
	}
	if got := pickAll(u, Key{}); !slices.Equal(got, []int{1, 0}) {
		t.Errorf("picked %v, want server 0 last", got)
	}
	first.Failed(sys.ECONNREFUSED)
	if got := pickAll(u, Key{}); !slices.Equal(got, []int{1}) {
		t.Errorf("picked %v after the trial has failed", got)
	}
	clock.pass(time.Second)
	pickAll(u, Key{})
	first.Connected()
	if !first.Up() {
		t.Error("the server that was reached is not up")
	}
	if got := pickAll(u, Key{}); len(got) != 2 {
		t.Errorf("picked %v after it came back", got)
	}
}

// A trial of which nobody hears, because its client went away, is repeated.
func TestForgottenTrial(t *testing.T) {
	u := build(t, Config{Balance: RoundRobin, Members: members(t, 1, 1), DisableTime: time.Second})
	clock := stopClock(u)
	u.Servers()[0].Failed(sys.ECONNREFUSED)
	for range 3 {
		clock.pass(time.Second)
		if got := []int{pickOne(u, Key{}), pickOne(u, Key{})}; !slices.Contains(got, 0) {
			t.Errorf("picks %v, want a trial of server 0", got)
		}
	}
}

func TestAllServersOut(t *testing.T) {
	u := build(t, Config{Members: members(t, 1, 1, 1), DisableTime: time.Second})
	clock := stopClock(u)
	for _, s := range u.Servers() {
		s.Failed(sys.ETIMEDOUT)
	}
	if got := pickAll(u, Key{}); got != nil {
		t.Errorf("picked %v", got)
	}
	clock.pass(time.Second)
	if got := pickAll(u, Key{}); len(got) != 3 {
		t.Errorf("picked %v when their time is over", got)
	}
}

func TestNoDisableTime(t *testing.T) {
	u := equal(t, RoundRobin, 2)
	u.Servers()[0].Failed(sys.ECONNREFUSED)
	if got := pickAll(u, Key{}); !u.Servers()[0].Up() || len(got) != 2 {
		t.Errorf("picked %v, though no server is to be left out", got)
	}
	alone := servers(t, 1)[0] // of no upstream
	alone.Failed(sys.ECONNREFUSED)
	alone.Connected()
	if !alone.Up() {
		t.Error("a server of no upstream is down")
	}
}

func TestSetHealthy(t *testing.T) {
	u := build(t, Config{Balance: RoundRobin, Members: members(t, 1, 1), DisableTime: time.Hour})
	s := u.Servers()[0]
	if s.SetHealthy(true) {
		t.Error("healthy is news, but every server begins so")
	}
	if !s.SetHealthy(false) || s.SetHealthy(false) || s.Up() {
		t.Error("unhealthy is no news, or twice")
	}
	if got := pickAll(u, Key{}); !slices.Equal(got, []int{1}) {
		t.Errorf("picked %v", got)
	}
	s.Failed(sys.ECONNREFUSED)
	if !s.SetHealthy(true) || !s.Up() {
		t.Error("a check that finds the server well does not end its time out")
	}
	if got := pickAll(u, Key{}); len(got) != 2 {
		t.Errorf("picked %v", got)
	}
}

// TestSlowStart has a server come back, after a failure and after bad health,
// and counts its part of the picks as time passes.
func TestSlowStart(t *testing.T) {
	for name, leave := range map[string]func(*Server){
		"after a failure": func(s *Server) { s.Failed(sys.ECONNREFUSED); s.Connected() },
		"after its health": func(s *Server) {
			s.SetHealthy(false)
			s.SetHealthy(true)
		},
	} {
		u := build(t, Config{
			Balance: RoundRobin, Members: members(t, 10, 10),
			DisableTime: time.Second, SlowStart: 100 * time.Second,
		})
		clock := stopClock(u)
		slow := u.Servers()[1]
		part := func() (part int) {
			for range 1000 {
				part += pickOne(u, Key{})
			}
			return part
		}
		if got := part(); got != 500 {
			t.Errorf("%s: %d of 1000 before", name, got)
		}
		leave(slow)
		for _, step := range []struct {
			wait      time.Duration
			low, high int
		}{
			{0, 0, 2}, {25 * time.Second, 198, 202}, {25 * time.Second, 331, 335}, // 1:4 and 1:2
			{49 * time.Second, 495, 500}, {time.Second, 500, 500},
		} {
			clock.pass(step.wait)
			if got := part(); got < step.low || got > step.high {
				t.Errorf("%s: %d of 1000 after %v more, want %d to %d", name, got, step.wait, step.low, step.high)
			}
		}
		if slow.ramp.Load() != 0 {
			t.Errorf("%s: the clock is still read at full weight", name)
		}
	}
}

// With least_connection too, an empty server that has just come back does not
// get all that comes.
func TestSlowStartOfLeastConnection(t *testing.T) {
	u := build(t, Config{Members: members(t, 1, 1), DisableTime: time.Second, SlowStart: 100 * time.Second})
	clock := stopClock(u)
	for range 200 {
		pickOne(u, Key{})
	}
	back := u.Servers()[1]
	back.Failed(sys.ECONNREFUSED)
	for range 100 {
		back.Release()
	}
	back.Connected()
	clock.pass(10 * time.Second)
	for range 20 {
		pickOne(u, Key{})
	}
	if open := back.Open(); open < 8 || open > 14 {
		t.Errorf("%d tunnels at a server with a tenth of its weight, beside one with %d", open, u.Servers()[0].Open())
	}
}
