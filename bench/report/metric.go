package report

import (
	"slices"
	"time"

	"wsplice/bench/load"
)

// A metric is one figure of a sample; ok is false where the sample has none.
type metric struct {
	title string
	value func(*Results, *Sample) (v float64, ok bool)
}

// A Spread is the median of some values between their extremes.
type Spread struct{ Median, Min, Max float64 }

// spreadOf returns the spread of values; ok is false where there are none.
func spreadOf(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return Spread{}, false
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	median := sorted[mid]
	if len(sorted)%2 == 0 {
		median = (sorted[mid-1] + sorted[mid]) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1]}, true
}

// A kind is how the work of a load is counted.
type kind int

const (
	roundTrips kind = iota
	gigabytes       // 10^9 bytes of payload
	connections
)

func kindOf(s *Sample) kind {
	switch s.Load.Scenario {
	case load.Down, load.Up, load.Both:
		return gigabytes
	case load.Churn, load.Storm:
		return connections
	default:
		return roundTrips
	}
}

// cpuUnit names CPU time over work.
func (k kind) cpuUnit() string {
	return [...]string{"µs/round trip", "s/GB", "µs/connection"}[k]
}

// speedUnit names work over time.
func (k kind) speedUnit() string {
	return [...]string{"round trips/s", "GB/s", "connections/s"}[k]
}

// units returns how much work a loaded sample did.
func units(s *Sample) float64 {
	if s.Load == nil {
		return 0
	}
	switch kindOf(s) {
	case gigabytes:
		return float64(s.Load.Bytes) / 1e9
	case connections:
		return float64(s.Load.Connections)
	default:
		return float64(s.Load.Messages)
	}
}

// perUnit returns a metric of CPU time over work: seconds per gigabyte, or
// microseconds per round trip or connection.
func perUnit(title string, cpu func(*load.Result) (time.Duration, bool)) metric {
	return metric{title, func(_ *Results, s *Sample) (float64, bool) {
		work := units(s)
		if work == 0 {
			return 0, false
		}
		d, ok := cpu(s.Load)
		if kindOf(s) == gigabytes {
			return d.Seconds() / work, ok
		}
		return micros(d) / work, ok
	}}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

var (
	proxyCPU = perUnit("proxy CPU", func(r *load.Result) (time.Duration, bool) {
		cpu, ok := r.CPU["proxy"]
		return cpu.Best(), ok
	})
	allCPU = perUnit("proxy + backend + client", func(r *load.Result) (time.Duration, bool) {
		var sum time.Duration
		for _, cpu := range r.CPU {
			sum += cpu.Best()
		}
		return sum, true
	})
	machineCPU = perUnit("whole machine", func(r *load.Result) (time.Duration, bool) {
		return r.Machine, true
	})
	throughput = metric{"throughput", func(_ *Results, s *Sample) (float64, bool) {
		work := units(s)
		return work / max(1e-9, windowSeconds(s)), work > 0
	}}

	p50  = latency("p50", func(l *load.Result) time.Duration { return l.Latency.P50 })
	p99  = latency("p99", func(l *load.Result) time.Duration { return l.Latency.P99 })
	p999 = latency("p99.9", func(l *load.Result) time.Duration { return l.Latency.P999 })

	// late is the part of an open loop's messages that had to wait for
	// earlier ones of their tunnel.
	late = metric{"late", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Scenario != load.Open {
			return 0, false
		}
		return 100 * float64(s.Load.Late) / max(1, float64(s.Load.Messages)), true
	}}
	// pacer is the load generator's own part of an open loop's latency.
	pacer = metric{"of it the pacer's, p99", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Scenario != load.Open {
			return 0, false
		}
		return micros(s.Load.Pacer.P99), true
	}}
	// upgrade is from connecting to the 101.
	upgrade = metric{"upgrade p50", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || kindOf(s) != connections {
			return 0, false
		}
		return micros(s.Load.Upgrade.P50), true
	}}
	recovery = metric{"recovery", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Scenario != load.Storm {
			return 0, false
		}
		return micros(s.Load.Recovery) / 1e3, true
	}}

	perTunnel = metric{"user space per tunnel", func(_ *Results, s *Sample) (float64, bool) {
		if s.Idle == nil || s.Proxy == Direct {
			return 0, false
		}
		return s.Idle.PerTunnel(), true
	}}
	kernelPerTunnel = metric{"kernel per tunnel", func(r *Results, s *Sample) (float64, bool) {
		if s.Idle == nil || s.Proxy == Direct {
			return 0, false
		}
		direct := r.at(s.Scenario, Direct, s.Round)
		if direct == nil || direct.Idle == nil {
			return 0, false
		}
		return s.Idle.KernelPerTunnel() - direct.Idle.KernelPerTunnel(), true
	}}
	zeroBytes = metric{"at zero tunnels", func(_ *Results, s *Sample) (float64, bool) {
		if s.Idle == nil || s.Proxy == Direct {
			return 0, false
		}
		return float64(s.Idle.ZeroBytes), true
	}}
)

