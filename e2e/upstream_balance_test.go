package e2e

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// An upstreamCase is an upstream called "all" behind /: its settings, one to a
// line, and its servers as the file has them.
type upstreamCase struct {
	settings []string
	servers  []string
	route    string // further keys of the route
	config   rig.Config
}

// start runs a proxy with it.
func (c *upstreamCase) start(t *testing.T) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	cfg := c.config
	cfg.Warned = true
	cfg.Routes = "- {path: /, upstream: all" + c.route + "}"
	cfg.Upstreams = "  all:\n"
	for _, line := range c.settings {
		cfg.Upstreams += "    " + line + "\n"
	}
	cfg.Upstreams += "    servers:\n"
	for _, s := range c.servers {
		cfg.Upstreams += "      - {" + s + "}\n"
	}
	return rig.Start(t, cfg)
}

// namedMirrors are mirrors with those names, and lines that name them as servers,
// each with the keys behind its name.
func namedMirrors(t *testing.T, servers ...string) (lines []string) {
	t.Helper()
	for _, s := range servers {
		name, keys, _ := strings.Cut(s, " ")
		lines = append(lines, serverLine(newMirror(t, name).Addr(), keys))
	}
	return lines
}

// serverLine is a server of an upstream.
func serverLine(address, keys string) string {
	line := fmt.Sprintf("url: %q", "ws://"+address)
	if keys != "" {
		line += ", " + keys
	}
	return line
}

// wentTo sends the requests one after the other, and counts which mirror got
// how many. The tunnels stay open.
func wentTo(t *testing.T, p *rig.Proxy, requests ...string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, request := range requests {
		m := look(t, p, request)
		if m.backend == "" {
			t.Fatalf("answer %q, want one of a backend", m.Raw)
		}
		counts[m.backend]++
	}
	return counts
}

// wantCounts compares what wentTo returns.
func wantCounts(t *testing.T, got map[string]int, want string) {
	t.Helper()
	names := []string{}
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := []string{}
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s:%d", name, got[name]))
	}
	if text := strings.Join(parts, " "); text != want {
		t.Errorf("requests went to %s, want %s", text, want)
	}
}

func repeated(request string, n int) []string { return slices.Repeat([]string{request}, n) }

// TestBalanceOfOpenTunnels opens tunnels through servers of different weights.
func TestBalanceOfOpenTunnels(t *testing.T) {
	for balance, want := range map[string]string{
		"least_connection": "a:2 b:6", "fair": "a:2 b:6", "round_robin": "a:2 b:6", "random_two": "a:2 b:6",
	} {
		t.Run(balance, func(t *testing.T) {
			c := upstreamCase{settings: []string{"balance: " + balance}, servers: namedMirrors(t, "a weight: 1", "b weight: 3")}
			wantCounts(t, wentTo(t, c.start(t), repeated(upgradeTo("/x"), 8)...), want)
		})
	}
}

// TestBalanceHash has the path and the host decide.
func TestBalanceHash(t *testing.T) {
	c := upstreamCase{settings: []string{"balance: hash"}, servers: namedMirrors(t, "a", "b", "c")}
	proxy := c.start(t)
	all := map[string]int{}
	for i := range 30 {
		path := "/room/" + strconv.Itoa(i)
		got := wentTo(t, proxy, upgradeTo(path), upgradeTo(path+"?x=1"), withHost("EXAMPLE.test", upgradeTo(path)))
		if len(got) != 1 {
			t.Errorf("%s goes to %v", path, got)
		}
		for name := range got {
			all[name]++
		}
	}
	if len(all) != 3 {
		t.Errorf("30 paths go to %v", all)
	}
	hosts := map[string]int{}
	for i := range 30 {
		m := look(t, proxy, withHost(fmt.Sprintf("h%d.test", i), upgradeTo("/x")))
		hosts[m.backend]++
	}
	if len(hosts) != 3 {
		t.Errorf("30 hosts go to %v", hosts)
	}
}

