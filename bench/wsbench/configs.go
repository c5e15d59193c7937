package main

import (
	"fmt"
	"os"
	"strings"
)

// frameHeadMax is the longest head of a WebSocket frame.
const frameHeadMax = 14

// eachBackend writes one line per backend port.
func eachBackend(p place, line func(number, port int) string) string {
	var b strings.Builder
	for i, port := range p.backendPorts {
		b.WriteString(line(i+1, port) + "\n")
	}
	return b.String()
}

// wspliceConfig is the shortest configuration that proxies: the defaults are
// what is measured, but for the settings given.
func wspliceConfig(p place, settings string) string {
	text := settings + wspliceLog(p)
	if p.paired {
		return text + pairConfig(p)
	}
	secure := ""
	if p.secure {
		secure = fmt.Sprintf(", tls: {certificates: [{cert: %s, key: %s}]}", certificateFile, keyFile)
	}
	text += fmt.Sprintf("listeners: [{address: \"127.0.0.1:%d\"%s}]\n", p.port, secure)
	if len(p.backendPorts) == 1 {
		return text + fmt.Sprintf("routes: [{path: /, to: \"ws://127.0.0.1:%d/\"}]\n", p.backendPorts[0])
	}
	return text + "routes: [{path: /, upstream: backends, rewrite: /}]\nupstreams:\n  backends:\n    servers:\n" +
		eachBackend(p, func(_, port int) string { return fmt.Sprintf("      - {url: \"ws://127.0.0.1:%d\"}", port) })
}

// wspliceLog is the part of a configuration that says what is logged and where
// metrics are told.
func wspliceLog(p place) string {
	admin := ""
	if p.adminPort != 0 {
		admin = fmt.Sprintf("127.0.0.1:%d", p.adminPort)
	}
	return fmt.Sprintf("log: {level: info, tunnels: \"off\"}\nadmin: {address: %q}\n", admin)
}

