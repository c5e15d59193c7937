package secure

import "crypto/tls"

// NewClientSession returns the session of a connection to a server, whose name
// config has. Sessions of one config may resume each other, by its
// ClientSessionCache.
func NewClientSession(config *tls.Config, gate *Gate) *Session {
	return &Session{client: true, shake: newHandshake(config, gate, true)}
}
