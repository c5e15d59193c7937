package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// A scenario is one thing to measure.
type scenario struct {
	name    string
	load    load.Scenario
	tunnels int
	size    int  // payload bytes of a message or frame
	rate    int  // messages per second, of an open loop
	idlers  int  // quiet tunnels beside the busy ones; the same load is then measured without them, too
	sources int  // client addresses, 0 = the kernel's choice
	resume  bool // TLS sessions continue earlier ones
	burst   int  // of idle tunnels: payload bytes of the message that each echoes at the end, 0 = none

	// backends is how many ports the backend listens on; 0 means 1. Where
	// connections come and go, one port would run out of ephemeral ports on the
	// proxy's side, and that would be what is measured.
	backends int

	short  []string // contenders in the short set; nil = not in it
	full   []string // contenders in the full set; nil = everyone
	rounds int      // at most this many; 0 = as many as asked for
	sweep  bool     // one point of a curve: at most sweepRounds of sweepWindow
	paired bool     // variants of wsplice beside one another, see pairScenarios
	family string   // of the sets with peers of their own, see endpointScenarios; "" = the comparison
}

// secure reports whether clients speak TLS.
func (s *scenario) secure() bool { return s.family == report.Secure }

func (s *scenario) bulk() bool {
	return s.load == load.Down || s.load == load.Up || s.load == load.Both
}

// held is how many tunnels a proxy has open at once.
func (s *scenario) held() int { return s.tunnels + s.idlers }

func (s *scenario) ports() int { return max(1, s.backends) }

// backend returns the arguments of wsbench serve.
func (s *scenario) backend() []string {
	if s.family == report.Endpoint {
		return append(s.backendMode(), "--raw")
	}
	return s.backendMode()
}

func (s *scenario) backendMode() []string {
	switch s.load {
	case load.Down:
		return []string{"--mode", "source", "--frame", strconv.Itoa(s.size)}
	case load.Up:
		return []string{"--mode", "sink"}
	case load.Both:
		return []string{"--mode", "duplex", "--frame", strconv.Itoa(s.size)}
	default:
		return []string{"--mode", "echo"}
	}
}

// variants returns the scenario and, where it has idlers, the same without
// them: both are measured in the same rounds, on proxies of their own.
func (s *scenario) variants() []*scenario {
	if s.idlers == 0 {
		return []*scenario{s}
	}
	alone := *s
	alone.name, alone.idlers = s.name+report.Alone, 0
	return []*scenario{s, &alone}
}

// Contenders. Who is judged on a figure is in every set of its scenario.
var (
	copying = []string{"wsplice", "wsplice-epoll", "nginx", "haproxy"}
	moving  = append(slices.Clone(copying), "haproxy-splice")
	withEnd = append([]string{"direct"}, copying...)

	everyone = append(append([]string{"direct"}, moving...), "apache", "lighttpd", "caddy")
	engines  = []string{"wsplice", "wsplice-epoll"}

	// Goroutines are measured where tunnels carry something for long.
	withGoroutines = append(slices.Clone(everyone), asyncOff)
)

// scenarios returns every scenario in the order they are run: memory first,
// because what others leave in the kernel's caches would be reused.
func scenarios() []scenario {
	all := []scenario{
		{name: "idle", load: load.Idle, tunnels: 8000, rounds: 2, short: withEnd},
		{name: "echo-128B-100", load: load.Echo, tunnels: 100, size: 128, short: withEnd},
		{name: "echo-128B-1000", load: load.Echo, tunnels: 1000, size: 128, short: copying},
		{name: "echo-4KiB-100", load: load.Echo, tunnels: 100, size: 4 << 10, short: copying},
		{name: "open-10000", load: load.Open, tunnels: 100, size: 128, rate: 10_000, short: copying},
		{name: "bulk-down-16KiB-4", load: load.Down, tunnels: 4, size: 16 << 10, short: moving},
		{name: "bulk-up-16KiB-4", load: load.Up, tunnels: 4, size: 16 << 10, short: moving},
		{name: "churn", load: load.Churn, tunnels: 50, size: 128, sources: 32, backends: 16, short: copying},
		{
			name: "mixed", load: load.Echo, tunnels: 100, size: 128, idlers: 8000,
			short: engines, full: copying,
		},
		{name: "storm", load: load.Storm, tunnels: 2000, size: 128, sources: 32, backends: 16, short: copying, rounds: 3},
	}
	all = append(all, sweeps()...)
	for i := range all {
		if s := &all[i]; s.full == nil && (s.bulk() || s.load == load.Echo || s.load == load.Open) {
			s.full = withGoroutines
		}
	}
	return all
}

