package main

import (
	"fmt"
	"slices"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// What pairs get unless flags say otherwise.
const (
	pairWindow = 1500 * time.Millisecond
	pairWarmup = 500 * time.Millisecond

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
	if o.pairs == 0 {
		return chooseScenarios(o.scenarios, o.full)
	}
	return chooseFrom(pairScenarios(), o.scenarios, func(scenario) bool { return true })
}

// everyScenario returns those of all sets.
func everyScenario() []scenario { return slices.Concat(scenarios(), pairScenarios()) }
