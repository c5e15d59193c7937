package pool

import (
	"errors"
	"sync/atomic"
)

// Balance says how an upstream spreads tunnels over its servers.
type Balance uint8

const (
	// LeastConnection takes the server with the fewest open tunnels, the next
	// in turn among equals.
	LeastConnection Balance = iota
	// RoundRobin takes the servers in turn.
	RoundRobin
)

// An Upstream is a set of servers that serve the same thing.
type Upstream struct {
	name    string
	balance Balance
	servers []*Server
	turn    atomic.Uint32
}

// Errors of NewUpstream.
var (
	ErrNoServer       = errors.New("pool: an upstream needs at least one server")
	ErrTooManyServers = errors.New("pool: too many servers in an upstream (max 256)")
)

// NewUpstream returns an upstream of servers, which may be shared with others.
func NewUpstream(name string, balance Balance, servers []*Server) (*Upstream, error) {
	if len(servers) == 0 {
		return nil, ErrNoServer
	}
	if len(servers) > serversMax {
		return nil, ErrTooManyServers
	}
	return &Upstream{name: name, balance: balance, servers: servers}, nil
}

// Name returns the name it was given.
func (u *Upstream) Name() string { return u.name }

// Servers returns all servers, in the order of the configuration.
func (u *Upstream) Servers() []*Server { return u.servers }

// Tried remembers which servers a request has been to. The zero value has been
// to none.
type Tried [serversMax / 64]uint64

func (t *Tried) has(i int) bool { return t[i/64]&(1<<(i%64)) != 0 }
func (t *Tried) add(i int)      { t[i/64] |= 1 << (i % 64) }

// Pick takes a lease on a server that tried does not name yet, and adds it
// there. The lease counts as an open tunnel until Release. It returns nil when
// all were tried. It costs a walk over the servers and does not allocate.
func (u *Upstream) Pick(tried *Tried) *Server {
	count := len(u.servers)
	start := int(u.turn.Add(1)-1) % count
	best, bestOpen := -1, int64(0)
	for offset := range count {
		i := (start + offset) % count
		if tried.has(i) {
			continue
		}
		open := u.servers[i].open.Load()
		if best < 0 || open < bestOpen {
			best, bestOpen = i, open
		}
		if u.balance == RoundRobin {
			break
		}
	}
	if best < 0 {
		return nil
	}
	tried.add(best)
	server := u.servers[best]
	server.open.Add(1)
	return server
}
