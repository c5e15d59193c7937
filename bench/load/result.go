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
	Window       time.Duration `json:"window_ns"`

	Messages int64   `json:"messages"` // echoes received or frames moved
	Bytes    int64   `json:"bytes"`    // payload moved one way
	Latency  Latency `json:"latency"`  // of echoes

	Errors     int64    `json:"errors"`
	ErrorTexts []string `json:"error_texts,omitempty"`

	// CPU is what the watched processes used within the window, by label;
	// this process is "load". Machine is all CPUs' busy time.
	CPU     map[string]procstat.CPU `json:"cpu"`
	Machine time.Duration           `json:"machine_ns"`
}

// Latency is the distribution of round trips.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

func (h *histogram) latency() Latency {
	return Latency{
		P50:  h.quantile(0.50),
		P99:  h.quantile(0.99),
		P999: h.quantile(0.999),
		Max:  time.Duration(h.maxNs.Load()),
	}
}
