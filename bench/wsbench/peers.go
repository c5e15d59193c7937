package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"wsplice/bench/report"
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

	// counted marks what tells its own figures at place.adminPort.
	counted bool

	// forks marks what has a process for each tunnel.
	forks bool

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
	// idleTunnelsMax is how many its memory is measured with; 0 = as many as the
	// others'.
	idleTunnelsMax int
}

// A place is where one instance of a proxy runs.
type place struct {
	dir          string // the proxy's own
	port         int    // the proxy listens on 127.0.0.1
	adminPort    int    // for metrics, of 127.0.0.1; 0 = none
	backendPorts []int  // of backendHost, at least one
	backendHost  string // "" = 127.0.0.1
	bulk         bool   // long transfers
	messageBytes int    // payload of a message or frame
	tunnels      int    // held open at once
	paired       bool   // it serves all variants of pairHosts
	secure       bool   // clients speak TLS; the certificate's files are in dir
}

// backend returns the address of one of the backends.
func (p place) backend(port int) string {
	return net.JoinHostPort(cmp.Or(p.backendHost, "127.0.0.1"), strconv.Itoa(port))
}

// peers returns every contender by name, in the order of the tables.
func peers(wsplice string) []peer {
	all := append([]peer{{name: report.Direct}}, variants(wsplice)...)
	return append(all, otherProxies()...)
}

// asyncOff is wsplice with goroutines for each tunnel.
const asyncOff = "wsplice-async-off"

// With goroutines a tunnel takes four descriptors, and 20,000 are a common
// limit.
const goroutineTunnelsMax = 4800

// variants are the product as it comes, which is its own choice of engine and
// `frames: auto`, and the same with one setting changed.
func variants(wsplice string) []peer {
	return variantsOf(wsplice, []variant{
		{report.Subject, ""},
		{"wsplice-epoll", "engine: epoll\n"},
		{"wsplice-io_uring", "engine: io_uring\n"},
		{asyncOff, "tunnel: {async: off}\n"},
		{report.FramesOff, "tunnel: {frames: off}\n"},
		{report.FramesAlways, "tunnel: {frames: always}\n"},
	}, wspliceConfig)
}

// A variant is the product with some settings.
type variant struct{ name, settings string }

// variantsOf returns peers that run wsplice with the configuration that config
// makes of the settings of each.
func variantsOf(wsplice string, variants []variant, config func(p place, settings string) string) []peer {
	var list []peer
	for _, variant := range variants {
		p := peer{
			name: variant.name, program: wsplice, version: []string{"version"}, ready: "ready", counted: true,
			optional: variant.name == "wsplice-io_uring",
			config:   func(p place) string { return config(p, variant.settings) },
			argv:     func(file string) []string { return []string{"run", "--config", file} },
			check:    func(file string) []string { return []string{"check", "--config", file} },
		}
		if p.name == asyncOff {
			p.tunnelsMax, p.because = goroutineTunnelsMax, "with goroutines each takes four descriptors"
		}
		list = append(list, p)
	}
	return list
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
		because:    "each holds a thread in this version (no ProxyWebsocketAsync)",
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
		return fmt.Sprintf("%d tunnels are more than it can hold: %s", s.held(), p.because)
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

// readVersion returns the first line the program prints about itself, or, where it
// prints none, what Debian says.
func (p *peer) readVersion(path string) string {
	argv := append([]string{path}, p.version...)
	if p.version == nil {
		argv = []string{"dpkg-query", "-W", p.debian}
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	line = strings.Join(strings.Fields(line), " ")
	if err != nil && line == "" {
		return "unknown"
	}
	return line
}
