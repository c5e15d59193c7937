package importer

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"
)

// A lighttpdTarget is where the requests of a key go: to one address, or to an
// upstream.
type lighttpdTarget struct {
	network, address string // tcp with host:port, or unix with a path
	upstream         string
	notes            []Note
}

// A lighttpdHost is one table of a server list.
type lighttpdHost struct {
	at      Pos
	options map[string]lighttpdValue
}

// A lighttpdTimeout is the longest of those given.
type lighttpdTimeout struct{ longest time.Duration }

func (t *lighttpdTimeout) add(d time.Duration) { t.longest = max(t.longest, d) }

// hosts returns the tables of a key: one directly, or several in a list, named
// or not.
func (b *lighttpdBuilder) hosts(module string, v lighttpdValue) []lighttpdHost {
	if !v.list() {
		b.r.errorAt(v.Pos, `%s.server: a list of servers is expected: ( ( "host" => "127.0.0.1", "port" => 9000 ) )`, module)
		return nil
	}
	direct := lighttpdHost{at: v.Pos, options: map[string]lighttpdValue{}}
	var all []lighttpdHost
	for _, item := range v.items {
		_, known := lighttpdHostKeys[item.key]
		switch {
		case item.keyed && (known || !item.value.list()):
			direct.options[item.key] = item.value
		case item.value.list():
			all = append(all, b.hosts(module, item.value)...)
		default:
			b.r.errorAt(item.value.Pos, "%s.server: %q is no server; write ( \"host\" => …, \"port\" => … )", module, item.value.text)
		}
		if len(all) > membersMax {
			b.r.errorAt(v.Pos, "%s.server: more than %d servers", module, membersMax)
			return nil
		}
	}
	if len(direct.options) > 0 {
		all = append(all, direct)
	}
	return all
}

// lighttpdHostKeys are the keys of a table with what becomes of those that are
// not carried over; "" are read elsewhere or mean nothing here.
var lighttpdHostKeys = map[string]string{
	"host": "", "port": "", "socket": "", "bin-path": "", "disable-time": "", "connect-timeout": "",
	"min-procs": "", "max-procs": "", "max-load-per-proc": "", "idle-timeout": "", "listen-backlog": "", "kill-signal": "",
	"bin-environment": "", "bin-copy-environment": "",
	"check-local": "", "tcp-fin-propagate": "", "mode": "", "x-sendfile": "", "x-sendfile-docroot": "", "allow-x-send-file": "",
	"broken-scriptfilename": "", "fix-root-scriptname": "", "strip-request-uri": "", "docroot": "", "upgrade": "",
	"read-timeout":  "wsplice has no timeout for one direction; write idle_timeout on the route",
	"write-timeout": "wsplice has no timeout for one direction; write idle_timeout on the route",
}

// address returns where a table says that its backend listens.
func (h *lighttpdHost) address() (network, address, wrong string) {
	socket, host, port := h.options["socket"].text, h.options["host"].text, h.options["port"].text
	if strings.HasPrefix(host, "/") {
		socket, host = host, ""
	}
	switch {
	case socket != "" && (host != "" || port != ""):
		return "", "", "has both socket and host; keep one"
	case socket != "":
		if !path.IsAbs(socket) {
			return "", "", "has a socket whose path does not begin with a slash"
		}
		return "unix", socket, ""
	case host == "" && h.options["bin-path"].text == "":
		return "", "", "names no host and no socket"
	case host == "":
		host = "127.0.0.1"
	}
	if port == "" || port == "0" {
		port = "80"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Sprintf("has the port %q; write a number from 1 to 65535", port)
	}
	return "tcp", net.JoinHostPort(strings.Trim(host, "[]"), port), ""
}

