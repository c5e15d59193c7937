package report

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// performancePage is where the project says what was tried; the report links
// to it where it exists.
const performancePage = "docs/performance.md"

// WriteMarkdown writes the report to file and its charts to the directory
// charts, both below root; the report links to the charts relatively. What
// other charts there were are removed.
func (r *Results) WriteMarkdown(root, file, charts string) error {
	if err := os.MkdirAll(filepath.Join(root, charts), 0o755); err != nil {
		return fmt.Errorf("report: write charts: %w", err)
	}
	if err := removeCharts(filepath.Join(root, charts)); err != nil {
		return err
	}
	draw := func(name string, svg []byte) (link string, err error) {
		if err := os.WriteFile(filepath.Join(root, charts, name+".svg"), svg, 0o644); err != nil {
			return "", fmt.Errorf("report: write chart: %w", err)
		}
		return path.Join(filepath.ToSlash(charts), name+".svg"), nil
	}
	var b strings.Builder
	_, err := os.Stat(filepath.Join(root, performancePage))
	r.writeIntro(&b, err == nil)
	r.writeVerdicts(&b)
	for i := range curves {
		svg := r.plot(&curves[i])
		if svg == nil {
			continue
		}
		link, err := draw(curves[i].file, svg)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n![%s](%s)\n", curves[i].title, link)
	}
	for _, scenario := range r.scenarios() {
		if first := r.first(scenario); first.Sweep || first.Paired || first.Family != "" {
			continue
		}
		if strings.HasSuffix(scenario, Alone) {
			r.writeFolded(&b, scenario) // behind the one it stands beside
			continue
		}
		if err := r.writeSection(&b, "##", scenario, draw); err != nil {
			return err
		}
	}
	if err := r.writeFamilies(&b, draw); err != nil {
		return err
	}
	r.writePairings(&b)
	r.writeSweeps(&b)
	r.writeOmitted(&b)
	r.writeMethod(&b)
	if err := os.WriteFile(filepath.Join(root, file), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("report: write: %w", err)
	}
	return nil
}

// A drawer writes a chart and returns a link to it.
type drawer func(name string, svg []byte) (link string, err error)

// writeSection writes a scenario with its chart, under a heading of the given
// level.
func (r *Results) writeSection(b *strings.Builder, level, scenario string, draw drawer) error {
	link, err := draw(scenario, r.chart(scenario))
	if err != nil {
		return err
	}
	name := title(r.first(scenario))
	fmt.Fprintf(b, "\n%s %s\n\n![%s](%s)\n\n", level, name, name, link)
	if _, ok := r.over(scenario, "", afterBurst); ok {
		if link, err = draw(scenario+"-burst", r.chartOf(scenario, secureIdleColumns[1])); err != nil {
			return err
		}
		fmt.Fprintf(b, "![%s: %s](%s)\n\n", scenario, afterBurst.title, link)
	}
	r.writeScenario(b, scenario)
	return nil
}

// removeCharts makes room for the charts of this report alone.
func removeCharts(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	for _, file := range old {
		if err == nil {
			err = os.Remove(file)
		}
	}
	if err != nil {
		return fmt.Errorf("report: remove old charts: %w", err)
	}
	return nil
}

func (r *Results) writeIntro(b *strings.Builder, tried bool) {
	b.WriteString(`# Benchmarks

This page is written by ` + "`go run ./bench/wsbench report`" + ` from raw samples; no figure on it was typed in.
` + "`make bench-peers`" + ` installs the other proxies, ` + "`make bench`" + ` repeats every judged row in under five minutes,
` + "`make bench-full`" + ` everything else but what following frames costs (` + "`make bench-frames`" + `), endpoints with
warm connections (` + "`make bench-endpoints`" + `), and tunnels over TLS (` + "`make bench-secure`" + `). Run it on your own
machine: the ratios carry over better than the absolute figures.
`)
	if tried {
		fmt.Fprintf(b, "What was tried, and what it brought: [%s](%s).\n", performancePage, performancePage)
	}
	for _, part := range r.runs() {
		m := part.Machine
		fmt.Fprintf(b, `
Measured on %s, %s set, %d rounds of %gs, in %.0f s%s, on %s: %d CPUs, %.1f GiB of memory, Linux %s, %s,
at most %d open files per process, load average %.2f at the start.
`, part.Started.UTC().Format("2006-01-02 15:04 UTC"), orUnknown(part.Set), part.Rounds, part.Window, part.Took,
			map[bool]string{true: " (interrupted)"}[part.Partial],
			m.CPU, m.CPUs, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Go, m.OpenFiles, m.LoadAtStart)
	}
	b.WriteString("\nClient, backend and proxies all ran on this machine, over loopback.\n\n| proxy | version |\n|---|---|\n")
	for _, p := range r.Proxies {
		version := r.versions(p.Name)
		if p.Engine != "" {
			version += ", ran on " + p.Engine
		}
		fmt.Fprintf(b, "| %s | %s |\n", p.Name, version)
	}
}

