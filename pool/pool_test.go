package pool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

func servers(t testing.TB, n int) []*Server {
	t.Helper()
	var list []*Server
	for range n {
		s, err := NewServer(context.Background(), "tcp", "127.0.0.1:9", "h")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func upstream(t testing.TB, balance Balance, n int) *Upstream {
	t.Helper()
	u, err := NewUpstream("u", balance, servers(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRoundRobinTakesTurns(t *testing.T) {
	u := upstream(t, RoundRobin, 3)
	for i := range 9 {
		var tried Tried
		if s := u.Pick(&tried); s != u.Servers()[i%3] {
			t.Fatalf("pick %d is not server %d", i, i%3)
		}
	}
	for _, s := range u.Servers() {
		if s.Open() != 3 {
			t.Errorf("%d leases, want 3", s.Open())
		}
	}
}

func TestLeastConnectionTakesTheEmptiest(t *testing.T) {
	u := upstream(t, LeastConnection, 3)
	picks := make(map[*Server]int)
	for range 30 {
		var tried Tried
		picks[u.Pick(&tried)]++
	}
	for _, s := range u.Servers() {
		if picks[s] != 10 {
			t.Errorf("picked %d times, want 10", picks[s])
		}
	}
	empty := u.Servers()[1]
	for range 10 {
		empty.Release()
	}
	for range 10 {
		var tried Tried
		if u.Pick(&tried) != empty {
			t.Fatal("a fuller server was picked")
		}
	}
}

// Every server is tried once, then there is none.
func TestPickTriesEveryServerOnce(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastConnection} {
		u := upstream(t, balance, serversMax)
		var tried Tried
		seen := make(map[*Server]bool)
		for s := u.Pick(&tried); s != nil; s = u.Pick(&tried) {
			if seen[s] {
				t.Fatal("picked twice for one request")
			}
			seen[s] = true
			s.Release()
		}
		if len(seen) != serversMax {
			t.Errorf("balance %d: %d servers tried, want %d", balance, len(seen), serversMax)
		}
	}
}

func TestPickFromManyGoroutines(t *testing.T) {
	u := upstream(t, LeastConnection, 5)
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 1000 {
				var tried Tried
				u.Pick(&tried).Release()
			}
		}()
	}
	all.Wait()
	for _, s := range u.Servers() {
		if s.Open() != 0 {
			t.Errorf("%d leases left over", s.Open())
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	u := upstream(t, LeastConnection, 10)
	if allocs := testing.AllocsPerRun(100, func() {
		var tried Tried
		u.Pick(&tried).Release()
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
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

func TestNewServerErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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

func TestNewUpstreamErrors(t *testing.T) {
	if _, err := NewUpstream("u", RoundRobin, nil); !errors.Is(err, ErrNoServer) {
		t.Errorf("no server: %v", err)
	}
	if _, err := NewUpstream("u", RoundRobin, servers(t, serversMax+1)); !errors.Is(err, ErrTooManyServers) {
		t.Errorf("too many servers: %v", err)
	}
}
