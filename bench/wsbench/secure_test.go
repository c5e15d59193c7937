package main

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
	"wsplice/internal/testutil"
)

// overTLS returns the peers with configurations for clients that speak TLS.
func overTLS(list []peer) []peer {
	for i := range list {
		plain := list[i].config
		list[i].config = func(p place) string {
			p.secure = true
			return plain(p)
		}
		list[i].name += " over TLS"
	}
	return list
}

func secureBench(t *testing.T) *bench {
	t.Helper()
	o, err := parseOptions([]string{"--secure"})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{options: o, burstRest: secureBurstRest}
}

func TestSecureScenariosAreSound(t *testing.T) {
	b := secureBench(t)
	seen := names(slices.Concat(scenarios(), pairScenarios(), endpointScenarios()))
	for _, s := range secureScenarios() {
		if slices.Contains(seen, s.name) {
			t.Errorf("%s is there twice", s.name)
		}
		seen = append(seen, s.name)
		chosen, err := b.contending(&s)
		if err != nil || len(chosen) != 3 || chosen[0].name != report.Subject {
			t.Errorf("%s: %d contenders, %v", s.name, len(chosen), err)
		}
		if !s.secure() || s.sweep || s.paired || s.resume != (s.name == report.SecureResumed) {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(listScenarios(), s.name) {
			t.Errorf("%s is not listed", s.name)
		}
	}
	wantJudgedMeasured(t, seen)
}

// TestSecureTakesLessThanSixMinutes holds the promise of make bench-secure. wsplice
// lingers for up to 4 s after bulk, which the plan does not know.
func TestSecureTakesLessThanSixMinutes(t *testing.T) {
	b := secureBench(t)
	o := b.options
	if o.rounds != shortRounds || o.duration != secureWindow || o.warmup != secureWarmup || o.set() != "secure" {
		t.Errorf("%+v", o)
	}
	chosen, err := b.options.choose()
	if err != nil || len(chosen) != len(secureScenarios()) {
		t.Fatalf("%v, %v", names(chosen), err)
	}
	var besides time.Duration
	for _, s := range chosen {
		for range s.contenders("", false) {
			b.plan.add(b.cost(&s))
		}
		if s.bulk() {
			besides += time.Duration(b.rounds(&s)) * 4 * time.Second
		}
	}
	if took := b.plan.total + besides; took > 6*time.Minute {
		t.Errorf("%d runs take %v", b.plan.runs, took)
	}
}

// TestConfigurationsDifferByTLS wants nothing of TLS where clients do not speak it,
// and one key for everybody where they do.
func TestConfigurationsDifferByTLS(t *testing.T) {
	where := place{port: 20001, backendPorts: []int{20002, 20003}, messageBytes: 128}
	for _, p := range securePeers("bin/wsplice") {
		plain := p.config(where)
		if strings.Contains(plain, "ssl") || strings.Contains(plain, "tls") || strings.Contains(plain, ".pem") {
			t.Errorf("%s has TLS where there is none:\n%s", p.name, plain)
		}
		where.secure = true
		text := p.config(where)
		where.secure = false
		for _, want := range map[string][]string{
			"nginx":   {"listen 127.0.0.1:20001 ssl ", "ssl_certificate cert.pem;", "ssl_certificate_key key.pem;", "TLSv1.3;"},
			"haproxy": {"bind 127.0.0.1:20001 ssl crt both.pem ", "prefer-client-ciphers"},
		}[p.name] {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", p.name, want, text)
			}
		}
		if ours := strings.Contains(text, "tls: {certificates: [{cert: cert.pem, key: key.pem}]}"); ours != p.counted {
			t.Errorf("%s: our certificate %v:\n%s", p.name, ours, text)
		}
	}
}

func TestIdentityIsAKeyPairForTheClient(t *testing.T) {
	i, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := i.write(dir); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][2]string{{certificateFile, keyFile}, {bothFile, bothFile}} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, files[0]), filepath.Join(dir, files[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := pair.Leaf.VerifyHostname(load.CertificateName); err != nil {
			t.Error(err)
		}
	}
}

// TestTLSIsMeasured runs everything with few tunnels for moments, through the
// programs themselves, and follows it into the page.
func TestTLSIsMeasured(t *testing.T) {
	for _, p := range securePeers("") {
		if _, err := p.find(); p.program != "" && err != nil {
			testutil.Missing(t, "%v", err)
		}
	}
	b, err := newBench(options{
		secure: true, rounds: 1, duration: 300 * time.Millisecond, warmup: 100 * time.Millisecond, wsplice: builtWsplice(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.burstRest = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, s := range secureScenarios() {
		s.tunnels = min(s.tunnels, 20)
		if s.load == load.Idle {
			s.full = []string{"haproxy"} // of wsplice it takes long to settle
		}
		if err := b.prepare(ctx, &s); err != nil {
			t.Fatal(err)
		}
		if err := b.run(ctx, &s); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	if len(b.results.Omitted) != 0 || len(b.results.Samples) != 1+5*3 {
		t.Fatalf("%d samples, left out %v", len(b.results.Samples), b.results.Omitted)
	}
	for _, s := range b.results.Samples {
		if s.Family != report.Secure {
			t.Errorf("%s, %s: of family %q", s.Scenario, s.Proxy, s.Family)
		}
		if s.Idle != nil {
			if s.Idle.Tunnels != 20 || s.Idle.Errors != 0 || s.Idle.BurstBytes != secureBurstBytes || s.Idle.AfterBurst() <= 0 {
				t.Errorf("%s, %s: %+v", s.Scenario, s.Proxy, s.Idle)
			}
			continue
		}
		if s.Load.Errors != 0 || s.Load.Messages+s.Load.Connections == 0 || s.Load.CPU["proxy"].Best() <= 0 {
			t.Errorf("%s, %s: %+v", s.Scenario, s.Proxy, s.Load)
		}
		if resumed := s.Load.Resumed > 0; resumed != (s.Scenario == report.SecureResumed) || s.Load.TLS == "" {
			t.Errorf("%s, %s: negotiated %q, %d resumed", s.Scenario, s.Proxy, s.Load.TLS, s.Load.Resumed)
		}
	}
	root := t.TempDir()
	if err := b.results.WriteMarkdown(root, reportFile, chartsDir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, reportFile))
	for _, want := range []string{
		"## Over TLS", "All negotiated TLS 1.3, X25519, TLS_AES_128_GCM_SHA256.", "<summary>nginx, secure</summary>",
	} {
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q, %v", want, err)
		}
	}
}
