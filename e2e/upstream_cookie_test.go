package e2e

import (
	"fmt"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestStickyCookie follows clients by a cookie that wsplice sets, for tunnels and
// for ordinary requests.
func TestStickyCookie(t *testing.T) {
	mirrors := []*rig.Backend{newMirror(t, "a"), newMirror(t, "b"), newMirror(t, "c")}
	c := upstreamCase{
		settings: []string{"balance: round_robin", "sticky_cookie: {name: node, insert: on}", "disable_time: 1h"},
		servers: []string{
			serverLine(mirrors[0].Addr(), "route: one"), serverLine(mirrors[1].Addr(), "route: two"),
			serverLine(mirrors[2].Addr(), "route: three"),
		},
		route: ", mode: http",
	}
	proxy := c.start(t)
	routes := map[string]string{"a": "one", "b": "two", "c": "three"}
	for name, request := range map[string]func(lines ...string) string{
		"a tunnel": func(lines ...string) string { return rig.UpgradeRequest("/x", lines...) },
		"HTTP":     func(lines ...string) string { return getRequest("/x", lines...) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				first := look(t, proxy.In(t), request())
				want := "node=" + routes[first.backend] + "; Path=/; HttpOnly; SameSite=Lax"
				if got := first.Header.Get("Set-Cookie"); got != want {
					t.Fatalf("answer %q, want Set-Cookie: %s", first.Raw, want)
				}
				for range 3 {
					m := look(t, proxy.In(t), request("Cookie: other=x; node="+routes[first.backend]))
					if m.backend != first.backend || m.Header.Get("Set-Cookie") != "" {
						t.Errorf("with the cookie of %s: %q", first.backend, m.Raw)
					}
				}
			}
		})
	}
	// Whose server is gone gets another one, and its cookie.
	mirrors[1].Close()
	m := look(t, proxy, rig.UpgradeRequest("/x", "Cookie: node=two"))
	if m.Status != 101 || m.backend == "b" || !strings.HasPrefix(m.Header.Get("Set-Cookie"), "node="+routes[m.backend]+";") {
		t.Errorf("after the server has gone: %q", m.Raw)
	}
}

// TestStickyCookieOfAnEndpoint follows clients whose 101 is of wsplice itself.
func TestStickyCookieOfAnEndpoint(t *testing.T) {
	needsWsplice(t)
	servers := ""
	for _, name := range []string{"A", "B"} {
		servers += fmt.Sprintf("      - {url: \"tcp://%s\", route: %s}\n", greetingBackend(t, "127.0.0.1:0", name).Addr(), name)
	}
	proxy := rig.Start(t, rig.Config{
		Routes:    "- {path: /, mode: endpoint, upstream: all}",
		Upstreams: "  all:\n    balance: round_robin\n    sticky_cookie: {name: node, insert: on}\n    servers:\n" + servers,
	})
	open := func(lines ...string) (cookie, name string) {
		client := rig.Dial(t, proxy.Addr(0))
		defer func() { _ = client.Close() }()
		client.Put(rig.UpgradeRequest("/", lines...))
		return client.Answer().Header.Get("Set-Cookie"), strings.TrimPrefix(readAnyFrame(t, client), "text ")
	}
	for range 4 {
		cookie, name := open()
		if want := "node=" + name + "; Path=/; HttpOnly; SameSite=Lax"; cookie != want {
			t.Errorf("the cookie is %q, want %q", cookie, want)
		}
		if again, other := open("Cookie: node=" + name); again != "" || other != name {
			t.Errorf("with the cookie of %s: %s, Set-Cookie %q", name, other, again)
		}
	}
}

// TestStickyCookieBehindADot is Apache's rule: the application's session, a dot,
// and the route. wsplice then sets nothing.
func TestStickyCookieBehindADot(t *testing.T) {
	c := upstreamCase{
		settings: []string{"sticky_cookie: {name: JSESSIONID}"}, servers: namedMirrors(t, "a route: a", "b route: b"),
	}
	proxy := c.start(t)
	for _, name := range []string{"a", "b", "a", "b"} {
		m := look(t, proxy, rig.UpgradeRequest("/x", "Cookie: JSESSIONID=0123456789ABCDEF."+name))
		if m.backend != name || m.Header.Get("Set-Cookie") != "" {
			t.Errorf("session of %s: %q", name, m.Raw)
		}
	}
	if m := look(t, proxy, upgradeTo("/x")); m.Status != 101 || m.Header.Get("Set-Cookie") != "" {
		t.Errorf("without a cookie: %q", m.Raw)
	}
}

// TestStickyCookieAndEarlyBytes has the field stand in the head, whatever comes
// with it: frames behind the 101 in one piece.
func TestStickyCookieAndEarlyBytes(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	c := upstreamCase{
		settings: []string{"sticky_cookie: {name: node, insert: on}"}, servers: []string{serverLine(backend.Addr(), "route: one")},
	}
	proxy := c.start(t)
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/x"))
	server := backend.Next()
	server.WantHead()
	const frame = "\x81\x05hello"
	server.Put(rig.SwitchingProtocols(rig.Key) + frame)
	if a := client.Answer(); a.Status != 101 || !strings.HasPrefix(a.Header.Get("Set-Cookie"), "node=one;") {
		t.Errorf("answer %q", a.Raw)
	}
	client.Want(frame)
	server.Put(frame)
	client.Want(frame)
	mark := proxy.Logs.Mark()
	_ = server.Close()
	line := proxy.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
	if n := line.Number("down_bytes"); n != float64(2*len(frame)) {
		t.Errorf("%v bytes went down, want %d: the head is none of the tunnel's", n, 2*len(frame))
	}
}
