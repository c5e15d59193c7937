package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"wsplice/bench/report"
)

// options are the flags of the comparison.
type options struct {
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
}

func parseOptions(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("wsbench", flag.ContinueOnError)
	fs.StringVar(&o.proxies, "proxies", "", "comma list of direct, wsplice, wsplice-epoll, "+
		"wsplice-io_uring, nginx, haproxy, haproxy-splice (default: what each scenario needs)")
	fs.StringVar(&o.scenarios, "scenarios", "", "comma list of echo, bulk (or bulk-down, bulk-up), idle (default all)")
	fs.IntVar(&o.rounds, "rounds", 5, "interleaved rounds; idle takes at most 2")
	fs.DurationVar(&o.duration, "duration", 2*time.Second, "measured window of each run")
	fs.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "traffic before each window")
	short := fs.Bool("short", false, "3 rounds of 1s, unless --rounds or --duration say otherwise: a first look, in half the time")
	fs.StringVar(&o.wsplice, "wsplice", "bin/wsplice", "path of the wsplice binary")
	fs.StringVar(&o.results, "results", "bench/results", "directory for the raw samples")
	fs.BoolVar(&o.report, "report", false, "also write BENCHMARKS.md and docs/charts")
	fs.BoolVar(&o.check, "check", false, "fail when a floor is missed")
	fs.BoolVar(&o.install, "install", false, "install missing peers with apt-get (as root)")
	if err := parse(fs, args); err != nil {
		return o, err
	}
	if *short {
		given := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["rounds"] {
			o.rounds = 3
		}
		if !given["duration"] {
			o.duration = time.Second
		}
	}
	if o.rounds < 1 || o.rounds > 1000 || o.duration <= 0 || o.duration > time.Hour || o.warmup < 0 || o.warmup > time.Hour {
		return o, fmt.Errorf("--rounds, --duration or --warmup out of range")
	}
	return o, nil
}

// compare runs the comparison, prints its tables and stores its samples.
func compare(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	chosen, err := chooseScenarios(o.scenarios)
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
	for i := range chosen {
		if err := b.run(ctx, &chosen[i]); err != nil {
			return fmt.Errorf("%s: %w", chosen[i].name, err)
		}
	}
	return b.finish()
}

// finish prints and stores what was measured, and judges it if asked to.
func (b *bench) finish() error {
	r := &b.results
	r.Took = time.Since(r.Started).Seconds()
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	path, err := r.Write(b.options.results)
	if err != nil {
		return err
	}
	fmt.Printf("\nraw samples: %s\n", path)
	if b.options.report {
		if err := r.WriteMarkdown(".", reportFile, chartsDir); err != nil {
			return err
		}
		fmt.Printf("report: %s\n", reportFile)
	}
	if b.options.check {
		return checkFloors(r)
	}
	return nil
}

func checkFloors(r *report.Results) error {
	missed := 0
	for _, v := range r.Floors() {
		mark := "held  "
		if !v.Held {
			mark = "MISSED"
			missed++
		}
		fmt.Printf("%s  %s: %s\n", mark, v.What, v.Got)
	}
	if missed > 0 {
		return fmt.Errorf("%d floors missed", missed)
	}
	return nil
}

// install fetches the Debian package of a missing peer.
func install(ctx context.Context, p *peer) error {
	if os.Geteuid() != 0 || p.debian == "" {
		return fmt.Errorf("cannot install %s: needs root and a Debian package", p.name)
	}
	cmd := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", p.debian)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get install %s: %w", p.debian, err)
	}
	return nil
}
