package secure

import "crypto/tls"

// NewClientSession returns the session of a connection to a server, whose name
// config has. Sessions of one config may resume each other, by its
// ClientSessionCache.
func NewClientSession(config *tls.Config, gate *Gate) *Session {
	s := newSession(gate)
	s.client = true
	s.conn = tls.Client(&s.mem, config)
	return s
}
