package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"

	"wsplice/bench/report"
)

// Where the report and its charts stand in the repository.
const (
	reportFile = "BENCHMARKS.md"
	chartsDir  = "docs/charts"
)

// writeReport writes the report of one result file.
func writeReport(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("wsbench report", flag.ContinueOnError)
	in := fs.String("in", "", "result file (default: the newest in --results)")
	results := fs.String("results", "bench/results", "directory of result files")
	root := fs.String("root", ".", "directory to write "+reportFile+" and "+chartsDir+" to")
	check := fs.Bool("check", false, "fail when a floor is missed")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *in == "" {
		files, err := filepath.Glob(filepath.Join(*results, "*.json"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no result file in %s", *results)
		}
		*in = slices.Max(files) // names are dates
	}
	r, err := report.Read(*in)
	if err != nil {
		return err
	}
	if err := r.WriteMarkdown(*root, reportFile, chartsDir); err != nil {
		return err
	}
	if *check {
		return checkFloors(r)
	}
	return nil
}
