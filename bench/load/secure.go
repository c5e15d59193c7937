package load

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// What every connection with TLS must negotiate, whoever the peer is: figures of
// peers that did other arithmetic could not be held against one another.
const (
	wantVersion = tls.VersionTLS13
	wantSuite   = tls.TLS_AES_128_GCM_SHA256
	wantGroup   = tls.X25519
)

// A security is how the connections of a run are secured, for all of them.
type security struct {
	config *tls.Config
	resume bool
}

// newSecurity returns what Config.Certificate and Config.Resume ask for, or nil.
func newSecurity(r *run) (*security, error) {
	c := &r.config
	if c.Certificate == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.Certificate)
	if err != nil {
		return nil, fmt.Errorf("load: read certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load: no certificate in %s", c.Certificate)
	}
	s := &security{resume: c.Resume}
	s.config = &tls.Config{
		RootCAs: roots, ServerName: CertificateName, MinVersion: wantVersion,
		CurvePreferences: []tls.CurveID{wantGroup},
		// A client that could resume is sent tickets, and so is every browser.
		ClientSessionCache:          forgetful{},
		DynamicRecordSizingDisabled: true,
		VerifyConnection:            func(state tls.ConnectionState) error { return s.verify(r, &state) },
	}
	if c.Resume {
		s.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return s, nil
}

// verify judges a handshake, and keeps what was negotiated.
func (s *security) verify(r *run, state *tls.ConnectionState) error {
	text := fmt.Sprintf("%s, %s, %s", tls.VersionName(state.Version), state.CurveID, tls.CipherSuiteName(state.CipherSuite))
	if state.Version != wantVersion || state.CipherSuite != wantSuite || state.CurveID != wantGroup || state.HelloRetryRequest {
		return fmt.Errorf("negotiated %s, hello retried: %v", text, state.HelloRetryRequest)
	}
	r.negotiated.CompareAndSwap(nil, &text)
	if resumes := s.resumes() && r.primed.Load(); state.DidResume != resumes {
		return fmt.Errorf("session resumed: %v, want %v", state.DidResume, resumes)
	}
	return nil
}

// forgetful is a cache of sessions that keeps none.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// resumes reports whether sessions continue earlier ones, which verify holds.
func (s *security) resumes() bool { return s != nil && s.resume }

// prime makes one connection that leaves a ticket, so that all others can resume.
func (r *run) prime() error {
	if !r.security.resumes() {
		return nil
	}
	var l leash
	if _, err := r.cycle(0, &l); err != nil {
		return fmt.Errorf("load: first connection: %w", err)
	}
	r.primed.Store(true)
	return nil
}

// burst has every tunnel echo one message, burstsMax of them at a time.
func (r *run) burst(tunnels []*tunnel) {
	places := make(chan struct{}, burstsMax)
	for _, t := range tunnels {
		places <- struct{}{}
		go func() {
			defer func() { <-places }()
			if err := t.echoOnce(); err != nil {
				r.problems.add(fmt.Errorf("burst: %w", err))
			}
		}()
	}
	for range burstsMax {
		places <- struct{}{}
	}
}

// echoOnce sends a message and waits until its echo is whole.
func (t *tunnel) echoOnce() error {
	if err := t.sendMessage(); err != nil {
		return err
	}
	timeout := time.NewTimer(burstTimeout)
	defer timeout.Stop()
	select {
	case <-t.echoed:
		return nil
	case <-timeout.C:
		return fmt.Errorf("no echo within %v", burstTimeout)
	}
}