// target finds where a key leads, or returns nil after saying why nowhere. Blocks
// that inherit a server share it: what is started is started once.
func (b *lighttpdBuilder) target(module, key string, v lighttpdValue, scope *lighttpdScope) *lighttpdTarget {
	method, _ := scope.option(module + ".balance")
	same := fmt.Sprint(v.Pos, key, module, method.value.text)
	if known := b.targets[same]; known != nil {
		return known
	}
	t := b.newTarget(module, key, v, scope)
	b.targets[same] = t
	return t
}

func (b *lighttpdBuilder) newTarget(module, key string, v lighttpdValue, scope *lighttpdScope) *lighttpdTarget {
	hosts := b.hosts(module, v)
	if len(hosts) == 0 {
		if len(b.r.errs) == 0 {
			b.r.errorAt(v.Pos, "%s.server: %q has no server", module, key)
		}
		return nil
	}
	t := &lighttpdTarget{}
	u := Upstream{Comments: []string{fmt.Sprintf("%s: %q of %s.server", v.short(b.r.main), key, module)}}
	for i := range hosts {
		b.server(&hosts[i], module, t, &u)
	}
	if len(b.r.errs) > 0 {
		return nil
	}
	b.leave(hosts, module, t)
	if len(u.Servers) == 0 {
		return t
	}
	if only := u.Servers[0]; len(u.Servers) == 1 && only.Command == nil {
		return t
	}
	u.Name = b.name(key)
	u.Balance = b.balance(module, scope, &u)
	b.d.Upstreams = append(b.d.Upstreams, u)
	t.upstream = u.Name
	return t
}

// server adds one table to an upstream; t is for an upstream of one.
func (b *lighttpdBuilder) server(h *lighttpdHost, module string, t *lighttpdTarget, u *Upstream) {
	network, address, wrong := h.address()
	if wrong != "" {
		b.r.errorAt(h.at, "%s.server: the server %s", module, wrong)
		return
	}
	var s Server
	if network == "unix" {
		s.Socket = address
	} else {
		s.URL = map[string]string{"wstunnel": "tcp://", "proxy": "http://"}[module] + address
	}
	if command := strings.Fields(h.options["bin-path"].text); len(command) > 0 {
		if !b.o.supports(FeatureSpawn) {
			t.notes = append(t.notes, Note{Pos: h.at, Text: "bin-path: this version of wsplice starts no backends; start it as a service"})
		} else {
			s.Command, s.Spawn = command, b.spawn(h)
			b.spawns = true
		}
	}
	b.timing(h, u)
	t.network, t.address = network, address
	u.Servers = append(u.Servers, s)
}

// timing reads the times of a table.
func (b *lighttpdBuilder) timing(h *lighttpdHost, u *Upstream) {
	if v, ok := h.options["connect-timeout"]; ok {
		b.dial.add(b.seconds("connect-timeout", v))
	}
	if v, ok := h.options["disable-time"]; ok && b.o.supports(FeatureDisableTime) {
		u.DisableTime = max(u.DisableTime, b.seconds("disable-time", v))
	}
}

// seconds reads a whole number of seconds.
func (b *lighttpdBuilder) seconds(key string, v lighttpdValue) time.Duration {
	n, ok := b.number(key, v)
	if !ok {
		return 0
	}
	return time.Duration(n) * time.Second
}

// number reads a whole number, which may stand in quotes.
func (b *lighttpdBuilder) number(key string, v lighttpdValue) (int, bool) {
	n, err := strconv.ParseUint(v.text, 10, 31)
	if err != nil || v.list() {
		b.r.errorAt(v.Pos, "%s: %q is not a whole number from 0 to 2147483647", key, v.text)
		return 0, false
	}
	return int(n), true
}

// signals are those that lighttpd's kill-signal may name, on Linux.
var signals = map[int]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 10: "SIGUSR1", 12: "SIGUSR2", 15: "SIGTERM", 28: "SIGWINCH",
}

