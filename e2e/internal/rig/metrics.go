package rig

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics are the series of one scrape, by name with labels as written.
type Metrics map[string]float64

// Sum adds up the series called name that have every one of the labels, each
// written as in the text format: direction="up".
func (m Metrics) Sum(name string, labels ...string) float64 {
	sum := 0.0
series:
	for series, value := range m {
		base, rest, _ := strings.Cut(series, "{")
		if base != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(","+strings.TrimSuffix(rest, "}")+",", ","+label+",") {
				continue series
			}
		}
		sum += value
	}
	return sum
}

// Has reports whether any series is called name.
func (m Metrics) Has(name string) bool {
	for series := range m {
		if base, _, _ := strings.Cut(series, "{"); base == name {
			return true
		}
	}
	return false
}

// Metrics scrapes the process.
func (p *Proxy) Metrics() Metrics {
	p.t.Helper()
	status, body := p.Get("/metrics")
	if status != http.StatusOK {
		p.t.Fatalf("GET /metrics: %d\n%s", status, body)
	}
	m := Metrics{}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			p.t.Fatalf("metrics line %q: %v", line, err)
		}
		m[line[:cut]] = value
	}
	return m
}

// Get asks the admin server of the process. The connection is not kept, so
// that it is not counted among the descriptors afterwards.
func (p *Proxy) Get(path string) (status int, body string) {
	p.t.Helper()
	client := &http.Client{
		Timeout: Soon,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				network, address := SplitAddress(p.admin)
				return d.DialContext(ctx, network, address)
			},
		},
	}
	res, err := client.Get("http://admin" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// WaitTunnels ends the test unless exactly n tunnels are open soon.
func (p *Proxy) WaitTunnels(n int) {
	p.t.Helper()
	var now int
	if !Poll(Soon, func() bool {
		now = int(p.Metrics().Sum("wsplice_tunnels_open"))
		return now == n
	}) {
		p.t.Fatalf("wsplice_tunnels_open is %d after %v, want %d", now, Soon, n)
	}
}

// CPUShare returns the part of one CPU that the process uses during d.
func (p *Proxy) CPUShare(d time.Duration) float64 {
	p.t.Helper()
	before, start := p.CPU(), time.Now()
	Lapse(d)
	return float64(p.CPU()-before) / float64(time.Since(start))
}