// sweeps are the points of the curves, in the full set only.
func sweeps() []scenario {
	var points []scenario
	add := func(s scenario) { points = append(points, s) }
	for _, tunnels := range []int{1, 10, 4000, 9000} {
		add(scenario{name: fmt.Sprintf("echo-128B-%d", tunnels), load: load.Echo, tunnels: tunnels, size: 128})
	}
	for _, size := range []int{16, 1 << 10, 16 << 10, 64 << 10} {
		add(scenario{name: fmt.Sprintf("echo-%s-100", sizeName(size)), load: load.Echo, tunnels: 100, size: size})
	}
	add(scenario{name: "open-1000", load: load.Open, tunnels: 100, size: 128, rate: 1000})
	bulk := func(way load.Scenario, size, tunnels int) {
		add(scenario{name: fmt.Sprintf("bulk-%s-%s-%d", way, sizeName(size), tunnels), load: way, tunnels: tunnels, size: size})
	}
	bulk(load.Both, 16<<10, 4)
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		bulk(load.Down, size, 4)
		bulk(load.Up, size, 4)
	}
	for _, tunnels := range []int{1, 16, 64} {
		bulk(load.Down, 16<<10, tunnels)
		bulk(load.Up, 16<<10, tunnels)
	}
	for i := range points {
		points[i].sweep = true
	}
	return points
}

func sizeName(bytes int) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%dMiB", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%dKiB", bytes>>10)
	default:
		return fmt.Sprintf("%dB", bytes)
	}
}

// chooseScenarios returns the scenarios of a comma list, in the order of the
// table; the empty list means the whole set. An entry is a name, the beginning
// of names, or a pattern with * or ?; the last two look beyond the short set
// only where they find nothing in it.
func chooseScenarios(list string, full bool) ([]scenario, error) {
	return chooseFrom(scenarios(), list, func(s scenario) bool { return full || s.short != nil })
}

// chooseFrom is chooseScenarios of a table and the set in it.
func chooseFrom(all []scenario, list string, inSet func(scenario) bool) ([]scenario, error) {
	if list == "" {
		return slices.DeleteFunc(all, func(s scenario) bool { return !inSet(s) }), nil
	}
	wanted := map[string]bool{}
	for entry := range strings.SplitSeq(list, ",") {
		if _, err := path.Match(entry, ""); err != nil || entry == "" {
			return nil, fmt.Errorf("--scenarios: cannot understand %q", entry)
		}
		found := func(test func(s scenario) bool) (some bool) {
			for _, s := range all {
				if test(s) {
					wanted[s.name], some = true, true
				}
			}
			return some
		}
		named := func(s scenario) bool { return s.name == entry }
		similar := func(s scenario) bool {
			matches, _ := path.Match(entry, s.name)
			return matches || strings.HasPrefix(s.name, entry)
		}
		if !found(named) && !found(func(s scenario) bool { return inSet(s) && similar(s) }) && !found(similar) {
			return nil, fmt.Errorf("no scenario is called %q or begins so: see wsbench --list", entry)
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !wanted[s.name] }), nil
}

// listScenarios describes every scenario in a line.
func listScenarios() string {
	var b strings.Builder
	for _, s := range everyScenario() {
		set := "full"
		switch {
		case s.paired:
			set = "pairs"
		case s.secure():
			set = "secure"
		case s.family != "":
			set = "endpoints"
		case s.short != nil:
			set = "short, full"
		}
		fmt.Fprintf(&b, "%-25s %-12s %s, %d tunnels", s.name, set, s.load, s.tunnels)
		if s.size > 0 {
			fmt.Fprintf(&b, ", %s", sizeName(s.size))
		}
		if s.rate > 0 {
			fmt.Fprintf(&b, ", %d messages/s", s.rate)
		}
		if s.idlers > 0 {
			fmt.Fprintf(&b, ", beside %d idle ones", s.idlers)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// contenders returns the names of those who take part in a scenario: the
// given ones, or those of the set.
func (s *scenario) contenders(given string, full bool) []string {
	switch {
	case given != "":
		return strings.Split(given, ",")
	case !full && s.short != nil:
		return s.short
	case s.full != nil:
		return s.full
	default:
		return everyone
	}
}

// choosePeers looks names up.
func choosePeers(names []string, all []peer) ([]*peer, error) {
	var chosen []*peer
	for _, name := range names {
		i := slices.IndexFunc(all, func(p peer) bool { return p.name == name })
		if i < 0 {
			known := make([]string, 0, len(all))
			for _, p := range all {
				known = append(known, p.name)
			}
			return nil, fmt.Errorf("no proxy %q: %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, &all[i])
	}
	return chosen, nil
}
