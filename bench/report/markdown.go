package report

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// WriteMarkdown writes the report to file and its charts to the directory
// charts, both below root; the report links to the charts relatively.
func (r *Results) WriteMarkdown(root, file, charts string) error {
	if err := os.MkdirAll(filepath.Join(root, charts), 0o755); err != nil {
		return fmt.Errorf("report: write charts: %w", err)
	}
	var b strings.Builder
	r.writeIntro(&b)
	for _, scenario := range r.scenarios() {
		fmt.Fprintf(&b, "\n## %s\n\n", title(r.first(scenario)))
		chart := r.chart(scenario)
		name := scenario + ".svg"
		if err := os.WriteFile(filepath.Join(root, charts, name), chart, 0o644); err != nil {
			return fmt.Errorf("report: write chart: %w", err)
		}
		fmt.Fprintf(&b, "![%s](%s)\n\n", title(r.first(scenario)), path.Join(filepath.ToSlash(charts), name))
		writeTable(&b, r.rows(scenario))
		if noise := r.noise(scenario); noise != "" {
			fmt.Fprintf(&b, "\n%s", noise)
		}
	}
	r.writeFloors(&b)
	r.writeMethod(&b)
	if err := os.WriteFile(filepath.Join(root, file), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("report: write: %w", err)
	}
	return nil
}

func (r *Results) writeIntro(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, `# Benchmarks

This page is written by `+"`go run ./bench/wsbench --report`"+` from one run's raw samples; no figure on it
was typed in. Run it on your own machine: the ratios carry over better than the absolute figures.

Measured on %s, in %.0f s, on %s: %d CPUs, %.1f GiB of memory, Linux %s, %s, at most %d open
files per process, load average %.2f at the start. Client, backend and proxies all ran on this machine, over loopback.

| proxy | version |
|---|---|
`, r.Started.UTC().Format("2006-01-02 15:04 UTC"), r.Took, m.CPU, m.CPUs, float64(m.MemoryBytes)/(1<<30),
		m.Kernel, m.Go, m.OpenFiles, m.LoadAtStart)
	for _, p := range r.Proxies {
		fmt.Fprintf(b, "| %s | %s |\n", p.Name, p.Version)
	}
}

func writeTable(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
}

func (r *Results) writeFloors(b *strings.Builder) {
	b.WriteString("\n## Floors\n\nWith `--check` the command fails where one of these is missed.\n\n")
	b.WriteString("| floor | measured | held |\n|---|---|---|\n")
	for _, v := range r.Floors() {
		held := "yes"
		if !v.Held {
			held = "**no**"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", v.What, v.Got, held)
	}
}

func (r *Results) writeMethod(b *strings.Builder) {
	fmt.Fprintf(b, `
## How it is measured

- Rounds are interleaved (every proxy once, then all again); %d rounds, of memory at most 2. A cell is the median
  with the least and the greatest value; a ratio is the median of the ratios within each round, so that what
  disturbs one round disturbs both sides of it.
- *Proxy CPU* is what all processes and threads of the proxy used, from the scheduler's nanosecond counters, over the work
  done in the same window. *Proxy + backend + client* adds the two ends: a proxy that only moves its cost into its
  neighbours gains nothing there. *Whole machine* is the busy time of all CPUs, in ticks of 10 ms, whatever else ran included.
- Client and backend are processes of their own, built on netpoll and gobwas/ws. Every frame is parsed, every echo is
  matched to its message, and payloads are compared by sample; a tunnel that fails is counted in the last column.
- *direct* has no proxy in between: what the two ends cost alone.
- GB is 10⁹ bytes of payload. Latency is measured in a closed loop: each tunnel waits for its echo before it sends again.
- Idle memory is the difference in PSS between a fresh proxy and the same proxy with all tunnels open, over the tunnels.
  The tunnels have carried nothing but their handshake.
  Kernel memory of the sockets is not in it and is much the same for all proxies.

The configurations the proxies ran with, as generated for the first scenario each served. For bulk, nginx is given
larger buffers on top (64 KiB for proxy_buffer_size, proxy_buffers and client_header_buffer_size).
`, r.Rounds)
	for _, p := range r.Proxies {
		if p.Config != "" {
			fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n```\n%s\n```\n\n</details>\n", p.Name, strings.TrimSpace(p.Config))
		}
	}
}
