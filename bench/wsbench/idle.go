package main

import (
	"context"
	"fmt"
	"time"

	"wsplice/bench/procstat"
	"wsplice/bench/report"
)

// How long memory may take to settle, and when it counts as settled.
const (
	settleTimeout = 8 * time.Second
	settlePeriod  = 250 * time.Millisecond
	settleSamples = 4        // in a row
	settleBytes   = 64 << 10 // between the least and the greatest of them

	openTimeout = 60 * time.Second
)

// runIdle measures each contender's memory, fresh and with tunnels open.
func (b *bench) runIdle(ctx context.Context, s *scenario, chosen []*peer, rounds, backendPort int) error {
	for round := range rounds {
		for _, p := range chosen {
			idle, err := b.measureIdle(ctx, s, p, backendPort)
			if err != nil {
				return err
			}
			sample := report.Sample{Scenario: s.name, Proxy: p.name, Round: round, Idle: idle}
			b.results.Samples = append(b.results.Samples, sample)
			progress("%s, round %d of %d: %-16s %s", s.name, round+1, rounds, p.name, sample.Summary())
		}
	}
	return nil
}

func (b *bench) measureIdle(ctx context.Context, s *scenario, p *peer, backendPort int) (*report.Idle, error) {
	l, err := b.startProxy(ctx, p, s, backendPort)
	if err != nil {
		return nil, err
	}
	defer l.stop()
	zero, err := settledPSS(ctx, l.process)
	if err != nil {
		return nil, err
	}
	client, err := start("load", b.loadArgs(s, l)...)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var up opened
	if err := client.readLine(opening, &up); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	held, err := settledPSS(ctx, l.process)
	if err != nil {
		return nil, err
	}
	if up.Open == 0 {
		return nil, fmt.Errorf("%s: no tunnel opened", p.name)
	}
	return &report.Idle{Tunnels: up.Open, ZeroBytes: zero, HeldBytes: held, Errors: up.Errors}, nil
}

// settledPSS samples the memory of a process and its descendants until it
// stays the same, or settleTimeout has passed, and returns the last sample.
func settledPSS(ctx context.Context, p *process) (int64, error) {
	tick := time.NewTicker(settlePeriod)
	defer tick.Stop()
	deadline := time.Now().Add(settleTimeout)
	var last []int64
	for {
		pids, err := p.tree()
		if err != nil {
			return 0, err
		}
		pss, err := procstat.PSS(pids...)
		if err != nil {
			return 0, err
		}
		last = append(last, pss)
		if len(last) > settleSamples {
			last = last[1:]
		}
		if len(last) == settleSamples && spread(last) <= settleBytes || time.Now().After(deadline) {
			return pss, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func spread(values []int64) int64 {
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	return most - least
}
