package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"wsplice/bench/load"
)

// Direct is the proxy name of runs with no proxy between client and backend.
const Direct = "direct"

// Subject is the proxy whose ratios to the others are given.
const Subject = "wsplice"

// Alone ends the name of a scenario that repeats another one, in the same
// rounds, without the idle tunnels beside the busy ones.
const Alone = "-alone"

// Results is one comparison: raw samples and what they were taken on.
type Results struct {
	Started time.Time `json:"started"`
	Took    float64   `json:"took_seconds"`
	Machine Machine   `json:"machine"`
	Set     string    `json:"set"` // short, full, frames, endpoints or secure
	Rounds  int       `json:"rounds"`
	Window  float64   `json:"window_seconds"` // of each run, at most
	Partial bool      `json:"partial,omitempty"`
	Failed  bool      `json:"failed,omitempty"` // somebody was left out who should not have been

	Proxies []Proxy    `json:"proxies"`
	Setups  []Setup    `json:"setups,omitempty"`
	Omitted []Omission `json:"omitted,omitempty"`
	Samples []Sample   `json:"samples"`

	parts []*Results // what Merge put together
}

// An Omission is a contender that took no part in a scenario.
type Omission struct {
	Scenario string `json:"scenario"`
	Proxy    string `json:"proxy"`
	Reason   string `json:"reason"`
}

// LeaveOut records an omission.
func (r *Results) LeaveOut(scenario, proxy, reason string) {
	r.Omitted = append(r.Omitted, Omission{scenario, proxy, reason})
}

// Describe remembers the first configuration a proxy ran with, and the engine
// it says it runs on, if it says so.
func (r *Results) Describe(proxy, config, engine string) {
	for i := range r.Proxies {
		if p := &r.Proxies[i]; p.Name == proxy && p.Config == "" {
			p.Config, p.Engine = config, engine
		}
	}
}

// A Setup is a configuration that a proxy ran with besides the one of the
// comparison.
type Setup struct {
	Title  string `json:"title"`
	Config string `json:"config"`
}

// SetUp remembers the first configuration of each title.
func (r *Results) SetUp(title, config string) {
	if !slices.ContainsFunc(r.Setups, func(s Setup) bool { return s.Title == title }) {
		r.Setups = append(r.Setups, Setup{title, config})
	}
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
	Engine  string `json:"engine,omitempty"` // as its log names it; wsplice only
	Config  string `json:"config"`           // as generated for the first scenario it served
}

// Sample is one proxy in one round of one scenario.
type Sample struct {
	Scenario string `json:"scenario"`
	Proxy    string `json:"proxy"`
	Round    int    `json:"round"`            // from 0; the same round of two proxies is a pair
	Sweep    bool   `json:"sweep,omitempty"`  // one point of a curve
	Paired   bool   `json:"paired,omitempty"` // variants of the subject beside one another, see Pairings
	Family   string `json:"family,omitempty"` // Endpoint, Warm or Secure; "" = the comparison

	// RoundTrip is how far away the backend was; 0 = it was not.
	RoundTrip time.Duration `json:"round_trip_ns,omitempty"`

	Load *load.Result `json:"load,omitempty"`
	// Blind is in how many directions the subject stopped following frames.
	Blind int `json:"blind,omitempty"`
	// WarmPart is the part of the tunnels that took a connection that the subject
	// had ready, 0 to 1.
	WarmPart float64 `json:"warm_part,omitempty"`
	Idle     *Idle   `json:"idle,omitempty"`
}

// Idle is the memory of a proxy's processes, as PSS, and of the kernel for
// the whole machine. Without a proxy the former is 0.
type Idle struct {
	Tunnels   int   `json:"tunnels"`
	ZeroBytes int64 `json:"zero_bytes"` // before the first tunnel
	HeldBytes int64 `json:"held_bytes"` // with all tunnels open and quiet
	Errors    int64 `json:"errors"`

	KernelZeroBytes int64 `json:"kernel_zero_bytes"`
	KernelHeldBytes int64 `json:"kernel_held_bytes"`

	// AfterBytes is what the processes held ten seconds after each tunnel had
	// echoed BurstBytes at once; 0 = there was no burst.
	BurstBytes int64 `json:"burst_bytes,omitempty"`
	AfterBytes int64 `json:"after_bytes,omitempty"`
}

// PerTunnel returns the bytes each tunnel added in user space.
func (i *Idle) PerTunnel() float64 {
	return float64(i.HeldBytes-i.ZeroBytes) / float64(i.Tunnels)
}

// AfterBurst returns the bytes each tunnel added in user space, a while after a
// burst.
func (i *Idle) AfterBurst() float64 {
	return float64(i.AfterBytes-i.ZeroBytes) / float64(i.Tunnels)
}

// KernelPerTunnel returns the bytes each tunnel added in the kernel, its
// client's and its backend's sockets included.
func (i *Idle) KernelPerTunnel() float64 {
	return float64(i.KernelHeldBytes-i.KernelZeroBytes) / float64(i.Tunnels)
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

// Merge puts results together. Of a scenario that several have, the last
// one's samples count; so do the last one's machine and versions.
func Merge(all ...*Results) *Results {
	if len(all) == 1 {
		return all[0]
	}
	merged := &Results{parts: all}
	for _, r := range all {
		merged.Started, merged.Machine, merged.Set, merged.Window = r.Started, r.Machine, r.Set, r.Window
		merged.Took += r.Took
		merged.Rounds = max(merged.Rounds, r.Rounds)
		merged.Partial, merged.Failed = merged.Partial || r.Partial, merged.Failed || r.Failed
		again := r.scenarios()
		measured := func(scenario string) bool { return slices.Contains(again, scenario) }
		merged.Samples = slices.DeleteFunc(merged.Samples, func(s Sample) bool { return measured(s.Scenario) })
		merged.Samples = append(merged.Samples, r.Samples...)
		merged.Omitted = slices.DeleteFunc(merged.Omitted, func(o Omission) bool { return measured(o.Scenario) })
		merged.Omitted = append(merged.Omitted, r.Omitted...)
		for _, p := range r.Proxies {
			i := slices.IndexFunc(merged.Proxies, func(q Proxy) bool { return q.Name == p.Name })
			if i < 0 {
				merged.Proxies = append(merged.Proxies, p)
			} else {
				merged.Proxies[i] = p.orAsBefore(merged.Proxies[i])
			}
		}
		for _, s := range r.Setups {
			merged.Setups = slices.DeleteFunc(merged.Setups, func(old Setup) bool { return old.Title == s.Title })
			merged.Setups = append(merged.Setups, s)
		}
	}
	return merged
}

// orAsBefore returns p with what an earlier comparison says of it and this one
// does not.
func (p Proxy) orAsBefore(before Proxy) Proxy {
	p.Config = cmp.Or(p.Config, before.Config)
	p.Engine = cmp.Or(p.Engine, before.Engine)
	return p
}

// runs returns the comparisons that r was put together from.
func (r *Results) runs() []*Results {
	if r.parts != nil {
		return r.parts
	}
	return []*Results{r}
}