// announced is a request of a client that a load balancer speaks for.
func announced(client, request string) string {
	return fmt.Sprintf("PROXY TCP4 %s %s 1 2\r\n%s", client, client, request)
}

// TestBalanceSticky has the client's address decide.
func TestBalanceSticky(t *testing.T) {
	c := upstreamCase{
		settings: []string{"balance: sticky"}, servers: namedMirrors(t, "a", "b", "c"),
		config: rig.Config{ListenerX: "proxy_protocol: required"},
	}
	proxy := c.start(t)
	all := map[string]int{}
	for i := range 30 {
		client := "192.0.2." + strconv.Itoa(i)
		got := wentTo(t, proxy, announced(client, upgradeTo("/x")), announced(client, upgradeTo("/y")))
		if len(got) != 1 {
			t.Errorf("%s goes to %v", client, got)
		}
		for name := range got {
			all[name]++
		}
	}
	if len(all) != 3 {
		t.Errorf("30 clients go to %v", all)
	}
}

// djb is the hash that lighttpd has.
func djb(seed uint32, text string) uint32 {
	for i := range len(text) {
		seed = (seed<<5 + seed) ^ uint32(text[i])
	}
	return seed
}

// lighttpdChoice is the index of the address that lighttpd takes for a hash.
func lighttpdChoice(hash uint32, addresses []string) (chosen int) {
	most := uint32(0)
	for i, address := range addresses {
		host, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		if score := hash ^ djb(5381, host) ^ uint32(n); score >= most {
			chosen, most = i, score
		}
	}
	return chosen
}

// TestBalanceOfLighttpd takes the servers that lighttpd would take.
func TestBalanceOfLighttpd(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	var addresses, servers []string
	for _, name := range names {
		mirror := newMirror(t, name)
		addresses = append(addresses, mirror.Addr())
		servers = append(servers, serverLine(mirror.Addr(), ""))
	}
	byHash := (&upstreamCase{settings: []string{"balance: lighttpd_hash"}, servers: servers}).start(t)
	byClient := (&upstreamCase{
		settings: []string{"balance: lighttpd_sticky"}, servers: servers,
		config: rig.Config{ListenerX: "proxy_protocol: required"},
	}).start(t)
	for i := range 30 {
		path := "/chat/" + strconv.Itoa(i*i*7919)
		want := names[lighttpdChoice(djb(djb(5381, path), "example.test"), addresses)]
		if m := look(t, byHash, upgradeTo(path)); m.backend != want {
			t.Errorf("%s goes to %q, with lighttpd to %q", path, m.backend, want)
		}
		client := fmt.Sprintf("10.%d.%d.%d", i*7%250, i*31%250, i+1)
		want = names[lighttpdChoice(djb(5381, client), addresses)]
		if m := look(t, byClient, announced(client, upgradeTo("/x"))); m.backend != want {
			t.Errorf("%s goes to %q, with lighttpd to %q", client, m.backend, want)
		}
	}
}

// TestBalanceByTraffic moves bytes through one tunnel that stays open: they count
// all the same, whoever serves it.
func TestBalanceByTraffic(t *testing.T) {
	for name, serve := range map[string]string{"in the loop": "on", "by goroutines": "off"} {
		t.Run(name, func(t *testing.T) {
			c := upstreamCase{
				settings: []string{"balance: by_traffic"}, servers: namedMirrors(t, "a", "b"),
				route: ", tunnel: {async: " + serve + "}",
			}
			proxy := c.start(t)
			client, m := lookThrough(t, proxy, upgradeTo("/busy"))
			client.WantEcho(pattern(3, 100_000))
			wantOthers(t, proxy, m.backend, upgradeTo("/quiet"))
		})
	}
}

