package pool

import "time"

// What a server may be picked for follows from its status, which is configured,
// and from what became of it:
//
//	state     until                               picked
//	up        Failed                              yes
//	out       disable_time has passed             no
//	waiting   somebody connects, or Failed: out   by one request each disable_time, and by
//	                                              others where no other server is left
//	ramping   slow_start has passed               yes, with a part of its weight
//
// Apart from that, it is not picked while it is unhealthy, or has no address.
// Many requests may fail or succeed at one time; the last one decides. Nothing
// here is locked: a pick that a change crosses may see the server as it was.

// Status says when a server is picked (Apache httpd, mod_proxy, status).
type Status uint8

const (
	// StatusNormal is picked whenever it can be.
	StatusNormal Status = iota
	// StatusStandby is picked when no other server of its set can be.
	StatusStandby
	// StatusSpare takes the place of a server of its set that cannot be picked.
	StatusSpare
	// StatusDrain is picked for clients whose sticky cookie names it, only.
	StatusDrain
	// StatusDisabled is never picked.
	StatusDisabled
)

// A standing says whether a server can be picked, its status apart.
type standing uint8

const (
	unusable standing = iota
	onTrial           // another request tries whether it is back
	usable
)

// standing returns the server's. The clock is only read where it failed.
func (p *pick) standing(s *Server) standing {
	if s.unhealthy.Load() || len(*s.addrs.Load()) == 0 {
		return unusable
	}
	out := s.out.Load()
	switch {
	case out == 0:
		return usable
	case p.now() < time.Duration(out):
		return unusable
	case p.now() < time.Duration(s.trial.Load()):
		return onTrial
	}
	return usable
}

// Up reports whether the server is picked for new tunnels, its status apart:
// it is healthy, has an address, and has not failed since it was last reached.
func (s *Server) Up() bool {
	return !s.unhealthy.Load() && s.out.Load() == 0 && len(*s.addrs.Load()) > 0
}

// Failed tells that no connection came about, at none of its addresses, for a
// reason that is not ours, such as cause. The server is left out for the
// upstream's disable time. It does not give the lease back.
func (s *Server) Failed(cause error) {
	s.failures.Add(1)
	u := s.upstream
	if u == nil || u.disableTime == 0 {
		return
	}
	until := int64(u.clock() + u.disableTime)
	if s.out.Swap(until) == 0 {
		first := cause // so that only this one is on the heap
		s.cause.Store(&first)
		u.wakeWatch()
	}
	s.trial.Store(0)
}

// Connected tells that a connection came about.
func (s *Server) Connected() {
	if s.out.Load() == 0 || s.out.Swap(0) == 0 {
		return
	}
	s.comeBack()
	s.upstream.wakeWatch()
}

// SetHealthy says whether the server may be picked, and reports whether that is
// news. One that becomes healthy starts slowly, if the upstream wants that, and
// is forgiven failures from before.
func (s *Server) SetHealthy(healthy bool) (changed bool) {
	if s.unhealthy.Swap(!healthy) == !healthy {
		return false
	}
	if healthy {
		s.out.Store(0)
		s.comeBack()
	}
	if s.upstream != nil {
		s.upstream.wakeWatch()
	}
	return true
}

// comeBack begins the slow start.
func (s *Server) comeBack() {
	u := s.upstream
	if u == nil {
		return
	}
	if u.slowStart > 0 {
		s.ramp.Store(int64(u.clock()))
	}
	if u.balance == ByTraffic {
		u.level(s)
	}
}

// weightOf returns the weight that s has now, in parts of weightUnit, at least 1.
func (p *pick) weightOf(s *Server) int64 {
	full := s.weight * weightUnit
	began := s.ramp.Load()
	if began == 0 {
		return full
	}
	slow := p.u.slowStart
	passed := p.now() - time.Duration(began)
	if passed >= slow {
		s.ramp.CompareAndSwap(began, 0)
		return full
	}
	return max(1, int64(float64(full)*float64(passed)/float64(slow)))
}
