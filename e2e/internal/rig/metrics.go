package rig

import (
	"bufio"
	"fmt"
	"io"
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

// Get asks the admin server of the process. It returns when the server has
// closed the connection, so that it is not counted among the descriptors.
func (p *Proxy) Get(path string) (status int, body string) {
	p.t.Helper()
	status, body, err := httpGet(p.admin, path)
	if err != nil {
		p.t.Fatalf("GET %s from the admin server: %v", path, err)
	}
	return status, body
}

func httpGet(address, path string) (status int, body string, err error) {
	c, err := DialErr(address)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(Soon))
	if _, err := fmt.Fprintf(c.Conn, "GET %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", path); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, c.R)
	return res.StatusCode, string(text), err
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