// nginxConfig follows nginx's page on WebSocket proxying. It has as many
// workers as the other proxies have threads, a listening socket for each of
// them, no log, and buffers that hold a message, or 64 KiB for bulk: by
// default it reads 1 KiB of what the client sends and 4 KiB of the backend's. Over
// TLS it is told of version 1.3, which this one does not offer by itself.
func nginxConfig(p place) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // its directory is ours
	}
	buffers := ""
	if kib := (p.messageBytes + frameHeadMax + 4095) >> 12 << 2; p.bulk || p.messageBytes >= 1<<10 {
		if p.bulk {
			kib = 64
		}
		buffers = fmt.Sprintf("    proxy_buffer_size %dk;\n    proxy_buffers 8 %dk;\n"+
			"    proxy_busy_buffers_size %dk;\n    client_header_buffer_size %dk;\n", kib, kib, 2*kib, kib)
	}
	ssl, certificate := "", ""
	if p.secure {
		ssl = " ssl"
		certificate = fmt.Sprintf("        ssl_certificate %s;\n        ssl_certificate_key %s;\n"+
			"        ssl_protocols TLSv1.2 TLSv1.3;\n", certificateFile, keyFile)
	}
	servers := eachBackend(p, func(_, port int) string { return fmt.Sprintf("        server %s;", p.backend(port)) })
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
%s    }
%s    server {
        listen 127.0.0.1:%d%s reuseport backlog=4096;
%s        location / {
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
`, user, servers, buffers, p.port, ssl, certificate)
}

// haproxyConfig follows HAProxy's advice on WebSockets: HTTP mode, one long
// timeout for tunnels, no log; splicing, where asked for, both ways and
// always rather than by HAProxy's guess. Pipes are limited because HAProxy
// reserves descriptors for them, and 20,000 are a common limit. Over TLS the client
// chooses the suite, as it does with the others.
func haproxyConfig(p place, options string) string {
	global, secure := "", ""
	if p.secure {
		global = "    ssl-default-bind-options ssl-min-ver TLSv1.2 prefer-client-ciphers\n"
		secure = " ssl crt " + bothFile
	}
	servers := eachBackend(p, func(number, port int) string {
		return fmt.Sprintf("    server s%d %s", number, p.backend(port))
	})
	return fmt.Sprintf(`global
    nbthread 2
    maxconn 9200
    maxpipes 500
%sdefaults
    mode http
%s    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-request 10s
    maxconn 9200
frontend clients
    bind 127.0.0.1:%d%s backlog 4096
    default_backend servers
backend servers
%s`, global, options, p.port, secure, servers)
}

// Apache's threads. Without ProxyWebsocketAsync (2.5.1 and later) a tunnel
// holds a thread from its upgrade to its end.
const (
	apacheThreadsMax   = 5000
	apacheThreadsSpare = 200 // for connections that come and go beside the tunnels
	apacheChildren     = 4

	apacheModules = "/usr/lib/apache2/modules" // where Debian has them
)

// apacheConfig follows the documentation of mod_proxy_http, which carries
// upgrades itself since 2.4.47 (mod_proxy_wstunnel hands over to it), and of
// the event MPM. All threads it may need are there from the beginning, so that
// none is started or ended while it is measured. Where more than its 8 KiB
// come at once it is given the larger buffers its documentation offers.
func apacheConfig(p place) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "User www-data\nGroup www-data\n" // it refuses to serve as root
	}
	modules := []string{"mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel"}
	pass := fmt.Sprintf("ProxyPass / http://127.0.0.1:%d/ upgrade=websocket\n", p.backendPorts[0])
	if len(p.backendPorts) > 1 {
		modules = append(modules, "slotmem_shm", "proxy_balancer", "lbmethod_byrequests")
		pass = "<Proxy balancer://backends>\n" + eachBackend(p, func(_, port int) string {
			return fmt.Sprintf("    BalancerMember http://127.0.0.1:%d upgrade=websocket", port)
		}) + "</Proxy>\nProxyPass / balancer://backends/\n"
	}
	var load strings.Builder
	for _, name := range modules {
		fmt.Fprintf(&load, "LoadModule %s_module %s/mod_%s.so\n", name, apacheModules, name)
	}
	buffers := ""
	if p.bulk || p.messageBytes > 8<<10 {
		buffers = "ReadBufferSize 65536\nProxyIOBufferSize 65536\n"
	}
	perChild := (min(p.tunnels+apacheThreadsSpare, apacheThreadsMax) + apacheChildren - 1) / apacheChildren
	threads := perChild * apacheChildren
	return fmt.Sprintf(`%sServerRoot %s
DefaultRuntimeDir %s
PidFile apache.pid
ServerName localhost
%sErrorLog /dev/stderr
LogLevel crit
Listen 127.0.0.1:%d
ListenBacklog 4096
Timeout 3600
ServerLimit %d
StartServers %d
ThreadLimit %d
ThreadsPerChild %d
MaxRequestWorkers %d
MinSpareThreads %d
MaxSpareThreads %d
%s%s`, user, p.dir, p.dir, load.String(), p.port, apacheChildren, apacheChildren, perChild, perChild,
		threads, threads, threads, buffers, pass)
}

// lighttpdConfig follows the documentation of mod_proxy.
func lighttpdConfig(p place) string {
	servers := eachBackend(p, func(_, port int) string {
		return fmt.Sprintf("    (\"host\" => \"127.0.0.1\", \"port\" => %d),", port)
	})
	return lighttpdServer(p, "mod_proxy") + fmt.Sprintf(`proxy.header = ("upgrade" => "enable")
proxy.server = ("" => (
%s))
`, servers)
}

// lighttpdServer is the part that does not depend on the module. Two workers, as
// the others have two threads; its idle timeouts end tunnels too.
func lighttpdServer(p place, module string) string {
	chunks := ""
	if p.bulk || p.messageBytes > 8<<10 {
		chunks = "server.chunkqueue-chunk-sz = 65536\n"
	}
	return fmt.Sprintf(`server.modules = ("%s")
server.document-root = "%s"
server.bind = "127.0.0.1"
server.port = %d
server.max-worker = 2
server.max-fds = 20000
server.max-connections = 9200
server.listen-backlog = 4096
server.max-read-idle = 3600
server.max-write-idle = 3600
%s`, module, p.dir, p.port, chunks)
}

// caddyConfig is a reverse_proxy, which carries upgrades by itself. What Caddy
// stores besides goes to its own directory.
func caddyConfig(p place) string {
	backends := make([]string, 0, len(p.backendPorts))
	for _, port := range p.backendPorts {
		backends = append(backends, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return fmt.Sprintf(`{
	admin off
	auto_https off
	storage file_system %s
	log {
		level ERROR
	}
}
http://127.0.0.1:%d {
	bind 127.0.0.1
	reverse_proxy %s
}
`, p.dir, p.port, strings.Join(backends, " "))
}
