package proxy

import (
	"crypto/tls"
	"errors"
	"net"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
	"wsplice/secure"
)

// startWarm begins to keep connections to the servers that want some.
func (s *Server) startWarm() {
	speaksFirst := make(map[*pool.Warm]bool)
	for i := range s.config.Routes {
		r := &s.config.Routes[i]
		if r.Upstream == nil {
			continue
		}
		for _, server := range r.Upstream.Servers() {
			if warm := server.Warm(); warm != nil {
				speaksFirst[warm] = speaksFirst[warm] || r.Mode == ModeEndpoint
			}
		}
	}
	for warm, first := range speaksFirst {
		warm.Start(pool.WarmConfig{
			Dial: s.config.Timeouts.Dial, Budget: s.budget, Log: s.config.Log, SpeaksFirst: first, Secure: s.secureWarm,
		})
		s.warm = append(s.warm, warm)
	}
}

// secureWarm makes the TLS session of a connection that is to be kept warm. The
// error is for the log.
func (s *Server) secureWarm(conn net.Conn, config *tls.Config) (pool.Layer, error) {
	session, err := secure.Connect(conn, config, s.config.Handshakes)
	if err != nil {
		return nil, errors.New(secure.Explain(err))
	}
	return session, nil
}

func (s *Server) closeWarm() {
	for _, warm := range s.warm {
		warm.Close()
	}
}

// connectWarm takes a connection that is ready, if there is one, and sends the
// head on it, or begins the endpoint.
func (t *Tunnel) connectWarm() bool {
	w, x := t.worker, t.x
	warm := t.server.Warm()
	if warm == nil || x.cold || x.search.dialed > 0 || x.extension != "" {
		return false // for one that is replaced, the rest of a compressed message would have to wait
	}
	plain := t.route.Mode == ModeEndpoint
	taken, ok := warm.Take(plain)
	if !ok {
		return false
	}
	w.counters.warmTaken++
	x.warm = true
	w.loop.Attach(&t.backend, taken.FD, t)
	if session, secured := taken.Layer.(*secure.Session); secured {
		w.loop.Resume(&t.backend, session)
	}
	if plain {
		t.startEndpoint(taken.Early)
		return true
	}
	t.sendHead()
	if t.state != stateUpgrading || !x.warm {
		return true // given up already
	}
	if x.search.address().Family() == sys.AFUnix {
		return true // it cannot vanish unseen, and Unsent means something else there
	}
	// A new connection would prove within timeouts.dial that somebody is there.
	if timeouts := &w.server.config.Timeouts; timeouts.Dial < timeouts.Upgrade {
		x.unproven = true
		w.loop.Arm(&t.timer, t, timeouts.Dial)
	}
	return true
}

// awaitsProof reports whether the upgrade goes on although the timer fired: what
// was due is that the peer of a warm connection has acknowledged the head.
func (t *Tunnel) awaitsProof() bool {
	w, x := t.worker, t.x
	if !x.unproven {
		return false
	}
	x.unproven = false
	if t.stale() && t.backend.FD.Unsent() > 0 {
		t.redialStale()
		return true
	}
	w.loop.Arm(&t.timer, t, w.server.config.Timeouts.Upgrade-w.server.config.Timeouts.Dial)
	return true
}

// unanswered goes on after the backend ended instead of answering.
func (t *Tunnel) unanswered() {
	if t.stale() {
		t.redialStale()
		return
	}
	t.refuse(handshake.RefusalBackendClosed)
}

// stale reports whether an end of the backend's connection is not the backend's
// answer: it may have closed an idle connection before the request came there,
// and a GET may be sent again (RFC 9112 section 9.3.1).
func (t *Tunnel) stale() bool {
	return t.x.warm && t.x.interims == 0 && len(t.x.answer) == 0
}

// redialStale gives up a warm connection that is dead, and dials the same server.
func (t *Tunnel) redialStale() {
	t.worker.counters.warmDead++
	t.x.unproven = false
	t.headSent()
	t.setState(stateDialing)
	if t.worker.loop.Close(&t.backend) {
		t.dialNext(false)
	} // else onClosed goes on
}
