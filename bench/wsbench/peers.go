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

	// config returns the configuration for a listener and a backend port; dir
	// is the proxy's own directory.
	config func(place) string
	// argv returns the arguments that start it with a configuration file.
	argv func(file string) []string
}

// A place is where one instance of a proxy runs.
type place struct {
	dir         string
	port        int // the proxy listens on 127.0.0.1
	backendPort int
	bulk        bool
}

// peers returns every contender by name, in the order of the tables.
func peers(wsplice string) []peer {
	nginx := peer{
		name: "nginx", program: "nginx", debian: "nginx-light", version: []string{"-v"},
		config: nginxConfig,
		argv:   func(file string) []string { return []string{"-p", filepath.Dir(file), "-e", "stderr", "-c", file} },
	}
	haproxy := peer{
		name: "haproxy", program: "haproxy", debian: "haproxy", version: []string{"-v"},
		config: func(p place) string { return haproxyConfig(p, "") },
		argv:   func(file string) []string { return []string{"-db", "-f", file} },
	}
	splicing := haproxy
	splicing.name = "haproxy-splice"
	splicing.config = func(p place) string {
		return haproxyConfig(p, "    option splice-request\n    option splice-response\n")
	}
	all := []peer{{name: "direct"}}
	for _, engine := range []string{"", "epoll", "io_uring"} {
		p := peer{
			name: "wsplice", program: wsplice, version: []string{"version"}, ready: "ready",
			config: func(p place) string { return wspliceConfig(p, engine) },
			argv:   func(file string) []string { return []string{"run", "--config", file} },
		}
		if engine != "" {
			p.name += "-" + engine
		}
		all = append(all, p)
	}
	return append(all, nginx, haproxy, splicing)
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
	return "", fmt.Errorf("%s is not installed: apt-get install %s, run wsbench --install as root, or leave it out with --proxies",
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

// wspliceConfig is the shortest configuration that proxies: the defaults are
// what is measured. engine "" leaves the choice to wsplice.
func wspliceConfig(p place, engine string) string {
	var b strings.Builder
	if engine != "" {
		fmt.Fprintf(&b, "engine: %s\n", engine)
	}
	fmt.Fprintf(&b, `log: {level: info, tunnels: "off"}
admin: {address: ""}
listeners: [{address: "127.0.0.1:%d"}]
routes: [{path: /, to: "ws://127.0.0.1:%d/"}]
`, p.port, p.backendPort)
	return b.String()
}

// nginxConfig follows nginx's page on WebSocket proxying. It has as many
// workers as the other proxies have threads, a listening socket for each of
// them, no log, and for bulk the larger buffers its documentation offers.
func nginxConfig(p place) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // its directory is ours
	}
	bulk := ""
	if p.bulk {
		bulk = "    proxy_buffer_size 64k;\n    proxy_buffers 8 64k;\n" +
			"    proxy_busy_buffers_size 128k;\n    client_header_buffer_size 64k;\n"
	}
	return fmt.Sprintf(`%sdaemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events {
    worker_connections 18000;
    multi_accept on;
}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade {
        default upgrade;
        '' close;
    }
    upstream backend {
        server 127.0.0.1:%d;
    }
%s    server {
        listen 127.0.0.1:%d reuseport backlog=4096;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }
    }
}
`, user, p.backendPort, bulk, p.port)
}

// haproxyConfig follows HAProxy's advice on WebSockets: HTTP mode, one long
// timeout for tunnels, no log; splicing, where asked for, both ways and
// always rather than by HAProxy's guess. Pipes are limited because HAProxy
// reserves descriptors for them, and 20,000 are a common limit.
func haproxyConfig(p place, options string) string {
	return fmt.Sprintf(`global
    nbthread 2
    maxconn 9000
    maxpipes 500
defaults
    mode http
%s    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-request 10s
    maxconn 9000
frontend clients
    bind 127.0.0.1:%d backlog 4096
    default_backend servers
backend servers
    server one 127.0.0.1:%d
`, options, p.port, p.backendPort)
}
