package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A peer is one way from the client to the backend.
type peer struct {
	name    string
	program string // found in PATH and sbin, or a path; "" needs none
	debian  string // package that holds the program
	version []string
	ready   string // what it prints on stderr when it serves; "" = its port tells

	// optional marks what not every build or kernel has: unless it was asked
	// for by name, a failure to start leaves it out.
	optional bool

	// config returns the configuration for a listener and its backends.
	config func(place) string
	// argv returns the arguments that start it with a configuration file, and
	// check those that only judge the file; nil = it has no such thing.
	argv  func(file string) []string
	check func(file string) []string
	// tunnelsMax is how many tunnels it can hold, and because says why no
	// more; 0 = as many as any scenario wants.
	tunnelsMax int
	because    string
}

// A place is where one instance of a proxy runs.
type place struct {
	dir          string // the proxy's own
	port         int    // the proxy listens on 127.0.0.1
	backendPorts []int  // of 127.0.0.1, at least one
	bulk         bool   // long transfers
	messageBytes int    // payload of a message or frame
	tunnels      int    // held open at once
}

// peers returns every contender by name, in the order of the tables.
func peers(wsplice string) []peer {
	all := []peer{{name: "direct"}}
	for _, variant := range []struct{ name, settings string }{
		{"wsplice", ""},
		{"wsplice-epoll", "engine: epoll\n"},
		{"wsplice-io_uring", "engine: io_uring\n"},
		{"wsplice-async-off", "tunnel: {async: off}\n"},
	} {
		all = append(all, peer{
			name: variant.name, program: wsplice, version: []string{"version"}, ready: "ready",
			optional: strings.HasSuffix(variant.name, "-io_uring") || strings.HasSuffix(variant.name, "-async-off"),
			config:   func(p place) string { return wspliceConfig(p, variant.settings) },
			argv:     func(file string) []string { return []string{"run", "--config", file} },
			check:    func(file string) []string { return []string{"check", "--config", file} },
		})
	}
	return append(all, otherProxies()...)
}

// otherProxies are those that wsplice is compared with.
func otherProxies() []peer {
	nginx := peer{
		name: "nginx", program: "nginx", debian: "nginx-light", version: []string{"-v"}, config: nginxConfig,
		argv: func(file string) []string { return []string{"-p", filepath.Dir(file), "-e", "stderr", "-c", file} },
	}
	nginx.check = func(file string) []string { return append(nginx.argv(file), "-t") }
	haproxy := peer{
		name: "haproxy", program: "haproxy", debian: "haproxy", version: []string{"-v"},
		config: func(p place) string { return haproxyConfig(p, "") },
		argv:   func(file string) []string { return []string{"-db", "-f", file} },
		check:  func(file string) []string { return []string{"-c", "-f", file} },
	}
	splicing := haproxy
	splicing.name = "haproxy-splice"
	splicing.config = func(p place) string {
		return haproxyConfig(p, "    option splice-request\n    option splice-response\n")
	}
	apache := peer{
		name: "apache", program: "apache2", debian: "apache2", version: []string{"-v"}, config: apacheConfig,
		argv:       func(file string) []string { return []string{"-D", "FOREGROUND", "-f", file} },
		check:      func(file string) []string { return []string{"-t", "-f", file} },
		tunnelsMax: apacheThreadsMax - apacheThreadsSpare,
		because:    "a tunnel holds a thread in this version (no ProxyWebsocketAsync)",
	}
	lighttpd := peer{
		name: "lighttpd", program: "lighttpd", debian: "lighttpd", version: []string{"-v"}, config: lighttpdConfig,
		argv:  func(file string) []string { return []string{"-D", "-f", file} },
		check: func(file string) []string { return []string{"-tt", "-f", file} },
	}
	caddy := peer{
		name: "caddy", program: "caddy", debian: "caddy", version: []string{"version"}, config: caddyConfig,
		argv:  func(file string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} },
		check: func(file string) []string { return []string{"validate", "--adapter", "caddyfile", "--config", file} },
	}
	return []peer{nginx, haproxy, splicing, apache, lighttpd, caddy}
}

// cannot says why a proxy is left out of a scenario, or nothing.
func (p *peer) cannot(s *scenario) string {
	if p.tunnelsMax > 0 && s.held() > p.tunnelsMax {
		return fmt.Sprintf("%d tunnels are more than it is given threads for: %s", s.held(), p.because)
	}
	return ""
}

// find returns the program's path, or an error that says how to get it.
func (p *peer) find() (string, error) {
	if strings.Contains(p.program, "/") {
		path, err := filepath.Abs(p.program)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return "", fmt.Errorf("%s is not built: run make build (%w)", p.name, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath(p.program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		path := filepath.Join(dir, p.program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run make bench-peers as root (apt-get install %s), or leave it out with --proxies",
		p.name, p.debian)
}

// readVersion returns the first line the program prints about itself.
func (p *peer) readVersion(path string) string {
	out, err := exec.Command(path, p.version...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return "unknown"
	}
	return line
}
