package main

import (
	"fmt"
	"time"

	"wsplice/bench/load"
)

// A plan knows how long a comparison takes: at first by rule of thumb, later
// by how the rule has done so far.
type plan struct {
	runs  int
	total time.Duration // by the rule
	done  time.Duration // of total
	begin time.Time     // of the first run
}

// What a run takes besides its warm-up and window, on the machine the project
// was written on.
const (
	startCost  = 150 * time.Millisecond // a proxy begins to serve, and ends
	runCost    = 60 * time.Millisecond  // the load generator starts and ends
	tunnelCost = 150 * time.Microsecond // a tunnel opens and closes
	settleCost = 800 * time.Millisecond

	burstCost = 8 * time.Second // idle tunnels that are to burst settle late, and bursts take time
)

// sweepRounds and sweepWindow bound what a point of a curve is given.
const (
	sweepRounds = 3
	sweepWindow = time.Second
)

// rounds returns how many rounds a scenario gets.
func (b *bench) rounds(s *scenario) int {
	n := b.options.rounds
	if s.sweep {
		n = min(n, sweepRounds)
	}
	if s.rounds > 0 {
		n = min(n, s.rounds)
	}
	return n
}

// window returns how long a scenario is measured in each round.
func (b *bench) window(s *scenario) time.Duration {
	if s.sweep {
		return min(b.options.duration, sweepWindow)
	}
	return b.options.duration
}

// runCost estimates one run.
func (b *bench) runCost(s *scenario) time.Duration {
	cost := runCost + time.Duration(s.held())*tunnelCost
	switch s.load {
	case load.Idle:
		if s.burst > 0 {
			cost += burstCost + b.burstRest
		}
		return cost + 2*settleCost + startCost
	case load.Storm:
		return cost + b.options.warmup + time.Duration(s.tunnels)*tunnelCost // they open twice
	default:
		return cost + b.options.warmup + b.window(s)
	}
}

// cost estimates all runs of one contender in a scenario.
func (b *bench) cost(s *scenario) (runs int, cost time.Duration) {
	for _, variant := range s.variants() {
		n := b.rounds(variant)
		runs += n
		cost += startCost + time.Duration(n)*b.runCost(variant)
	}
	return runs, cost
}

func (p *plan) add(runs int, cost time.Duration) {
	p.runs += runs
	p.total += cost
}

func (p *plan) finished(cost time.Duration) { p.done += cost }

// left estimates the time until the end, at a moment.
func (p *plan) left(now time.Time) time.Duration {
	rest := max(0, p.total-p.done)
	if spent := now.Sub(p.begin); !p.begin.IsZero() && p.done > 0 {
		return time.Duration(float64(rest) * float64(spent) / float64(p.done))
	}
	return rest
}

// String says how far the comparison is.
func (p *plan) String() string {
	percent := 100.0
	if p.total > 0 {
		percent = min(100, 100*p.done.Seconds()/p.total.Seconds())
	}
	return fmt.Sprintf("[%3.0f%%, %s left]", percent, brief(p.left(time.Now())))
}

// brief writes a duration in minutes, or in seconds where it is short.
func brief(d time.Duration) string {
	if d < 90*time.Second {
		return fmt.Sprintf("%2.0f s", d.Seconds())
	}
	return fmt.Sprintf("%2.0f min", d.Minutes())
}