// blind is in how many directions the subject stopped following frames.
var blind = metric{"blind", func(_ *Results, s *Sample) (float64, bool) { return float64(s.Blind), s.Load != nil }}

func windowSeconds(s *Sample) float64 {
	if s.Load == nil {
		return 0
	}
	return s.Load.Window.Seconds()
}

// latency returns a metric in microseconds, of loads that have one.
func latency(title string, of func(*load.Result) time.Duration) metric {
	return metric{title, func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || kindOf(s) == gigabytes {
			return 0, false
		}
		return micros(of(s.Load)), true
	}}
}

// strangers is the part of the machine that processes outside the bench used,
// 0 to 1, and is no less than the work the kernel charged to none of ours.
func (r *Results) strangers(scenario string) (Spread, bool) {
	cpus := max(1, r.Machine.CPUs)
	return r.over(scenario, "", metric{"", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Window <= 0 {
			return 0, false
		}
		rest := s.Load.Machine
		for _, cpu := range s.Load.CPU {
			rest -= cpu.Best()
		}
		return max(0, rest.Seconds()/(s.Load.Window.Seconds()*float64(cpus))), true
	}})
}

// over returns a metric's spread over the rounds of one proxy in a scenario,
// or of all proxies where none is named.
func (r *Results) over(scenario, proxy string, m metric) (Spread, bool) {
	var values []float64
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Scenario != scenario || proxy != "" && s.Proxy != proxy {
			continue
		}
		if v, ok := m.value(r, s); ok {
			values = append(values, v)
		}
	}
	return spreadOf(values)
}

// A lane is a proxy in a scenario.
type lane struct{ scenario, proxy string }

// ratio returns the spread of one lane's figure over another's, taken within
// each round so that what disturbs the machine disturbs both.
func (r *Results) ratio(m metric, above, below lane) (Spread, bool) {
	return spreadOf(r.ratios(m, above, below))
}

// ratios returns one lane's figure over another's in each round that has both.
func (r *Results) ratios(m metric, above, below lane) []float64 {
	byRound := map[int][2]float64{}
	for i := range r.Samples {
		s := &r.Samples[i]
		v, ok := m.value(r, s)
		if !ok || v <= 0 {
			continue
		}
		pair := byRound[s.Round]
		switch (lane{s.Scenario, s.Proxy}) {
		case above:
			pair[0] = v
		case below:
			pair[1] = v
		}
		byRound[s.Round] = pair
	}
	var ratios []float64
	for _, pair := range byRound {
		if pair[0] != 0 && pair[1] != 0 {
			ratios = append(ratios, pair[0]/pair[1])
		}
	}
	return ratios
}

// best returns the proxy with the lowest median among those admitted.
func (r *Results) best(m metric, scenario string, admitted func(proxy string) bool) (proxy string, ok bool) {
	lowest := 0.0
	for _, name := range r.in(scenario) {
		if !admitted(name) {
			continue
		}
		if s, measured := r.over(scenario, name, m); measured && (!ok || s.Median < lowest) {
			proxy, lowest, ok = name, s.Median, true
		}
	}
	return proxy, ok
}

// scenarios returns the scenarios in the order they were run.
func (r *Results) scenarios() []string {
	var names []string
	for _, s := range r.Samples {
		if !slices.Contains(names, s.Scenario) {
			names = append(names, s.Scenario)
		}
	}
	return names
}

// order is how proxies follow one another in tables; others come after, in the
// order they were first measured.
var order = []string{
	Direct, Subject, "wsplice-epoll", "wsplice-io_uring", "wsplice-async-off", FramesAlways, FramesOff,
	WarmSubject, "nginx", "haproxy", "haproxy-splice", "apache", "lighttpd", "websockify", "caddy",
}

// in returns the proxies that have samples of a scenario.
func (r *Results) in(scenario string) []string {
	var names []string
	for _, s := range r.Samples {
		if s.Scenario == scenario && !slices.Contains(names, s.Proxy) {
			names = append(names, s.Proxy)
		}
	}
	place := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	return names
}

// first returns some sample of a scenario, which tells its shape.
func (r *Results) first(scenario string) *Sample {
	for i := range r.Samples {
		if r.Samples[i].Scenario == scenario {
			return &r.Samples[i]
		}
	}
	return nil
}

// at returns the sample of a proxy in one round, or nil.
func (r *Results) at(scenario, proxy string, round int) *Sample {
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Scenario == scenario && s.Proxy == proxy && s.Round == round {
			return s
		}
	}
	return nil
}
