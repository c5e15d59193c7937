package admin

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Figures are what the metrics show, read at one time.
type Figures struct {
	TunnelsOpen      int // relaying, being opened or being closed
	TunnelsOpened    uint64
	Connections      uint64            // accepted
	AcceptErrors     uint64            // accepts refused by the kernel
	Refusals         map[string]uint64 // own answers by reason
	HTTP             map[string]uint64 // ordinary requests by class of status
	RelayedRefusals  uint64            // answers of backends other than 101
	DialFailures     uint64
	Bytes            []LaneBytes
	Splices          uint64
	Blind            uint64
	Violations       uint64   // directions whose frames broke RFC 6455
	SyncRefused      uint64   // times that goroutines could not serve a tunnel
	LoopTicks        []uint64 // by loop
	StaleEvents      uint64
	DryReceives      uint64
	LateCompletions  uint64
	Pipes            int
	PipesRefused     uint64
	DescriptorsLeft  int
	LogDropped       uint64
	Servers          []ServerFigures
	WarmIdle         int
	WarmTaken        uint64
	WarmDead         uint64 // of those taken
	TLSFailures      uint64 // handshakes
	HTTP2Connections uint64
	HTTP2Requests    uint64
	TLSUnderWay      int // handshakes
	Health           []ServerHealth
	Spawned          []SpawnedFigures
}

// ServerFigures are those of one server of an upstream. No two have the same
// names.
type ServerFigures struct {
	Upstream, Server string

	Up       bool
	Open     int64
	Picks    uint64
	Failures uint64
}

// A ServerHealth is what checks have found of a server of an upstream. No two
// have the same names.
type ServerHealth struct {
	Upstream, Server        string
	Healthy                 bool
	Passed, Failed, Skipped uint64 // checks
}

// SpawnedFigures are those of the processes of one command. No two have the same
// names.
type SpawnedFigures struct {
	Upstream, Command        string
	Running                  int
	Starts, Deaths, Failures uint64
}

// LaneBytes are bytes relayed in one direction ("up", "down") by one lane
// ("copy", "splice").
type LaneBytes struct {
	Direction, Lane string
	Bytes           uint64
}

// Source reads the figures; it may be called from any goroutine.
type Source func() Figures

func metricsHandler(source Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{source: source},
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector asks the source once for each scrape, so that all figures of a
// scrape belong together and nothing is counted twice.
type collector struct{ source Source }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wsplice_"+name, help, labels, nil)
}

func descServer(name, help string) *prometheus.Desc {
	return desc("upstream_server_"+name, help, "upstream", "server")
}

func descSpawn(name, help string) *prometheus.Desc {
	return desc("spawned_"+name, help, "upstream", "command")
}

var (
	descOpen          = desc("tunnels_open", "Client connections now held: relaying, being opened or being closed.")
	descOpened        = desc("tunnels_opened_total", "Tunnels that began to relay.")
	descConnections   = desc("connections_total", "Connections accepted.")
	descAcceptFails   = desc("accept_errors_total", "Accepts that failed for want of descriptors or memory.")
	descRefusals      = desc("refusals_total", "Requests answered by wsplice itself, by reason.", "reason")
	descHTTP          = desc("http_requests_total", "Ordinary HTTP requests, by class of the status of their answer.", "code")
	descRelayed       = desc("relayed_refusals_total", "Answers of backends other than 101 that were relayed.")
	descDials         = desc("dial_failures_total", "Connection attempts to backends that failed.")
	descBytes         = desc("relayed_bytes_total", "Bytes relayed in tunnels; up is client to backend.", "direction", "lane")
	descSplices       = desc("splices_total", "Times that a direction went over to splicing.")
	descBlind         = desc("blind_total", "Directions that were spliced without their frame boundaries being known.")
	descViolations    = desc("frame_violations_total", "Directions whose frames broke RFC 6455; they pass unchanged.")
	descSyncRefused   = desc("sync_refused_total", "Times that a tunnel stayed in its loop: no descriptors for goroutines.")
	descTicks         = desc("loop_ticks_total", "Times round an event loop.", "loop")
	descStale         = desc("stale_events_total", "Kernel events for sockets that were already closed.")
	descDry           = desc("dry_receives_total", "Receives by io_uring that found no buffer and were started again.")
	descLate          = desc("late_completions_total", "Times that completions of io_uring had to wait for room.")
	descPipes         = desc("pipes_open", "Pipes open for splicing.")
	descNoPipe        = desc("pipes_refused_total", "Times that no pipe was to be had and bytes were copied.")
	descLeft          = desc("descriptors_left", "Descriptors that tunnels and pipes can still take.")
	descWarm          = desc("warm_connections", "Connections to servers that are kept open ahead of need.")
	descWarmTaken     = desc("warm_taken_total", "Warm connections that a tunnel took.")
	descHTTP2Conns    = desc("http2_connections_total", "Connections of HTTP/2.")
	descHTTP2Requests = desc("http2_requests_total", "Requests of HTTP/2, WebSockets among them.")
	descTLSFailures   = desc("tls_handshake_failures_total", "TLS handshakes of clients and with backends that failed.")
	descTLSUnderWay   = desc("tls_handshakes", "TLS handshakes that have begun and not ended.")
	descWarmDead      = desc("warm_dead_total", "Of those, the dead ones: the server was dialed anew.")
	descHealthy       = desc("upstream_server_healthy", "1 where the checks of a server pass, else 0.", "upstream", "server")
	descChecks        = desc("health_checks_total", "Checks of servers, by result.", "upstream", "server", "result")
	descSpawned       = descSpawn("processes", "Processes of a command that run, those that were told to end among them.")
	descStarts        = descSpawn("starts_total", "Processes that were started.")
	descDeaths        = descSpawn("deaths_total", "Processes that ended and were not told to.")
	descNoStart       = descSpawn("start_failures_total", "Processes that could not be started.")
	descLogDropped    = desc("log_lines_dropped_total", "Log lines dropped because the log was blocked.")

	descServerUp       = descServer("up", "0 while the server is left out: failed, unhealthy or without an address; else 1.")
	descServerOpen     = descServer("open", "Tunnels and requests at the server, those that are being opened among them.")
	descServerPicks    = descServer("picks_total", "Times that the server was chosen.")
	descServerFailures = descServer("failures_total", "Times that the server was chosen and no connection came about.")
)

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descOpen, descOpened, descConnections, descAcceptFails, descRefusals, descHTTP, descRelayed, descDials, descBytes,
		descSplices, descBlind, descViolations, descSyncRefused, descTicks,
		descStale, descDry, descLate, descPipes, descNoPipe, descLeft, descLogDropped,
		descServerUp, descServerOpen, descServerPicks, descServerFailures,
		descTLSFailures, descTLSUnderWay, descHTTP2Conns, descHTTP2Requests,
		descWarm, descWarmTaken, descWarmDead, descHealthy, descChecks,
		descSpawned, descStarts, descDeaths, descNoStart,
	} {
		out <- d
	}
}

