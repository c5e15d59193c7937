package main

import (
	"fmt"
	"slices"
	"strings"

	"wsplice/bench/load"
)

// A scenario is one thing to measure.
type scenario struct {
	name    string
	load    load.Scenario
	tunnels int
	size    int      // payload bytes of a message or frame
	backend []string // arguments of wsbench serve
	proxies []string // contenders unless --proxies says otherwise
	rounds  int      // at most this many; 0 = as many as asked for
}

func (s *scenario) bulk() bool { return s.load == load.Down || s.load == load.Up }

// scenarios is the default set, in order.
var scenarios = []scenario{
	{
		name: "echo", load: load.Echo, tunnels: 100, size: 128,
		backend: []string{"--mode", "echo"},
		proxies: []string{"direct", "wsplice", "nginx", "haproxy"},
	},
	{
		name: "bulk-down", load: load.Down, tunnels: 4, size: 16 << 10,
		backend: []string{"--mode", "source", "--frame", "16384"},
		proxies: []string{"direct", "wsplice", "nginx", "haproxy", "haproxy-splice"},
	},
	{
		name: "bulk-up", load: load.Up, tunnels: 4, size: 16 << 10,
		backend: []string{"--mode", "sink"},
		proxies: []string{"direct", "wsplice", "nginx", "haproxy", "haproxy-splice"},
	},
	{
		name: "idle", load: load.Idle, tunnels: 4000,
		backend: []string{"--mode", "echo"},
		proxies: []string{"wsplice", "nginx", "haproxy"},
		rounds:  2,
	},
}

// chooseScenarios returns the scenarios of a comma list; bulk means both
// directions, and the empty list all.
func chooseScenarios(list string) ([]scenario, error) {
	if list == "" {
		return scenarios, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, s := range scenarios {
			if s.name == name || name == "bulk" && s.bulk() {
				chosen = append(chosen, s)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario %q: echo, bulk, bulk-down, bulk-up, idle", name)
		}
	}
	return chosen, nil
}

// choosePeers returns the contenders of one scenario: those of a comma list,
// or the scenario's own when the list is empty. What has no proxy has no
// memory to measure.
func choosePeers(list string, s *scenario, all []peer) ([]*peer, error) {
	names := s.proxies
	if list != "" {
		names = strings.Split(list, ",")
	}
	var chosen []*peer
	for _, name := range names {
		i := slices.IndexFunc(all, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no proxy %q: direct, wsplice, wsplice-epoll, wsplice-io_uring, nginx, haproxy, haproxy-splice", name)
		}
		if all[i].program == "" && s.load == load.Idle {
			continue
		}
		chosen = append(chosen, &all[i])
	}
	return chosen, nil
}
