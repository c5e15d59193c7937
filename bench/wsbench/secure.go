package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"wsplice/bench/load"
	"wsplice/bench/report"
)

// What rows over TLS get unless flags say otherwise.
const (
	secureWindow = 2 * time.Second
	secureWarmup = 300 * time.Millisecond
)

// Idle tunnels over TLS: how many, what each then echoes at once, and how long they
// rest before memory is read again.
const (
	secureIdleCount  = 2000
	secureBurstBytes = 200_000
	secureBurstRest  = 10 * time.Second
)

// secureClients is how many clients connect at once.
const secureClients = 16

// Where a proxy finds its certificate, in its own directory.
const (
	certificateFile = "cert.pem"
	keyFile         = "key.pem"
	bothFile        = "both.pem"
)

// secureScenarios are the rows over TLS: clients speak it, the backend does not.
func secureScenarios() []scenario {
	list := []scenario{
		{name: report.SecureIdle, load: load.Idle, tunnels: secureIdleCount, burst: secureBurstBytes, rounds: 2},
		{name: report.SecureEcho, load: load.Echo, tunnels: 100, size: 128},
		{name: report.SecureDown, load: load.Down, tunnels: 4, size: 16 << 10},
		{name: report.SecureUp, load: load.Up, tunnels: 4, size: 16 << 10},
		{name: report.SecureFull, load: load.Churn, tunnels: secureClients, sources: 32, backends: 16},
		{name: report.SecureResumed, load: load.Churn, tunnels: secureClients, sources: 32, backends: 16, resume: true},
	}
	for i := range list {
		list[i].family = report.Secure
		list[i].full = []string{report.Subject, "nginx", "haproxy"}
	}
	return list
}

// securePeers are those whose configurations know TLS.
func securePeers(wsplice string) []peer {
	known := []string{report.Subject, "wsplice-epoll", "wsplice-io_uring", "nginx", "haproxy"}
	return slices.DeleteFunc(peers(wsplice), func(p peer) bool { return !slices.Contains(known, p.name) })
}

// An identity is a certificate of this run, with its key, in PEM.
type identity struct{ certificate, key []byte }

// newIdentity makes a certificate that signs itself, with a key on P-256.
func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{load.CertificateName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &identity{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

// write puts the files into a directory: the two, and both in one for HAProxy.
func (i *identity) write(dir string) error {
	for name, content := range map[string][]byte{
		certificateFile: i.certificate, keyFile: i.key, bothFile: slices.Concat(i.certificate, i.key),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	return nil
}

// secure gives a proxy of a scenario with TLS its certificate, the same for all.
func (b *bench) secure(s *scenario, dir string) (err error) {
	if !s.secure() {
		return nil
	}
	if b.identity == nil {
		if b.identity, err = newIdentity(); err == nil {
			err = b.identity.write(b.dir) // for the client
		}
	}
	if err != nil {
		return err
	}
	return b.identity.write(dir)
}

// secureArgs are the flags of a load over TLS.
func (b *bench) secureArgs(s *scenario) []string {
	if !s.secure() {
		return nil
	}
	return []string{"--certificate", filepath.Join(b.dir, certificateFile), "--resume=" + strconv.FormatBool(s.resume)}
}
