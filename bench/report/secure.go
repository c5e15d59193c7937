package report

import (
	"fmt"
	"slices"
	"strings"

	"wsplice/bench/load"
)

// Secure is the family of rows over TLS: clients speak it, the backend does not.
const Secure = "secure"

// The scenarios of that family.
const (
	SecureIdle    = "secure-idle"
	SecureEcho    = "secure-echo-128B-100"
	SecureDown    = "secure-bulk-down-16KiB-4"
	SecureUp      = "secure-bulk-up-16KiB-4"
	SecureFull    = "secure-full-16"
	SecureResumed = "secure-resumed-16"
)

// What an idle tunnel over TLS may hold and should hold, fresh and after a burst.
const (
	secureFreshFloor, secureFreshGoal = 10 << 10, 8 << 10
	secureAfterFloor, secureAfterGoal = 20 << 10, 16 << 10
)

// secureRules are judged where TLS was measured.
func secureRules() []rule {
	return []rule{
		{SecureEcho, proxyCPU, only("nginx"), 1.0, 0.9},
		{SecureDown, proxyCPU, only("haproxy"), 1.0, 0.9},
		{SecureUp, proxyCPU, only("haproxy"), 1.0, 0.9},
		{SecureFull, proxyCPU, only("nginx"), 1.0, 0.9},
		{SecureIdle, perTunnel, absolute, secureFreshFloor, secureFreshGoal},
		{SecureIdle, afterBurst, absolute, secureAfterFloor, secureAfterGoal},
	}
}

var (
	afterBurst = metric{"10 s after a burst", func(_ *Results, s *Sample) (float64, bool) {
		if s.Idle == nil || s.Idle.BurstBytes == 0 {
			return 0, false
		}
		return s.Idle.AfterBurst(), true
	}}

	// perCPUSecond is the work done in a second of the proxy's CPU time.
	perCPUSecond = metric{"per second of proxy CPU", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil {
			return 0, false
		}
		cpu := s.Load.CPU["proxy"].Best().Seconds()
		return units(s) / max(1e-9, cpu), cpu > 0
	}}

	resumedPart = metric{"resumed", func(_ *Results, s *Sample) (float64, bool) {
		if s.Load == nil || s.Load.Connections == 0 {
			return 0, false
		}
		return 100 * float64(s.Load.Resumed) / float64(s.Load.Connections), true
	}}
)

var (
	secureIdleColumns = []column{
		{perTunnel, "B", digits(0), true},
		{afterBurst, "B", digits(0), true},
		{zeroBytes, "", bytesText, false},
	}
	secureChurnColumns = []column{
		{proxyCPU, connections.cpuUnit(), digits(1), true},
		{perCPUSecond, "connections", digits(0), false},
		{machineCPU, connections.cpuUnit(), digits(1), true},
		{throughput, connections.speedUnit(), digits(0), false},
		{upgradeMedian, "ms", digits(2), false},
		{upgradeP99, "ms", digits(2), false},
		{resumedPart, "%", digits(0), false},
	}
)

const secureText = `
## Over TLS

Clients speak TLS with the proxy, which speaks plain TCP with the backend. They offer TLS 1.3 and X25519 alone, and
AES-128-GCM before other suites; a connection on which a proxy chooses anything else counts as failed.
%sThe certificate's key is on P-256, and every proxy issues session tickets as it does by default. The client is
Go's crypto/tls and takes more of the machine than the one of the comparison: throughput, latency and *whole machine* here
have that in them, *proxy CPU* has not.

**secure-full** and **secure-resumed** connect, make the TLS handshake, upgrade and close, again and again; in the first
no session continues an earlier one, in the second each does. **secure-idle** reads user-space memory twice: fresh, as
in *idle*, and %s.
`

// secureSection is the text of the section, with what was negotiated.
func (r *Results) secureSection() string {
	negotiated, burst := "", "ten seconds after a burst"
	if all := r.negotiated(); len(all) > 0 {
		negotiated = "All negotiated " + strings.Join(all, " or ") + ".\n"
	}
	if s := r.first(SecureIdle); s != nil && s.Idle != nil && s.Idle.BurstBytes > 0 {
		burst = fmt.Sprintf("ten seconds after each tunnel has had %d kB echoed, 50 tunnels at a time", s.Idle.BurstBytes/1000)
	}
	return fmt.Sprintf(secureText, negotiated, burst)
}

// negotiated returns what the sessions of all samples had in common: one text, where
// all is well.
func (r *Results) negotiated() []string {
	var all []string
	for i := range r.Samples {
		if l := r.Samples[i].Load; l != nil && l.TLS != "" && !slices.Contains(all, l.TLS) {
			all = append(all, l.TLS)
		}
	}
	return all
}

// connecting says what a client of a churn does until it closes.
func connecting(l *load.Result) string {
	text := "connect, "
	switch {
	case l.Resumed > 0:
		text += "resume TLS, "
	case l.TLS != "":
		text += "TLS handshake, "
	}
	text += "upgrade, "
	if l.MessageBytes > 0 {
		text += "one echo of %[1]s, "
	}
	return text + "close; %[3]d at once"
}
