package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

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
	results  report.Results
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
	b := &bench{options: o, self: self, dir: dir, peers: peers(o.wsplice), programs: map[string]string{}}
	b.results = report.Results{Started: time.Now(), Machine: readMachine(), Rounds: o.rounds}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// prepare finds the programs a scenario needs, so that a missing one is known
// before minutes are spent.
func (b *bench) prepare(ctx context.Context, s *scenario) error {
	chosen, err := choosePeers(b.options.proxies, s, b.peers)
	if err != nil {
		return err
	}
	for _, p := range chosen {
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

// run measures one scenario: every contender once per round.
func (b *bench) run(ctx context.Context, s *scenario) error {
	chosen, err := choosePeers(b.options.proxies, s, b.peers)
	if err != nil {
		return err
	}
	backend, backendPort, err := b.startBackend(ctx, s)
	if err != nil {
		return err
	}
	defer backend.stop()
	rounds := b.options.rounds
	if s.rounds > 0 {
		rounds = min(rounds, s.rounds)
	}
	if s.load == load.Idle {
		return b.runIdle(ctx, s, chosen, rounds, backendPort)
	}
	var lanes []*lane
	defer func() {
		for _, l := range lanes {
			l.stop()
		}
	}()
	for _, p := range chosen {
		l, err := b.startProxy(ctx, p, s, backendPort)
		if err != nil {
			return err
		}
		lanes = append(lanes, l)
	}
	for round := range rounds {
		for _, l := range lanes {
			res, err := b.drive(ctx, s, l, backend)
			if err != nil {
				return err
			}
			sample := report.Sample{Scenario: s.name, Proxy: l.peer.name, Round: round, Load: res}
			b.results.Samples = append(b.results.Samples, sample)
			progress("%s, round %d of %d: %-16s %s", s.name, round+1, rounds, l.peer.name, sample.Summary())
		}
	}
	return nil
}

func (b *bench) startBackend(ctx context.Context, s *scenario) (*process, int, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	argv := append([]string{b.self, "serve", "--address", fmt.Sprintf("127.0.0.1:%d", port)}, s.backend...)
	p, err := start("backend", argv...)
	if err != nil {
		return nil, 0, err
	}
	var up serving
	if err := p.readLine(ctx, &up); err != nil {
		p.stop()
		return nil, 0, err
	}
	return p, port, nil
}

// A lane is a running contender.
type lane struct {
	peer    *peer
	process *process // nil when direct
	address string
}

func (l *lane) stop() {
	if l.process != nil {
		l.process.stop()
	}
}

// startProxy starts a contender in a directory of its own and waits until it
// serves.
func (b *bench) startProxy(ctx context.Context, p *peer, s *scenario, backendPort int) (*lane, error) {
	if p.program == "" {
		return &lane{peer: p, address: fmt.Sprintf("127.0.0.1:%d", backendPort)}, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, p.name+"-")
	if err != nil {
		return nil, err
	}
	text := p.config(place{dir: dir, port: port, backendPort: backendPort, bulk: s.bulk()})
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	b.keepConfig(p.name, text)
	process, err := start(p.name, append([]string{b.programs[p.name]}, p.argv(file)...)...)
	if err != nil {
		return nil, err
	}
	l := &lane{peer: p, process: process, address: fmt.Sprintf("127.0.0.1:%d", port)}
	if p.ready != "" {
		err = process.waitReady(ctx, p.ready)
	} else {
		err = process.waitListening(ctx, l.address)
	}
	if err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

// keepConfig remembers the first configuration a proxy ran with.
func (b *bench) keepConfig(name, text string) {
	for i := range b.results.Proxies {
		if p := &b.results.Proxies[i]; p.Name == name && p.Config == "" {
			p.Config = text
		}
	}
}

// drive runs the load generator once against a lane.
func (b *bench) drive(ctx context.Context, s *scenario, l *lane, backend *process) (*load.Result, error) {
	argv := append(b.loadArgs(s, l),
		"--warmup", b.options.warmup.String(), "--duration", b.options.duration.String(),
		"--watch", "backend="+joinPIDs(backend.pids))
	if l.process != nil {
		pids, err := l.process.tree()
		if err != nil {
			return nil, err
		}
		argv = append(argv, "--watch", "proxy="+joinPIDs(pids))
	}
	p, err := start("load", argv...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	ctx, cancel := context.WithTimeout(ctx, b.options.warmup+b.options.duration+loadSlack)
	defer cancel()
	var res load.Result
	if err := p.readLine(ctx, &res); err != nil {
		return nil, fmt.Errorf("%s: %w", l.peer.name, err)
	}
	return &res, p.wait(ctx)
}

// loadSlack is what a load run may take beyond its warm-up and window.
const loadSlack = 40 * time.Second

func (b *bench) loadArgs(s *scenario, l *lane) []string {
	return []string{
		b.self, "load", "--scenario", string(s.load), "--address", l.address,
		"--tunnels", strconv.Itoa(s.tunnels), "--size", strconv.Itoa(s.size),
	}
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
