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

// writePair makes a certificate for P-256, and returns where it is.
func writePair(t testing.TB) KeyPair {
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
	pair := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		pair.Cert: {Type: "CERTIFICATE", Bytes: der}, pair.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair
}

// BenchmarkHandshake is a whole handshake of both ends, with P-256 throughout.
func BenchmarkHandshake(b *testing.B) {
	gate, keys := NewGate(1, nil), NewTicketKeys()
	defer gate.Close()
	defer keys.Close()
	server, err := NewServer(ServerFiles{Certificates: []KeyPair{writePair(b)}}, gate, keys, nil)
	if err != nil {
		b.Fatal(err)
	}
	config := &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.CurveP256}}
	b.ReportAllocs()
	for b.Loop() {
		woken := make(chan struct{}, 64)
		wake := func() { woken <- struct{}{} }
		ends := [2]*Session{NewClientSession(config, gate), server.NewSession()}
		for _, s := range ends {
			s.Start(wake)
		}
		for ready := 0; ready < len(ends); {
			ready = 0
			for i, s := range ends {
				done, err := s.Settle()
				if err != nil {
					b.Fatal(err)
				}
				if done {
					ready++
				}
				if out := s.Output(nil); len(out) > 0 {
					if _, err := ends[1-i].Open(nil, out); err != nil {
						b.Fatal(err)
					}
				}
			}
			if ready < len(ends) {
				<-woken
			}
		}
		for _, s := range ends {
			s.Close()
		}
	}
}
