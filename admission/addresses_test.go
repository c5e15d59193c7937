package admission

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

func TestWhoIsOneClient(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"IPv4", "192.0.2.1", "192.0.2.1", true},
		{"neighbours in IPv4", "192.0.2.1", "192.0.2.2", false},
		{"mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"neighbouring /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"zones of one network", "fe80::1%eth0", "fe80::2%eth1", true},
		{"an IPv6 network with the bits of an IPv4 address", "192.0.2.1", "0:0:c000:201::1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := netip.MustParseAddr(test.a), netip.MustParseAddr(test.b)
			table := NewAddresses(1)
			if !table.Take(a) {
				t.Fatal("the first is refused")
			}
			if took := table.Take(b); took == test.same {
				t.Fatalf("the second: %v", took)
			}
			if !test.same {
				table.Give(a)
			}
			table.Give(b) // where they are the same, it is what a took
			if n := table.Clients(); n != 0 {
				t.Errorf("%d clients left", n)
			}
		})
	}
}

func TestAddressesLimit(t *testing.T) {
	table, ip := NewAddresses(3), netip.MustParseAddr("192.0.2.1")
	for range 3 {
		if !table.Take(ip) {
			t.Fatal("refused below the limit")
		}
	}
	for range 2 {
		if table.Take(ip) {
			t.Fatal("allowed above the limit")
		}
	}
	table.Give(ip)
	if !table.Take(ip) || table.Take(ip) {
		t.Error("one Give is not worth one Take")
	}
}

func TestNotCounted(t *testing.T) {
	unlimited, limited := NewAddresses(0), NewAddresses(1)
	for range 3 {
		if !unlimited.Take(netip.MustParseAddr("192.0.2.1")) || !limited.Take(netip.Addr{}) {
			t.Fatal("refused")
		}
	}
	unlimited.Give(netip.MustParseAddr("192.0.2.1"))
	limited.Give(netip.Addr{})
	if n := unlimited.Clients() + limited.Clients(); n != 0 {
		t.Errorf("%d clients are counted", n)
	}
}

func TestGiveWithoutTakePanics(t *testing.T) {
	table, ip := NewAddresses(1), netip.MustParseAddr("192.0.2.1")
	table.Take(ip)
	table.Give(ip)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
		if !table.Take(ip) {
			t.Error("the table is broken, or still locked")
		}
	}()
	table.Give(ip)
}

// However loops cross, nobody holds more than allowed and nothing is left.
func TestAddressesFromManyLoops(t *testing.T) {
	const most, loops, rounds, clients = 3, 8, 2000, 5
	table := NewAddresses(most)
	var mu sync.Mutex
	var held [clients]int
	var loop sync.WaitGroup
	for n := range loops {
		loop.Go(func() {
			for i := range rounds {
				c := (i + n) % clients
				ip := netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d::%d", c, n))
				if !table.Take(ip) {
					continue
				}
				mu.Lock()
				if held[c]++; held[c] > most {
					t.Errorf("client %d holds %d", c, held[c])
				}
				mu.Unlock()
				mu.Lock()
				held[c]--
				mu.Unlock()
				table.Give(ip)
			}
		})
	}
	loop.Wait()
	if n := table.Clients(); n != 0 {
		t.Errorf("%d clients left", n)
	}
}

func TestKnownAddressDoesNotAllocate(t *testing.T) {
	table := NewAddresses(10)
	for _, text := range []string{"192.0.2.1", "2001:db8::1"} {
		ip := netip.MustParseAddr(text)
		table.Take(ip)
		if n := testing.AllocsPerRun(100, func() { table.Take(ip); table.Give(ip) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}
