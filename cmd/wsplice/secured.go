package main

import (
	"crypto/tls"
	"log/slog"
	"runtime"

	"wsplice/configs"
	"wsplice/handshake"
	"wsplice/secure"
)

// secured holds what TLS sessions share.
type secured struct {
	log     *slog.Logger
	gate    *secure.Gate
	keys    *secure.TicketKeys
	watcher *secure.Watcher
}

// handshakesAtATime is how many are computed at once: the loops need the other CPUs.
func handshakesAtATime() int { return max(1, runtime.NumCPU()/2) }

// newSecured prepares TLS.
func newSecured(log *slog.Logger) *secured {
	return &secured{
		log: log, gate: secure.NewGate(handshakesAtATime()), keys: secure.NewTicketKeys(),
		watcher: secure.NewWatcher(log),
	}
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// server reads the files of a listener, and watches them from then on.
func (s *secured) server(c *configs.TLS) (*secure.Server, error) {
	files := secure.ServerFiles{ClientCA: c.ClientCA, MinVersion: tlsVersions[c.MinVersion]}
	if c.HTTP2 {
		files.Protocols = append(files.Protocols, secure.ProtocolHTTP2)
	}
	files.Protocols = append(files.Protocols, secure.ProtocolHTTP1)
	for _, pair := range c.Certificates {
		files.Certificates = append(files.Certificates, secure.KeyPair(pair))
	}
	server, err := secure.NewServer(files, s.gate, s.keys, handshake.RefusalNotTLS.AppendResponse(nil))
	if err == nil {
		s.watcher.Watch(server)
	}
	return server, err
}

// Close ends the watching of files and the changing of keys.
func (s *secured) Close() {
	s.watcher.Close()
	s.keys.Close()
}
