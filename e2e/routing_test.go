package e2e

import (
	"fmt"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A routed request names the backend that must get it and the target it must
// see there. An empty backend stands for 404.
type routed struct{ host, target, backend, seen string }

func TestRoutes(t *testing.T) {
	needsWsplice(t)
	backends := map[string]*rig.Backend{}
	for _, name := range []string{"segment", "slash", "hosts", "star", "other", "root"} {
		backends[name] = rig.NewBackend(t, nil)
	}
	to := func(name, path string) string { return fmt.Sprintf("%q", backends[name].URL()+path) }
	proxy := rig.Start(t, rig.Config{Routes: `
- {path: /seg, to: ` + to("segment", "/base") + `}
- {path: /dir/, to: ` + to("slash", "/") + `}
- {path: /h/, hosts: [example.com], to: ` + to("hosts", "/") + `}
- {path: /h/, hosts: ["*.example.com"], to: ` + to("star", "/") + `}
- {path: /h/sub/, to: ` + to("other", "/") + `}
- {path: /Root, to: ` + to("root", "") + `}`})
	cases := map[string]routed{
		"the query is appended":            {"x.test", "/seg/a?x=1", "segment", "/base/a?x=1"},
		"the prefix alone":                 {"x.test", "/seg", "segment", "/base"},
		"the prefix alone with a query":    {"x.test", "/seg?x=1", "segment", "/base?x=1"},
		"a prefix ends at a segment":       {"x.test", "/segx", "", ""},
		"encoded bytes stay as they are":   {"x.test", "/seg/a%20b%2Fc?%00", "segment", "/base/a%20b%2Fc?%00"},
		"a prefix with a slash":            {"x.test", "/dir/a/b", "slash", "/a/b"},
		"a prefix with a slash alone":      {"x.test", "/dir/", "slash", "/"},
		"a prefix with a slash without it": {"x.test", "/dir", "", ""},
		"case matters in paths":            {"x.test", "/Dir/a", "", ""},
		"a host":                           {"example.com", "/h/a", "hosts", "/a"},
		"a host with a port":               {"example.com:8080", "/h/a", "hosts", "/a"},
		"a host in upper case":             {"EXAMPLE.com", "/h/a", "hosts", "/a"},
		"a host with a star":               {"chat.example.com", "/h/a", "star", "/a"},
		"a host that only ends the same":   {"evilexample.com", "/h/a", "", ""},
		"another host":                     {"example.org", "/h/a", "", ""},
		"another host, a later route":      {"example.org", "/h/sub/a", "other", "/a"},
		"the first route wins":             {"example.com", "/h/sub/a", "hosts", "/sub/a"},
		"a target without a path":          {"x.test", "/Root/a", "root", "/a"},
		"a target without anything left":   {"x.test", "/Root", "root", "/"},
		"no route":                         {"x.test", "/none", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { c.check(t, proxy, backends) })
	}
}

func (c routed) check(t *testing.T, proxy *rig.Proxy, backends map[string]*rig.Backend) {
	client := rig.Dial(t, proxy.In(t).Addr(0))
	client.Put(strings.Replace(upgradeTo(c.target), "example.test", c.host, 1))
	if c.backend == "" {
		if a := client.Answer(); a.Status != 404 {
			t.Errorf("answer %q, want 404", a.Raw)
		}
		return
	}
	// Watching all of them tells which one was wrongly chosen.
	want := backends[c.backend].In(t)
	rig.Eventually(t, rig.Soon, "the right backend is contacted", func() bool {
		for name, b := range backends {
			if name != c.backend && b.Pending() > 0 {
				t.Fatalf("backend %s is contacted, want %s", name, c.backend)
			}
		}
		return want.Pending() > 0
	})
	head := want.Next().WantHead()
	if head.Target != c.seen {
		t.Errorf("the backend sees %q, want %q", head.Target, c.seen)
	}
	if host := head.Get("Host"); host != want.Addr() {
		t.Errorf("the backend sees Host %q, want %q", host, want.Addr())
	}
}

func TestRouteToUnixSocket(t *testing.T) {
	needsWsplice(t)
	path := rig.TempDir(t, 0) + "/backend.sock"
	backend := rig.NewBackendAt(t, "unix:"+path, nil)
	proxy := rig.Start(t, rig.Config{Routes: fmt.Sprintf(`- {path: /ws/, to: "unix:%s"}`, path)})
	client, server := rig.Open(proxy, backend, "/ws/a?b=c")
	client.Put("up")
	server.Want("up")
	server.Put("down")
	client.Want("down")
	client.CloseWrite()
	server.WantEnd()
}

func TestPreserveHost(t *testing.T) {
	needsWsplice(t)
	backend := rig.NewBackend(t, nil)
	proxy := rig.Start(t, rig.Config{
		Routes: fmt.Sprintf(`- {path: /ws/, to: "%s/", preserve_host: true}`, backend.URL()),
	})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	if host := backend.Next().WantHead().Get("Host"); host != "example.test" {
		t.Errorf("the backend sees Host %q, want the client's", host)
	}
}
