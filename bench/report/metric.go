package report

import (
	"slices"
	"time"

	"wsplice/bench/load"
)

// A metric is one figure of a sample; ok is false where the sample has none.
type metric struct {
	title string
	value func(*Sample) (v float64, ok bool)
}

// A Spread is the median of some values between their extremes.
type Spread struct{ Median, Min, Max float64 }

// spreadOf returns the spread of values, of which there is at least one.
func spreadOf(values []float64) Spread {
	s := slices.Sorted(slices.Values(values))
	mid := len(s) / 2
	median := s[mid]
	if len(s)%2 == 0 {
		median = (s[mid-1] + s[mid]) / 2
	}
	return Spread{Median: median, Min: s[0], Max: s[len(s)-1]}
}

// units returns how much work a loaded sample did: round trips of an echo,
// gigabytes (10^9) of bulk.
func units(s *Sample) float64 {
	if s.Load == nil {
		return 0
	}
	if s.Load.Scenario == load.Echo {
		return float64(s.Load.Messages)
	}
	return float64(s.Load.Bytes) / 1e9
}

// perUnit returns a metric of CPU time over work: microseconds per round trip
// or seconds per gigabyte.
func perUnit(title string, cpu func(*load.Result) (time.Duration, bool)) metric {
	return metric{title, func(s *Sample) (float64, bool) {
		work := units(s)
		if work == 0 {
			return 0, false
		}
		d, ok := cpu(s.Load)
		if s.Load.Scenario == load.Echo {
			return float64(d.Nanoseconds()) / 1e3 / work, ok
		}
		return d.Seconds() / work, ok
	}}
}

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
	throughput = metric{"throughput", func(s *Sample) (float64, bool) {
		work := units(s)
		return work / max(1e-9, windowSeconds(s)), work > 0
	}}
	p50  = latency("p50", func(l load.Latency) time.Duration { return l.P50 })
	p99  = latency("p99", func(l load.Latency) time.Duration { return l.P99 })
	p999 = latency("p99.9", func(l load.Latency) time.Duration { return l.P999 })

	perTunnel = metric{"bytes per tunnel", func(s *Sample) (float64, bool) {
		if s.Idle == nil {
			return 0, false
		}
		return s.Idle.PerTunnel(), true
	}}
	zeroBytes = metric{"at zero tunnels", func(s *Sample) (float64, bool) {
		if s.Idle == nil {
			return 0, false
		}
		return float64(s.Idle.ZeroBytes), true
	}}
)

// strangers is the part of the machine that processes outside the bench used,
// 0 to 1, and is no less than the work the kernel charged to none of ours.
func (r *Results) strangers(scenario string) (Spread, bool) {
	cpus := max(1, r.Machine.CPUs)
	return r.over(scenario, func(s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Window <= 0 {
			return 0, false
		}
		rest := s.Load.Machine
		for _, cpu := range s.Load.CPU {
			rest -= cpu.Best()
		}
		return max(0, rest.Seconds()/(s.Load.Window.Seconds()*float64(cpus))), true
	})
}

// over returns the spread of a value over all samples of a scenario.
func (r *Results) over(scenario string, value func(*Sample) (float64, bool)) (Spread, bool) {
	var values []float64
	for i := range r.Samples {
		if r.Samples[i].Scenario != scenario {
			continue
		}
		if v, ok := value(&r.Samples[i]); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Spread{}, false
	}
	return spreadOf(values), true
}

func windowSeconds(s *Sample) float64 {
	if s.Load == nil {
		return 0
	}
	return s.Load.Window.Seconds()
}

// latency returns a metric in microseconds.
func latency(title string, of func(load.Latency) time.Duration) metric {
	return metric{title, func(s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Scenario != load.Echo {
			return 0, false
		}
		return float64(of(s.Load.Latency).Nanoseconds()) / 1e3, true
	}}
}

// of returns the metric's spread over the rounds of one proxy.
func (r *Results) of(m metric, scenario, proxy string) (Spread, bool) {
	var values []float64
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Scenario != scenario || s.Proxy != proxy {
			continue
		}
		if v, ok := m.value(s); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Spread{}, false
	}
	return spreadOf(values), true
}

// ratio returns the spread of the subject's figure over a peer's, taken
// within each round so that what disturbs the machine disturbs both.
func (r *Results) ratio(m metric, scenario, subject, peer string) (Spread, bool) {
	byRound := map[int][2]float64{}
	for i := range r.Samples {
		s := &r.Samples[i]
		v, ok := m.value(s)
		if s.Scenario != scenario || !ok || v == 0 {
			continue
		}
		pair := byRound[s.Round]
		switch s.Proxy {
		case subject:
			pair[0] = v
		case peer:
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
	if len(ratios) == 0 {
		return Spread{}, false
	}
	return spreadOf(ratios), true
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

// in returns the proxies that have samples of a scenario, in their order.
func (r *Results) in(scenario string) []string {
	var names []string
	for _, s := range r.Samples {
		if s.Scenario == scenario && !slices.Contains(names, s.Proxy) {
			names = append(names, s.Proxy)
		}
	}
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
