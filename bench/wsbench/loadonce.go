package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"wsplice/bench/load"
)

// opened is the line an idle load prints when it has opened its tunnels.
type opened struct {
	Open   int   `json:"open"`
	Errors int64 `json:"errors"`
}

// watches collects repeated --watch label=pid,pid flags.
type watches map[string][]int

func (w watches) String() string { return "" }

func (w watches) Set(s string) error {
	label, list, ok := strings.Cut(s, "=")
	if !ok || label == "" {
		return fmt.Errorf("want label=pid,pid")
	}
	for text := range strings.SplitSeq(list, ",") {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("want label=pid,pid: %w", err)
		}
		w[label] = append(w[label], pid)
	}
	return nil
}

// loadOnce drives tunnels once and prints a load.Result as one line of JSON.
// An idle load prints an opened line first, and another one after a burst; it ends
// when its standard input does.
func loadOnce(ctx context.Context, args []string) error {
	c := load.Config{Watch: watches{}, WatchTrees: watches{}}
	fs := flag.NewFlagSet("wsbench load", flag.ContinueOnError)
	fs.StringVar((*string)(&c.Scenario), "scenario", "echo", "echo, open, down, up, both, idle, churn or storm")
	fs.StringVar(&c.Address, "address", "", "host:port of the proxy or backend, or a comma list of them")
	fs.IntVar(&c.Tunnels, "tunnels", 100, "tunnels to open; of churn, cycles under way at once")
	fs.IntVar(&c.MessageBytes, "size", 128, "payload bytes of a message or frame")
	fs.IntVar(&c.Rate, "rate", 0, "open: messages per second over all tunnels")
	fs.IntVar(&c.Idlers, "idlers", 0, "echo, open: quiet tunnels to hold beside the busy ones")
	fs.IntVar(&c.Sources, "sources", 0, "client addresses to use in turn, from 127.1.0.1 on; 0 = the kernel's choice")
	fs.DurationVar(&c.Warmup, "warmup", 300*time.Millisecond, "traffic before the measured window")
	fs.DurationVar(&c.Window, "duration", 2*time.Second, "the measured window")
	fs.BoolVar(&c.Endpoint, "endpoint", false, "the peer speaks plain bytes to its backend: count bytes, not messages")
	fs.StringVar(&c.Certificate, "certificate", "", "speak TLS 1.3 with a peer that has the certificate in this PEM file")
	fs.BoolVar(&c.Resume, "resume", false, "churn: continue TLS sessions")
	burst := fs.Int("burst", 0, "idle: echo a message of so many bytes on each tunnel when standard input has a byte; 0 = none")
	fs.Var(watches(c.Watch), "watch", "label=pid,pid: processes whose CPU time to read; may be repeated")
	fs.Var(watches(c.WatchTrees), "watch-tree", "the same, with all descendants, as they come and go")
	if err := parse(fs, args); err != nil {
		return err
	}
	begin := make(chan struct{}, 1)
	if *burst > 0 {
		c.Burst, c.MessageBytes = begin, *burst
	}
	if c.Scenario == load.Idle {
		hold, release := context.WithCancel(ctx)
		defer release()
		obey(&c, begin, release)
		ctx = hold
	}
	res, err := load.Run(ctx, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

// obey has an idle load say when it has opened its tunnels, burst when standard
// input has a byte, and end when that ends.
func obey(c *load.Config, begin chan<- struct{}, end func()) {
	var said opened
	say := func() { _ = json.NewEncoder(os.Stdout).Encode(said) }
	c.OnBurst = func(errors int64) {
		said.Errors = errors
		say()
	}
	c.OnOpen = func(open int, errors int64) {
		said = opened{Open: open, Errors: errors}
		say()
		go func() {
			var word [1]byte
			if _, err := io.ReadFull(os.Stdin, word[:]); err == nil {
				begin <- struct{}{}
			}
			_, _ = io.Copy(io.Discard, os.Stdin)
			end()
		}()
	}
}
