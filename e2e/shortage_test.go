package e2e

import (
	"fmt"
	"os"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A shortCase is a way to the one server of an upstream. What is short is ours:
// the server stays up.
type shortCase struct {
	name     string
	scheme   string // of the server
	route    string // keys of the route
	settings []string
	request  string // what comes too late, and in the end
	status   int    // of its answer then
	spare    uint64 // descriptors that it needs before the one for the backend
}

func shortCases() []shortCase {
	return []shortCase{
		{name: "tunnel", scheme: "ws", request: upgradeTo("/x"), status: 101, spare: 1},
		{
			name: "endpoint", scheme: "tcp", route: ", mode: endpoint, frame_type: binary", request: upgradeTo("/x"),
			status: 101, spare: 1,
		},
		{name: "HTTP", scheme: "ws", route: ", mode: http", request: getRequest("/x"), status: 200, spare: 2},
	}
}

// start runs a proxy before the backend. A server that were to blame would be out
// to the end.
func (c shortCase) start(t *testing.T, backend *rig.Backend) *rig.Proxy {
	t.Helper()
	u := upstreamCase{
		settings: append(c.settings, "disable_time: 1h"), route: c.route,
		servers: []string{fmt.Sprintf("url: %q", c.scheme+"://"+backend.Addr())},
		config:  rig.Config{Listeners: []string{"unix:" + rig.TempDir(t, 0) + "/front"}},
	}
	return u.start(t)
}

// newShortBackend is a server for every case. It tells nothing of itself, keeps
// no connection of ordinary requests, and echoes in tunnels and endpoints.
func newShortBackend(t *testing.T, scheme string) *rig.Backend {
	return rig.NewBackend(t, func(c *rig.BackendConn) {
		if scheme == "tcp" {
			c.Echo()
			return
		}
		switch err := c.ReadHead(); {
		case err != nil:
		case c.Head.Get("Upgrade") == "":
			_ = c.Answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		case c.Upgrade() == nil:
			c.Echo()
		}
	})
}

// answer returns the answer to a request of a new client, which then leaves.
func answer(t *testing.T, proxy *rig.Proxy, request string) *rig.Answer {
	t.Helper()
	client := rig.Dial(t, proxy.Addr(0))
	defer func() { _ = client.Close() }()
	client.Put(request)
	return client.Answer()
}

// wantUp ends the test when the server was blamed for anything.
func wantUp(t *testing.T, proxy *rig.Proxy, backend *rig.Backend) {
	t.Helper()
	for name, want := range map[string]float64{"up": 1, "failures_total": 0} {
		if n := serverMetric(proxy, name, backend.Addr()); n != want {
			t.Errorf("%s of the server is %v, want %v", name, n, want)
		}
	}
	if n := proxy.Metrics().Sum("wsplice_refusals_total", `reason="shortage"`); n == 0 {
		t.Error("no shortage is counted")
	}
}

// TestPortsExhausted uses up the local ports for connections to the server: who
// comes then gets 503, and whoever comes when there are ports again is served.
func TestPortsExhausted(t *testing.T) {
	const ports = 4
	needsWsplice(t)
	cases := shortCases()
	for _, c := range shortCases() {
		c.name += " from a source"
		c.settings = []string{`source: ["127.0.0.9"]`}
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ownNetwork(t)
			backend := newShortBackend(t, c.scheme)
			if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "40000 %d", 40000+ports-1), 0); err != nil {
				t.Fatal(err)
			}
			proxy := c.start(t, backend)
			var tunnels []*rig.Client
			for range ports {
				tunnels = append(tunnels, rig.MustOpenEcho(t, proxy, "/x"))
			}
			for range 3 {
				wantLimited(t, answer(t, proxy, c.request), 503)
			}
			wantUp(t, proxy, backend)
			if n := serverMetric(proxy, "open", backend.Addr()); n != ports {
				t.Errorf("%v tunnels are counted, want %d", n, ports)
			}
			backend.Reset() // no TIME_WAIT holds a port then
			for _, client := range tunnels {
				_ = client.Close()
			}
			proxy.WaitTunnels(0)
			if a := answer(t, proxy, c.request); a.Status != c.status {
				t.Errorf("with free ports: answer %q, want %d", a.Raw, c.status)
			}
			wantUp(t, proxy, backend)
		})
	}
}

// TestEMFILEWhileDialing leaves descriptors for the client and none for the
// backend.
func TestEMFILEWhileDialing(t *testing.T) {
	needsWsplice(t)
	for _, c := range shortCases() {
		for spare := uint64(1); spare <= c.spare; spare++ {
			t.Run(fmt.Sprintf("%s, %d left", c.name, spare), func(t *testing.T) {
				backend := newShortBackend(t, c.scheme)
				proxy := c.start(t, backend)
				start := proxy.SettledUsage()
				if a := answer(t, proxy, c.request); a.Status != c.status {
					t.Fatalf("before: answer %q, want %d", a.Raw, c.status)
				}
				proxy.WaitUsage(rigSettle, start) // a descriptor that becomes free later would be one too many
				undo := limitFiles(t, proxy.PID, lowestFree(t, proxy.PID)+spare)
				a := answer(t, proxy, c.request)
				undo()
				wantLimited(t, a, 503)
				wantUp(t, proxy, backend)
				if a := answer(t, proxy, c.request); a.Status != c.status {
					t.Errorf("afterwards: answer %q, want %d", a.Raw, c.status)
				}
			})
		}
	}
}
