package proxy

import (
	"net"
	"strings"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

// openAs opens a tunnel as an announced client.
func (r *rig) openAs(source string) (client, backend *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	write(r.t, client, header(r.t, 2, source)+upgradeRequest)
	backend, _ = r.accept()
	write(r.t, backend, upgradeAnswer)
	expect(r.t, client, upgradeAnswer)
	return client, backend
}

// refusedAs expects a refusal for an announced client.
func (r *rig) refusedAs(source, status string) {
	r.t.Helper()
	client := r.dial()
	write(r.t, client, header(r.t, 2, source)+upgradeRequest)
	text := expectEnd(r.t, client)
	if !strings.HasPrefix(text, "HTTP/1.1 "+status+" ") || !strings.Contains(text, "\r\nRetry-After: ") {
		r.t.Fatalf("answer %q, want %s with Retry-After", text, status)
	}
	client.Close()
}

// limited has a limit for each client, announced by PROXY headers.
func limited(perIP int) func(*Config) {
	return func(c *Config) {
		proxied(GreetingRequired)(c)
		c.Limits.TunnelsPerIP = perIP
	}
}

func TestTunnelsPerIP(t *testing.T) {
	tests := []struct{ name, first, second, other string }{
		{"IPv4", "192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"IPv6 by network", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
		{"mapped", "192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, limited(2))
			client, backend := r.openAs(test.first)
			r.openAs(test.second)
			r.refusedAs(test.first, "429")
			r.refusedAs(test.second, "429")
			r.openAs(test.other)
			if n := r.server.Stats().Refusals["tunnels_per_ip"]; n != 2 {
				t.Errorf("%d refusals are counted", n)
			}
			client.Close()
			expectEnd(t, backend)
			backend.Close()
			testutil.Eventually(t, patience, "one to end", func() bool { return r.server.tunnels.Load() == 2 })
			r.openAs(test.second)
			r.refusedAs(test.first, "429")
		})
	}
}

// Without a header, the socket's address counts.
func TestTunnelsPerIPOfSockets(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.TunnelsPerIP = 1 })
	r.tunnel()
	second := r.dial()
	write(t, second, upgradeRequest)
	expectAnswer(t, second, "429")
}

// What is refused by one limit is not counted by the others, and what a backend
// refuses is given back although the connection stays.
func TestNothingStaysCounted(t *testing.T) {
	t.Run("tunnels", func(t *testing.T) {
		r := newRig(t, func(c *Config) { limited(2)(c); c.Limits.Tunnels = 1 })
		r.openAs("192.0.2.1")
		for range 3 {
			r.refusedAs("192.0.2.1", "503")
		}
		if n := r.server.tunnels.Load(); n != 1 {
			t.Errorf("%d tunnels are counted", n)
		}
	})
	t.Run("rate", func(t *testing.T) {
		r := newRig(t, func(c *Config) { limited(2)(c); c.Limits.HandshakesPerSecond = 1 })
		r.openAs("192.0.2.1")
		exhaust(r)
		r.refusedAs("192.0.2.1", "429")
		r.refusedAs("192.0.2.9", "429")
		if n, clients := r.server.tunnels.Load(), r.server.addresses.Clients(); n != 1 || clients != 1 {
			t.Errorf("%d tunnels of %d clients are counted", n, clients)
		}
	})
	t.Run("backend refuses", func(t *testing.T) {
		r := newRig(t, limited(1))
		kept := r.dial()
		write(t, kept, header(t, 1, "192.0.2.1"))
		for range 3 {
			write(t, kept, upgradeRequest)
			backend, _ := r.accept()
			write(t, backend, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			expect(t, kept, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
		}
		testutil.Eventually(t, patience, "nothing counted", func() bool { return r.server.addresses.Clients() == 0 })
		r.openAs("192.0.2.1")
		write(t, kept, upgradeRequest)
		expectAnswer(t, kept, "429")
	})
}

// exhaust takes what handshakes there may be within the next hour.
func exhaust(r *rig) {
	for r.server.rate.Take(time.Now().Add(time.Hour)) {
	}
}

// A second's worth is admitted at once, whatever loops it comes to; what is
// more is refused.
func TestHandshakesPerSecond(t *testing.T) {
	const rate = 5
	r := newRig(t, func(c *Config) {
		proxied(GreetingOptional)(c)
		c.Limits.HandshakesPerSecond = rate
	})
	for range rate {
		r.tunnel()
	}
	exhaust(r)
	r.refusedAs("192.0.2.1", "429")
	r.refusedAs("192.0.2.2", "429")
	if n := r.server.Stats().Refusals["handshake_rate"]; n != 2 {
		t.Errorf("%d refusals are counted", n)
	}
}

// What is refused for another reason is no handshake.
func TestRateCountsUpgradesOnly(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.HandshakesPerSecond = 1 })
	for range 3 {
		client := r.dial()
		write(t, client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		expectAnswer(t, client, "426")
	}
	r.tunnel()
}

func TestRateComesBack(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.HandshakesPerSecond = 1
		c.Routes[0].Upstream.Servers()[0].Addresses()[0] = sys.TCPAddr(closedPort(), 0)
	})
	for r.server.rate.Take(time.Now()) {
	}
	testutil.Eventually(t, patience, "a token", func() bool {
		client := r.dial()
		defer client.Close()
		write(t, client, upgradeRequest)
		return strings.HasPrefix(expectEnd(t, client), "HTTP/1.1 503 ") // admitted: the backend is down
	})
}
