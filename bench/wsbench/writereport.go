package main

import (
	"context"
	"errors"
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

// writeReport writes the report of result files: of a scenario that several
// have, the last one's samples count.
func writeReport(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("wsbench report", flag.ContinueOnError)
	results := fs.String("results", "bench/results", "directory of result files, of which the newest is taken if none is named")
	root := fs.String("root", ".", "directory to write "+reportFile+" and "+chartsDir+" to")
	check := fs.Bool("check", false, "fail when a floor is missed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	files := fs.Args()
	if len(files) == 0 {
		found, err := filepath.Glob(filepath.Join(*results, "*.json"))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no result file in %s", *results)
		}
		files = []string{slices.Max(found)} // names are dates
	}
	var all []*report.Results
	for _, file := range files {
		r, err := report.Read(file)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	r := report.Merge(all...)
	if err := r.WriteMarkdown(*root, reportFile, chartsDir); err != nil {
		return err
	}
	missed := errors.Join(printVerdicts(r, nil), printPairings(r))
	if *check {
		return missed
	}
	return nil
}
