package report

import "fmt"

// The floors below which a change must not fall.
const (
	echoFloor      = 1.10     // of nginx's CPU time per round trip
	bulkFloor      = 0.90     // of HAProxy's CPU time per GB, with splice
	perTunnelFloor = 1024     // bytes an idle tunnel may add
	zeroBytesFloor = 32 << 20 // bytes in use before the first tunnel
)

// A Verdict is one floor held against a figure.
type Verdict struct {
	What string
	Got  string
	Held bool
}

// Floors judges the subject. A floor whose figures are missing is not held:
// what was not measured must not pass.
func (r *Results) Floors() []Verdict {
	return []Verdict{
		r.ratioFloor("echo", "nginx", echoFloor),
		r.ratioFloor("bulk-down", "haproxy-splice", bulkFloor),
		r.ratioFloor("bulk-up", "haproxy-splice", bulkFloor),
		r.idleFloor(perTunnel, perTunnelFloor),
		r.idleFloor(zeroBytes, zeroBytesFloor),
		r.errorFloor(),
	}
}

func (r *Results) ratioFloor(scenario, peer string, floor float64) Verdict {
	v := Verdict{What: fmt.Sprintf("%s: CPU of the proxy at most %.2f of %s", scenario, floor, peer), Got: "not measured"}
	if ratio, ok := r.ratio(proxyCPU, scenario, Subject, peer); ok {
		v.Got = fmt.Sprintf("%.2f (%.2f–%.2f)", ratio.Median, ratio.Min, ratio.Max)
		v.Held = ratio.Median <= floor
	}
	return v
}

func (r *Results) idleFloor(m metric, floor float64) Verdict {
	v := Verdict{What: fmt.Sprintf("idle: %s at most %s", m.title, bytesText(floor)), Got: "not measured"}
	if s, ok := r.of(m, "idle", Subject); ok {
		v.Got = bytesText(s.Median)
		v.Held = s.Median <= floor
	}
	return v
}

// errorFloor wants every tunnel of the subject to work.
func (r *Results) errorFloor() Verdict {
	v := Verdict{What: "no tunnel of " + Subject + " fails"}
	var n int64
	for _, scenario := range r.scenarios() {
		n += r.errors(scenario, Subject)
	}
	v.Got, v.Held = fmt.Sprintf("%d failed", n), n == 0
	return v
}

// errors returns how many tunnels of a proxy failed in a scenario.
func (r *Results) errors(scenario, proxy string) int64 {
	var n int64
	for _, s := range r.Samples {
		if s.Proxy != proxy || s.Scenario != scenario {
			continue
		}
		if s.Load != nil {
			n += s.Load.Errors
		}
		if s.Idle != nil {
			n += s.Idle.Errors
		}
	}
	return n
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
