package secure

import (
	"crypto/tls"
	"net"
)

// NewClientSession returns the session of a connection to a server, whose name
// config has. Sessions of one config may resume each other, by its
// ClientSessionCache.
func NewClientSession(config *tls.Config, gate *Gate) *Session {
	return &Session{client: true, shake: newHandshake(config, gate, true)}
}

// Connect returns the session of conn, a connection to a server, once its
// handshake is over; the deadline of conn bounds that. What the server has sent
// behind it is what the first Open returns, also of nothing. The session may then
// be used from any goroutine, one at a time, and conn stays the caller's.
//
// Errors are ErrBusy, those of crypto/tls and those of conn.
func Connect(conn net.Conn, config *tls.Config, gate *Gate) (*Session, error) {
	s := NewClientSession(config, gate)
	woken := make(chan struct{}, 1)
	s.Start(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	for {
		ready, err := s.Settle()
		out := s.Output(nil)
		if len(out) > 0 { // an alert, too
			if _, failed := conn.Write(out); err == nil {
				err = failed
			}
		}
		switch {
		case err != nil || ready:
		case len(out) > 0:
			continue // it may have been the last
		case s.shake.hungry():
			err = s.receive(conn)
		default:
			<-woken
		}
		if err != nil {
			s.Close()
			return nil, err
		}
		if ready {
			return s, nil
		}
	}
}

// receive feeds the handshake what one read brings.
func (s *Session) receive(conn net.Conn) error {
	b := make([]byte, carriedMax)
	n, err := conn.Read(b)
	if n == 0 {
		return err
	}
	_, err = s.Open(nil, b[:n])
	return err
}

// Lean gives up what only the tickets of a server are kept for: the tls.Conn,
// which is most of what a session holds. Those that come from here on are dropped.
// A session of TLS 1.2 has only that.
func (s *Session) Lean() {
	if s.records != nil {
		s.records.ticket, s.shake = nil, nil
	}
}
