package rig

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"sort"
	"strings"
)

// Settings is one flow mapping of the configuration file, such as limits.
type Settings map[string]string

// Config describes one wsplice process. Its zero value plus Routes serves on a
// free port of 127.0.0.1.
type Config struct {
	// What goes into the file.
	Listeners []string // addresses; default one free port of 127.0.0.1
	ListenerX string   // further keys of every listener, e.g. `mode: "0660"`
	ListenerE []string // further keys of each listener, in their order
	Routes    string   // items of the list `routes:`, one per line
	Upstreams string   // body of `upstreams:`, indented by two
	Timeouts  Settings
	Limits    Settings
	Tunnel    Settings
	Admin     string // address; default a unix socket of this process
	LogLevel  string // default info
	LogFormat string // default json
	LogTunnel string // `log.tunnels`, default both
	More      string // further top-level lines, e.g. `trusted_networks: [::1]`

	Engine string // default what Engine returns

	// How the process runs.
	Files       uint64 // RLIMIT_NOFILE, 0 = inherited
	User        int    // user and group to run as, 0 = inherited
	NoUring     bool   // io_uring_setup(2) is forbidden
	TinyLogPipe bool   // shrink the pipe behind stderr to one page
	Warned      bool   // the configuration has warnings, which are no log lines
}

// Engine is the engine that every configuration asks for: what the environment
// says in WSPLICE_ENGINE, or auto.
func Engine() string { return cmp.Or(os.Getenv("WSPLICE_ENGINE"), "auto") }

// Async reports whether tunnels are served by the loops where a test says
// nothing about it: WSPLICE_ASYNC=off has goroutines serve them.
func Async() bool { return os.Getenv("WSPLICE_ASYNC") != "off" }

// yaml returns the configuration file. Its own directory is dir.
func (c *Config) yaml(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "log: {level: %s, format: %s, tunnels: %s}\n",
		or(c.LogLevel, "info"), or(c.LogFormat, "json"), or(c.LogTunnel, "both"))
	fmt.Fprintf(&b, "engine: %s\n", or(c.Engine, Engine()))
	fmt.Fprintf(&b, "admin: {address: %q}\n", c.adminAddress(dir))
	writeSettings(&b, "timeouts", c.timeouts())
	writeSettings(&b, "limits", c.Limits)
	writeSettings(&b, "tunnel", c.tunnel())
	if c.More != "" {
		fmt.Fprintln(&b, c.More)
	}
	b.WriteString("listeners:\n")
	for i, address := range c.listeners() {
		fmt.Fprintf(&b, "  - {address: %q%s}\n", address, after(", ", secureKeys(address, c.listenerKeys(i))))
	}
	b.WriteString("routes:\n")
	for line := range strings.Lines(strings.TrimSpace(c.Routes) + "\n") {
		fmt.Fprintf(&b, "  %s", line)
	}
	if c.Upstreams != "" {
		fmt.Fprintf(&b, "upstreams:\n%s\n", strings.Trim(c.Upstreams, "\n"))
	}
	return secureTargets(b.String())
}

func (c *Config) listeners() []string {
	if len(c.Listeners) == 0 {
		return []string{"127.0.0.1:0"}
	}
	return c.Listeners
}

// listenerKeys returns what the i-th listener has besides its address.
func (c *Config) listenerKeys(i int) string {
	if i >= len(c.ListenerE) || c.ListenerE[i] == "" {
		return c.ListenerX
	}
	return c.ListenerE[i] + after(", ", c.ListenerX)
}

func (c *Config) adminAddress(dir string) string {
	return or(c.Admin, "unix:"+dir+"/admin.sock")
}

// timeouts lets a process end soon although a failed test left tunnels open.
func (c *Config) timeouts() Settings {
	all := Settings{"drain": "1s"}
	maps.Copy(all, c.Timeouts)
	return all
}

// tunnel adds how tunnels are served, unless the test says it.
func (c *Config) tunnel() Settings {
	all := Settings{}
	if !Async() && c.Tunnel["async_delay"] == "" {
		all["async"] = "off"
	}
	maps.Copy(all, c.Tunnel)
	return all
}

func writeSettings(b *strings.Builder, name string, settings Settings) {
	if len(settings) == 0 {
		return
	}
	items := make([]string, 0, len(settings))
	for k, v := range settings {
		items = append(items, k+": "+v)
	}
	sort.Strings(items)
	fmt.Fprintf(b, "%s: {%s}\n", name, strings.Join(items, ", "))
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func after(prefix, value string) string {
	if value == "" {
		return ""
	}
	return prefix + value
}
