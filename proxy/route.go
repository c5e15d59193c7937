package proxy

import (
	"fmt"
	"slices"

	"wsplice/handshake"
	"wsplice/route"
)

// compileRoutes prepares what a request's route is chosen with.
func (s *Server) compileRoutes() error {
	patterns := make([]route.Pattern, len(s.config.Routes))
	s.require = make([]*handshake.Refusal, len(s.config.Routes))
	for i := range s.config.Routes {
		patterns[i] = s.config.Routes[i].Pattern
		s.require[i] = handshake.NewUpgradeRequired(s.config.Routes[i].Upgrade.Protocols...)
	}
	for i := range s.config.Routes {
		if u := s.config.Routes[i].Upstream; u != nil && !slices.Contains(s.upstreams, u) {
			s.upstreams = append(s.upstreams, u)
		}
	}
	table, err := route.Compile(patterns)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	s.table = table
	for _, addr := range loopback {
		s.trustUnix = s.trustUnix || s.inTrusted(addr)
	}
	return nil
}

// An outcome is what is done with a request.
type outcome uint8

const (
	outcomeRefuse outcome = iota
	outcomeTunnel
	outcomeHTTP
)

// choose returns the route that takes the request and what it does with it,
// or why the request is refused. It leaves subject set to the request, and
// does not allocate for prefixes.
//
// A tunnel route passes over what does not ask for an upgrade it accepts. If
// no later route takes that, the answer is that of the first one passed over.
func (s *Server) choose(subject *route.Subject, request *handshake.Request) (*Route, outcome, *handshake.Refusal) {
	answer := handshake.RefusalNotFound
	for i := s.table.First(subject, request); i >= 0; i = s.table.Next(subject) {
		r := &s.config.Routes[i]
		if r.Mode == ModeDeny {
			return nil, outcomeRefuse, handshake.RefusalDenied
		}
		asked, refusal := r.Upgrade.check(request, r.Lenient, s.require[i])
		switch {
		case asked && refusal != nil:
			return nil, outcomeRefuse, refusal
		case asked:
			return r, outcomeTunnel, nil
		case r.Mode == ModeHTTP:
			return r, outcomeHTTP, nil
		case answer == handshake.RefusalNotFound:
			answer = refusal
		}
	}
	return nil, outcomeRefuse, answer
}

func (s *Server) matchPage(path []byte) *Page {
	for i := range s.config.Pages {
		if s.config.Pages[i].Path == string(path) {
			return &s.config.Pages[i]
		}
	}
	return nil
}
