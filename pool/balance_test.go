package pool

import (
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"wsplice/internal/sys"
)

// TestRoundRobinIsSmooth takes the sequence that the algorithm is known by.
func TestRoundRobinIsSmooth(t *testing.T) {
	u := build(t, Config{Balance: RoundRobin, Members: members(t, 5, 1, 1)})
	var got []int
	for range 14 {
		got = append(got, pickOne(u, Key{}))
	}
	if want := []int{0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A server that is out leaves its turns to the others in equal parts.
func TestRoundRobinWithoutOne(t *testing.T) {
	u := equal(t, RoundRobin, 3)
	u.Servers()[0].SetHealthy(false)
	counts := make([]int, 3)
	for range 30 {
		counts[pickOne(u, Key{})]++
	}
	if !slices.Equal(counts, []int{0, 15, 15}) {
		t.Errorf("picks %v", counts)
	}
}

func TestLeastConnection(t *testing.T) {
	u := build(t, Config{Members: members(t, 1, 3, 2)})
	for range 60 {
		pickOne(u, Key{})
	}
	for i, want := range []int64{10, 30, 20} {
		if open := u.Servers()[i].Open(); open != want {
			t.Errorf("server %d has %d of 60, want %d", i, open, want)
		}
	}
	for range 10 {
		u.Servers()[0].Release()
	}
	for range 9 {
		if i := pickOne(u, Key{}); i != 0 {
			t.Fatalf("server %d was picked, though 0 is empty", i)
		}
	}
}

// Among equals everybody has a turn: one tunnel at a time does not always go to
// the first server.
func TestLeastConnectionTakesTurns(t *testing.T) {
	u := equal(t, LeastConnection, 3)
	counts := make([]int, 3)
	for range 30 {
		i := pickOne(u, Key{})
		u.Servers()[i].Release()
		counts[i]++
	}
	if slices.Min(counts) == 0 || slices.Max(counts) > 20 {
		t.Errorf("picks %v", counts)
	}
}

func TestRandomTwo(t *testing.T) {
	u := build(t, Config{Balance: RandomTwo, Members: members(t, 1, 1, 1, 2)})
	const each = 500
	for range 5 * each {
		pickOne(u, Key{})
	}
	for i, share := range []float64{1, 1, 1, 2} {
		if open := float64(u.Servers()[i].Open()); math.Abs(open-each*share) > each/10*share {
			t.Errorf("server %d has %v of %d, want about %v", i, open, 5*each, each*share)
		}
	}
}

func TestByTraffic(t *testing.T) {
	u := build(t, Config{Balance: ByTraffic, Members: members(t, 1, 2, 1)})
	a, b, c := u.Servers()[0], u.Servers()[1], u.Servers()[2]
	a.AddTraffic(1000)
	b.AddTraffic(1000) // 500 for its weight
	c.AddTraffic(600)
	for _, step := range []struct {
		moves *Server
		bytes uint64
		want  int
	}{{a, 0, 1}, {b, 500, 2}, {c, 500, 1}, {b, 1000, 0}, {a, 1 << 40, 2}} {
		step.moves.AddTraffic(step.bytes)
		if got := pickOne(u, Key{}); got != step.want {
			t.Errorf("server %d, want %d: %d %d %d", got, step.want, a.traffic.Load(), b.traffic.Load(), c.traffic.Load())
		}
	}
}

// A server that was away does not get everything until it has caught up.
func TestByTrafficAfterAnAbsence(t *testing.T) {
	u := build(t, Config{Balance: ByTraffic, Members: members(t, 1, 1, 2), DisableTime: time.Second})
	clock := stopClock(u)
	u.Servers()[2].Failed(sys.ECONNREFUSED)
	u.Servers()[0].AddTraffic(1 << 30)
	u.Servers()[1].AddTraffic(2 << 30)
	clock.pass(time.Minute)
	u.Servers()[2].Connected()
	if got := u.Servers()[2].traffic.Load(); got != 2<<30 {
		t.Errorf("it begins with %d bytes, want as many for its weight as server 0", got)
	}
}

func TestHashSpreadsByWeight(t *testing.T) {
	for _, balance := range []Balance{Hash, Sticky} {
		u := build(t, Config{Balance: balance, Members: members(t, 1, 2, 5)})
		const keys = 16000
		for i := range keys {
			pickOne(u, pathKey(u, i))
		}
		for i, share := range []float64{1, 2, 5} {
			if open := float64(u.Servers()[i].Open()); math.Abs(open-keys/8*share) > keys/80*share {
				t.Errorf("balance %d: server %d has %v of %d keys, want about %v", balance, i, open, keys, keys/8*share)
			}
		}
	}
}

// placement says where each of n keys goes, by the server's name.
func placement(u *Upstream, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = u.servers[pickOne(u, pathKey(u, i))].name
	}
	return list
}

// A server that goes away moves its own keys and no others, and has the same
// ones when it is back. The order in the file does not matter.
func TestHashIsConsistent(t *testing.T) {
	for _, balance := range []Balance{Hash, Sticky} {
		list := members(t, 1, 3, 1, 2, 1)
		u := build(t, Config{Balance: balance, Members: list})
		before := placement(u, 2000)
		gone := u.Servers()[3]
		gone.SetHealthy(false)
		moved := 0
		for i, name := range placement(u, 2000) {
			switch {
			case name == gone.name:
				t.Fatal("an unhealthy server was picked")
			case before[i] == gone.name:
				moved++
			case before[i] != name:
				t.Fatalf("key %d moved from %s to %s, which are both there", i, before[i], name)
			}
		}
		if moved == 0 {
			t.Error("the server that went away had no keys")
		}
		gone.SetHealthy(true)
		if !slices.Equal(before, placement(u, 2000)) {
			t.Error("the keys of the server that is back are elsewhere")
		}
		slices.Reverse(list)
		if !slices.Equal(before, placement(build(t, Config{Balance: balance, Members: list}), 2000)) {
			t.Error("the order of the servers matters")
		}
	}
}

// Of a request that must go on to the next server, each key has another one.
func TestHashRetriesElsewhere(t *testing.T) {
	u := equal(t, Hash, 4)
	first, second := make(map[int]bool), make(map[int]bool)
	for i := range 200 {
		order := pickAll(u, pathKey(u, i))
		if len(order) != 4 {
			t.Fatalf("order %v", order)
		}
		first[order[0]] = true
		if order[0] == 0 {
			second[order[1]] = true
		}
	}
	if len(first) != 4 || len(second) != 3 {
		t.Errorf("first ones %v; after server 0 %v", slices.Collect(maps.Keys(first)), slices.Collect(maps.Keys(second)))
	}
}

// Two servers of one name share the keys.
func TestHashOfTwins(t *testing.T) {
	one, twin := servers(t, 1)[0], servers(t, 1)[0]
	u := build(t, Config{Balance: Hash, Members: []Member{{Server: one, Weight: 1}, {Server: twin, Weight: 1}}})
	placement(u, 1000)
	if one.Open() < 400 || twin.Open() < 400 {
		t.Errorf("%d and %d of 1000 keys", one.Open(), twin.Open())
	}
}

// Without what the key is made of, clients are not all sent to one server.
func TestStickyWithoutAnAddress(t *testing.T) {
	for _, balance := range []Balance{Sticky, LighttpdSticky} {
		u := equal(t, balance, 3)
		for range 30 {
			pickOne(u, u.KeyOf(&Request{Authority: []byte("h"), Path: []byte("/")}))
		}
		for _, s := range u.Servers() {
			if s.Open() != 10 {
				t.Errorf("%d of 30 clients on unix sockets", s.Open())
			}
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for name, balance := range every {
		list := members(t, 1, 2, 3, 4, 5, 6, 7, 8)
		list[3].Route, list[7].Status, list[6].Status, list[5].Set = "a", StatusStandby, StatusSpare, 1
		u := build(t, Config{Balance: balance, Members: list, DisableTime: time.Hour, Cookie: Cookie{Name: "c"}})
		u.Servers()[1].Failed(sys.ECONNREFUSED) // so that the clock is read
		r := Request{
			Authority: []byte("Example.com:8080"), Path: []byte("/chat/room"), Client: pathClient,
			Cookie: []byte("id.b"),
		}
		if allocs := testing.AllocsPerRun(100, func() {
			var tried Tried
			key := u.KeyOf(&r)
			for range 3 {
				s := u.Pick(&tried, key)
				s.Connected()
				s.Release()
			}
		}); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

// TestPickFromManyGoroutines has everything happen at once: every lease is
// given back exactly once, so none is left over.
func TestPickFromManyGoroutines(t *testing.T) {
	for name, balance := range every {
		u := build(t, Config{
			Balance: balance, Members: members(t, 1, 2, 1, 3, 1),
			DisableTime: time.Microsecond, SlowStart: time.Millisecond,
		})
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range 500 {
					var tried Tried
					for s := u.Pick(&tried, pathKey(u, i)); s != nil; s = u.Pick(&tried, pathKey(u, i)) {
						s.AddTraffic(10)
						switch (i + worker) % 5 {
						case 0:
							s.Failed(sys.ECONNREFUSED)
						case 1:
							s.SetHealthy(i%2 == 0)
						default:
							s.Connected()
						}
						s.Release()
					}
				}
			})
		}
		all.Wait()
		for _, s := range u.Servers() {
			if s.Open() != 0 {
				t.Errorf("%s: %d leases left over", name, s.Open())
			}
		}
	}
}

// BenchmarkPick is what a tunnel pays for its server, with 10 of them.
func BenchmarkPick(b *testing.B) {
	for name, balance := range every {
		b.Run(name, func(b *testing.B) {
			u := equal(b, balance, 10)
			key := pathKey(u, 1)
			for b.Loop() {
				var tried Tried
				u.Pick(&tried, key).Release()
			}
		})
	}
}
