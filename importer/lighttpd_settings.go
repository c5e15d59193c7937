package importer

import (
	"net"
	"strconv"
	"strings"
)

// lighttpdRouteKeys are the options whose change makes routes of their own.
var lighttpdRouteKeys = map[string]bool{
	"wstunnel.server": true, "wstunnel.balance": true, "wstunnel.frame-type": true, "wstunnel.map-extensions": true,
	"wstunnel.origins": true, "wstunnel.ping-interval": true,
	"setenv.set-response-header": true, "setenv.add-response-header": true,
	"proxy.server": true, "proxy.balance": true, "proxy.header": true, "proxy.map-extensions": true, "proxy.replace-http-host": true,
	"server.max-read-idle": true,
}

// lighttpdSilent are options that say nothing about proxying, by key or by the
// module before the point. What protects a site is not among them.
var lighttpdSilent = map[string]bool{
	"server.port": true, "server.bind": true, "server.modules": true, "server.username": true, "server.groupname": true,
	"server.pid-file": true, "server.errorlog": true, "server.document-root": true, "server.tag": true, "server.name": true,
	"server.upload-dirs": true, "server.use-ipv6": true, "server.event-handler": true, "server.max-fds": true,
	"server.max-worker": true, "server.feature-flags": true, "server.http-parseopts": true,
	"server.compat-module-load": true, "server.errorfile-prefix": true, "server.breakagelog": true, "server.chroot": true,
	"server.stream-request-body": true, "server.stream-response-body": true, "server.systemd-socket-activation": true,
	"index-file.names": true, "mimetype.assign": true, "static-file.exclude-extensions": true,
	"accesslog": true, "debug": true, "dir-listing": true, "deflate": true, "compress": true, "status": true, "expire": true,
	"etag": true, "mimetype": true, "index-file": true, "static-file": true, "connection": true, "var": true,
}

// lighttpdAdvice is for options that have no counterpart: what to do instead, by
// key or by the module before the point.
var lighttpdAdvice = map[string]string{
	"wstunnel.debug":                 "write log: {level: debug}",
	"proxy.debug":                    "write log: {level: debug}",
	"proxy.forwarded":                "wsplice always writes X-Forwarded-For, -Proto and -Host",
	"ssl":                            "put the certificates of the listener under tls:",
	"setenv":                         "write request_headers for what the backend is to see; answers pass unchanged",
	"url":                            "wsplice neither rewrites nor redirects for it; write routes for the paths that are meant",
	"extforward":                     "write the networks that may say who the client is as trusted_networks",
	"fastcgi":                        "wsplice speaks HTTP and plain bytes; put the program behind a server of its own",
	"scgi":                           "wsplice speaks HTTP and plain bytes; put the program behind a server of its own",
	"ajp13":                          "wsplice speaks HTTP and plain bytes; put the program behind a server of its own",
	"sockproxy":                      "wsplice tunnels upgrades only",
	"cgi":                            "wsplice runs no CGI programs; put them behind a server of their own",
	"server.max-connections":         "write limits: {tunnels: …}",
	"server.max-write-idle":          "write idle_timeout, which counts both directions",
	"server.max-keep-alive-idle":     "wsplice waits timeouts.head for a further request",
	"server.max-keep-alive-requests": "wsplice has no such limit",
}

// lighttpdGuards protect a site; without them the result lets more in.
var lighttpdGuards = map[string]string{
	"auth":                      "nobody is asked for a password any more; have the backend ask, or keep lighttpd before wsplice",
	"url.access-deny":           "these requests are not refused any more; write routes with mode: deny before the others",
	"evasive":                   "write limits: {tunnels_per_ip: …}",
	"url.access-allow":          "what it does not name is not refused any more; write a route with mode: deny behind the others",
	"ssl.engine":                "the listener is plain until there is tls: below it, and clients must not be sent there before",
	"ssl.verifyclient.activate": "clients are not asked for certificates any more; write client_ca below tls: of the listener",
	"ssl.verifyclient.enforce":  "clients are not asked for certificates any more; write client_ca below tls: of the listener",
	"setenv.set-request-header": "backends get what the client sent; write request_headers of the route",
	"setenv.add-request-header": "backends get what the client sent; write request_headers of the route",
	"access":                    "these requests are not refused any more; write routes with mode: deny before the others",
}

