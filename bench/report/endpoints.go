package report

import (
	"fmt"
	"strings"
	"time"
)

// The families: sets of scenarios with sections and peers of their own.
const (
	Endpoint = "endpoint" // what ends the WebSocket and speaks plain bytes to the backend
	Warm     = "warm"     // what connects to a backend that is far away
)

// The scenarios of families that are judged or told of by name.
const (
	EndpointEcho = "endpoint-echo-128B-100"
	EndpointIdle = "endpoint-idle"
	WarmChurn    = "warm-churn-16"
)

// WarmSubject is the subject with warm connections.
const WarmSubject = "wsplice-warm-32"

// endpointTunnelGoal is what a tunnel and its codec should take: the goal of a
// tunnel and 256 bytes.
const endpointTunnelGoal = perTunnelGoal + 256

// endpointRules are judged where endpoints were measured.
func endpointRules() []rule {
	return []rule{
		{EndpointEcho, proxyCPU, only("lighttpd"), 1.0, 0.9},
		{EndpointEcho, proxyCPU, only("websockify"), 1.0, 0.5},
		{EndpointIdle, perTunnel, absolute, perTunnelFloor, endpointTunnelGoal},
	}
}

// toUpgrade returns a metric of the time from connecting to the 101, in
// milliseconds.
func toUpgrade(title string, of func(*Sample) time.Duration) metric {
	return metric{title, func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || kindOf(s) != connections {
			return 0, false
		}
		return micros(of(s)) / 1e3, true
	}}
}

var (
	upgradeMedian = toUpgrade("time to the 101, p50", func(s *Sample) time.Duration { return s.Load.Upgrade.P50 })
	upgradeP99    = toUpgrade("time to the 101, p99", func(s *Sample) time.Duration { return s.Load.Upgrade.P99 })

	warmPart = metric{"on a warm connection", func(_ *Results, s *Sample) (float64, bool) {
		return 100 * s.WarmPart, s.WarmPart > 0
	}}
)

var warmColumns = []column{
	{upgradeMedian, "ms", digits(1), true},
	{upgradeP99, "ms", digits(1), true},
	{warmPart, "%", digits(0), false},
	{proxyCPU, connections.cpuUnit(), digits(2), true},
	{throughput, connections.speedUnit(), digits(0), false},
}

// apart returns what sets a proxy's figures in a scenario apart from the others':
// fewer tunnels. It is empty for most.
func (r *Results) apart(scenario, proxy string) string {
	all, measured := r.over(scenario, "", idleTunnels)
	own, ok := r.over(scenario, proxy, idleTunnels)
	if !measured || !ok || own.Max == all.Max {
		return ""
	}
	return fmt.Sprintf("%.0f tunnels", own.Max)
}

var idleTunnels = metric{"tunnels", func(_ *Results, s *Sample) (float64, bool) {
	if s.Idle == nil {
		return 0, false
	}
	return float64(s.Idle.Tunnels), true
}}

const endpointText = `
## Endpoint mode

The proxy ends the WebSocket and speaks plain bytes to the backend: wsplice with ` + "`mode: endpoint`" + `, lighttpd with
mod_wstunnel, and websockify. Clients offer the subprotocol *binary*. An endpoint may cut and join messages, so what comes
back is counted as a stream of bytes, and compared as one. There is no *direct*: without a proxy nobody speaks to such a
backend.

websockify has a process for each tunnel. Its CPU time and its memory are those of all of them, and what a process has
used that ended within a window is in it, too.
`

const warmText = `
## Warm connections

The backend is far away. A proxy connects to it for each WebSocket, and the request takes a second round trip; with
` + "`warm: 32`" + ` (*%s*) wsplice has connections ready, and the client waits for one round trip.
*%s* keeps none, as is the default.

The way to the backend is a TUN device, because many kernels lack netem: packets wait in the program that measures,
and come back with their addresses exchanged. Clients are near, so the time to the 101 is what the proxy and the backend
take.
`

// writeFamilies writes the sections of the families that were measured.
func (r *Results) writeFamilies(b *strings.Builder, draw drawer) error {
	for _, family := range []struct{ name, text string }{
		{Endpoint, endpointText},
		{Warm, fmt.Sprintf(warmText, WarmSubject, Subject) + r.warmSaves()},
		{Secure, r.secureSection()},
	} {
		begun := false
		for _, scenario := range r.scenarios() {
			if r.first(scenario).Family != family.name {
				continue
			}
			if !begun {
				b.WriteString(family.text)
				begun = true
			}
			if err := r.writeSection(b, "###", scenario, draw); err != nil {
				return err
			}
		}
	}
	return nil
}

// warmSaves says what warm connections save, where that was measured.
func (r *Results) warmSaves() string {
	cold, ok := r.over(WarmChurn, Subject, upgradeMedian)
	warm, both := r.over(WarmChurn, WarmSubject, upgradeMedian)
	if !ok || !both {
		return ""
	}
	coldTail, _ := r.over(WarmChurn, Subject, upgradeP99)
	warmTail, _ := r.over(WarmChurn, WarmSubject, upgradeP99)
	return fmt.Sprintf("\nThe backend is %v away, there and back. With warm connections the time to the 101 is %.1f ms instead of "+
		"%.1f ms in the\nmedian, and %.1f ms instead of %.1f ms in the 99th percentile.\n",
		r.first(WarmChurn).RoundTrip, warm.Median, cold.Median, warmTail.Median, coldTail.Median)
}
