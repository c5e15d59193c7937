package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// A Server makes the sessions of a listener.
type Server struct {
	gate   *Gate
	keys   *TicketKeys
	files  ServerFiles
	config atomic.Pointer[tls.Config]
	notTLS []byte
}

// ServerFiles says where a listener's keys are, and what it asks of clients.
type ServerFiles struct {
	Certificates []KeyPair // chosen by SNI; the first one where none fits
	ClientCA     string    // "" = clients are not asked for certificates
	MinVersion   uint16    // 0 = TLS 1.2
	Protocols    []string  // ALPN, ours first; none = not negotiated
}

// A KeyPair names two PEM files: a certificate with its chain, and its key.
type KeyPair struct{ Cert, Key string }

// NewServer reads the files. notTLS is what a client is told that speaks no TLS.
func NewServer(files ServerFiles, gate *Gate, keys *TicketKeys, notTLS []byte) (*Server, error) {
	s := &Server{gate: gate, keys: keys, files: files, notTLS: notTLS}
	return s, s.Reload()
}

// Reload reads the files again. Sessions that exist stay as they are; an error
// leaves everything as it is.
func (s *Server) Reload() error {
	config := &tls.Config{
		MinVersion: max(s.files.MinVersion, tls.VersionTLS12),
		NextProtos: s.files.Protocols,

		DynamicRecordSizingDisabled: true, // a message is one record as it is
	}
	for _, pair := range s.files.Certificates {
		certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", pair.Cert, pair.Key, err)
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	if s.files.ClientCA != "" {
		pool, err := ReadCA(s.files.ClientCA)
		if err != nil {
			return err
		}
		config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	s.keys.add(config)
	s.config.Store(config)
	return nil
}

// ErrNoCertificate says that a file holds no PEM certificate.
var ErrNoCertificate = errors.New("no PEM certificate in it")

// ReadCA reads the certificates that others are verified by.
func ReadCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoCertificate)
	}
	return pool, nil
}

// NewSession returns the session of a connection that was just accepted.
func (s *Server) NewSession() *Session {
	return &Session{notTLS: s.notTLS, shake: newHandshake(s.config.Load(), s.gate, false)}
}
