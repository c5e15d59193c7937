package load

import (
	"time"

	"wsplice/bench/procstat"
)

// A Result is what one run saw within its window. It is written as JSON
// between processes and into result files.
type Result struct {
	Scenario     Scenario      `json:"scenario"`
	Tunnels      int           `json:"tunnels"`
	MessageBytes int           `json:"message_bytes"`
	Rate         int           `json:"rate,omitempty"`
	Idlers       int           `json:"idlers,omitempty"`
	Window       time.Duration `json:"window_ns"` // of Storm, Recovery

	Messages    int64 `json:"messages"`    // echoes received or frames moved
	Bytes       int64 `json:"bytes"`       // payload moved one way; of Both, the two ways together
	Connections int64 `json:"connections"` // Churn: cycles completed; Storm: clients that came back

	// TLS is the version, the group and the suite that all sessions had in common,
	// and Resumed how many of Connections continued an earlier session.
	TLS     string `json:"tls,omitempty"`
	Resumed int64  `json:"resumed,omitempty"`

	// Latency is, of Echo, from sending to the echo; of Open, from the
	// intended time of sending to the echo, for every message whose intended
	// time lies in the window; of Churn, from connecting to the end of the
	// connection; of Storm, from connecting to the first echo.
	Latency Latency `json:"latency"`

	// Upgrade is, of Churn and Storm, from connecting to the 101.
	Upgrade Latency `json:"upgrade,omitzero"`

	// Late counts the messages of Open whose intended time came while their
	// tunnel had inflightMax (64, or 512 KiB) unanswered. They were sent when
	// one was answered.
	Late int64 `json:"late,omitempty"`

	// Pacer is by how much the pacer of Open came after the intended times,
	// and PacerMisses how often by more than 1 ms. It is part of Latency, but
	// the load generator's own doing: where it is not small against Latency,
	// the figures are worthless.
	Pacer       Latency `json:"pacer,omitzero"`
	PacerMisses int64   `json:"pacer_misses,omitempty"`

	// Recovery of a Storm is from the cut to the last client's first echo.
	Recovery time.Duration `json:"recovery_ns,omitempty"`

	Errors     int64    `json:"errors"`
	ErrorTexts []string `json:"error_texts,omitempty"`

	// CPU is what the watched processes used within the window, by label;
	// this process is "load". Machine is all CPUs' busy time.
	CPU     map[string]procstat.CPU `json:"cpu"`
	Machine time.Duration           `json:"machine_ns"`
}

// Latency is a distribution of times, known to 0.1% of themselves and at
// least to 0.1 µs.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}