// options says what of a block has no counterpart.
func (b *lighttpdBuilder) options(block *lighttpdBlock) {
	for _, o := range block.options {
		module, _, _ := strings.Cut(o.key, ".")
		if len(o.value.items) == 1 && strings.EqualFold(o.value.items[0].key, subprotocolHeader) {
			continue // see subprotocols
		}
		if guard := firstOf(lighttpdGuards, o.key, module); guard != "" {
			b.d.Global = append(b.d.Global, Note{Pos: o.Pos, Text: o.key + ": " + guard, Warning: true})
			continue
		}
		if advice := firstOf(lighttpdAdvice, o.key, module); advice != "" {
			b.r.notOnce(o.key, o.Pos, advice)
			continue
		}
		if !lighttpdRouteKeys[o.key] && !lighttpdSilent[o.key] && !lighttpdSilent[module] {
			b.r.notOnce(o.key, o.Pos, "it has no counterpart")
		}
	}
}

func firstOf(table map[string]string, keys ...string) string {
	for _, key := range keys {
		if text := table[key]; text != "" {
			return text
		}
	}
	return ""
}

// listeners are server.bind with server.port, and every $SERVER["socket"].
func (b *lighttpdBuilder) listeners(root *lighttpdBlock, scope *lighttpdScope) {
	port, bind := "80", ""
	comment, at := "no server.port was read; this is lighttpd's usual one", Pos{File: b.r.main, Line: 1, Column: 1}
	if o, ok := scope.option("server.port"); ok {
		port, comment, at = o.value.text, o.short(b.r.main)+": server.port", o.Pos
	}
	if o, ok := scope.option("server.bind"); ok {
		bind, comment, at = o.value.text, o.short(b.r.main)+": server.bind", o.Pos
	}
	b.listener(at, bind, port, comment)
	b.sockets(root, port)
}

func (b *lighttpdBuilder) sockets(block *lighttpdBlock, port string) {
	for _, child := range block.children {
		if c := child.cond; c != nil && c.field == "SERVER" && c.name == "socket" && c.op == "==" {
			b.listener(c.Pos, c.value, port, c.short(b.r.main)+": "+c.source())
		}
		b.sockets(child, port)
	}
}

// listener adds an address unless it is there already.
func (b *lighttpdBuilder) listener(at Pos, bind, port, comment string) {
	address, ok := lighttpdAddress(bind, port)
	switch {
	case !ok:
		b.r.errorAt(at, "%q with port %q is no address; write a name or address, [v6]:port or the path of a socket", bind, port)
		return
	case len(b.d.Listeners) == listensMax:
		b.r.errorAt(at, "more than %d addresses", listensMax)
		return
	}
	for _, l := range b.d.Listeners {
		if l.Address == address {
			return
		}
	}
	b.d.Listeners = append(b.d.Listeners, Listener{Address: address, Comment: comment})
}

// lighttpdAddress joins what server.bind or $SERVER["socket"] say with a port
// for those that name none.
func lighttpdAddress(bind, port string) (string, bool) {
	if strings.HasPrefix(bind, "/") {
		return "unix:" + bind, len(bind) <= socketPathMax
	}
	host := bind
	if h, p, err := net.SplitHostPort(bind); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if host == "0.0.0.0" || host == "*" {
		host = ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host != "" && net.ParseIP(host) == nil && !plainHost.MatchString(host) {
		return "", false
	}
	return net.JoinHostPort(host, strconv.Itoa(int(n))), true
}
