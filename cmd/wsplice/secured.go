package main

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"strings"

	"wsplice/configs"
	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
	"wsplice/secure"
)

// secured holds what the TLS sessions of all listeners share.
type secured struct {
	log     *slog.Logger
	gate    *secure.Gate
	keys    *secure.TicketKeys
	watcher *secure.Watcher
}

// handshakeThreads is how many handshakes are computed at a time: the loops need the
// other CPUs.
func handshakeThreads() int { return max(1, runtime.NumCPU()/2) }

// yieldToLoops makes a thread compute while the loops have nothing to do.
func yieldToLoops() { _ = sys.IdleThread() } // otherwise it computes as everybody does

// newSecured prepares TLS.
func newSecured(log *slog.Logger) *secured {
	return &secured{
		log: log, gate: secure.NewGate(handshakeThreads(), yieldToLoops), keys: secure.NewTicketKeys(),
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

// secureServer makes a server one that is spoken to by TLS, if its target says so.
// c may be nil.
func secureServer(server *pool.Server, t configs.Target, c *configs.BackendTLS) error {
	if !t.TLS() {
		return nil
	}
	if c == nil {
		c = &configs.BackendTLS{}
	}
	host, _, err := net.SplitHostPort(t.Address)
	if t.Network == "unix" {
		host, err = urlHost(t.Host), nil
	}
	if err != nil {
		return err
	}
	config := &tls.Config{
		ServerName: cmp.Or(c.ServerName, host), InsecureSkipVerify: c.Insecure, //nolint:gosec // asked for
		NextProtos: []string{secure.ProtocolHTTP1}, MinVersion: tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(sessionsKept),
		DynamicRecordSizingDisabled: true,
	}
	if c.CA != "" {
		if config.RootCAs, err = secure.ReadCA(c.CA); err != nil {
			return err
		}
	}
	if c.Client != nil {
		certificate, err := tls.LoadX509KeyPair(c.Client.Cert, c.Client.Key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	server.SetTLS(config)
	return nil
}

// urlHost returns the host of a Host header's value.
func urlHost(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

// sessionsKept is how many sessions of a server are remembered, to resume.
const sessionsKept = 64

// Close ends the watching and the computing.
func (s *secured) Close() {
	s.gate.Close()
	s.watcher.Close()
	s.keys.Close()
}
