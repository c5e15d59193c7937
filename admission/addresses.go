package admission

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
)

// Addresses counts what each client has open, and holds it to a maximum.
//
// A client is an IPv4 address or an IPv6 /64, the smallest network that
// providers hand out: within it a machine takes any address it likes. An
// IPv4-mapped address is its IPv4 address. A client without an address, on a
// unix socket, is not counted.
//
// The table has an entry for each client that has something open and none for
// others, so it is bounded by what is open altogether.
type Addresses struct {
	most   int
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu   sync.Mutex
	open map[client]int
	_    [64]byte // no lock on another's cache line
}

// A client is the key that an address counts for.
type client struct {
	network uint64
	v6      bool
}

// NewAddresses returns a table that allows each client most at a time, or any
// number, which is not counted, where most is not positive.
func NewAddresses(most int) *Addresses {
	a := &Addresses{most: most, seed: maphash.MakeSeed()}
	for i := range a.shards {
		a.shards[i].open = make(map[client]int)
	}
	return a
}

// Take counts one more for the client at ip, or reports false where it has as
// many as allowed. Each Take that reported true wants one Give of the same ip.
// Take does not allocate for a client that has something open.
func (a *Addresses) Take(ip netip.Addr) bool {
	if a.most <= 0 || !ip.IsValid() {
		return true
	}
	c := clientOf(ip)
	s := a.shard(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.open[c]
	if n >= a.most {
		return false
	}
	s.open[c] = n + 1
	return true
}

// Give takes back one Take. Without one it panics: the count of somebody else
// would be wrong from then on.
func (a *Addresses) Give(ip netip.Addr) {
	if a.most <= 0 || !ip.IsValid() {
		return
	}
	c := clientOf(ip)
	s := a.shard(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.open[c]; n {
	case 0:
		panic("admission: Give of an address that was not taken")
	case 1:
		delete(s.open, c)
	default:
		s.open[c] = n - 1
	}
}

// Clients returns how many clients have something open.
func (a *Addresses) Clients() int {
	n := 0
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n += len(s.open)
		s.mu.Unlock()
	}
	return n
}

// shard returns where c is counted. The seed keeps clients from choosing it.
func (a *Addresses) shard(c client) *shard {
	return &a.shards[maphash.Comparable(a.seed, c)%shardCount]
}

func clientOf(ip netip.Addr) client {
	ip = ip.Unmap()
	if ip.Is4() {
		b := ip.As4()
		return client{network: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := ip.As16()
	return client{network: binary.BigEndian.Uint64(b[:]), v6: true}
}
