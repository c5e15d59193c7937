package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"wsplice/bench/load"
)

// Direct is the proxy name of runs with no proxy between client and backend.
const Direct = "direct"

// Subject is the proxy whose ratios to the others are given.
const Subject = "wsplice"

// Results is one comparison: raw samples and what they were taken on.
type Results struct {
	Started time.Time `json:"started"`
	Took    float64   `json:"took_seconds"`
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Proxies []Proxy   `json:"proxies"`
	Samples []Sample  `json:"samples"`
}

// Machine is what the samples were taken on.
type Machine struct {
	CPU         string  `json:"cpu"`
	CPUs        int     `json:"cpus"`
	MemoryBytes int64   `json:"memory_bytes"`
	Kernel      string  `json:"kernel"`
	Go          string  `json:"go"`
	OpenFiles   uint64  `json:"open_files_limit"`
	LoadAtStart float64 `json:"load_at_start"` // one-minute load average
}

// Proxy is one contender.
type Proxy struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Config  string `json:"config"` // as generated for the first scenario it served
}

// Sample is one proxy in one round of one scenario.
type Sample struct {
	Scenario string `json:"scenario"`
	Proxy    string `json:"proxy"`
	Round    int    `json:"round"` // from 0; the same round of two proxies is a pair

	Load *load.Result `json:"load,omitempty"`
	Idle *Idle        `json:"idle,omitempty"`
}

// Idle is the memory of a proxy's processes, as PSS.
type Idle struct {
	Tunnels   int   `json:"tunnels"`
	ZeroBytes int64 `json:"zero_bytes"` // before the first tunnel
	HeldBytes int64 `json:"held_bytes"` // with all tunnels open and quiet
	Errors    int64 `json:"errors"`
}

// PerTunnel returns the bytes each tunnel added.
func (i *Idle) PerTunnel() float64 {
	return float64(i.HeldBytes-i.ZeroBytes) / float64(i.Tunnels)
}

// Write stores r as JSON in a new file under dir and returns its path.
func (r *Results) Write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("report: write results: %w", err)
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", fmt.Errorf("report: write results: %w", err)
	}
	path := filepath.Join(dir, r.Started.UTC().Format("20060102-150405")+".json")
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("report: write results: %w", err)
	}
	return path, nil
}

// Read loads what Write stored.
func Read(path string) (*Results, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: read results: %w", err)
	}
	var r Results
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("report: read %s: %w", path, err)
	}
	return &r, nil
}
