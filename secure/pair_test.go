package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeKeyPair makes a certificate for P-256, and returns where it is.
func writeKeyPair(t testing.TB) KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// newServer returns a server with a certificate for P-256, whose handshakes gate
// computes.
func newServer(t testing.TB, gate *Gate) *Server {
	t.Helper()
	keys := NewTicketKeys()
	t.Cleanup(keys.Close)
	server, err := NewServer(ServerFiles{Certificates: []KeyPair{writeKeyPair(t)}}, gate, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// newTestGate returns a gate with one thread of each kind.
func newTestGate(t testing.TB, humble func()) *Gate {
	gate := NewGate(1, func() {
		if humble != nil {
			humble()
		}
	})
	t.Cleanup(gate.Close)
	return gate
}

var onP256 = &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.CurveP256}}

// A meeting is a client and a server on one connection.
type meeting struct {
	ends  [2]*Session
	woken chan struct{}
}

func newMeeting(server *Server, gate *Gate) *meeting {
	p := &meeting{ends: [2]*Session{NewClientSession(onP256, gate), server.NewSession()}, woken: make(chan struct{}, 64)}
	for _, s := range p.ends {
		s.Start(func() { p.woken <- struct{}{} })
	}
	return p
}

// pass moves what both ends have to say, and reports whether both are ready.
func (p *meeting) pass() (ready bool, err error) {
	ready = true
	for i, s := range p.ends {
		done, err := s.Settle()
		if err != nil {
			return false, err
		}
		ready = ready && done
		if out := s.Output(nil); len(out) > 0 {
			if _, err := p.ends[1-i].Open(nil, out); err != nil {
				return false, err
			}
		}
	}
	return ready, nil
}

// shake goes on until both ends are ready.
func (p *meeting) shake() error {
	for {
		if ready, err := p.pass(); ready || err != nil {
			return err
		}
		<-p.woken
	}
}

func (p *meeting) close() {
	for _, s := range p.ends {
		s.Close()
	}
}

// BenchmarkHandshake is a whole handshake of both ends, with P-256 throughout.
func BenchmarkHandshake(b *testing.B) {
	gate := newTestGate(b, nil)
	server := newServer(b, gate)
	b.ReportAllocs()
	for b.Loop() {
		p := newMeeting(server, gate)
		if err := p.shake(); err != nil {
			b.Fatal(err)
		}
		p.close()
	}
}
