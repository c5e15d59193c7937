package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// An opponent is what a figure of the subject is held against.
type opponent struct {
	text   string
	admits func(proxy string) bool // the best of them counts; nil = no proxy
}

func only(name string) opponent {
	return opponent{name, func(proxy string) bool { return proxy == name }}
}

// others says that a proxy is none of the subject's variants.
func others(proxy string) bool { return proxy != Direct && !strings.HasPrefix(proxy, Subject) }

var (
	bestPeer    = opponent{"best peer", others}
	bestCopying = opponent{"best copying peer", func(proxy string) bool {
		return others(proxy) && !strings.HasSuffix(proxy, "-splice")
	}}
	itself   = opponent{"itself without the idle tunnels", nil}
	absolute = opponent{"", nil}
)

// A rule is a row of the judged table: the figure, as a ratio to the
// opponent's or as it is, must not be above the floor and should not be above
// the goal.
type rule struct {
	scenario    string
	metric      metric
	against     opponent
	floor, goal float64
}

// The bounds that are bytes, not ratios.
const (
	perTunnelFloor, perTunnelGoal = 1024, 640
	zeroBytesFloor                = 32 << 20
)

// rules returns the judged table. What is said of echo or of bulk holds for
// each of their scenarios.
func rules() []rule {
	var list []rule
	for _, echo := range []string{"echo-128B-100", "echo-128B-1000"} {
		list = append(list,
			rule{echo, proxyCPU, only("nginx"), 0.95, 0.80},
			rule{echo, proxyCPU, only("haproxy"), 0.75, 0.62},
			rule{echo, machineCPU, bestPeer, 1.0, 0.90},
		)
	}
	list = append(list,
		rule{"echo-4KiB-100", proxyCPU, only("nginx"), 1.0, 0.85},
		rule{"echo-4KiB-100", proxyCPU, only("haproxy"), 0.85, 0.72},
		rule{"echo-4KiB-100", machineCPU, bestPeer, 1.0, 0.90},
		rule{"open-10000", proxyCPU, bestPeer, 1.0, 0.90},
		rule{"open-10000", p99, bestPeer, 1.1, 1.0},
	)
	for _, bulk := range []string{"bulk-down-16KiB-4", "bulk-up-16KiB-4"} {
		list = append(list,
			rule{bulk, proxyCPU, only("haproxy-splice"), 0.90, 0.75},
			rule{bulk, proxyCPU, bestCopying, 0.75, 0.60},
			rule{bulk, machineCPU, bestPeer, 1.0, 0.88},
		)
	}
	return append(list,
		rule{"churn", proxyCPU, only("nginx"), 1.05, 0.88},
		rule{"churn", proxyCPU, only("haproxy"), 0.90, 0.72},
		rule{"idle", perTunnel, only("haproxy"), 0.20, 0.12},
		rule{"idle", perTunnel, absolute, perTunnelFloor, perTunnelGoal},
		rule{"idle", zeroBytes, absolute, zeroBytesFloor, zeroBytesFloor},
		rule{"mixed", proxyCPU, itself, 1.10, 1.03},
	)
}

// A Verdict is one figure held against its floor and its goal.
type Verdict struct {
	Scenario    string
	Figure      string
	Against     string // "" = an absolute bound
	Floor, Goal float64
	Got         Spread
	Measured    bool
	format      func(float64) string
}

// Held says whether the floor is held. What was not measured does not pass.
func (v Verdict) Held() bool { return v.Measured && v.Got.Median <= v.Floor }

// Reached says whether the goal is reached.
func (v Verdict) Reached() bool { return v.Measured && v.Got.Median <= v.Goal }

// Bound writes the floor or the goal.
func (v Verdict) bound(limit float64) string { return "≤ " + v.format(limit) }

func (v Verdict) measured() string {
	switch {
	case !v.Measured:
		return "not measured"
	case v.Got.Min == v.Got.Max:
		return v.format(v.Got.Median)
	default:
		return fmt.Sprintf("%s (%s–%s)", v.format(v.Got.Median), v.format(v.Got.Min), v.format(v.Got.Max))
	}
}

