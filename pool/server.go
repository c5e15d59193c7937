package pool

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"wsplice/internal/sys"
)

// A Server is one backend of an upstream. What an upstream says of it, such as
// its weight, stands in the Member that NewUpstream or New was given.
type Server struct {
	name string
	host string
	look *lookUp // how to find the addresses again; nil for what needs no look-up
	warm *Warm   // nil if none are kept
	tls  atomic.Pointer[tls.Config]

	// Set by the upstream, before any Pick.
	upstream *Upstream // nil where there is none
	weight   int64
	status   Status
	route    uint16 // number of the route; 0 = none
	cookie   string // the line that Upstream.SetCookie returns

	// Where.
	addrs atomic.Pointer[[]sys.Sockaddr]
	turn  atomic.Uint32 // of the address to begin with

	// What is going on.
	open     atomic.Int64
	picks    atomic.Uint64
	failures atomic.Uint64
	traffic  atomic.Uint64 // bytes; see balance by_traffic

	// Whether it may be picked; see state.go.
	unhealthy atomic.Bool
	out       atomic.Int64 // time until which it is left out; 0 when it has not failed
	trial     atomic.Int64 // until then another request tries whether it is back
	ramp      atomic.Int64 // when its slow start began; 0 when it has its full weight
	cause     atomic.Pointer[error]
}

// NewServer resolves a backend. network is "tcp" with address host:port, or
// "unix" with a path. host is what the Host header of its requests says, empty
// to keep the client's.
//
// ctx bounds looking up the name; the upstream looks it up again from time to
// time. Errors wrap those of net.Resolver, ErrNoAddress or sys.ErrUnixPath.
func NewServer(ctx context.Context, network, address, host string) (*Server, error) {
	s := &Server{name: address, host: host, weight: 1}
	var addrs []sys.Sockaddr
	var err error
	if network == "unix" {
		s.name = "unix:" + address
		var addr sys.Sockaddr
		addr, err = sys.UnixAddr(address)
		addrs = []sys.Sockaddr{addr}
	} else {
		addrs, err = s.lookUp(ctx, address)
	}
	if err != nil {
		return nil, fmt.Errorf("resolve backend %s: %w", s.name, err)
	}
	s.SetAddresses(addrs)
	return s, nil
}

// Name says which backend this is, for logs: host:port or unix:/path.
func (s *Server) Name() string { return s.name }

// Host is the Host header for this backend, or empty to keep the client's.
func (s *Server) Host() string { return s.host }

// SetTLS makes the server one that is spoken to by TLS, as config says, which has a
// ServerName. Whether it is one must be said before anything else is done with the
// server; how, may change at any time, and holds for connections that are made then.
func (s *Server) SetTLS(config *tls.Config) { s.tls.Store(config) }

// TLS is how the server is spoken to now, or nil. It must not be changed.
func (s *Server) TLS() *tls.Config { return s.tls.Load() }

// Addresses are where it can be reached now, to be tried in the order that Turn
// says. The slice stays as it is; it must not be changed.
func (s *Server) Addresses() []sys.Sockaddr { return *s.addrs.Load() }

// SetAddresses replaces the addresses. The slice must not be changed any more.
// Without any address the server is not picked. Tunnels go on where they are.
func (s *Server) SetAddresses(addrs []sys.Sockaddr) { s.addrs.Store(&addrs) }

// A Turn is an order in which addresses are tried.
type Turn struct{ first, among int }

// Turn returns the next order for addrs, which Addresses returned: those of one
// name share the load. Only addresses of the first one's family take turns. The
// resolver has put the family that can be reached first, and the other one is for
// when that fails.
func (s *Server) Turn(addrs []sys.Sockaddr) Turn {
	among := 0
	for among < len(addrs) && addrs[among].Family() == addrs[0].Family() {
		among++
	}
	if among < 2 {
		return Turn{}
	}
	return Turn{int((s.turn.Add(1) - 1) % uint32(among)), among}
}

// Index returns which address is tried behind i others.
func (t Turn) Index(i int) int {
	if i < t.among {
		return (t.first + i) % t.among
	}
	return i
}

// Open returns how many leases are out.
func (s *Server) Open() int64 { return s.open.Load() }

// Release gives back the lease that Pick took.
func (s *Server) Release() {
	if s.open.Add(-1) < 0 {
		panic("pool: lease of " + s.name + " released twice")
	}
}

// AddTraffic counts bytes relayed to and from the server, for by_traffic.
func (s *Server) AddTraffic(bytes uint64) { s.traffic.Add(bytes) }

// ServerStats are the figures of one server of an upstream.
type ServerStats struct {
	Upstream, Server string

	Up       bool  // it is picked for new tunnels, as far as failures and health go
	Open     int64 // leases that are out
	Picks    uint64
	Failures uint64 // leases for which no connection came about
}

func (s *Server) stats() ServerStats {
	return ServerStats{Server: s.name, Up: s.Up(), Open: s.Open(), Picks: s.picks.Load(), Failures: s.failures.Load()}
}

// epoch is what the times of this room are counted from.
var epoch = time.Now()

// clock returns the time since epoch, which is never 0.
func clock() time.Duration { return time.Since(epoch) + 1 }
