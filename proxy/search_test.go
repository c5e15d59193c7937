package proxy

import (
	"strings"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/pool"
)

// server returns one with those addresses; the first names it.
func server(t testing.TB, addresses ...string) *pool.Server {
	t.Helper()
	s, err := pool.NewServer(t.Context(), "tcp", addresses[0], "h")
	if err != nil {
		t.Fatal(err)
	}
	var list []sys.Sockaddr
	for _, address := range addresses {
		other, err := pool.NewServer(t.Context(), "tcp", address, "h")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, other.Addresses()...)
	}
	s.SetAddresses(list)
	return s
}

// toServers has the rig's route lead to servers, in this order of sets. A server
// that fails is left out for an hour.
func toServers(t testing.TB, settings pool.Config, servers func(live string) []*pool.Server) func(*Config) {
	return func(c *Config) {
		settings.Name, settings.DisableTime = "all", time.Hour
		for i, s := range servers(c.Routes[0].Upstream.Servers()[0].Name()) {
			settings.Members = append(settings.Members, pool.Member{Server: s, Weight: 1, Set: i, Route: string(rune('a' + i))})
		}
		upstream, err := pool.New(settings)
		if err != nil {
			t.Fatal(err)
		}
		c.Routes[0].Upstream = upstream
	}
}

// dialsInARow bounds how many tunnels these tests open one after the other.
const dialsInARow = 6

// A server has not failed while one of its addresses can be connected to. Each
// connect begins with the next one.
func TestEveryAddressOfAServer(t *testing.T) {
	r := newRig(t, toServers(t, pool.Config{}, func(live string) []*pool.Server {
		return []*pool.Server{server(t, closedPort().String(), live, closedPort().String())}
	}))
	for range dialsInARow {
		client, _ := r.tunnel()
		client.Close()
	}
	stats := r.server.Stats()
	// Beginning with the first, the second and the third: one, none and two fail.
	if want := uint64(dialsInARow); stats.DialFailures != want {
		t.Errorf("%d connects failed, want %d", stats.DialFailures, want)
	}
	if s := stats.Servers[0]; !s.Up || s.Failures != 0 || s.Picks != dialsInARow {
		t.Errorf("the server's figures are %+v", s)
	}
}

func TestServerFailsWithItsLastAddress(t *testing.T) {
	r := newRig(t, toServers(t, pool.Config{Retries: 1}, func(live string) []*pool.Server {
		return []*pool.Server{server(t, closedPort().String(), closedPort().String()), server(t, live)}
	}))
	for range dialsInARow {
		r.tunnel()
	}
	stats := r.server.Stats()
	if stats.DialFailures != 2 {
		t.Errorf("%d connects failed, want those of the first tunnel to both addresses", stats.DialFailures)
	}
	first, second := stats.Servers[0], stats.Servers[1]
	if first.Up || first.Failures != 1 || first.Picks != 1 || first.Open != 0 {
		t.Errorf("the first server's figures are %+v", first)
	}
	if !second.Up || second.Failures != 0 || second.Open != dialsInARow {
		t.Errorf("the second server's figures are %+v", second)
	}
}

// A server whose addresses go away between pick and connect costs nothing but
// the pick; one that never had any is not picked.
func TestServerWithoutAddresses(t *testing.T) {
	r := newRig(t, toServers(t, pool.Config{Retries: 1}, func(live string) []*pool.Server {
		gone := server(t, closedPort().String())
		gone.SetAddresses(nil)
		return []*pool.Server{gone, server(t, live)}
	}))
	r.tunnel()
	if s := r.server.Stats().Servers; s[0].Picks != 0 || s[1].Picks != 1 {
		t.Errorf("figures %+v", s)
	}
}

// A client that gives up while its backend is being connected to says nothing
// about the server.
func TestImpatientClientBlamesNobody(t *testing.T) {
	t.Cleanup(unblock)
	r := newRig(t, func(c *Config) {
		toServers(t, pool.Config{}, func(live string) []*pool.Server { return []*pool.Server{server(t, live)} })(c)
		fullBacklog(c)
	})
	client := r.dial()
	write(t, client, upgradeRequest)
	r.took(stateReading, stateDialing)
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	r.took(stateDialing, stateClosing)
	r.took(stateClosing, stateFree)
	if s := r.server.Stats().Servers[0]; !s.Up || s.Failures != 0 || s.Open != 0 {
		t.Errorf("the server's figures are %+v", s)
	}
}

// The cookie goes into the head and nowhere else, before bytes that came early.
func TestCookieInTheHead(t *testing.T) {
	settings := pool.Config{Cookie: pool.Cookie{Name: "node", Insert: true}}
	r := newRig(t, toServers(t, settings, func(live string) []*pool.Server { return []*pool.Server{server(t, live)} }))
	head := strings.TrimSuffix(upgradeAnswer, "\r\n")
	for _, cookie := range []string{"", "node=a"} {
		want := head + "Set-Cookie: node=a; Path=/; HttpOnly; SameSite=Lax\r\n\r\nearly"
		request := upgradeRequest
		if cookie != "" {
			want, request = upgradeAnswer+"early", withLines(request, "Cookie: "+cookie)
		}
		client, backend, _ := r.ask(request)
		write(t, backend, upgradeAnswer+"early")
		expect(t, client, want)
		client.Close()
	}
}
