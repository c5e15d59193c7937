package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wsplice/bench/far"
	"wsplice/bench/load"
	"wsplice/bench/report"
)

// A bench is one comparison under way. It owns every process it starts and
// the directory they run in.
type bench struct {
	options  options
	self     string // this program, for serve and load
	dir      string
	peers    []peer
	programs map[string]string // path by peer name
	plan     plan
	results  report.Results
	link     *far.Link // to a backend that is far away; nil = it is not
	identity *identity // of proxies that speak TLS; nil = none did yet

	burstRest time.Duration // secureBurstRest, but for tests
}

func newBench(o options) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "wsbench-")
	if err != nil {
		return nil, err
	}
	// A proxy that serves as another user than ours must reach its files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b := &bench{options: o, self: self, dir: dir, peers: peers(o.wsplice), programs: map[string]string{}, burstRest: secureBurstRest}
	b.results = report.Results{
		Started: time.Now(), Machine: readMachine(), Set: o.set(),
		Rounds: o.rounds, Window: o.duration.Seconds(),
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// prepare finds the programs a scenario needs, so that a missing one is known
// before minutes are spent.
func (b *bench) prepare(ctx context.Context, s *scenario) error {
	chosen, err := b.contending(s)
	if err != nil {
		return err
	}
	for _, p := range chosen {
		if why := p.cannot(s); why != "" {
			b.results.LeaveOut(s.name, p.name, why)
			continue
		}
		b.plan.add(b.cost(s))
		if p.program == "" || b.programs[p.name] != "" {
			continue
		}
		path, err := p.find()
		if err != nil && b.options.install && p.debian != "" {
			if err := install(ctx, p); err != nil {
				return err
			}
			path, err = p.find()
		}
		if err != nil {
			return err
		}
		b.programs[p.name] = path
		b.results.Proxies = append(b.results.Proxies, report.Proxy{Name: p.name, Version: p.readVersion(path)})
	}
	return nil
}

// run measures one scenario: every contender once per round. The order turns
// round with every round, so that nobody always follows the same neighbour.
func (b *bench) run(ctx context.Context, s *scenario) error {
	if s.family == report.Warm {
		away, err := b.goAway(s)
		if !away || err != nil {
			return err
		}
		defer b.comeBack()
	}
	chosen, err := b.contending(s)
	if err != nil {
		return err
	}
	chosen = slices.DeleteFunc(chosen, func(p *peer) bool { return p.cannot(s) != "" })
	backend, ports, err := b.startBackend(ctx, s)
	if err != nil {
		return err
	}
	defer backend.stop()
	if s.load == load.Idle {
		return b.runIdle(ctx, s, chosen, ports)
	}
	lanes, err := b.startLanes(ctx, s, chosen, ports)
	defer func() {
		for _, l := range lanes {
			l.stop()
		}
	}()
	if err != nil {
		return err
	}
	for round := range b.rounds(s) {
		for _, l := range lanes {
			if l.out {
				continue
			}
			res, err := b.drive(ctx, l, backend)
			if err != nil {
				if err := b.leaveOut(ctx, s, l.peer, err); err != nil {
					return err
				}
				l.out = true
				continue
			}
			sample := report.Sample{
				Scenario: l.scenario.name, Proxy: l.peer.name, Round: round, Sweep: s.sweep, Paired: s.paired,
				Load: res, Blind: l.counted.blind, WarmPart: l.counted.warmPart(),
			}
			b.place(&sample, s)
			b.took(sample, b.runCost(l.scenario), b.rounds(s))
		}
		slices.Reverse(lanes)
	}
	return nil
}

// took keeps a sample and says so.
func (b *bench) took(sample report.Sample, cost time.Duration, rounds int) {
	b.results.Samples = append(b.results.Samples, sample)
	b.plan.finished(cost)
	progress("%s %s, round %d of %d: %-16s %s",
		b.plan.String(), sample.Scenario, sample.Round+1, rounds, sample.Proxy, sample.Summary())
}

// leaveOut goes on without a contender that failed, unless the run was
// interrupted, the contender was asked for by name or is half of a pair, or
// frames were not what the figures are said to be of.
func (b *bench) leaveOut(ctx context.Context, s *scenario, p *peer, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.options.proxies != "" || s.paired || errors.Is(err, errFrames) {
		return err
	}
	b.results.LeaveOut(s.name, p.name, strings.ReplaceAll(err.Error(), b.dir+"/", ""))
	b.results.Failed = b.results.Failed || !p.optional
	progress("%s is left out of %s: %v", p.name, s.name, err)
	return nil
}

func (b *bench) startBackend(ctx context.Context, s *scenario) (*process, []int, error) {
	var (
		ports     []int
		addresses []string
	)
	for range s.ports() {
		port, err := freePort()
		if err != nil {
			return nil, nil, err
		}
		ports = append(ports, port)
		addresses = append(addresses, fmt.Sprintf("%s:%d", b.backendListens(), port))
	}
	argv := append([]string{b.self, "serve", "--address", strings.Join(addresses, ",")}, s.backend()...)
	p, err := start("backend", argv...)
	if err != nil {
		return nil, nil, err
	}
	var up serving
	if err := p.readLine(ctx, &up); err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, ports, nil
}

// A lane is a running contender and what it is driven with.
type lane struct {
	peer     *peer
	scenario *scenario
	process  *process // nil when direct
	address  string   // a comma list when direct
	admin    string   // where its metrics are; "" = nowhere
	out      bool     // it failed and is not driven any more

	before  *frameCounts // since its start, before the last run; of all lanes that share it
	counted frameCounts  // in the last run
}

func (l *lane) stop() {
	if l.process != nil {
		l.process.stop()
	}
}

// startLanes starts every contender, once for the scenario and once more for
// what the scenario is compared with. What it returns must be stopped, with an
// error too.
func (b *bench) startLanes(ctx context.Context, s *scenario, chosen []*peer, backendPorts []int) ([]*lane, error) {
	var lanes []*lane
	for _, p := range chosen {
		for _, variant := range s.variants() {
			if l := shared(lanes, p, variant); l != nil {
				lanes = append(lanes, l)
				continue
			}
			l, err := b.startProxy(ctx, p, variant, backendPorts)
			if err == nil {
				lanes = append(lanes, l)
				continue
			}
			if err := b.leaveOut(ctx, variant, p, err); err != nil {
				return lanes, err
			}
		}
	}
	return lanes, nil
}

// startProxy starts a contender in a directory of its own and waits until it
// serves.
func (b *bench) startProxy(ctx context.Context, p *peer, s *scenario, backendPorts []int) (*lane, error) {
	if p.program == "" {
		addresses := make([]string, 0, len(backendPorts))
		for _, port := range backendPorts {
			addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
		}
		return &lane{peer: p, scenario: s, address: strings.Join(addresses, ",")}, nil
	}
	where := place{backendPorts: backendPorts, bulk: s.bulk(), messageBytes: s.size, tunnels: s.held(), paired: s.paired}
	where.backendHost, where.secure = b.backendHost(), s.secure()
	if err := p.takePorts(&where, s); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, p.name+"-")
	if err != nil {
		return nil, err
	}
	where.dir = dir
	if err = b.secure(s, dir); err != nil {
		return nil, err
	}
	text := p.config(where)
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	process, err := startIn(dir, p.name, append([]string{b.programs[p.name]}, p.argv(file)...)...)
	if err != nil {
		return nil, err
	}
	l := &lane{peer: p, scenario: s, process: process, before: new(frameCounts), address: fmt.Sprintf("127.0.0.1:%d", where.port)}
	if s.paired && pairHosts[p.name] != "" {
		l.address = fmt.Sprintf("%s:%d", pairHosts[p.name], where.port)
	}
	if where.adminPort != 0 {
		l.admin = fmt.Sprintf("127.0.0.1:%d", where.adminPort)
	}
	if p.ready != "" {
		err = process.waitReady(ctx, p.ready)
	} else {
		err = process.waitListening(ctx, l.address)
	}
	if err != nil {
		l.stop()
		return nil, err
	}
	b.describe(s, p.name, text, engineOf(process.stderr.String()))
	return l, nil
}

