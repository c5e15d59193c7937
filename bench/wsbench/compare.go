package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"wsplice/bench/report"
)

// options are the flags of the comparison.
type options struct {
	full      bool
	pairs     int
	endpoints bool
	secure    bool
	proxies   string
	scenarios string
	rounds    int
	duration  time.Duration
	warmup    time.Duration
	wsplice   string
	results   string
	report    bool
	check     bool
	install   bool
	list      bool
}

func (o *options) set() string {
	switch {
	case o.pairs > 0:
		return "frames"
	case o.endpoints:
		return "endpoints"
	case o.secure:
		return "secure"
	case o.full:
		return "full"
	default:
		return "short"
	}
}

// What a run gets unless flags say otherwise.
const (
	shortRounds, shortWindow, shortWarmup = 5, 900 * time.Millisecond, 200 * time.Millisecond
	fullRounds, fullWindow, fullWarmup    = 7, 2 * time.Second, 300 * time.Millisecond
)

func parseOptions(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("wsbench", flag.ContinueOnError)
	fs.BoolVar(&o.full, "full", false, "every scenario with every proxy, in more and longer rounds; "+
		"without it the set that takes less than five minutes")
	fs.IntVar(&o.pairs, "pairs", 0, "instead of the comparison, measure what following frames costs: wsplice beside itself "+
		"with frames: off, in so many pairs")
	fs.BoolVar(&o.endpoints, "endpoints", false, "instead of the comparison, measure endpoint mode beside others that speak "+
		"plain bytes to a backend, and what warm connections save")
	fs.BoolVar(&o.secure, "secure", false, "instead of the comparison, measure tunnels over TLS beside nginx and HAProxy")
	fs.StringVar(&o.proxies, "proxies", "", "comma list of contenders, such as direct, wsplice, wsplice-io_uring, nginx "+
		"(default: what each scenario needs)")
	fs.StringVar(&o.scenarios, "scenarios", "", "comma list of names, beginnings of names such as echo or bulk, "+
		"or patterns such as 'bulk-*-4' (default: the whole set)")
	fs.IntVar(&o.rounds, "rounds", 0, "interleaved rounds (default 5, full 7); idle takes at most 2, points of a curve 3")
	fs.DurationVar(&o.duration, "duration", 0, "measured window of each run (default 900ms, full 2s, pairs 0.9s, "+
		"endpoints and secure 2s); points of a curve take at most 1s")
	fs.DurationVar(&o.warmup, "warmup", -1, "traffic before each window "+
		"(default 200ms, full, endpoints and secure 300ms, pairs 250ms)")
	fs.StringVar(&o.wsplice, "wsplice", "bin/wsplice", "path of the wsplice binary")
	fs.StringVar(&o.results, "results", "bench/results", "directory for the raw samples")
	fs.BoolVar(&o.report, "report", false, "also write BENCHMARKS.md and docs/charts")
	fs.BoolVar(&o.check, "check", false, "fail when a floor is missed")
	fs.BoolVar(&o.install, "install", false, "install missing peers with apt-get (as root)")
	fs.BoolVar(&o.list, "list", false, "list the scenarios and run nothing")
	if err := parse(fs, args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	window, warmup, err := o.useSet(given)
	if err != nil {
		return o, err
	}
	if !given["duration"] {
		o.duration = window
	}
	if !given["warmup"] {
		o.warmup = warmup
	}
	if o.rounds < 1 || o.rounds > 1000 || o.duration <= 0 || o.duration > time.Hour || o.warmup < 0 || o.warmup > time.Hour {
		return o, fmt.Errorf("--rounds, --duration or --warmup out of range")
	}
	return o, nil
}

// useSet returns the window and the warm-up of the set that flags choose, and sets
// its rounds, unless flags contradict one another.
func (o *options) useSet(given map[string]bool) (window, warmup time.Duration, err error) {
	var sets []string
	for _, set := range []string{"full", "pairs", "endpoints", "secure"} {
		if given[set] {
			sets = append(sets, "--"+set)
		}
	}
	if len(sets) > 1 {
		return 0, 0, fmt.Errorf("%s are sets of their own: they do not go together", strings.Join(sets, " and "))
	}
	rounds, window, warmup := shortRounds, shortWindow, shortWarmup
	switch {
	case o.full:
		rounds, window, warmup = fullRounds, fullWindow, fullWarmup
	case given["pairs"]:
		return pairWindow, pairWarmup, o.usePairs(given)
	case o.endpoints:
		window, warmup = endpointWindow, endpointWarmup
	case o.secure:
		window, warmup = secureWindow, secureWarmup
	}
	if !given["rounds"] {
		o.rounds = rounds
	}
	return window, warmup, nil
}

// compare runs the comparison, prints its tables and stores its samples, of an
// interrupted run too.
func compare(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.list {
		fmt.Print(listScenarios())
		return nil
	}
	chosen, err := o.choose()
	if err != nil {
		return err
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	for i := range chosen {
		if err := b.prepare(ctx, &chosen[i]); err != nil {
			return err
		}
	}
	for _, o := range b.results.Omitted {
		progress("%s is left out of %s: %s", o.Proxy, o.Scenario, o.Reason)
	}
	progress("%d runs in %d scenarios: about %s", b.plan.runs, len(chosen), brief(b.plan.total))
	b.plan.begin = time.Now()
	for i := range chosen {
		if err := b.run(ctx, &chosen[i]); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", chosen[i].name, err), b.keepPart())
		}
	}
	return b.finish(chosen)
}

// keepPart stores what was measured before a run ended early.
func (b *bench) keepPart() error {
	if len(b.results.Samples) == 0 {
		return nil
	}
	b.results.Partial = true
	b.results.Took = time.Since(b.results.Started).Seconds()
	path, err := b.results.Write(b.options.results)
	if err == nil {
		progress("what was measured so far: %s", path)
	}
	return err
}

// finish prints and stores what was measured, and judges it.
func (b *bench) finish(ran []scenario) error {
	r := &b.results
	r.Took = time.Since(r.Started).Seconds()
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	path, err := r.Write(b.options.results)
	if err != nil {
		return err
	}
	if b.options.report {
		if err := r.WriteMarkdown(".", reportFile, chartsDir); err != nil {
			return err
		}
		fmt.Printf("\nreport: %s\n", reportFile)
	}
	names := make([]string, 0, len(ran))
	for _, s := range ran {
		names = append(names, s.name)
	}
	missed := errors.Join(printVerdicts(r, names), printPairings(r))
	fmt.Printf("\nraw samples: %s (%.0f s)\n", path, r.Took)
	if r.Failed {
		return errors.New("a contender failed and was left out: see above")
	}
	if b.options.check {
		return missed
	}
	return nil
}

// printVerdicts judges what was measured against the floors of the named
// scenarios, nil meaning all, and returns an error that counts the misses.
func printVerdicts(r *report.Results, scenarios []string) error {
	verdicts := r.Judge(scenarios)
	if missed := printJudged("floors and goals", verdicts); missed > 0 {
		return fmt.Errorf("%d of %d floors missed", missed, len(verdicts))
	}
	return nil
}

// printJudged prints what was judged, a line each, and returns how many did not
// hold.
func printJudged[T interface {
	Held() bool
	String() string
}](title string, list []T) (missed int) {
	fmt.Printf("\n%s\n", title)
	for _, v := range list {
		mark := "      "
		if !v.Held() {
			mark = "MISSED"
			missed++
		}
		fmt.Printf("%s  %s\n", mark, v)
	}
	return missed
}

// printPairings prints what following frames costs, where that was measured,
// and returns an error that counts the limits that were not shown to hold.
func printPairings(r *report.Results) error {
	pairings := r.Pairings()
	if len(pairings) == 0 {
		return nil
	}
	if missed := printJudged("following frames", pairings); missed > 0 {
		return fmt.Errorf("%d limits of following frames not held", missed)
	}
	return nil
}

// install fetches the Debian package of a missing peer.
func install(ctx context.Context, p *peer) error {
	if os.Geteuid() != 0 || p.debian == "" {
		return fmt.Errorf("cannot install %s: needs root and a Debian package", p.name)
	}
	cmd := exec.CommandContext(ctx, "bench/install-peers", p.debian)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bench/install-peers %s: %w", p.debian, err)
	}
	return nil
}
