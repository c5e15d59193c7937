package proxy

import (
	"time"

	"wsplice/loop"
	"wsplice/pool"
	"wsplice/splice"
)

type direction uint8

const (
	directionUp   direction = iota // client to backend
	directionDown                  // backend to client
	directionCount
)

const laneCount = int(splice.Splice) + 1

// statusClasses names the hundreds of a status; the first is no answer at all.
var statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// countHTTP counts an ordinary request by the status it was answered with, or 0.
func (c *counters) countHTTP(status int) { c.http[min(status/100, len(statusClasses)-1)]++ }

// counters are written by one loop only and read by asking that loop.
type counters struct {
	accepted        uint64
	acceptErrors    uint64
	opened          uint64
	relayedRefusals uint64
	dialFailures    uint64
	refusals        map[string]uint64 // by reason
	http            [len(statusClasses)]uint64
	relayed         [directionCount][laneCount]uint64
	splices         uint64
	violations      uint64
	syncRefused     uint64
	warmTaken       uint64
	warmDead        uint64
	tlsFailures     uint64

	http2Connections uint64
	http2Requests    uint64
}

// Stats are the counters of all loops.
type Stats struct {
	Open            int    // tunnels that relay or are being opened or closed
	Accepted        uint64 // connections
	AcceptErrors    uint64 // accepts that failed for want of descriptors or memory
	Opened          uint64 // tunnels
	RelayedRefusals uint64 // answers other than 101 that were relayed
	DialFailures    uint64
	Refusals        map[string]uint64 // our own answers by reason
	HTTP            map[string]uint64 // ordinary requests by class of status: 2xx, or none
	Bytes           []LaneBytes
	Splices         uint64 // times a direction went over to splicing
	Blind           uint64 // directions spliced without their frames being known
	Violations      uint64 // directions whose frames broke RFC 6455
	SyncRefused     uint64 // times that no descriptors were left to serve a tunnel by goroutines
	LogDropped      uint64 // log lines
	WarmIdle        int    // warm connections that are ready
	WarmTaken       uint64
	WarmDead        uint64 // of those taken, dead before anything had moved on them
	TLSFailures     uint64 // TLS handshakes of clients and with backends that failed
	TLSUnderWay     int    // TLS handshakes that have begun and not ended

	HTTP2Connections uint64
	HTTP2Requests    uint64 // on those

	// Servers are in the order of the routes; of those with the same names, the
	// figures are added up.
	Servers []pool.ServerStats

	Loops       []loop.Stats
	Pipes       int // open now
	PipeRefused uint64
	Descriptors int // that can still be reserved
}

// LaneBytes are the bytes relayed in one direction by one lane.
type LaneBytes struct {
	Direction, Lane string
	Bytes           uint64
}

// Stats asks every loop for its counters. A loop that does not answer within
// statsTimeout (2 s) is left out.
func (s *Server) Stats() Stats {
	answers := make(chan func(*Stats), len(s.workers))
	asked := 0
	for _, w := range s.workers {
		if w.loop.Post(func() { answers <- w.snapshot() }) == nil {
			asked++
		}
	}
	total := Stats{
		Servers:     s.serverStats(),
		Refusals:    make(map[string]uint64),
		HTTP:        make(map[string]uint64),
		Pipes:       s.budget.Pipes(),
		Descriptors: s.budget.Left(),
	}
	if gate := s.config.Handshakes; gate != nil {
		total.TLSUnderWay = gate.UnderWay()
	}
	for _, warm := range s.warm {
		total.WarmIdle += warm.Idle()
	}
	for _, direction := range [directionCount]string{directionUp: "up", directionDown: "down"} {
		for lane := range laneCount {
			total.Bytes = append(total.Bytes, LaneBytes{Direction: direction, Lane: splice.Lane(lane).String()})
		}
	}
	deadline := time.NewTimer(statsTimeout)
	defer deadline.Stop()
	for range asked {
		select {
		case add := <-answers:
			add(&total)
		case <-deadline.C:
			return total
		}
	}
	return total
}

// serverStats returns the figures of all servers. Two upstreams, or two servers of
// one, may have the same name; metrics may not.
func (s *Server) serverStats() []pool.ServerStats {
	var list []pool.ServerStats
	known := make(map[[2]string]int)
	for _, u := range s.upstreams {
		for _, f := range u.Stats() {
			at, again := known[[2]string{f.Upstream, f.Server}]
			if !again {
				known[[2]string{f.Upstream, f.Server}] = len(list)
				list = append(list, f)
				continue
			}
			sum := &list[at]
			sum.Up = sum.Up && f.Up
			sum.Open += f.Open
			sum.Picks += f.Picks
			sum.Failures += f.Failures
		}
	}
	return list
}

// snapshot copies the counters on the loop's goroutine; the returned function
// adds them up elsewhere.
func (w *worker) snapshot() func(*Stats) {
	c := w.counters
	c.refusals = make(map[string]uint64, len(w.counters.refusals))
	for reason, n := range w.counters.refusals {
		c.refusals[reason] = n
	}
	for d := range c.relayed {
		for lane := range c.relayed[d] {
			c.relayed[d][lane] += w.relayedSync[d][lane].Load()
		}
	}
	c.splices += w.splicesSync.Load()
	blind := w.blind.Load()
	live, loopStats, pipeRefused := w.live, w.loop.Stats(), w.pipes.Refused()
	dropped := w.journal.dropped.Load()
	return func(s *Stats) {
		s.Open += live
		s.Accepted += c.accepted
		s.AcceptErrors += c.acceptErrors
		s.Opened += c.opened
		s.RelayedRefusals += c.relayedRefusals
		s.DialFailures += c.dialFailures
		for reason, n := range c.refusals {
			s.Refusals[reason] += n
		}
		for class, n := range c.http {
			s.HTTP[statusClasses[class]] += n
		}
		for d := range c.relayed {
			for lane, n := range c.relayed[d] {
				s.Bytes[d*laneCount+lane].Bytes += n
			}
		}
		s.Splices += c.splices
		s.Blind += blind
		s.SyncRefused += c.syncRefused
		s.WarmTaken += c.warmTaken
		s.WarmDead += c.warmDead
		s.TLSFailures += c.tlsFailures
		s.HTTP2Connections += c.http2Connections
		s.HTTP2Requests += c.http2Requests
		s.Violations += c.violations
		s.LogDropped += dropped
		s.Loops = append(s.Loops, loopStats)
		s.PipeRefused += pipeRefused
	}
}