// takePorts finds the ports a contender is to listen on. Where memory is
// measured there are no metrics, because telling them takes some.
func (p *peer) takePorts(where *place, s *scenario) (err error) {
	if where.port, err = freePort(); err == nil && p.counted && s.load != load.Idle {
		where.adminPort, err = freePort()
	}
	return err
}

var engineInLog = regexp.MustCompile(`\bengine"?[=:]"?(\w+)`)

// engineOf returns the engine that wsplice's log names, or nothing.
func engineOf(log string) string {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "ready") {
			continue
		}
		if found := engineInLog.FindStringSubmatch(line); found != nil {
			return found[1]
		}
	}
	return ""
}

// drive runs the load generator once against a lane.
func (b *bench) drive(ctx context.Context, l *lane, backend *process) (*load.Result, error) {
	window := b.window(l.scenario)
	argv := append(b.loadArgs(l),
		"--warmup", b.options.warmup.String(), "--duration", window.String(), "--watch", "backend="+joinPIDs(backend.pids))
	watch, err := l.watch()
	if err != nil {
		return nil, err
	}
	argv = append(argv, watch...)
	if b.link != nil { // which is in this process
		argv = append(argv, "--watch", "network="+strconv.Itoa(os.Getpid()))
	}
	p, err := start("load", argv...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	ctx, cancel := context.WithTimeout(ctx, b.options.warmup+window+loadSlack)
	defer cancel()
	var res load.Result
	if err := p.readLine(ctx, &res); err != nil {
		return nil, fmt.Errorf("%s: %w", l.peer.name, err)
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return &res, l.countFrames(ctx)
}

// watch returns the flags that have the proxy's CPU time read.
func (l *lane) watch() ([]string, error) {
	switch {
	case l.process == nil:
		return nil, nil
	case l.peer.forks:
		return []string{"--watch-tree", "proxy=" + strconv.Itoa(l.process.cmd.Process.Pid)}, nil
	}
	pids, err := l.process.tree()
	return []string{"--watch", "proxy=" + joinPIDs(pids)}, err
}

// loadSlack is what a load run may take beyond its warm-up and window.
const loadSlack = 60 * time.Second

func (b *bench) loadArgs(l *lane) []string {
	s := l.scenario
	return append([]string{
		b.self, "load", "--scenario", string(s.load), "--address", l.address,
		"--tunnels", strconv.Itoa(s.tunnels), "--size", strconv.Itoa(s.size), "--rate", strconv.Itoa(s.rate),
		"--burst", strconv.Itoa(s.burst), "--idlers", strconv.Itoa(s.idlers), "--sources", strconv.Itoa(s.sources),
		"--endpoint=" + strconv.FormatBool(s.family == report.Endpoint),
	}, b.secureArgs(s)...)
}

func joinPIDs(pids []int) string {
	texts := make([]string, 0, len(pids))
	for _, pid := range slices.Sorted(slices.Values(pids)) {
		texts = append(texts, strconv.Itoa(pid))
	}
	return strings.Join(texts, ",")
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
