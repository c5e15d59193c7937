package pool

import "math/rand/v2"

// Balance says how an upstream spreads tunnels over its servers.
type Balance uint8

const (
	// LeastConnection takes the server with the fewest open tunnels for its
	// weight, the next in turn among equals.
	LeastConnection Balance = iota
	// RoundRobin takes the servers in turn, each as often as its weight says and
	// spread as evenly as that allows (Apache httpd, byrequests).
	RoundRobin
	// Hash takes the same server for the same authority and path, as long as it
	// can be picked; others do not change for that.
	Hash
	// Sticky does the same by the client's address. Clients without one are
	// treated as by LeastConnection.
	Sticky
	// LighttpdHash and LighttpdSticky take the servers that lighttpd's hash and
	// sticky take. They know no weights.
	LighttpdHash
	LighttpdSticky
	// ByTraffic takes the server that has moved the fewest bytes for its weight.
	ByTraffic
	// RandomTwo takes two at random, and of these the one with fewer open
	// tunnels for its weight.
	RandomTwo
)

// choose returns one of the collected servers, of which there is one.
func (p *pick) choose(key Key) uint8 {
	if p.n == 1 {
		return p.list[0]
	}
	switch p.u.balance {
	case RoundRobin:
		return p.smooth()
	case RandomTwo:
		return p.randomTwo()
	case ByTraffic:
		return p.leastTraffic()
	case Hash, Sticky:
		if key.hashed {
			return p.rendezvous(key.hash)
		}
	case LighttpdHash, LighttpdSticky:
		if key.hashed {
			return p.lighttpd(uint32(key.hash))
		}
	}
	return p.leastOpen()
}

// load compares what servers have open. One more is counted, so that a server
// with nothing open still has a load for its weight.
type load struct{ open, weight int64 }

func (p *pick) loadOf(s *Server) load { return load{s.open.Load() + 1, p.weightOf(s)} }

func (l load) less(m load) bool { return l.open*m.weight < m.open*l.weight }

func (p *pick) leastOpen() uint8 {
	start := int((p.u.turn.Add(1) - 1) % uint32(p.n))
	var best uint8
	var least load
	for k := range p.n {
		i := p.list[(start+k)%p.n]
		if l := p.loadOf(p.u.servers[i]); k == 0 || l.less(least) {
			best, least = i, l
		}
	}
	return best
}

func (p *pick) randomTwo() uint8 {
	a, b := rand.IntN(p.n), rand.IntN(p.n-1)
	if b >= a {
		b++
	}
	one, other := p.list[a], p.list[b]
	if p.loadOf(p.u.servers[other]).less(p.loadOf(p.u.servers[one])) {
		return other
	}
	return one
}

// smooth adds to each server's number its weight, takes the one with the largest
// and subtracts from that all that was added. The lock is held for no more than
// that: without it, loops that pick at one time would take the same server.
func (p *pick) smooth() uint8 {
	u := p.u
	var weights [serversMax]int64
	for k, i := range p.list[:p.n] {
		weights[k] = p.weightOf(u.servers[i])
	}
	u.smooth.Lock()
	defer u.smooth.Unlock()
	best, total := p.list[0], int64(0)
	for k, i := range p.list[:p.n] {
		u.current[i] += weights[k]
		total += weights[k]
		if u.current[i] > u.current[best] {
			best = i
		}
	}
	u.current[best] -= total
	return best
}

func (p *pick) leastTraffic() uint8 {
	start := int((p.u.turn.Add(1) - 1) % uint32(p.n))
	var best uint8
	var least float64
	for k := range p.n {
		i := p.list[(start+k)%p.n]
		s := p.u.servers[i]
		if part := float64(s.traffic.Load()) / float64(p.weightOf(s)); k == 0 || part < least {
			best, least = i, part
		}
	}
	return best
}

// level raises what s has moved to what the least busy other server has: after
// an hour out, it would otherwise get every tunnel for an hour.
func (u *Upstream) level(s *Server) {
	var least float64
	found := false
	for _, other := range u.servers {
		if part := float64(other.traffic.Load()) / float64(other.weight); other != s && other.Up() && (!found || part < least) {
			least, found = part, true
		}
	}
	if level, has := uint64(least*float64(s.weight)), s.traffic.Load(); level > has {
		s.traffic.CompareAndSwap(has, level) // if not, it moves bytes already
	}
}
