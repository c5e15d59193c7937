package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// WSPLICE_TLS has every test go by TLS where it says nothing about that itself:
// "client" between its clients and wsplice, "backend" between wsplice and its
// backends, "both"; "h2" is "client" with HTTP/2. Unix sockets stay plain.

// SecureClients reports whether clients speak TLS.
func SecureClients() bool {
	return slices.Contains([]string{"client", "both", "h2"}, os.Getenv("WSPLICE_TLS"))
}

// SecureBackends reports whether backends do.
func SecureBackends() bool {
	return slices.Contains([]string{"backend", "both"}, os.Getenv("WSPLICE_TLS"))
}

// Splices reports whether bulk can be spliced: not where either side has TLS.
func Splices() bool { return !SecureClients() && !SecureBackends() }

// secureAddresses are listeners of wsplice with TLS; one that has all addresses of the
// machine is there by its port.
var secureAddresses sync.Map

// listens tells of a listener of wsplice. Its port may have been another one's.
func listens(address string, secure bool) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		secureAddresses.Delete(port)
		if net.ParseIP(host).IsUnspecified() {
			address = port
		}
	}
	if secure {
		secureAddresses.Store(address, true)
	} else {
		secureAddresses.Delete(address)
	}
}

func isSecure(address string) bool {
	_, secure := secureAddresses.Load(address)
	if _, port, err := net.SplitHostPort(address); err == nil && !secure {
		_, secure = secureAddresses.Load(port)
	}
	return secure
}

