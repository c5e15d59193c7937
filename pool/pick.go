package pool

import "time"

// Tried remembers which servers a request has been to. The zero value has been
// to none.
type Tried [serversMax / 64]uint64

func (t *Tried) has(i uint8) bool { return t[i/64]&(1<<(i%64)) != 0 }
func (t *Tried) add(i uint8)      { t[i/64] |= 1 << (i % 64) }

// A set is the servers with one number.
type set struct {
	number   int
	members  []uint8 // indexes of servers
	reserves bool    // some are spares or standbys
}

// A pick is one search for a server. It lives on the stack of Pick.
type pick struct {
	u     *Upstream
	tried Tried         // a copy: a pointer beside u would put the request's own on the heap
	at    time.Duration // of the clock; 0 = not read yet

	// The servers to choose from.
	n    int
	list [serversMax]uint8
}

func (p *pick) now() time.Duration {
	if p.at == 0 {
		p.at = p.u.clock()
	}
	return p.at
}

func (p *pick) add(i uint8) {
	p.list[p.n] = i
	p.n++
}

// Pick takes a lease on a server that tried does not name yet, and adds it
// there. The lease counts as an open tunnel until Release. It returns nil when
// no server is left that can be picked. key is what KeyOf returned for the
// request, or the zero Key.
//
// A server that a sticky cookie names comes first. Otherwise the sets are gone
// through by their numbers, and the first with a server that can be picked
// decides (Apache httpd, mod_proxy_balancer, lbset). Pick costs a walk over the
// servers and does not allocate.
func (u *Upstream) Pick(tried *Tried, key Key) *Server {
	p := pick{u: u, tried: *tried}
	if key.route != 0 {
		p.gatherRoute(key.route)
	}
	for i := 0; p.n == 0 && i < len(u.sets); i++ {
		p.gather(&u.sets[i])
	}
	if p.n == 0 {
		p.gatherTrials()
	}
	if p.n == 0 {
		return nil
	}
	i := p.choose(key)
	tried.add(i)
	s := u.servers[i]
	s.open.Add(1)
	s.picks.Add(1)
	if s.out.Load() != 0 {
		s.trial.Store(int64(p.now() + u.disableTime))
	}
	return s
}

// gather collects from a set the servers that can be picked; spares, at most as
// many as others cannot be; or else standbys.
func (p *pick) gather(from *set) {
	missing := 0
	for _, i := range from.members {
		switch s := p.u.servers[i]; s.status {
		case StatusNormal:
			if !p.tried.has(i) && p.standing(s) == usable {
				p.add(i)
			} else {
				missing++
			}
		case StatusDrain, StatusDisabled:
			missing++
		}
	}
	if !from.reserves {
		return
	}
	p.gatherStatus(from, StatusSpare, missing)
	if p.n == 0 {
		p.gatherStatus(from, StatusStandby, len(from.members))
	}
}

func (p *pick) gatherStatus(from *set, status Status, most int) {
	for _, i := range from.members {
		if most == 0 {
			return
		}
		if s := p.u.servers[i]; s.status == status && !p.tried.has(i) && p.standing(s) == usable {
			p.add(i)
			most--
		}
	}
}

// gatherRoute collects the servers that a sticky cookie names; standbys if
// there are no others. Draining ones are among them, that is what draining is.
func (p *pick) gatherRoute(route uint16) {
	for _, standby := range [...]bool{false, true} {
		for i, s := range p.u.servers {
			if s.route == route && (s.status == StatusStandby) == standby && s.status != StatusDisabled &&
				!p.tried.has(uint8(i)) && p.standing(s) != unusable {
				p.add(uint8(i))
			}
		}
		if p.n > 0 {
			return
		}
	}
}

// gatherTrials collects what is left when nothing else is: servers of which
// other requests find out at this moment whether they are back.
func (p *pick) gatherTrials() {
	for i, s := range p.u.servers {
		if s.status != StatusDrain && s.status != StatusDisabled && !p.tried.has(uint8(i)) && p.standing(s) == onTrial {
			p.add(uint8(i))
		}
	}
}
