package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

func names(list []scenario) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.name)
	}
	return out
}

func TestScenariosAreSound(t *testing.T) {
	seen := map[string]bool{}
	all := peers("bin/wsplice")
	for _, s := range scenarios() {
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		short := s.contenders("", false)
		for _, list := range [][]string{short, s.contenders("", true)} {
			if _, err := choosePeers(list, all); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			if !slices.Contains(list, "wsplice") || !slices.Contains(list, "wsplice-epoll") {
				t.Errorf("%s is without us: %v", s.name, list)
			}
		}
		if s.load != load.Idle && s.size == 0 || s.held() > 9000 || s.load == load.Open && s.rate == 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestScenariosAreChosenByNameBeginningOrPattern(t *testing.T) {
	for _, test := range []struct {
		list string
		full bool
		want []string
	}{
		{"echo-4KiB-100,idle", false, []string{"idle", "echo-4KiB-100"}},
		{"bulk", false, []string{"bulk-down-16KiB-4", "bulk-up-16KiB-4"}},
		{"echo", false, []string{"echo-128B-100", "echo-128B-1000", "echo-4KiB-100"}},
		{"open", true, []string{"open-10000", "open-1000"}},
		{"open-1000", false, []string{"open-1000"}}, // not open-10000, which begins so
		{"echo-128B-100,echo", false, []string{"echo-128B-100", "echo-128B-1000", "echo-4KiB-100"}},
		{"bulk-both", false, []string{"bulk-both-16KiB-4"}},
		{"bulk-*-64", false, []string{"bulk-down-16KiB-64", "bulk-up-16KiB-64"}},
		{"bulk-up-*-4", true, []string{"bulk-up-16KiB-4", "bulk-up-4KiB-4", "bulk-up-64KiB-4", "bulk-up-1MiB-4"}},
	} {
		got, err := chooseScenarios(test.list, test.full)
		if err != nil || !slices.Equal(names(got), test.want) {
			t.Errorf("%s, full %v: %v, %v, want %v", test.list, test.full, names(got), err, test.want)
		}
	}
	short, err := chooseScenarios("", false)
	if err != nil || len(short) != 10 {
		t.Errorf("the short set: %v, %v", names(short), err)
	}
	full, err := chooseScenarios("", true)
	if err != nil || len(full) != len(scenarios()) {
		t.Errorf("the full set: %v, %v", names(full), err)
	}
}

func TestListNamesEveryScenario(t *testing.T) {
	for _, s := range everyScenario() {
		if !strings.Contains(listScenarios(), s.name) {
			t.Errorf("%s is not listed", s.name)
		}
	}
}

func TestGoroutinesArePartOfTheFullRun(t *testing.T) {
	for _, s := range scenarios() {
		want := s.load == load.Echo && s.name != "mixed" || s.load == load.Open || s.bulk()
		if got := slices.Contains(s.contenders("", true), asyncOff); got != want {
			t.Errorf("%s: %v, want %v", s.name, got, want)
		}
		if slices.Contains(s.contenders("", false), asyncOff) && s.short != nil {
			t.Errorf("%s: in the short set", s.name)
		}
	}
}

// TestShortSetTakesLessThanFiveMinutes holds the promise of make bench by the
// plan's rule of thumb; building comes on top.
func TestShortSetTakesLessThanFiveMinutes(t *testing.T) {
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o}
	chosen, err := chooseScenarios("", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range chosen {
		for range s.contenders("", false) {
			b.plan.add(b.cost(&s))
		}
	}
	if b.plan.total > 4*time.Minute+40*time.Second {
		t.Errorf("%d runs take %v", b.plan.runs, b.plan.total)
	}
}

func TestPlanLearnsHowFastItGoes(t *testing.T) {
	begin := time.Now()
	p := plan{begin: begin}
	p.add(4, 40*time.Second)
	if got := p.left(begin); got != 40*time.Second {
		t.Errorf("at the beginning %v left, want the estimate", got)
	}
	p.finished(10 * time.Second)
	if got := p.left(begin.Add(20 * time.Second)); got != time.Minute {
		t.Errorf("at half the speed %v left, want 1m", got)
	}
	if text := p.String(); !strings.Contains(text, "25%") {
		t.Errorf("progress %q", text)
	}
	p.finished(40 * time.Second)
	if got := p.left(begin.Add(time.Minute)); got != 0 {
		t.Errorf("past the end %v left", got)
	}
}

func TestSweepsGetLess(t *testing.T) {
	o, err := parseOptions([]string{"--full"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o}
	point, main := &scenario{load: load.Echo, sweep: true}, &scenario{load: load.Echo}
	if b.rounds(point) != sweepRounds || b.window(point) != sweepWindow {
		t.Errorf("a point of a curve: %d rounds of %v", b.rounds(point), b.window(point))
	}
	if b.rounds(main) != fullRounds || b.window(main) != fullWindow {
		t.Errorf("the rest: %d rounds of %v", b.rounds(main), b.window(main))
	}
}

func TestEngineIsReadFromTheLog(t *testing.T) {
	for log, want := range map[string]string{
		"level=INFO msg=engine name=io_uring\nlevel=INFO msg=ready version=x engine=io_uring loops=2\n": "io_uring",
		`{"msg":"ready","engine":"epoll","loops":2}`:                                                    "epoll",
		"level=INFO msg=ready version=x loops=2":                                                        "",
		"msg=engine engine=epoll":                                                                       "",
	} {
		if got := engineOf(log); got != want {
			t.Errorf("%q: %q, want %q", log, got, want)
		}
	}
}

// TestShortSetHoldsWhatIsJudged keeps the names of the judged table and of the
// scenarios together: they live in different packages.
func TestShortSetHoldsWhatIsJudged(t *testing.T) {
	short, err := chooseScenarios("", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range (&report.Results{}).Judge(nil) {
		i := slices.IndexFunc(short, func(s scenario) bool { return s.name == v.Scenario })
		if i < 0 {
			if v.Scenario != "all" {
				t.Errorf("%v: not in the short set", v)
			}
			continue
		}
		_, err := choosePeers([]string{v.Against}, peers("bin/wsplice"))
		if err == nil && !slices.Contains(short[i].contenders("", false), v.Against) {
			t.Errorf("%v: %s takes no part", v, v.Against)
		}
	}
}