// An Authority signs certificates for the machines of a test.
type Authority struct {
	Dir  string // holds ca.pem, and the pairs that Issue has made
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// CA returns the file with its own certificate.
func (a *Authority) CA() string { return filepath.Join(a.Dir, "ca.pem") }

// Roots returns what trusts it.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// NewAuthority makes one in dir.
func NewAuthority(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wsplice test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &Authority{Dir: dir, key: key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, writePEM(a.CA(), "CERTIFICATE", der)
}

// Issue signs a certificate for names, host names and addresses, and writes it to
// NAME.pem and its key to NAME-key.pem. change, if any, alters it before.
func (a *Authority) Issue(name string, names []string, change func(*x509.Certificate)) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, secret := filepath.Join(a.Dir, name+".pem"), filepath.Join(a.Dir, name+"-key.pem")
	if err = writePEM(secret, "PRIVATE KEY", private); err == nil {
		err = writePEM(cert, "CERTIFICATE", der)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(cert, secret)
}

// writePEM replaces a file at once, as a tool that renews certificates does.
func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// MustIssue is Issue for tests.
func (a *Authority) MustIssue(t testing.TB, name string, names []string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	pair, err := a.Issue(name, names, change)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// common is the authority of all tests that run by TLS without saying so.
var common = sync.OnceValues(func() (*commonTLS, error) {
	if dir := os.Getenv(certificatesEnv); dir != "" {
		return loadCommon(dir)
	}
	dir, err := os.MkdirTemp("", "wsplice-tls-")
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	authority, err := NewAuthority(dir)
	if err != nil {
		return nil, err
	}
	names := []string{"localhost", "::1", "10.9.0.2", "127.0.0.77"}
	for i := range 10 {
		names = append(names, fmt.Sprintf("127.0.0.%d", i+1))
	}
	pair, err := authority.Issue("server", names, nil)
	return &commonTLS{authority, pair}, err
})

// certificatesEnv names the directory of the certificates for the processes that
// have a part in the tests: helpers, and Node.
const certificatesEnv = "WSPLICE_E2E_CERTIFICATES"

// loadCommon reads in a helper what the process of the tests has written.
func loadCommon(dir string) (*commonTLS, error) {
	c := &commonTLS{Authority: &Authority{Dir: dir}}
	ca, err := os.ReadFile(c.CA())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(ca)
	if c.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	c.pair, err = tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem"))
	return c, err
}

type commonTLS struct {
	*Authority
	pair tls.Certificate
}

func mustCommon() *commonTLS {
	c, err := common()
	if err != nil {
		panic("rig: make certificates: " + err.Error())
	}
	return c
}

// TrustCertificates has this process, and those that it starts from here on, trust
// whoever speaks TLS because of WSPLICE_TLS.
func TrustCertificates() {
	if SecureClients() || SecureBackends() {
		c := mustCommon()
		_ = os.Setenv(certificatesEnv, c.Dir)
		_ = os.Setenv("SSL_CERT_FILE", c.CA())
		_ = os.Setenv("NODE_EXTRA_CA_CERTS", c.CA())
	}
}

// RemoveCertificates removes what was written for WSPLICE_TLS, at the very end.
func RemoveCertificates() {
	if SecureClients() || SecureBackends() {
		_ = os.RemoveAll(mustCommon().Dir)
	}
}

// secures reports whether a listener of the configuration becomes one with TLS. A
// PROXY header comes before that, which these clients cannot send.
func secures(more string) bool {
	return SecureClients() && !strings.Contains(more, "tls:") && !strings.Contains(more, "proxy_protocol")
}

// secureKeys is what a listener of the configuration has on top.
func secureKeys(address, more string) string {
	if !secures(more) || strings.HasPrefix(address, "unix:") {
		return more
	}
	dir := mustCommon().Dir
	tls := fmt.Sprintf("tls: {certificates: [{cert: %s/server.pem, key: %s/server-key.pem}]}", dir, dir)
	if more == "" {
		return tls
	}
	return more + ", " + tls
}

// secureClient speaks TLS over conn if address has that.
func secureClient(conn net.Conn, address string) net.Conn {
	secure := isSecure(address)
	// A helper cannot know, and dials nobody but wsplice.
	helps := os.Getenv(roleEnv) != "" && SecureClients() && conn.RemoteAddr().Network() == "tcp"
	if !secure && !helps {
		return conn
	}
	config := &tls.Config{RootCAs: mustCommon().Roots(), ServerName: "localhost"}
	if HTTP2Clients() {
		return newH2Client(conn, config)
	}
	return &eagerConn{Conn: tls.Client(conn, config), sent: make(chan struct{})}
}

// An eagerConn does not have who writes first wait for the handshake: a test may
// have clients wait in a queue.
type eagerConn struct {
	*tls.Conn
	first sync.Once
	sent  chan struct{} // closed when what was written first is out, or has failed
}

func (c *eagerConn) Write(p []byte) (int, error) {
	eager := false
	c.first.Do(func() {
		eager = true
		b := slices.Clone(p)
		go func() {
			defer close(c.sent)
			_, _ = c.Conn.Write(b) // whoever reads or writes next hears of it
		}()
	})
	if eager {
		return len(p), nil
	}
	<-c.sent
	return c.Conn.Write(p)
}

// CloseWrite ends what is sent.
func (c *eagerConn) CloseWrite() error {
	c.first.Do(func() { close(c.sent) })
	<-c.sent
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.Conn.CloseWrite()
}

// secureBackends are the addresses of backends with TLS.
var secureBackends sync.Map

// SecureBackendAt tells of a backend that will listen on address later.
func SecureBackendAt(address string) {
	if SecureBackends() {
		secureBackends.Store(address, true)
	}
}

// PlainBackendAt tells that a backend speaks no TLS: it is behind an endpoint,
// whose targets cannot say so.
func PlainBackendAt(address string) { secureBackends.Delete(address) }

// secureTargets writes wss:// and https:// for the backends that have TLS.
func secureTargets(yaml string) string {
	secureBackends.Range(func(key, _ any) bool {
		address := key.(string)
		if strings.Contains(yaml, "tcp://"+address) {
			PlainBackendAt(address)
			return true
		}
		yaml = strings.ReplaceAll(yaml, "ws://"+address, "wss://"+address)
		yaml = strings.ReplaceAll(yaml, "http://"+address, "https://"+address)
		return true
	})
	return yaml
}

// SecureListener makes the listener of a backend one with TLS. Whether it has that is
// seen when a connection comes: by then it has turned out if it is an endpoint's.
func SecureListener(ln net.Listener) net.Listener {
	if !SecureBackends() || ln.Addr().Network() == "unix" {
		return ln
	}
	secureBackends.Store(ln.Addr().String(), true)
	return &secureListener{ln, &tls.Config{Certificates: []tls.Certificate{mustCommon().pair}}}
}

type secureListener struct {
	net.Listener
	config *tls.Config
}

// Accept returns the next connection.
func (l *secureListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, secure := secureBackends.Load(l.Addr().String()); !secure {
		return conn, nil
	}
	return tls.Server(conn, l.config), nil
}
