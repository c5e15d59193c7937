package main

import (
	"fmt"
	"strings"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// What endpoints and warm connections get unless flags say otherwise.
const (
	endpointWindow = 2 * time.Second
	endpointWarmup = 300 * time.Millisecond
)

// The two that endpoint mode is compared with.
const (
	wstunnel   = "lighttpd"
	websockify = "websockify"
)

// websockifyIdleMax is how many tunnels the memory of websockify is measured
// with: each is a process with a Python of its own.
const websockifyIdleMax = 200

// endpointScenarios are a set of their own, with peers of their own: what ends
// the WebSocket and speaks plain bytes to the backend, and what connects to a
// backend that is far away.
func endpointScenarios() []scenario {
	list := []scenario{
		{name: report.EndpointIdle, load: load.Idle, tunnels: 8000, rounds: 2},
		{name: report.EndpointEcho, load: load.Echo, tunnels: 100, size: 128},
		{name: "endpoint-bulk-down-16KiB-4", load: load.Down, tunnels: 4, size: 16 << 10},
		{name: "endpoint-bulk-up-16KiB-4", load: load.Up, tunnels: 4, size: 16 << 10},
	}
	for i := range list {
		list[i].family = report.Endpoint
		list[i].full = []string{report.Subject, "wsplice-epoll", wstunnel, websockify}
	}
	return append(list, warmScenarios()...)
}

// contending returns those who take part in a scenario.
func (b *bench) contending(s *scenario) ([]*peer, error) {
	all := b.peers
	switch s.family {
	case report.Endpoint:
		all = endpointPeers(b.options.wsplice)
	case report.Warm:
		all = warmPeers(b.options.wsplice)
	case report.Secure:
		all = securePeers(b.options.wsplice)
	}
	return choosePeers(s.contenders(b.options.proxies, b.options.full), all)
}

// describe keeps the configuration that a contender runs with: of a family beside
// the one of the comparison.
func (b *bench) describe(s *scenario, name, config, engine string) {
	if s.family == "" {
		b.results.Describe(name, config, engine)
		return
	}
	b.results.Describe(name, "", engine)
	b.results.SetUp(name+", "+s.family, config)
}

// endpointPeers are those who end a WebSocket and speak plain bytes to the backend.
func endpointPeers(wsplice string) []peer {
	list := variantsOf(wsplice, []variant{{report.Subject, ""}, {"wsplice-epoll", "engine: epoll\n"}}, wspliceEndpointConfig)
	for _, p := range otherProxies() {
		if p.name == wstunnel {
			p.config = wstunnelConfig
			list = append(list, p)
		}
	}
	return append(list, peer{
		name: websockify, program: "websockify", debian: "websockify", forks: true,
		config: func(p place) string {
			return fmt.Sprintf("127.0.0.1:%d %s\n", p.port, p.backend(p.backendPorts[0]))
		},
		// It has no file for its configuration: these are its arguments.
		argv:           func(file string) []string { return strings.Fields(read(file)) },
		idleTunnelsMax: websockifyIdleMax,
	})
}

func wspliceEndpointConfig(p place, settings string) string {
	return settings + wspliceLog(p) + fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
routes: [{path: /, mode: endpoint, to: "tcp://%s", frame_type: binary}]
`, p.port, p.backend(p.backendPorts[0]))
}

// wstunnelConfig follows the documentation of mod_wstunnel; the rest is as for
// mod_proxy.
func wstunnelConfig(p place) string {
	return lighttpdServer(p, "mod_wstunnel") + fmt.Sprintf(`wstunnel.frame-type = "binary"
wstunnel.server = ("" => ((
    "host" => "127.0.0.1", "port" => %d,
)))
`, p.backendPorts[0])
}
