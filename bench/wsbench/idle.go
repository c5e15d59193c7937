package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"wsplice/bench/procstat"
	"wsplice/bench/report"
)

// How long memory may take to settle, and when it counts as settled.
const (
	settleTimeout     = 8 * time.Second
	settlePeriod      = 250 * time.Millisecond
	settleSamples     = 4         // in a row
	settleBytes       = 64 << 10  // between the least and the greatest of them, of a process
	settleKernelBytes = 512 << 10 // the same, of the kernel

	openTimeout = 60 * time.Second
)

// runIdle measures each contender's memory, fresh and with tunnels open.
func (b *bench) runIdle(ctx context.Context, s *scenario, chosen []*peer, backendPorts []int) error {
	for round := range b.rounds(s) {
		for i, p := range chosen {
			if p == nil {
				continue
			}
			idle, err := b.measureIdle(ctx, s, p, backendPorts)
			if err != nil {
				if err := b.leaveOut(ctx, s, p, err); err != nil {
					return err
				}
				chosen[i] = nil
				continue
			}
			sample := report.Sample{Scenario: s.name, Proxy: p.name, Round: round, Idle: idle}
			b.place(&sample, s)
			b.took(sample, b.runCost(s), b.rounds(s))
		}
		slices.Reverse(chosen)
	}
	return nil
}

func (b *bench) measureIdle(ctx context.Context, s *scenario, p *peer, backendPorts []int) (*report.Idle, error) {
	own := *s
	if p.idleTunnelsMax > 0 {
		own.tunnels = min(own.tunnels, p.idleTunnelsMax)
	}
	l, err := b.startProxy(ctx, p, &own, backendPorts)
	if err != nil {
		return nil, err
	}
	defer l.stop()
	zero, err := settled(ctx, l.process)
	if err != nil {
		return nil, err
	}
	client, err := start("load", b.loadArgs(l)...)
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
	held, err := settled(ctx, l.process)
	if err != nil {
		return nil, err
	}
	if up.Open == 0 {
		return nil, fmt.Errorf("%s: no tunnel opened", p.name)
	}
	idle := &report.Idle{
		Tunnels: up.Open, Errors: up.Errors,
		ZeroBytes: zero.process, HeldBytes: held.process,
		KernelZeroBytes: zero.kernel, KernelHeldBytes: held.kernel,
	}
	if s.burst == 0 {
		return idle, nil
	}
	return idle, b.burst(ctx, s, l, client, idle)
}

// burst has each tunnel of an idle load echo one message, and reads the memory that
// the proxy holds after a rest.
func (b *bench) burst(ctx context.Context, s *scenario, l *lane, client *process, idle *report.Idle) error {
	if _, err := client.stdin.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("tell the load to burst: %w", err)
	}
	bursting, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var after opened
	if err := client.readLine(bursting, &after); err != nil {
		return fmt.Errorf("%s: burst: %w", l.peer.name, err)
	}
	rest := time.NewTimer(b.burstRest)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := measureFootprint(l.process)
	idle.Errors, idle.BurstBytes, idle.AfterBytes = after.Errors, int64(s.burst), f.process
	return err
}

// footprint is memory in bytes: of a process with its descendants (PSS), and
// of the kernel for the whole machine.
type footprint struct{ process, kernel int64 }

func measureFootprint(p *process) (f footprint, err error) {
	kernel, err := procstat.KernelMemory()
	if err != nil {
		return f, err
	}
	f.kernel = kernel.Total()
	if p == nil {
		return f, nil
	}
	pids, err := p.tree()
	if err != nil {
		return f, err
	}
	f.process, err = procstat.PSS(pids...)
	return f, err
}

// settled samples memory until it stays the same, or settleTimeout has
// passed, and returns the last sample. p is nil when there is no proxy.
func settled(ctx context.Context, p *process) (footprint, error) {
	tick := time.NewTicker(settlePeriod)
	defer tick.Stop()
	deadline := time.Now().Add(settleTimeout)
	var processes, kernels []int64
	for {
		f, err := measureFootprint(p)
		if err != nil {
			return f, err
		}
		processes, kernels = append(processes, f.process), append(kernels, f.kernel)
		if over := len(processes) - settleSamples; over > 0 {
			processes, kernels = processes[over:], kernels[over:]
		}
		quiet := len(processes) == settleSamples && spread(processes) <= settleBytes && spread(kernels) <= settleKernelBytes
		if quiet || time.Now().After(deadline) {
			return f, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
}

func spread(values []int64) int64 { return slices.Max(values) - slices.Min(values) }