// TestBalanceByTrafficOfHTTP does so by an ordinary answer.
func TestBalanceByTrafficOfHTTP(t *testing.T) {
	c := upstreamCase{
		settings: []string{"balance: by_traffic"}, servers: namedMirrors(t, "a", "b"), route: ", mode: http",
	}
	proxy := c.start(t)
	body := pattern(4, 100_000)
	m := look(t, proxy, fmt.Sprintf("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	wantOthers(t, proxy, m.backend, upgradeTo("/quiet"))
}

// wantOthers waits until requests go to others than busy. Before its traffic is
// counted, each server gets every second one.
func wantOthers(t *testing.T, proxy *rig.Proxy, busy, request string) {
	t.Helper()
	rig.Eventually(t, rig.Soon, "the busy server is spared", func() bool {
		for range 5 {
			if look(t, proxy, request).backend == busy {
				return false
			}
		}
		return true
	})
}

// TestSetsAndStatus has reserves come into action one after the other.
func TestSetsAndStatus(t *testing.T) {
	mirrors := map[string]*rig.Backend{}
	var servers []string
	for _, s := range []string{
		"normal", "other", "spare status: spare", "standby status: standby", "far set: 1",
		"draining status: drain, route: d", "disabled status: disabled, route: x",
	} {
		name, keys, _ := strings.Cut(s, " ")
		mirrors[name] = newMirror(t, name)
		servers = append(servers, serverLine(mirrors[name].Addr(), keys))
	}
	c := upstreamCase{settings: []string{"balance: round_robin", "sticky_cookie: {name: sid}", "disable_time: 1h"}, servers: servers}
	proxy := c.start(t)
	four := repeated(upgradeTo("/x"), 4)
	// Two are no use to new clients: one spare does not make up for that, but does what it can.
	wantCounts(t, wentTo(t, proxy, append(four, upgradeTo("/x"), upgradeTo("/x"))...), "normal:2 other:2 spare:2")
	withCookie := func(value string) string { return rig.UpgradeRequest("/x", "Cookie: sid="+value) }
	wantCounts(t, wentTo(t, proxy, withCookie("1.d"), withCookie("d")), "draining:2")
	if got := wentTo(t, proxy, withCookie("1.x")); got["disabled"] != 0 {
		t.Error("a disabled server got a client of its own")
	}
	mirrors["normal"].Close()
	wantCounts(t, wentTo(t, proxy, four...), "other:2 spare:2")
	mirrors["other"].Close()
	wantCounts(t, wentTo(t, proxy, four...), "spare:4")
	mirrors["spare"].Close()
	wantCounts(t, wentTo(t, proxy, four...), "standby:4")
	mirrors["standby"].Close()
	wantCounts(t, wentTo(t, proxy, four...), "far:4")
	mirrors["far"].Close()
	if m := look(t, proxy, four[0]); m.Status != 503 {
		t.Errorf("answer %q, want 503", m.Raw)
	}
}

// TestSource dials from the addresses in turn, for tunnels and for HTTP.
func TestSource(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	c := upstreamCase{
		settings: []string{"source: [127.0.0.2, 127.0.0.3]"}, servers: []string{serverLine(backend.Addr(), "")}, route: ", mode: http",
	}
	proxy := c.start(t)
	for i, request := range []string{upgradeTo("/a"), upgradeTo("/b"), getRequest("/c"), getRequest("/d")} {
		rig.Dial(t, proxy.Addr(0)).Put(request)
		server := backend.Next()
		server.WantHead()
		host, _, _ := net.SplitHostPort(server.RemoteAddr().String())
		if want := []string{"127.0.0.2", "127.0.0.3"}[i%2]; host != want {
			t.Errorf("connection %d comes from %s, want %s", i, host, want)
		}
	}
}

// TestSourceOfAnotherMachine is an error at the start, with its place.
func TestSourceOfAnotherMachine(t *testing.T) {
	res := rig.RunFailing(t, rig.Config{
		Routes:    "- {path: /, upstream: all}",
		Upstreams: "  all:\n    source: [192.0.2.1]\n    servers: [{url: \"ws://127.0.0.1:9\"}]\n",
	})
	if res.Code != 1 || !strings.Contains(res.Stderr, "dial from 192.0.2.1") || !strings.Contains(res.Stderr, "wsplice.yaml:") {
		t.Errorf("exit code %d, stderr %q", res.Code, res.Stderr)
	}
}
