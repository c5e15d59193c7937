package configs

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// TestUpstreamDefaults holds what an upstream is that says nothing of itself.
func TestUpstreamDefaults(t *testing.T) {
	c := mustParse(t, `
listeners: [{address: ":80"}]
routes: [{path: /, upstream: u}]
upstreams: {u: {servers: [{url: "ws://h:1"}]}}
`)
	u := c.Upstreams[0]
	u.Pos, u.Servers[0].Pos = Pos{}, Pos{}
	want := Upstream{
		Name: "u", Balance: "least_connection", DisableTime: time.Second, Retries: 5, ResolveInterval: 30 * time.Second,
		Servers: []Server{{Target: Target{Scheme: "ws", Network: "tcp", Address: "h:1", Host: "h:1"}, Weight: 1}},
	}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("got  %+v\nwant %+v", u, want)
	}
}

func TestUpstreamSettings(t *testing.T) {
	c := mustParse(t, `
listeners: [{address: ":80"}]
routes: [{path: /, upstream: u}]
upstreams:
  u:
    balance: random_two
    sticky_cookie: {name: sid, insert: on}
    servers:
      - {url: "ws://h:1", weight: 100, route: a.b, set: 99, status: drain}
      - {socket: /s, route: c}
    disable_time: 1m
    retries: 0
    slow_start: 90s
    resolve_interval: 0s
    source: [127.0.0.1, "::ffff:127.0.0.2", "::1"]
`)
	u := c.Upstreams[0]
	source := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")}
	if u.Balance != "random_two" || u.Cookie != (StickyCookie{"sid", true}) || u.DisableTime != time.Minute || u.Retries != 0 ||
		u.SlowStart != 90*time.Second || u.ResolveInterval != 0 || !reflect.DeepEqual(u.Source, source) {
		t.Errorf("upstream %+v", u)
	}
	if s := u.Servers[0]; s.Weight != 100 || s.Route != "a.b" || s.Set != 99 || s.Status != "drain" {
		t.Errorf("server %+v", s)
	}
	if s := u.Servers[1]; s.Weight != 1 || s.Route != "c" || s.Set != 0 || s.Status != "" {
		t.Errorf("server %+v", s)
	}
}

func TestUpstreamWarnings(t *testing.T) {
	for upstream, want := range map[string]string{
		`servers: [{url: "ws://h:1"}], sticky_cookie: {name: s}`: "3:62: warning: upstreams.u.sticky_cookie: " +
			"names a server by its route, but no server has one; add `route: a` and so on",
		`servers: [{url: "ws://h:1", status: drain}, {url: "ws://h:2", status: disabled}]`: "3:13: warning: upstreams.u: " +
			"every server is disabled or drains: new clients get 503",
		`balance: lighttpd_hash, servers: [{url: "ws://h:1", weight: 2}]`: "3:51: warning: upstreams.u: " +
			"ws://h:1 has a weight, which means nothing with balance: lighttpd_hash",
		`servers: [{url: "ws://h:1", weight: 2, route: a}], sticky_cookie: {name: s}`: "",
	} {
		text := "listeners: [{address: \":80\"}]\nroutes: [{path: /, upstream: u}]\nupstreams: {u: {" + upstream + "}}\n"
		if got := warningsOf(t, text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", upstream, got, want)
		}
	}
}
