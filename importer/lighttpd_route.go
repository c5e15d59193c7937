package importer

import (
	"fmt"
	"strings"
	"time"
)

// module makes a route for each key of wstunnel.server or proxy.server, in the
// order of the source: the first that matches wins. map-extensions come before.
func (b *lighttpdBuilder) module(module string, servers lighttpdOption, scope *lighttpdScope, where lighttpdWhere) {
	if len(servers.value.items) == 0 && where.outer {
		b.item(Item{Notes: []Note{where.left(servers.Pos,
			servers.key+": an empty list turns it off here; write a route with mode: deny before the others")}})
	}
	targets := map[string]*lighttpdTarget{}
	for _, item := range servers.value.items {
		if !item.keyed {
			b.r.errorAt(item.value.Pos, "%s.server: a key is missing; write \"/path\" => ( … )", module)
			return
		}
		if _, again := targets[item.key]; again {
			continue // the first wins
		}
		t := b.target(module, item.key, item.value, scope)
		if t == nil {
			return
		}
		targets[item.key] = t
	}
	if extensions, ok := scope.option(module + ".map-extensions"); ok {
		for _, item := range extensions.value.items {
			if t := targets[item.value.text]; t != nil {
				b.route(module, item.key, item.value, t, scope, where)
			}
		}
	}
	done := map[string]bool{}
	for _, item := range servers.value.items {
		if !done[item.key] {
			done[item.key] = true
			b.route(module, item.key, item.value, targets[item.key], scope, where)
		}
	}
}

// route makes the route of one key.
func (b *lighttpdBuilder) route(
	module, key string, v lighttpdValue, t *lighttpdTarget, scope *lighttpdScope, where lighttpdWhere,
) {
	r := &Route{
		Hosts: where.hosts, Headers: where.headers,
		Comments: append([]string{fmt.Sprintf("%s: %q of %s.server", v.short(b.r.main), key, module)}, where.say...),
	}
	item := Item{Route: r, Notes: t.notes}
	defer func() { b.item(item) }()
	if t.address == "" {
		item.Route = nil
		return
	}
	path, wrong := where.path.and(keyPath(key))
	if wrong != "" {
		item = Item{Notes: append(item.Notes, where.left(v.Pos, fmt.Sprintf("%q of %s.server: %s", key, module, wrong)))}
		return
	}
	r.Path, r.Suffix, r.Regex = path.prefix, path.suffix, path.regex
	if text, whole := literalOf(path.regex); whole && path.regex != "" {
		r.Comments = append(r.Comments, fmt.Sprintf(
			"lighttpd takes every path that begins so; `path: %s` would take whole segments only", text))
	}
	if module == "wstunnel" {
		b.endpoint(r, t, scope, &item)
	} else {
		b.http(r, t, scope, &item)
	}
}

// keyPath is what a key matches: the beginning of a path if it begins with a
// slash, and otherwise its end.
func keyPath(key string) lighttpdPath {
	switch {
	case key == "" || key == "/":
		return lighttpdPath{prefix: "/"}
	case key[0] == '/':
		return prefixPath(key)
	}
	return lighttpdPath{suffix: key}
}

// endpoint makes a route of wstunnel.server.
func (b *lighttpdBuilder) endpoint(r *Route, t *lighttpdTarget, scope *lighttpdScope, item *Item) {
	if !b.o.supports(FeatureEndpoint) {
		item.Route = nil
		item.Notes = append(item.Notes, Note{
			Pos: scope.options["wstunnel.server"].Pos, Text: "wstunnel.server: this version of wsplice has no mode: endpoint",
		})
		return
	}
	r.Mode, r.FrameType = "endpoint", "text"
	switch {
	case t.upstream != "":
		r.Upstream = t.upstream
	case t.network == "unix":
		r.To = "unix:" + t.address
	default:
		r.To = "tcp://" + t.address
	}
	if o, ok := scope.option("wstunnel.frame-type"); ok && o.value.text == "binary" {
		r.FrameType = "binary"
	}
	r.Subprotocols = subprotocols(scope)
	if o, ok := scope.option("wstunnel.origins"); ok {
		for _, origin := range o.value.items {
			r.Origins = append(r.Origins, origin.value.text)
		}
	}
	b.clocks(r, scope)
}