// outcome says in words what came of it.
func (v Verdict) outcome() string {
	switch {
	case !v.Measured:
		return "not measured"
	case v.Reached():
		return "goal reached"
	case v.Held():
		return "floor held, goal missed" + by(v.Got.Median, v.Goal)
	default:
		return "floor missed" + by(v.Got.Median, v.Floor) + ", goal" + by(v.Got.Median, v.Goal)
	}
}

// by says how far a figure is above its bound, rounded up so that a miss is
// never by 0%.
func by(figure, limit float64) string {
	if limit <= 0 {
		return ""
	}
	return fmt.Sprintf(" by %.0f%%", math.Ceil(100*(figure/limit-1)-1e-9))
}

// String writes the verdict in one line.
func (v Verdict) String() string {
	line := v.Scenario + ": " + v.Figure
	if v.Against != "" {
		line += " ÷ " + v.Against
	}
	line = fmt.Sprintf("%s: floor %s, goal %s", line, v.bound(v.Floor), v.bound(v.Goal))
	if !v.Measured {
		return line + ", " + v.outcome()
	}
	return fmt.Sprintf("%s, measured %s: %s", line, v.measured(), v.outcome())
}

// Judge holds the subject against the floors and goals of the named
// scenarios. Nil means all of the comparison, and those of endpoints and over TLS that
// were measured.
func (r *Results) Judge(scenarios []string) []Verdict {
	var list []Verdict
	for _, rule := range rules() {
		if scenarios == nil || slices.Contains(scenarios, rule.scenario) {
			list = append(list, r.judge(rule))
		}
	}
	for _, rule := range append(endpointRules(), secureRules()...) {
		if scenarios == nil && r.first(rule.scenario) != nil || slices.Contains(scenarios, rule.scenario) {
			list = append(list, r.judge(rule))
		}
	}
	return append(list, r.judgeErrors())
}

func (r *Results) judge(rule rule) Verdict {
	v := Verdict{
		Scenario: rule.scenario, Figure: rule.metric.title, Against: rule.against.text,
		Floor: rule.floor, Goal: rule.goal, format: digits(2),
	}
	subject := lane{rule.scenario, Subject}
	switch rule.against.text {
	case absolute.text:
		v.format = bytesText
		v.Got, v.Measured = r.over(rule.scenario, Subject, rule.metric)
	case itself.text:
		v.Got, v.Measured = r.ratio(rule.metric, subject, lane{rule.scenario + Alone, Subject})
	default:
		name, ok := r.best(rule.metric, rule.scenario, rule.against.admits)
		if ok && name != v.Against {
			v.Against += " (" + name + ")"
		}
		v.Got, v.Measured = r.ratio(rule.metric, subject, lane{rule.scenario, name})
	}
	return v
}

// judgeErrors wants every tunnel of the subject to work.
func (r *Results) judgeErrors() Verdict {
	v := Verdict{Scenario: "all", Figure: "failed tunnels", format: digits(0)}
	for _, scenario := range r.scenarios() {
		if !slices.Contains(r.in(scenario), Subject) {
			continue
		}
		n := float64(r.errors(scenario, Subject))
		v.Got.Median, v.Measured = v.Got.Median+n, true
	}
	v.Got.Min, v.Got.Max = v.Got.Median, v.Got.Median
	return v
}

// errors returns how many tunnels of a proxy failed in a scenario.
func (r *Results) errors(scenario, proxy string) int64 {
	var n int64
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Proxy == proxy && s.Scenario == scenario {
			n += s.failed()
		}
	}
	return n
}

func (s *Sample) failed() int64 {
	switch {
	case s.Load != nil:
		return s.Load.Errors
	case s.Idle != nil:
		return s.Idle.Errors
	default:
		return 0
	}
}

func bytesText(n float64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", n/(1<<10))
	default:
		return fmt.Sprintf("%.0f B", n)
	}
}
