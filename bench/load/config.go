package load

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Scenario says what the tunnels do.
type Scenario string

// The scenarios.
const (
	Echo  Scenario = "echo"  // one message at a time per tunnel, sent again when it is back
	Open  Scenario = "open"  // messages at fixed times, whether or not earlier ones are back
	Down  Scenario = "down"  // reads what a source backend sends
	Up    Scenario = "up"    // sends frames to a sink backend without pause
	Both  Scenario = "both"  // Down and Up on the same tunnels, against a duplex backend
	Idle  Scenario = "idle"  // opens tunnels and holds them until the context ends
	Churn Scenario = "churn" // connects, upgrades, echoes once, closes, and again
	Storm Scenario = "storm" // all tunnels are cut at once and come back at once

	burst Scenario = "burst" // what the tunnels of an Idle with Config.Burst do
)

var scenarios = []Scenario{Echo, Open, Down, Up, Both, Idle, Churn, Storm}

// CertificateName is the host that the peer's certificate must be for.
const CertificateName = "localhost"

// Config describes a run.
type Config struct {
	Scenario     Scenario
	Address      string        // host:port of the proxy or backend, or a comma list of them, used in turn
	Tunnels      int           // 1 to 60,000; of Churn, how many cycles are under way at once
	MessageBytes int           // payload of a message or frame, 1 B to 16 MiB; of Churn, 0 = it echoes nothing; ignored when idle
	Rate         int           // Open: messages per second over all tunnels, 1 to 1,000,000
	Idlers       int           // Echo, Open: quiet tunnels held beside the busy ones, 0 to 60,000
	Sources      int           // client addresses used in turn, 127.1.0.1 and up, 0 to 250; 0 = the kernel's choice
	Warmup       time.Duration // between opening and the window; of Storm, the quiet before it
	Window       time.Duration // what is measured; Storm measures until all are back

	// Endpoint says that the peer ends the WebSocket and speaks plain bytes to the
	// backend. Then boundaries of messages mean nothing: what comes is counted as one
	// stream, however it is cut. It must be binary, and that subprotocol is offered.
	// A Down begins with a message of one byte, because nothing else wakes a backend.
	Endpoint bool

	// Certificate is a PEM file with the certificate that the peer must show, for
	// CertificateName; then connections speak TLS 1.3 over X25519 with AES-128-GCM,
	// and fail where the peer wants anything else. "" = no TLS. It is for Echo,
	// Down, Up, Idle and Churn. Resume is for Churn: every session but the first
	// continues an earlier one, where otherwise none does.
	Certificate string
	Resume      bool

	// Burst is for Idle: when it delivers, each tunnel has one message of
	// MessageBytes echoed, and OnBurst is called with the number of errors so far.
	Burst   <-chan struct{}
	OnBurst func(errors int64)

	// Watch names processes whose CPU time is read at both ends of the
	// window, and WatchTrees such whose descendants, as they come and go, count too.
	Watch      map[string][]int
	WatchTrees map[string][]int

	// OnOpen, if set, is called once when all tunnels are open or failed;
	// Churn, which has none that last, never calls it.
	OnOpen func(open int, errors int64)

	patience time.Duration // cycleTimeout, but for tests
}

func (c *Config) check() error {
	if !slices.Contains(scenarios, c.Scenario) {
		return fmt.Errorf("load: scenario %q is none of %v", c.Scenario, scenarios)
	}
	if c.Address == "" {
		return errors.New("load: no address to connect to")
	}
	if c.Tunnels < 1 || c.Tunnels > tunnelsMax {
		return fmt.Errorf("load: %d tunnels, must be 1 to %d", c.Tunnels, tunnelsMax)
	}
	least := 1
	if c.Scenario == Churn || c.Scenario == Idle && c.Burst == nil {
		least = 0
	}
	if c.MessageBytes < least || c.MessageBytes > messageBytesMax {
		return fmt.Errorf("load: messages of %d bytes, must be %d to %d", c.MessageBytes, least, messageBytesMax)
	}
	if open := c.Scenario == Open; open && (c.Rate < 1 || c.Rate > rateMax) {
		return fmt.Errorf("load: %d messages per second, must be 1 to %d", c.Rate, rateMax)
	} else if !open && c.Rate != 0 {
		return fmt.Errorf("load: %s has no rate", c.Scenario)
	}
	if c.Idlers < 0 || c.Idlers > tunnelsMax {
		return fmt.Errorf("load: %d idlers, must be 0 to %d", c.Idlers, tunnelsMax)
	}
	if c.Idlers > 0 && c.Scenario != Echo && c.Scenario != Open {
		return fmt.Errorf("load: %s has no idlers", c.Scenario)
	}
	if c.Endpoint && (c.Scenario == Both || c.Scenario == Storm) {
		return fmt.Errorf("load: %s is not for endpoints", c.Scenario)
	}
	if err := c.checkSecurity(); err != nil {
		return err
	}
	if c.Sources < 0 || c.Sources > sourcesMax {
		return fmt.Errorf("load: %d sources, must be 0 to %d", c.Sources, sourcesMax)
	}
	return nil
}

// checkSecurity judges what belongs to TLS and to bursts.
func (c *Config) checkSecurity() error {
	switch {
	case c.Certificate != "" && (c.Scenario == Open || c.Scenario == Both || c.Scenario == Storm):
		return fmt.Errorf("load: %s is not for TLS", c.Scenario)
	case c.Resume && (c.Certificate == "" || c.Scenario != Churn):
		return fmt.Errorf("load: only %s with a certificate resumes sessions", Churn)
	case c.Burst != nil && c.Scenario != Idle:
		return fmt.Errorf("load: %s has no burst", c.Scenario)
	}
	return nil
}
