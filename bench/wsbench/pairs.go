package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// What pairs get unless flags say otherwise. Short windows: what two halves have
// in common is what they are near to in time, and so many pairs of them enclose
// the median in 1%, where 15 pairs of 4 s do in 4%.
const (
	pairWindow = 900 * time.Millisecond
	pairWarmup = 250 * time.Millisecond

	// pairsMin and pairsMax bound --pairs: fewer than 6 enclose their median with
	// no confidence worth the name.
	pairsMin = 6
	pairsMax = 1000

	// bulkPairsMax bounds them in bulk, which has no limit to hold.
	bulkPairsMax = 8
)

// pairScenarios are what following frames is measured in: wsplice beside
// itself without, in rounds whose order turns each time. In bulk it is also
// kept from giving up.
func pairScenarios() []scenario {
	halves := []string{report.Subject, report.FramesOff}
	three := append([]string{report.FramesAlways}, halves...)
	var list []scenario
	for _, tunnels := range []int{100, 1000} {
		list = append(list, scenario{
			name: fmt.Sprintf("frames-echo-128B-%d", tunnels), load: load.Echo, tunnels: tunnels, size: 128, full: halves,
		})
	}
	for _, size := range []int{16 << 10, 1 << 20} {
		list = append(list, scenario{
			name: fmt.Sprintf("frames-bulk-down-%s-4", sizeName(size)), load: load.Down, tunnels: 4, size: size,
			full: three, rounds: bulkPairsMax,
		})
	}
	for i := range list {
		list[i].paired = true
	}
	return list
}

// pairHosts are where one process serves the variants of a pair: what a process
// has got by chance, such as where its memory lies, would tell in every pair of
// two processes.
var pairHosts = map[string]string{
	report.Subject: "127.0.0.1", report.FramesOff: "127.0.0.2", report.FramesAlways: "127.0.0.3",
}

// pairConfig is the configuration behind that: a listener and a route for each.
func pairConfig(p place) string {
	listeners, routes := "listeners:\n", "routes:\n"
	for _, variant := range []struct{ name, frames string }{
		{report.Subject, "auto"}, {report.FramesOff, "off"}, {report.FramesAlways, "always"},
	} {
		host := pairHosts[variant.name]
		listeners += fmt.Sprintf("  - {address: \"%s:%d\"}\n", host, p.port)
		routes += fmt.Sprintf("  - {path: /, hosts: [%s], to: \"ws://127.0.0.1:%d/\", tunnel: {frames: %s}}\n",
			host, p.backendPorts[0], variant.frames)
	}
	return listeners + routes
}

// shared returns a lane for p in the process of a lane that is running, if that
// serves it too.
func shared(lanes []*lane, p *peer, s *scenario) *lane {
	host := pairHosts[p.name]
	if !s.paired || host == "" {
		return nil
	}
	for _, l := range lanes {
		if pairHosts[l.peer.name] != "" {
			fellow := *l // with its process and what that has counted
			_, port, _ := strings.Cut(l.address, ":")
			fellow.peer, fellow.address = p, host+":"+port
			return &fellow
		}
	}
	return nil
}

// usePairs turns the options to pairs, unless they contradict that.
func (o *options) usePairs(given map[string]bool) error {
	for _, other := range []string{"full", "rounds", "proxies", "install"} {
		if given[other] {
			return fmt.Errorf("--pairs measures wsplice beside itself: it does not go with --%s", other)
		}
	}
	if o.pairs < pairsMin || o.pairs > pairsMax {
		return fmt.Errorf("--pairs: %d, must be %d to %d", o.pairs, pairsMin, pairsMax)
	}
	o.rounds = o.pairs
	return nil
}

// choose returns the scenarios to run.
func (o *options) choose() ([]scenario, error) {
	whole := func(scenario) bool { return true }
	switch {
	case o.secure:
		return chooseFrom(secureScenarios(), o.scenarios, whole)
	case o.endpoints:
		return chooseFrom(endpointScenarios(), o.scenarios, whole)
	case o.pairs > 0:
		return chooseFrom(pairScenarios(), o.scenarios, whole)
	}
	return chooseScenarios(o.scenarios, o.full)
}

// everyScenario returns those of all sets.
func everyScenario() []scenario {
	return slices.Concat(scenarios(), pairScenarios(), endpointScenarios(), secureScenarios())
}
