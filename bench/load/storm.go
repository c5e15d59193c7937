package load

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// runStorm opens all clients, lets them be quiet for the warm-up, cuts them
// as a network that goes away would, and lets them come back all at once.
func (r *run) runStorm(ctx context.Context) (*Result, error) {
	before := r.openAll(ctx, r.config.Tunnels, Idle)
	defer closeAll(before)
	if len(before) == 0 {
		return nil, fmt.Errorf("load: no tunnel opened: %v", r.problems.list())
	}
	for _, t := range before {
		r.begin()
		t.start()
	}
	if r.config.OnOpen != nil {
		r.config.OnOpen(len(before), r.problems.count())
	}
	if err := wait(ctx, r.config.Warmup); err != nil {
		r.stage.Store(int32(stopping))
		return nil, err
	}
	for _, t := range before {
		// Closing sends an RST then, and nothing that lingers.
		_ = syscall.SetsockoptLinger(descriptor(t.conn), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	spent, returned, err := r.storm(ctx, before)
	r.stage.Store(int32(stopping))
	closeAll(returned)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	res := r.resultWith(spent)
	res.Recovery = spent.window
	return res, nil
}

// storm cuts the tunnels, brings as many back, and returns those and what it
// took until the last one had its first echo.
func (r *run) storm(ctx context.Context, cut []*tunnel) (*spending, []*tunnel, error) {
	ctx, cancel := context.WithTimeout(ctx, stormTimeout)
	defer cancel()
	before, err := r.sample()
	if err != nil {
		return nil, nil, err
	}
	begin := time.Now()
	r.stage.Store(int32(measuring))
	for _, t := range cut {
		t.finish(nil)
	}
	closeAll(cut)
	returned, last := r.comeBack(ctx, len(cut))
	spent, err := r.spentSince(before, last.Sub(begin))
	for _, t := range returned {
		if !t.conn.IsActive() {
			r.problems.add(errEnded)
		}
	}
	if missing := len(cut) - len(returned); missing > 0 {
		r.problems.add(fmt.Errorf("%d clients did not come back within %v", missing, stormTimeout))
	}
	return spent, returned, err
}

// comeBack connects count clients, stormDialsMax at a time, each until it
// succeeds or ctx ends. It returns them and the moment of the last echo.
func (r *run) comeBack(ctx context.Context, count int) (returned []*tunnel, last time.Time) {
	var (
		mu      sync.Mutex
		workers sync.WaitGroup
		ids     = make(chan int, count)
	)
	for id := range count {
		ids <- id
	}
	close(ids)
	last = time.Now()
	for range min(stormDialsMax, count) {
		workers.Go(func() {
			var l leash
			for id := range ids {
				t := r.comeBackOne(ctx, id, &l)
				if t == nil {
					return
				}
				mu.Lock()
				returned = append(returned, t)
				last = time.Now()
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return returned, last
}

// comeBackOne returns a tunnel that has echoed, or nil when ctx ended first.
func (r *run) comeBackOne(ctx context.Context, id int, l *leash) *tunnel {
	began := time.Now()
	for ctx.Err() == nil {
		t, upgraded, err := r.visit(id, Storm, l)
		if err == nil {
			l.release()
			r.latencies.record(uint32(id), time.Since(began))
			r.upgrades.record(uint32(id), upgraded.Sub(began))
			r.connections.Add(1)
			r.count(1, int64(r.config.MessageBytes))
			return t
		}
		r.problems.add(fmt.Errorf("come back: %w", err))
		_ = wait(ctx, retryPause)
	}
	return nil
}