// subprotocolHeader is what configurations add to answers, since mod_wstunnel
// knows no subprotocols but its own two.
const subprotocolHeader = "Sec-WebSocket-Protocol"

// subprotocols returns what clients may offer: that which is answered to
// everybody, and those of the module.
func subprotocols(scope *lighttpdScope) []string {
	all := []string{"binary", "base64"}
	for _, key := range []string{"setenv.set-response-header", "setenv.add-response-header"} {
		o, _ := scope.option(key)
		for _, item := range o.value.items {
			name := item.value.text
			if strings.EqualFold(item.key, subprotocolHeader) && token(name) && !contains(all, name) {
				all = append([]string{name}, all...)
			}
		}
	}
	return all
}

// clocks carries over pings and the limit of silence. lighttpd counts pongs as
// signs of life: with pings, the limit is one for the answer to them.
func (b *lighttpdBuilder) clocks(r *Route, scope *lighttpdScope) {
	var ping, idle time.Duration
	if o, ok := scope.option("wstunnel.ping-interval"); ok {
		ping = b.seconds(o.key, o.value)
	}
	if o, ok := scope.option("server.max-read-idle"); ok {
		idle = b.seconds(o.key, o.value)
	}
	if ping > 0 {
		r.Tunnel.PingInterval = &ping
	}
	switch {
	case idle == 0:
	case ping > 0 && ping < idle:
		r.Tunnel.PongTimeout = &idle
	default:
		r.Tunnel.IdleTimeout = &idle
	}
}

// http makes a route of proxy.server. Its path passes unchanged, or as
// map-urlpath says.
func (b *lighttpdBuilder) http(r *Route, t *lighttpdTarget, scope *lighttpdScope, item *Item) {
	r.Mode, r.PreserveHost = "http", true
	if o, ok := scope.option("proxy.replace-http-host"); ok && lighttpdTrue(o.value) {
		r.PreserveHost = false
	}
	r.Upgrade = []string{}
	to := r.Path
	if o, ok := scope.option("proxy.header"); ok {
		for _, header := range o.value.items {
			switch {
			case header.key == "upgrade" && lighttpdTrue(header.value):
				r.Upgrade = nil // websocket is the default
			case header.key == "upgrade":
			case header.key == "map-urlpath":
				mapped, wrong := b.mapped(header.value, r.Path)
				if to = mapped; wrong != "" {
					item.Notes = append(item.Notes, Note{Pos: header.value.Pos, Text: "map-urlpath: " + wrong})
				}
			default:
				item.Notes = append(item.Notes, Note{Pos: header.value.Pos, Text: fmt.Sprintf(
					"%q of proxy.header: answers pass wsplice unchanged; have the backend do it", header.key)})
			}
		}
	}
	switch {
	case t.upstream != "":
		r.Upstream = t.upstream
		if to != r.Path {
			r.Rewrite = to
		}
	case t.network == "unix":
		r.To = "unix:" + t.address + "|http://localhost" + to
	default:
		r.To = "http://" + t.address + to
	}
}

// lighttpdTrue reads a boolean as lighttpd's options take it.
func lighttpdTrue(v lighttpdValue) bool {
	switch strings.ToLower(v.text) {
	case "enable", "enabled", "true", "1", "yes", "on":
		return true
	}
	return false
}

// mapped returns what map-urlpath makes of the prefix path.
func (b *lighttpdBuilder) mapped(v lighttpdValue, path string) (to, wrong string) {
	if path == "" {
		return "", "it is carried over for keys that end with a slash only; write a route with regex and $1 in to"
	}
	for _, item := range v.items {
		rest, ok := strings.CutPrefix(path, item.key)
		switch {
		case ok:
			return item.value.text + rest, ""
		case strings.HasPrefix(item.key, path):
			return path, fmt.Sprintf("%q is for a part of the route only; write a route of its own for it", item.key)
		}
	}
	return path, ""
}
