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
	case s.Idle != nil && s.Family == Endpoint: // without a proxy nobody can speak to the backend
		return []column{{perTunnel, "B", digits(0), true}, {zeroBytes, "", bytesText, false}}
	case s.Idle != nil && s.Family == Secure:
		return secureIdleColumns
	case s.Idle != nil:
		return []column{
			{perTunnel, "B", digits(0), true},
			{kernelPerTunnel, "B", digits(0), true},
			{zeroBytes, "", bytesText, false},
		}
	case s.Family == Warm:
		return warmColumns
	case s.Family == Secure && kindOf(s) == connections:
		return secureChurnColumns
	}
	k := kindOf(s)
	precise := digits(2)
	if k == gigabytes {
		precise = digits(3)
	}
	list := []column{
		{proxyCPU, k.cpuUnit(), precise, true},
		{allCPU, k.cpuUnit(), precise, true},
		{machineCPU, k.cpuUnit(), precise, true},
	}
	open := s.Load.Scenario == load.Open
	switch {
	case k == gigabytes:
		return append(list, column{throughput, k.speedUnit(), digits(2), false})
	case s.Load.Scenario == load.Storm:
		list = append(list, column{recovery, "ms", digits(0), true})
	default:
		list = append(list, column{throughput, k.speedUnit(), digits(0), false})
	}
	list = append(list,
		column{p50, "µs", digits(0), false}, column{p99, "µs", digits(0), open}, column{p999, "µs", digits(0), false})
	switch {
	case open:
		list = append(list, column{pacer, "µs", digits(0), false}, column{late, "%", digits(1), false})
	case k == connections:
		list = append(list, column{upgrade, "µs", digits(0), false})
	}
	return list
}

// title says what a scenario does.
func title(s *Sample) string { return s.Scenario + ": " + what(s) }

func what(s *Sample) string {
	if s.Idle != nil {
		text := fmt.Sprintf("memory of %d quiet tunnels", s.Idle.Tunnels)
		if s.Idle.BurstBytes > 0 {
			text += fmt.Sprintf(", fresh and after %d kB each way", s.Idle.BurstBytes/1000)
		}
		return text
	}
	l := s.Load
	text := map[load.Scenario]string{
		load.Echo:  "%[1]s messages over %[2]s, one at a time on each",
		load.Open:  "%[1]s messages over %[2]s, at fixed times",
		load.Down:  "%[1]s frames to the client over %[2]s",
		load.Up:    "%[1]s frames to the backend over %[2]s",
		load.Both:  "%[1]s frames both ways over %[2]s",
		load.Churn: connecting(l),
		load.Storm: "%[3]d clients are cut at once and come back at once",
	}[l.Scenario]
	tunnels := fmt.Sprintf("%d tunnels", l.Tunnels)
	if l.Tunnels == 1 {
		tunnels = "one tunnel"
	}
	text = fmt.Sprintf(text, messageSize(l.MessageBytes), tunnels, l.Tunnels)
	if l.Rate > 0 {
		text += fmt.Sprintf(", %d a second together", l.Rate)
	}
	if l.Idlers > 0 {
		text += fmt.Sprintf(", beside %d idle ones", l.Idlers)
	}
	if s.RoundTrip > 0 {
		text += fmt.Sprintf("; backend %v away", s.RoundTrip)
	}
	return text
}

func messageSize(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
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
	paired := r.first(scenario+Alone) != nil
	if paired {
		head = append(head, "proxy CPU ÷ without the idle tunnels")
	}
	rows := [][]string{append(head, "failed")}
	for _, proxy := range r.in(scenario) {
		if proxy == Direct && r.first(scenario).Idle != nil {
			continue // no proxy, no memory: it only stands for the two ends
		}
		row := []string{proxy}
		if apart := r.apart(scenario, proxy); apart != "" {
			row[0] += " (" + apart + ")"
		}
		for _, c := range cols {
			row = append(row, r.cell(c, scenario, proxy))
			if c.ratio {
				row = append(row, r.ratioCell(c.metric, scenario, proxy))
			}
		}
		if paired {
			row = append(row, ratioText(r.ratio(proxyCPU, lane{scenario, proxy}, lane{scenario + Alone, proxy})))
		}
		rows = append(rows, append(row, fmt.Sprint(r.errors(scenario, proxy))))
	}
	return rows
}

// strangersMax is the part of the machine others may use before a reader is
// warned: measured neighbours then queue for CPUs, batch more and look cheaper
// or dearer than they are.
const strangersMax = 0.10

// pacerMax is the part of the latency in an open loop that may be the load
// generator's own, at the 99th percentile.
const pacerMax = 0.5

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
	own, paced := r.over(scenario, "", pacer)
	total, _ := r.over(scenario, "", p99)
	if paced && own.Median > pacerMax*total.Median {
		line += " The load generator kept its own times badly: latencies here are not the proxies'."
	}
	return line + "\n"
}

func (r *Results) cell(c column, scenario, proxy string) string {
	s, ok := r.over(scenario, proxy, c.metric)
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
	return ratioText(r.ratio(m, lane{scenario, Subject}, lane{scenario, proxy}))
}

func ratioText(s Spread, ok bool) string {
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
		if v, ok := c.metric.value(&Results{}, s); ok {
			parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.metric.title, c.format(v), c.unit)))
		}
	}
	if n := s.failed(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d FAILED", n))
	}
	return strings.Join(parts, ", ")
}