// spawn returns the keys of a backend that is started by us. Where lighttpd's
// default is another than ours, it is written.
func (b *lighttpdBuilder) spawn(h *lighttpdHost) []pair {
	numbers := []struct{ from, to, otherwise string }{
		{"min-procs", "min_procs", "4"},
		{"max-procs", "max_procs", "4"},
		{"max-load-per-proc", "max_load_per_proc", ""},
		{"listen-backlog", "listen_backlog", ""},
	}
	var keys []pair
	for _, n := range numbers {
		v, given := h.options[n.from]
		if least, _ := strconv.Atoi(h.options["min-procs"].text); n.to == "max_procs" && !given && least > 4 {
			n.otherwise = strconv.Itoa(least)
		}
		if given {
			if _, ok := b.number(n.from, v); !ok {
				return nil
			}
			keys = append(keys, pair{n.to, v.text})
		} else if n.otherwise != "" {
			keys = append(keys, pair{n.to, n.otherwise})
		}
	}
	if v, given := h.options["idle-timeout"]; given {
		keys = append(keys, pair{"idle_timeout", duration(b.seconds("idle-timeout", v))})
	}
	if v, given := h.options["bin-environment"]; given {
		var environment []pair
		for _, item := range v.items {
			environment = append(environment, pair{item.key, scalar(item.value.text)})
		}
		keys = append(keys, pair{"environment", mapping(environment)})
	}
	if v, given := h.options["bin-copy-environment"]; given {
		var names []string
		for _, item := range v.items {
			names = append(names, item.value.text)
		}
		keys = append(keys, pair{"copy_environment", list(names)})
	}
	if v, given := h.options["kill-signal"]; given {
		n, ok := b.number("kill-signal", v)
		if name := signals[n]; ok && name != "" {
			keys = append(keys, pair{"kill_signal", name})
		} else if ok {
			b.r.errorAt(v.Pos, "kill-signal: %d is not the number of a signal that ends processes", n)
		}
	}
	return keys
}

// leave says what of the tables is not carried over.
func (b *lighttpdBuilder) leave(hosts []lighttpdHost, module string, t *lighttpdTarget) {
	for _, h := range hosts {
		for key, v := range h.options {
			why, known := lighttpdHostKeys[key]
			if !known {
				why = "lighttpd's documents do not name it"
			}
			if why != "" {
				t.notes = append(t.notes, Note{Pos: v.Pos, Text: fmt.Sprintf("%q of %s.server: %s", key, module, why)})
			}
		}
	}
	b.r.sort(t.notes)
}

// name makes the name of an upstream from a key.
func (b *lighttpdBuilder) name(key string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r < 0x80 && lighttpdWord(r) {
			return r
		}
		return '-'
	}, key), "-.")
	if name == "" {
		name = "all"
	}
	name = cutName(name)
	unused := name
	for i := 2; b.names[unused]; i++ {
		unused = fmt.Sprintf("%s-%d", name, i)
	}
	b.names[unused] = true
	return unused
}

// cutName keeps a name short enough for package configs, with a number behind it.
func cutName(name string) string { return name[:min(len(name), upstreamNameMax)] }

// balance returns the method for an upstream.
func (b *lighttpdBuilder) balance(module string, scope *lighttpdScope, u *Upstream) string {
	o, given := scope.option(module + ".balance")
	if !given {
		return "least_connection"
	}
	method := map[string]string{
		"fair": "least_connection", "least-connection": "least_connection", "round-robin": "round_robin",
		"hash": "lighttpd_hash", "sticky": "lighttpd_sticky",
	}[o.value.text]
	switch {
	case method == "":
		u.Notes = append(u.Notes, Note{Pos: o.Pos, Text: fmt.Sprintf(
			"%s: %q is no method; lighttpd takes least-connection for it, and so does this", o.key, o.value.text)})
	case strings.HasPrefix(method, "lighttpd_") && !b.o.supports(FeatureLighttpdHash):
		u.Notes = append(u.Notes, Note{Pos: o.Pos, Text: o.key + " " + o.value.text +
			": this version of wsplice has no such method; least_connection takes its place"})
	default:
		return method
	}
	return "least_connection"
}
