package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"wsplice/bench/far"
	"wsplice/bench/load"
	"wsplice/bench/report"
)

// farDelay is what a packet takes one way to a backend that is far away.
const farDelay = 10 * time.Millisecond

// warmCount is how many connections are kept warm, and warmClients how many
// clients connect at once: fewer, because each that is taken is missing for as long
// as it takes to connect another one.
const (
	warmCount   = 32
	warmClients = 16
)

// warmScenarios measure the time to the 101 with a backend that is far away.
func warmScenarios() []scenario {
	return []scenario{{
		name: report.WarmChurn, load: load.Churn, tunnels: warmClients, size: 128, family: report.Warm,
		full: []string{report.Subject, report.WarmSubject, "nginx", "haproxy"},
	}}
}

// warmPeers are wsplice with and without warm connections, and two that connect
// for each WebSocket.
func warmPeers(wsplice string) []peer {
	list := variantsOf(wsplice, []variant{{report.Subject, ""}, {report.WarmSubject, fmt.Sprintf("warm: %d, ", warmCount)}},
		func(p place, warm string) string {
			return wspliceLog(p) + fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
routes: [{path: /, upstream: far}]
upstreams: {far: {%sservers: [{url: "ws://%s"}]}}
`, p.port, warm, p.backend(p.backendPorts[0]))
		})
	for _, p := range otherProxies() {
		if p.name == "nginx" || p.name == "haproxy" {
			list = append(list, p)
		}
	}
	return list
}

// goAway makes the network that is far away. Where this user or kernel cannot, the
// scenario is left out.
func (b *bench) goAway(s *scenario) (away bool, err error) {
	link, err := far.Open(farDelay)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		progress("%s is left out: %v", s.name, err)
		b.results.LeaveOut(s.name, "all", fmt.Sprintf("needs root and TUN devices: %v", err))
		return false, nil
	}
	b.link = link
	return err == nil, err
}

func (b *bench) comeBack() {
	_ = b.link.Close()
	b.link = nil
}

// backendListens returns the address that backends listen on, and backendHost the
// one that proxies reach them at.
func (b *bench) backendListens() string {
	if b.link != nil {
		return b.link.Near().String()
	}
	return "127.0.0.1"
}

func (b *bench) backendHost() string {
	if b.link != nil {
		return b.link.Far().String()
	}
	return ""
}

// place says in a sample where it belongs.
func (b *bench) place(sample *report.Sample, s *scenario) {
	sample.Family = s.family
	if b.link != nil {
		sample.RoundTrip = 2 * farDelay
	}
}