// Collect reads the figures and sends them.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	f := c.source()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descOpen, f.TunnelsOpen)
	gauge(descPipes, f.Pipes)
	gauge(descLeft, f.DescriptorsLeft)
	gauge(descWarm, f.WarmIdle)
	counter(descWarmTaken, f.WarmTaken)
	counter(descWarmDead, f.WarmDead)
	counter(descTLSFailures, f.TLSFailures)
	counter(descHTTP2Conns, f.HTTP2Connections)
	counter(descHTTP2Requests, f.HTTP2Requests)
	gauge(descTLSUnderWay, f.TLSUnderWay)
	counter(descOpened, f.TunnelsOpened)
	counter(descConnections, f.Connections)
	counter(descAcceptFails, f.AcceptErrors)
	counter(descRelayed, f.RelayedRefusals)
	counter(descDials, f.DialFailures)
	counter(descSplices, f.Splices)
	counter(descBlind, f.Blind)
	counter(descViolations, f.Violations)
	counter(descSyncRefused, f.SyncRefused)
	counter(descStale, f.StaleEvents)
	counter(descDry, f.DryReceives)
	counter(descLate, f.LateCompletions)
	counter(descNoPipe, f.PipesRefused)
	counter(descLogDropped, f.LogDropped)
	for reason, n := range f.Refusals {
		counter(descRefusals, n, reason)
	}
	for class, n := range f.HTTP {
		counter(descHTTP, n, class)
	}
	for _, b := range f.Bytes {
		counter(descBytes, b.Bytes, b.Direction, b.Lane)
	}
	for i, ticks := range f.LoopTicks {
		counter(descTicks, ticks, strconv.Itoa(i))
	}
	collectServers(&f, gauge, counter)
}

// collectServers sends the figures of backends.
func collectServers(f *Figures, gauge func(*prometheus.Desc, int, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	for _, s := range f.Servers {
		up := 0
		if s.Up {
			up = 1
		}
		gauge(descServerUp, up, s.Upstream, s.Server)
		gauge(descServerOpen, int(s.Open), s.Upstream, s.Server)
		counter(descServerPicks, s.Picks, s.Upstream, s.Server)
		counter(descServerFailures, s.Failures, s.Upstream, s.Server)
	}
	for _, s := range f.Health {
		healthy := 0
		if s.Healthy {
			healthy = 1
		}
		gauge(descHealthy, healthy, s.Upstream, s.Server)
		counter(descChecks, s.Passed, s.Upstream, s.Server, "passed")
		counter(descChecks, s.Failed, s.Upstream, s.Server, "failed")
		counter(descChecks, s.Skipped, s.Upstream, s.Server, "skipped")
	}
	for _, s := range f.Spawned {
		gauge(descSpawned, s.Running, s.Upstream, s.Command)
		counter(descStarts, s.Starts, s.Upstream, s.Command)
		counter(descDeaths, s.Deaths, s.Upstream, s.Command)
		counter(descNoStart, s.Failures, s.Upstream, s.Command)
	}
}
