package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wsplice/internal/sys"
)

// A Config is what an upstream is made of.
type Config struct {
	Name    string
	Balance Balance
	Members []Member

	DisableTime     time.Duration // how long a server that failed is left out; 0 = not at all
	Retries         int           // further servers that a request tries
	SlowStart       time.Duration // from coming back to full weight; 0 = at once
	ResolveInterval time.Duration // between looking names up; 0 = never again

	Source []netip.Addr // to dial from, in turn; none = the kernel's choice
	Cookie Cookie
}

// A Member is a server and its place in an upstream. A server belongs to one.
type Member struct {
	Server *Server
	Weight int    // 1 to 100
	Set    int    // lower ones are tried first; 0 to 99
	Route  string // what a sticky cookie calls it; "" = no name
	Status Status
}

// An Upstream is a set of servers that serve the same thing.
type Upstream struct {
	name    string
	balance Balance
	servers []*Server
	sets    []set // in the order in which they are tried
	keys    []serverKey
	routes  map[string]uint16 // numbers of the routes, from 1
	cookie  Cookie

	disableTime     time.Duration
	retries         int
	slowStart       time.Duration
	resolveInterval time.Duration
	source4         []netip.Addr
	source6         []netip.Addr
	sourceTurn      atomic.Uint32

	// Balancing.
	turn    atomic.Uint32
	smooth  sync.Mutex // held for one walk over the servers
	current []int64    // of each server; under smooth

	// The goroutines.
	clock  func() time.Duration
	lookUp lookUpFunc
	wake   chan struct{}
	cancel context.CancelFunc // nil before Start
	ended  sync.WaitGroup
}

// Errors of New and NewUpstream.
var (
	ErrNoServer       = errors.New("pool: an upstream needs at least one server")
	ErrTooManyServers = errors.New("pool: too many servers in an upstream (max 256)")
	ErrMember         = errors.New("pool: weight must be 1 to 100, set 0 to 99")
)

// NewUpstream returns an upstream of equal servers that leaves none out when it
// fails.
func NewUpstream(name string, balance Balance, servers []*Server) (*Upstream, error) {
	c := Config{Name: name, Balance: balance, Retries: retriesDefault, ResolveInterval: resolveIntervalDefault}
	for _, s := range servers {
		c.Members = append(c.Members, Member{Server: s, Weight: 1})
	}
	return New(c)
}

// New returns an upstream. Its members' servers are its own from then on. The
// errors are ErrNoServer, ErrTooManyServers, ErrMember, or say which address of
// Source is none of this machine.
func New(c Config) (*Upstream, error) {
	if len(c.Members) == 0 {
		return nil, ErrNoServer
	}
	if len(c.Members) > serversMax {
		return nil, ErrTooManyServers
	}
	u := &Upstream{
		name: c.Name, balance: c.Balance, cookie: c.Cookie, routes: make(map[string]uint16),
		disableTime: c.DisableTime, retries: c.Retries, slowStart: c.SlowStart, resolveInterval: c.ResolveInterval,
		current: make([]int64, len(c.Members)),
		clock:   clock, lookUp: lookUpName, wake: make(chan struct{}, 1),
	}
	for _, addr := range c.Source {
		if errno := sys.CheckSource(addr); errno != 0 {
			return nil, fmt.Errorf("pool: dial from %v: %w; name addresses that this machine has", addr, errno)
		}
		if addr.Is4() {
			u.source4 = append(u.source4, addr)
		} else {
			u.source6 = append(u.source6, addr)
		}
	}
	for _, m := range c.Members {
		if m.Weight < 1 || m.Weight > weightMax || m.Set < 0 || m.Set > setMax {
			return nil, ErrMember
		}
		u.adopt(m)
	}
	u.keys = serverKeys(u.servers)
	slices.SortFunc(u.sets, func(a, b set) int { return a.number - b.number })
	return u, nil
}

// adopt adds a server.
func (u *Upstream) adopt(m Member) {
	s, index := m.Server, uint8(len(u.servers))
	u.servers = append(u.servers, s)
	s.upstream, s.weight, s.status = u, int64(m.Weight), m.Status
	s.route, s.cookie = u.numberRoute(m.Route), u.cookie.line(m.Route)
	i := slices.IndexFunc(u.sets, func(known set) bool { return known.number == m.Set })
	if i < 0 {
		i = len(u.sets)
		u.sets = append(u.sets, set{number: m.Set})
	}
	u.sets[i].members = append(u.sets[i].members, index)
	u.sets[i].reserves = u.sets[i].reserves || m.Status == StatusSpare || m.Status == StatusStandby
}

// Name returns the name it was given.
func (u *Upstream) Name() string { return u.name }

// Servers returns all servers, in the order of the configuration.
func (u *Upstream) Servers() []*Server { return u.servers }

// Retries returns how many further servers a request tries after a failure,
// before anything was sent.
func (u *Upstream) Retries() int { return u.retries }

// ByTraffic reports whether bytes decide which server is picked, so that those
// of open tunnels are to be counted while they flow.
func (u *Upstream) ByTraffic() bool { return u.balance == ByTraffic }

// Source returns the next address to dial from, for a socket of a family of
// package sys; false where the choice is left to the kernel.
func (u *Upstream) Source(family int) (netip.Addr, bool) {
	var list []netip.Addr
	switch family {
	case sys.AFInet:
		list = u.source4
	case sys.AFInet6:
		list = u.source6
	}
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	return list[(u.sourceTurn.Add(1)-1)%uint32(len(list))], true
}

// BindSource is Source for net.Dialer.Control: it binds a new socket of network to
// the next address.
func (u *Upstream) BindSource(network string, raw syscall.RawConn) error {
	family := sys.AFUnix
	switch network {
	case "tcp4":
		family = sys.AFInet
	case "tcp6":
		family = sys.AFInet6
	}
	source, ok := u.Source(family)
	if !ok {
		return nil
	}
	var errno sys.Errno
	if err := raw.Control(func(fd uintptr) { errno = sys.FD(fd).BindSource(source) }); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// Stats returns the figures of each server.
func (u *Upstream) Stats() []ServerStats {
	list := make([]ServerStats, len(u.servers))
	for i, s := range u.servers {
		list[i] = s.stats()
		list[i].Upstream = u.name
	}
	return list
}

// Start begins to look names up again and to tell log which servers go down and
// come back. Close ends that.
func (u *Upstream) Start(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	u.cancel = cancel
	if u.disableTime > 0 {
		u.ended.Go(func() { u.watch(ctx, log) })
	}
	if u.resolveInterval > 0 && slices.ContainsFunc(u.servers, func(s *Server) bool { return s.look != nil }) {
		u.ended.Go(func() { u.resolve(ctx, log) })
	}
}

// Close ends the goroutines. The upstream can still be picked from.
func (u *Upstream) Close() {
	if u.cancel != nil {
		u.cancel()
		u.ended.Wait()
	}
}
