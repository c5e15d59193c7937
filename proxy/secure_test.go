package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"wsplice/handshake"
	"wsplice/secure"
)

// newServerTLS makes a certificate for localhost and what serves it.
func newServerTLS(t testing.TB) (*secure.Server, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
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
	pair := secure.KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		pair.Cert: {Type: "CERTIFICATE", Bytes: der}, pair.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err = os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := secure.NewTicketKeys()
	t.Cleanup(keys.Close)
	server, err := secure.NewServer(secure.ServerFiles{Certificates: []secure.KeyPair{pair}}, secure.NewGate(1), keys,
		handshake.RefusalNotTLS.AppendResponse(nil))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// newSecureRig is a rig whose clients speak TLS.
func newSecureRig(t testing.TB) (*rig, *tls.Config) {
	t.Helper()
	server, config := newServerTLS(t)
	return newRig(t, func(c *Config) { c.Listeners[0].TLS = server }), config
}

// secureTunnel opens one by TLS.
func (r *rig) secureTunnel(config *tls.Config) (client *tls.Conn, backend *net.TCPConn) {
	r.t.Helper()
	client = tls.Client(r.dial(), config)
	write(r.t, client, upgradeRequest)
	backend, _ = r.accept()
	write(r.t, backend, upgradeAnswer)
	expect(r.t, client, upgradeAnswer)
	return client, backend
}

func overVersions(t *testing.T, test func(t *testing.T, r *rig, config *tls.Config)) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			r, config := newSecureRig(t)
			config.MaxVersion = version
			test(t, r, config)
		})
	}
}

func TestSecureTunnelRelays(t *testing.T) {
	overVersions(t, func(t *testing.T, r *rig, config *tls.Config) {
		client, backend := r.secureTunnel(config)
		for size := 1; size < 1<<21; size = size*3 + 1 {
			b := make([]byte, size)
			rand.Read(b)
			for _, way := range [][2]net.Conn{{client, backend}, {backend, client}} {
				go func() { _, _ = way[0].Write(b) }()
				got := make([]byte, size)
				if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, b) {
					t.Fatalf("%d bytes: %v", size, err)
				}
			}
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest := expectEnd(t, backend); rest != "" {
			t.Errorf("backend got %q at the end", rest)
		}
		write(t, backend, "last words")
		closeWrite(t, backend)
		if rest := expectEnd(t, client); rest != "last words" {
			t.Errorf("client got %q at the end", rest)
		}
		r.took(stateClosing, stateFree)
	})
}
