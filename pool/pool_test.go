package pool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m, netpoll.Initialize) }

const patience = 10 * time.Second

// every is all balances.
var every = map[string]Balance{
	"least_connection": LeastConnection, "round_robin": RoundRobin, "hash": Hash, "sticky": Sticky,
	"lighttpd_hash": LighttpdHash, "lighttpd_sticky": LighttpdSticky, "by_traffic": ByTraffic, "random_two": RandomTwo,
}

// servers returns n servers called 10.0.0.1:9000 and so on.
func servers(t testing.TB, n int) []*Server {
	t.Helper()
	var list []*Server
	for i := range n {
		s, err := NewServer(context.Background(), "tcp", fmt.Sprintf("10.0.%d.%d:9000", i/250, i%250+1), "h")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// members makes members of so many servers as there are weights.
func members(t testing.TB, weights ...int) []Member {
	t.Helper()
	var list []Member
	for i, s := range servers(t, len(weights)) {
		list = append(list, Member{Server: s, Weight: weights[i]})
	}
	return list
}

func build(t testing.TB, c Config) *Upstream {
	t.Helper()
	c.Name = "u"
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// equal is an upstream of n equal servers.
func equal(t testing.TB, balance Balance, n int) *Upstream {
	t.Helper()
	u, err := NewUpstream("u", balance, servers(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A fakeClock stands still until it is moved.
type fakeClock struct{ at atomic.Int64 }

func (c *fakeClock) now() time.Duration   { return time.Duration(c.at.Load()) }
func (c *fakeClock) pass(d time.Duration) { c.at.Add(int64(d)) }

// stopClock has u see a clock of the test.
func stopClock(u *Upstream) *fakeClock {
	c := new(fakeClock)
	c.pass(time.Hour)
	u.clock = c.now
	return c
}

// indexOf returns which server of u s is, -1 for none.
func indexOf(u *Upstream, s *Server) int {
	for i, known := range u.servers {
		if s == known {
			return i
		}
	}
	return -1
}

// pickOne picks for a new request, and returns which server it was, or -1.
func pickOne(u *Upstream, key Key) int {
	var tried Tried
	return indexOf(u, u.Pick(&tried, key))
}

// pickAll picks for a request until nothing is left, and returns the order.
func pickAll(u *Upstream, key Key) (order []int) {
	var tried Tried
	for s := u.Pick(&tried, key); s != nil; s = u.Pick(&tried, key) {
		s.Release()
		order = append(order, indexOf(u, s))
	}
	return order
}

// pathKey is the key of a request for a path of example.com, from an address
// that depends on it.
func pathKey(u *Upstream, i int) Key {
	client := netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
	return u.KeyOf(&Request{Authority: []byte("example.com"), Path: fmt.Appendf(nil, "/room/%d", i), Client: client})
}

func TestNewServerErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, address := range []string{"127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:http", "no-such-host.invalid:80"} {
		if _, err := NewServer(ctx, "tcp", address, ""); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
	if _, err := NewServer(ctx, "unix", "", ""); !errors.Is(err, sys.ErrUnixPath) {
		t.Errorf("empty unix path: %v", err)
	}
	s, err := NewServer(ctx, "unix", "/run/x.sock", "")
	if err != nil || s.Name() != "unix:/run/x.sock" || len(s.Addresses()) != 1 {
		t.Errorf("unix server: %+v, %v", s, err)
	}
}

func TestNewErrors(t *testing.T) {
	if _, err := NewUpstream("u", RoundRobin, nil); !errors.Is(err, ErrNoServer) {
		t.Errorf("no server: %v", err)
	}
	if _, err := NewUpstream("u", RoundRobin, servers(t, serversMax+1)); !errors.Is(err, ErrTooManyServers) {
		t.Errorf("too many servers: %v", err)
	}
	for _, m := range []Member{{Weight: 0}, {Weight: 101}, {Weight: 1, Set: -1}, {Weight: 1, Set: 100}} {
		m.Server = servers(t, 1)[0]
		if _, err := New(Config{Members: []Member{m}}); !errors.Is(err, ErrMember) {
			t.Errorf("weight %d, set %d: %v", m.Weight, m.Set, err)
		}
	}
	// TEST-NET-1 (RFC 5737) is no machine's.
	_, err := New(Config{Members: members(t, 1), Source: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	if !errors.Is(err, sys.EADDRNOTAVAIL) {
		t.Errorf("a source that is not here: %v", err)
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a lease was released twice without a panic")
		}
	}()
	servers(t, 1)[0].Release()
}

func TestSourcesTakeTurns(t *testing.T) {
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	u := build(t, Config{Members: members(t, 1), Source: []netip.Addr{one, two}})
	for i := range 4 {
		want := []netip.Addr{one, two}[i%2]
		if got, ok := u.Source(sys.AFInet); !ok || got != want {
			t.Errorf("turn %d: %v", i, got)
		}
	}
	for _, family := range []int{sys.AFInet6, sys.AFUnix} {
		if got, ok := u.Source(family); ok {
			t.Errorf("%v for a socket that cannot have it", got)
		}
	}
}

func TestAddressesTakeTurns(t *testing.T) {
	list := func(texts ...string) (list []sys.Sockaddr) {
		for _, text := range texts {
			list = append(list, sys.TCPAddr(netip.AddrPortFrom(netip.MustParseAddr(text), 9), 0))
		}
		return list
	}
	for name, c := range map[string]struct {
		addrs []sys.Sockaddr
		want  [][]int // the orders, one after the other
	}{
		"three":          {list("::1", "::2", "::3"), [][]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}}},
		"one":            {list("127.0.0.1"), [][]int{{0}, {0}}},
		"one of each":    {list("127.0.0.1", "::1"), [][]int{{0, 1}, {0, 1}}},
		"two and others": {list("::1", "::2", "127.0.0.1", "127.0.0.2"), [][]int{{0, 1, 2, 3}, {1, 0, 2, 3}, {0, 1, 2, 3}}},
	} {
		s := servers(t, 1)[0]
		for i, want := range c.want {
			turn, got := s.Turn(c.addrs), []int{}
			for tried := range c.addrs {
				got = append(got, turn.Index(tried))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: order %d is %v, want %v", name, i, got, want)
			}
		}
	}
}

// A slice that was handed out stays as it is.
func TestSetAddresses(t *testing.T) {
	u := equal(t, RoundRobin, 2)
	s := u.Servers()[0]
	before := s.Addresses()
	was := before[0]
	s.SetAddresses([]sys.Sockaddr{sys.TCPAddr(netip.MustParseAddrPort("127.0.0.9:9"), 0)})
	if len(before) != 1 || before[0] != was {
		t.Error("the old slice was changed")
	}
	if got := s.Addresses(); len(got) != 1 || got[0].AddrPort().String() != "127.0.0.9:9" {
		t.Errorf("addresses %v", got)
	}
	s.SetAddresses(nil)
	if s.Up() {
		t.Error("a server without an address is up")
	}
	for range 4 {
		if pickOne(u, Key{}) != 1 {
			t.Fatal("a server without an address was picked")
		}
	}
}

func TestStats(t *testing.T) {
	u := build(t, Config{Members: members(t, 1, 1), DisableTime: time.Hour})
	var tried Tried
	u.Pick(&tried, Key{})
	second := u.Pick(&tried, Key{})
	second.Failed(sys.ECONNREFUSED)
	second.Release()
	got := u.Stats()
	name := func(s *Server) string { return s.Name() }
	want := []ServerStats{
		{Upstream: "u", Server: name(u.servers[0]), Up: true, Open: 1, Picks: 1},
		{Upstream: "u", Server: name(u.servers[1]), Picks: 1, Failures: 1},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("server %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}
