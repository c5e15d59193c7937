package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
)

// secureResults are of one round: wsplice at a half of the others.
func secureResults() *Results {
	r := &Results{Set: "secure", Rounds: 1, Proxies: []Proxy{{Name: Subject, Version: "2"}, {Name: "nginx", Version: "3"}}}
	r.SetUp("nginx, secure", "listen 443 ssl;")
	add := func(s Sample) {
		s.Family = Secure
		if s.Load != nil {
			s.Load.TLS = "TLS 1.3, X25519, TLS_AES_128_GCM_SHA256"
		}
		r.Samples = append(r.Samples, s)
	}
	for proxy, part := range map[string]int64{Subject: 1, "nginx": 2, "haproxy": 2} {
		add(Sample{Scenario: SecureIdle, Proxy: proxy, Idle: &Idle{
			Tunnels: 2000, HeldBytes: 2000 * 8000 * part, BurstBytes: 200_000, AfterBytes: 2000 * 15000 * part,
		}})
		cpu := time.Duration(part) * 400 * time.Millisecond
		add(loaded(SecureEcho, proxy, 0, load.Echo, cpu))
		for scenario, way := range map[string]load.Scenario{SecureDown: load.Down, SecureUp: load.Up} {
			s := loaded(scenario, proxy, 0, way, cpu)
			s.Load.MessageBytes = 16 << 10
			add(s)
		}
		for scenario, resumed := range map[string]int64{SecureFull: 0, SecureResumed: 1} {
			s := loaded(scenario, proxy, 0, load.Churn, cpu)
			s.Load.MessageBytes, s.Load.Messages, s.Load.Tunnels = 0, 0, 16
			s.Load.Upgrade = load.Latency{P50: 5 * time.Millisecond, P99: 7 * time.Millisecond}
			s.Load.Resumed = resumed * s.Load.Connections
			add(s)
		}
	}
	return r
}

func TestTLSIsJudgedWhereItWasMeasured(t *testing.T) {
	judged := []string{SecureEcho, SecureDown, SecureUp, SecureFull, SecureIdle}
	verdicts := secureResults().Judge(judged)
	if len(verdicts) != len(secureRules())+1 {
		t.Errorf("%d verdicts of %d rules", len(verdicts), len(secureRules()))
	}
	for _, v := range verdicts {
		if !v.Reached() {
			t.Errorf("not reached: %v", v)
		}
	}
	worse := secureResults()
	for i := range worse.Samples {
		switch s := &worse.Samples[i]; {
		case s.Proxy != Subject:
		case s.Idle != nil:
			s.Idle.HeldBytes, s.Idle.AfterBytes = 2000*(secureFreshFloor+1), 2000*(secureAfterFloor+1)
		default:
			*s = loaded(s.Scenario, Subject, 0, s.Load.Scenario, 801*time.Millisecond)
		}
	}
	for _, v := range worse.Judge(judged) {
		if v.Scenario != "all" && v.Held() {
			t.Errorf("held: %v", v)
		}
	}
	unjudged := func(r *Results) bool {
		return !slices.ContainsFunc(r.Judge(nil), func(v Verdict) bool { return v.Scenario == SecureFull })
	}
	if !unjudged(sampleResults()) || unjudged(Merge(sampleResults(), secureResults())) {
		t.Error("TLS is to be judged where it was measured, and nowhere else")
	}
}

// TestTLSHasASectionOfItsOwn writes the page of a comparison, of endpoints and of
// TLS together.
func TestTLSHasASectionOfItsOwn(t *testing.T) {
	all := Merge(sampleResults(), endpointResults(), secureResults())
	page := pageOf(t, all)
	connections := all.first(SecureFull).Load.Connections
	for _, want := range []string{
		"\n## Over TLS\n", "All negotiated TLS 1.3, X25519, TLS_AES_128_GCM_SHA256.",
		"ten seconds after each tunnel has had 200 kB echoed",
		"\n### " + SecureIdle + ": memory of 2000 quiet tunnels, fresh and after 200 kB each way\n",
		"docs/charts/" + SecureIdle + ".svg", "docs/charts/" + SecureIdle + "-burst.svg", "docs/charts/" + SecureEcho + ".svg",
		"| nginx | 16000 | 0.50 | 30000 | 0.50 |",
		"\n### " + SecureFull + ": connect, TLS handshake, upgrade, close; 16 at once\n",
		"\n### " + SecureResumed + ": connect, resume TLS, upgrade, close; 16 at once\n",
		"| per second of proxy CPU, connections |", fmt.Sprintf("| %.0f |", float64(connections)/0.4),
		"| 5.00 | 7.00 | 100 | 0 |", "| 5.00 | 7.00 | 0 | 0 |",
		"<summary>nginx, secure</summary>\n\n```\nlisten 443 ssl;\n", "`make bench-secure`",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "\n## secure-") {
		t.Error("a row over TLS stands in the comparison")
	}
	if strings.Contains(pageOf(t, sampleResults()), "## Over TLS") {
		t.Error("TLS has a section, and was not measured")
	}
}

// TestDifferentSessionsAreNamed wants a reader to see when they were not the same.
func TestDifferentSessionsAreNamed(t *testing.T) {
	r := secureResults()
	r.Samples[len(r.Samples)-1].Load.TLS = "TLS 1.2"
	if got := r.negotiated(); len(got) != 2 || !strings.Contains(r.secureSection(), "TLS_AES_128_GCM_SHA256 or TLS 1.2.") {
		t.Errorf("%q in %s", got, r.secureSection())
	}
}