// versions says which version of a proxy was measured, or which ones in which sets.
func (r *Results) versions(proxy string) string {
	var versions []string
	sets := make(map[string][]string)
	for _, part := range r.runs() {
		for _, p := range part.Proxies {
			if p.Name != proxy {
				continue
			}
			if !slices.Contains(versions, p.Version) {
				versions = append(versions, p.Version)
			}
			if set := orUnknown(part.Set); !slices.Contains(sets[p.Version], set) {
				sets[p.Version] = append(sets[p.Version], set)
			}
		}
	}
	if len(versions) > 1 {
		for i, version := range versions {
			versions[i] = strings.Join(sets[version], " and ") + ": " + version
		}
	}
	return strings.Join(versions, "; ")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func writeTable(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
}

func (r *Results) writeVerdicts(b *strings.Builder) {
	b.WriteString("\n## Floors and goals\n\nThe figure of " + Subject + ", with the engine it chose, over that of the other, " +
		"as the median of the ratios within\neach round, with the least and the greatest. Less is better. With `--check` " +
		"the command fails where a floor is missed.\n\n")
	rows := [][]string{{"scenario", "figure", "against", "floor", "goal", "measured", "outcome"}}
	for _, v := range r.Judge(nil) {
		outcome := v.outcome()
		if !v.Held() {
			outcome = "**" + outcome + "**"
		}
		against := v.Against
		if against == "" {
			against = "–"
		}
		rows = append(rows, []string{v.Scenario, v.Figure, against, v.bound(v.Floor), v.bound(v.Goal), v.measured(), outcome})
	}
	writeTable(b, rows)
}

func (r *Results) writeScenario(b *strings.Builder, scenario string) {
	writeTable(b, r.rows(scenario))
	if noise := r.noise(scenario); noise != "" {
		fmt.Fprintf(b, "\n%s", noise)
	}
}

// writeSweeps writes the tables behind the curves, folded.
func (r *Results) writeSweeps(b *strings.Builder) {
	begun := false
	for _, scenario := range r.scenarios() {
		if !r.first(scenario).Sweep {
			continue
		}
		if !begun {
			b.WriteString("\n## Other sizes and numbers of tunnels\n")
			begun = true
		}
		r.writeFolded(b, scenario)
	}
}

func (r *Results) writeFolded(b *strings.Builder, scenario string) {
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n", title(r.first(scenario)))
	r.writeScenario(b, scenario)
	b.WriteString("\n</details>\n")
}

func (r *Results) writeOmitted(b *strings.Builder) {
	if len(r.Omitted) == 0 {
		return
	}
	b.WriteString("\n## Left out\n\n")
	rows := [][]string{{"scenario", "proxy", "why"}}
	for _, o := range r.Omitted {
		why := strings.Join(strings.Fields(strings.ReplaceAll(o.Reason, "|", "/")), " ")
		rows = append(rows, []string{o.Scenario, o.Proxy, cut(why, 200)})
	}
	writeTable(b, rows)
}

// cut shortens a text to at most n runes.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

const method = `
## How it is measured

- Rounds are interleaved: every proxy once, then all again in the opposite order. A cell is the median with the least
  and the greatest value; a ratio is the median of the ratios within each round, so that what disturbs one round
  disturbs both sides of it. *Best peer* is the other proxy with the lowest median of that figure.
- *Proxy CPU* is what all processes and threads of the proxy used, from the scheduler's nanosecond counters, over the work
  done in the same window. *Proxy + backend + client* adds the two ends: a proxy that only moves its cost into its
  neighbours gains nothing there. *Whole machine* is the time all CPUs were not idle (nor taken by the host of a virtual
  machine), known to 10 ms, whatever else ran included.
- Client and backend are processes of their own, built on netpoll and gobwas/ws. Every frame is parsed, every echo is
  matched to its message, and payloads are compared by sample; a tunnel that fails is counted in the last column.
- After each run wsplice is asked what it counted: where frames broke RFC 6455, or where it stopped following them in
  anything but bulk, the whole comparison ends with an error.
- *direct* has no proxy in between: what the two ends cost alone.
- **echo** is a closed loop: each tunnel waits for its echo before it sends again. **open** sends at fixed times, whether or
  not earlier messages are back; latency counts from the time a message was meant to be sent, so that waiting in a queue
  is in it. *Late* messages found too many of their tunnel unanswered to be sent at once; *the pacer's* part of the latency is
  the load generator's own.
- **bulk** moves frames without pause. GB is 10⁹ bytes of payload; both ways together where it goes both ways.
- **churn** connects, upgrades, echoes one message and closes, again and again. **storm** opens all tunnels, cuts them with
  a reset as a network that goes away would, and lets all clients come back at once; *recovery* is the time until the
  last one's first echo. In both, clients come from several addresses and the backend listens on several ports, so that
  ephemeral ports are not what is measured.
- **mixed** is an echo with quiet tunnels beside it. The same without them is measured in the same rounds, on proxies of
  their own.
- **idle**: user space is the difference in PSS between a fresh proxy and the same proxy with all tunnels open, over the
  tunnels, which have carried nothing but their handshake. Kernel memory is the growth, over the same time, of Slab,
  KernelStack, PageTables and Percpu in /proc/meminfo and of TCP's memory in /proc/net/sockstat, for the whole machine,
  less the same growth without a proxy, which is what the sockets of the two ends take. It counts the proxy's sockets,
  files, epoll items and threads. What other processes open meanwhile
  is in it, too; pages the kernel accounts to none of these (of pipes, of io_uring's rings) are not.

The configurations the proxies ran with, as generated for the first scenario each served. For messages of 1 KiB and more
nginx is given buffers that hold one (proxy_buffer_size, proxy_buffers, client_header_buffer_size), Apache and lighttpd
are given 64 KiB for more than 8 KiB (ReadBufferSize, ProxyIOBufferSize; server.chunkqueue-chunk-sz), and all three
64 KiB for bulk. For churn and storm all spread over several backend ports. Apache has as many threads as the scenario has
tunnels.
`

func (r *Results) writeMethod(b *strings.Builder) {
	b.WriteString(method)
	for _, p := range r.Proxies {
		if p.Config != "" {
			writeConfig(b, p.Name, p.Config)
		}
	}
	for _, s := range r.Setups {
		writeConfig(b, s.Title, s.Config)
	}
}

func writeConfig(b *strings.Builder, title, config string) {
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n```\n%s\n```\n\n</details>\n", title, strings.TrimSpace(config))
}
