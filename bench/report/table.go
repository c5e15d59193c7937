package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"wsplice/bench/load"
)

// A column is one metric as it is printed.
type column struct {
	metric metric
	unit   string
	format func(float64) string
	ratio  bool // followed by the ratio to the subject
}

func digits(n int) func(float64) string {
	return func(v float64) string { return fmt.Sprintf("%.*f", n, v) }
}

// columns returns what is worth printing of a scenario.
func columns(s *Sample) []column {
	switch {
	case s.Idle != nil:
		return []column{
			{perTunnel, "B", digits(0), true},
			{zeroBytes, "", bytesText, false},
		}
	case s.Load.Scenario == load.Echo:
		return []column{
			{proxyCPU, "µs/round trip", digits(2), true},
			{allCPU, "µs/round trip", digits(2), true},
			{machineCPU, "µs/round trip", digits(2), true},
			{throughput, "round trips/s", digits(0), false},
			{p50, "µs", digits(0), false},
			{p99, "µs", digits(0), false},
			{p999, "µs", digits(0), false},
		}
	default:
		return []column{
			{proxyCPU, "s/GB", digits(3), true},
			{allCPU, "s/GB", digits(3), true},
			{machineCPU, "s/GB", digits(3), true},
			{throughput, "GB/s", digits(2), false},
		}
	}
}

// title says what a scenario does.
func title(s *Sample) string {
	switch {
	case s.Idle != nil:
		return fmt.Sprintf("%s: user-space memory (PSS) of %d quiet tunnels", s.Scenario, s.Idle.Tunnels)
	case s.Load.Scenario == load.Echo:
		return fmt.Sprintf("%s: %d B messages over %d tunnels, one at a time on each", s.Scenario, s.Load.MessageBytes, s.Load.Tunnels)
	case s.Load.Scenario == load.Down:
		return fmt.Sprintf("%s: %d B frames to the client over %d tunnels", s.Scenario, s.Load.MessageBytes, s.Load.Tunnels)
	default:
		return fmt.Sprintf("%s: %d B frames to the backend over %d tunnels", s.Scenario, s.Load.MessageBytes, s.Load.Tunnels)
	}
}

// rows returns the table of a scenario, its head first. Figures are medians,
// with the extremes where there is more than one round; ratios are the
// subject's figure over that row's.
func (r *Results) rows(scenario string) [][]string {
	cols := columns(r.first(scenario))
	head := []string{"proxy"}
	for _, c := range cols {
		name := c.metric.title
		if c.unit != "" {
			name += ", " + c.unit
		}
		head = append(head, name)
		if c.ratio {
			head = append(head, Subject+" ÷ it")
		}
	}
	rows := [][]string{append(head, "failed")}
	for _, proxy := range r.in(scenario) {
		row := []string{proxy}
		for _, c := range cols {
			row = append(row, r.cell(c, scenario, proxy))
			if c.ratio {
				row = append(row, r.ratioCell(c.metric, scenario, proxy))
			}
		}
		rows = append(rows, append(row, fmt.Sprint(r.errors(scenario, proxy))))
	}
	return rows
}

// strangersMax is the part of the machine others may use before a reader is
// warned: measured neighbours then queue for CPUs, batch more and look cheaper
// or dearer than they are.
const strangersMax = 0.10

// noise returns a line that says how much of the machine was used by others,
// or nothing where it was not measured.
func (r *Results) noise(scenario string) string {
	s, ok := r.strangers(scenario)
	if !ok {
		return ""
	}
	line := fmt.Sprintf("Other processes used %.0f%% of the machine (%.0f–%.0f%%).", 100*s.Median, 100*s.Min, 100*s.Max)
	if s.Max > strangersMax {
		line += " That is too much for figures to rely on: run it again on a quiet machine."
	}
	return line + "\n"
}

func (r *Results) cell(c column, scenario, proxy string) string {
	s, ok := r.of(c.metric, scenario, proxy)
	if !ok {
		return "–"
	}
	if s.Min == s.Max {
		return c.format(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", c.format(s.Median), c.format(s.Min), c.format(s.Max))
}

func (r *Results) ratioCell(m metric, scenario, proxy string) string {
	if proxy == Subject {
		return "1"
	}
	s, ok := r.ratio(m, scenario, Subject, proxy)
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f", s.Median)
}

// Print writes every table as aligned text.
func (r *Results) Print(w io.Writer) error {
	for _, scenario := range r.scenarios() {
		if _, err := fmt.Fprintf(w, "\n%s\n", title(r.first(scenario))); err != nil {
			return err
		}
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range r.rows(scenario) {
			if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if _, err := fmt.Fprint(w, r.noise(scenario)); err != nil {
			return err
		}
	}
	return nil
}

// Summary returns the sample's main figures in one line.
func (s *Sample) Summary() string {
	var parts []string
	for _, c := range columns(s) {
		if v, ok := c.metric.value(s); ok {
			parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.metric.title, c.format(v), c.unit)))
		}
	}
	var failed int64
	if s.Load != nil {
		failed = s.Load.Errors
	} else if s.Idle != nil {
		failed = s.Idle.Errors
	}
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%d FAILED", failed))
	}
	return strings.Join(parts, ", ")
}
