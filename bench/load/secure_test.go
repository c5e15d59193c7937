package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wsplice/bench/echo"
	"wsplice/internal/testutil"
)

// testIdentity makes a certificate for CertificateName and the file that trusts it.
func testIdentity(t *testing.T) (identity tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{CertificateName}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cert.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// front speaks TLS to clients and passes on what is in it to a backend. When one
// side has ended, it ends the other.
func front(t *testing.T, backend *echo.Server, config *tls.Config) string {
	t.Helper()
	return serveEach(t, func(conn net.Conn) {
		client := tls.Server(conn, config)
		plain, err := net.Dial("tcp", backend.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		down := make(chan struct{})
		defer func() { <-down }()
		defer func() { _ = plain.Close() }()
		go func() {
			defer close(down)
			_, _ = io.Copy(client, plain)
			_ = client.Close()
		}()
		_, _ = io.Copy(plain, client)
	})
}

func TestLoadsOverTLS(t *testing.T) {
	identity, file := testIdentity(t)
	for _, test := range []struct {
		name   string
		mode   echo.Mode
		config Config
	}{
		{"echo", echo.Echo, Config{Scenario: Echo, Tunnels: 10, MessageBytes: 128}},
		{"great echo", echo.Echo, Config{Scenario: Echo, Tunnels: 2, MessageBytes: 300_000}},
		{"down", echo.Source, Config{Scenario: Down, Tunnels: 4, MessageBytes: 16 << 10}},
		{"up", echo.Sink, Config{Scenario: Up, Tunnels: 4, MessageBytes: 16 << 10}},
		{"churn", echo.Echo, Config{Scenario: Churn, Tunnels: 4, MessageBytes: 128}},
		{"resumed churn", echo.Echo, Config{Scenario: Churn, Tunnels: 4, MessageBytes: 128, Resume: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.config
			s := mustBackend(t, echo.Options{Mode: test.mode, FrameBytes: c.MessageBytes})
			c.Address = front(t, s, &tls.Config{Certificates: []tls.Certificate{identity}})
			c.Certificate, c.Warmup, c.Window = file, 20*time.Millisecond, 300*time.Millisecond
			res := runWithout(t, c)
			if res.Messages == 0 || res.Bytes < (res.Messages-8)*int64(c.MessageBytes) {
				t.Errorf("%d messages, %d bytes", res.Messages, res.Bytes)
			}
			if res.TLS != "TLS 1.3, X25519, TLS_AES_128_GCM_SHA256" {
				t.Errorf("negotiated %q", res.TLS)
			}
			if resumed := res.Resumed == res.Connections && res.Resumed > 0; resumed != c.Resume {
				t.Errorf("%d of %d sessions were resumed", res.Resumed, res.Connections)
			}
			testutil.Eventually(t, 5*time.Second, "all connections are gone", func() bool { return s.Open() == 0 })
		})
	}
}

// TestChurnWithoutEcho is of connections alone, with TLS and without.
func TestChurnWithoutEcho(t *testing.T) {
	identity, file := testIdentity(t)
	s := mustBackend(t, echo.Options{})
	for certificate, address := range map[string]string{
		"": s.Addr().String(), file: front(t, s, &tls.Config{Certificates: []tls.Certificate{identity}}),
	} {
		res := runWithout(t, Config{
			Scenario: Churn, Address: address, Tunnels: 4, Certificate: certificate, Window: 300 * time.Millisecond,
		})
		if res.Connections == 0 || res.Messages != 0 || res.Bytes != 0 || res.Upgrade.P50 <= 0 || res.Resumed != 0 {
			t.Errorf("%+v", res)
		}
	}
}

// TestOtherSessionsAreErrors has peers that do other arithmetic than was asked for,
// or are another than the certificate's.
func TestOtherSessionsAreErrors(t *testing.T) {
	identity, file := testIdentity(t)
	stranger, _ := testIdentity(t)
	for want, config := range map[string]*tls.Config{
		"protocol version":             {MaxVersion: tls.VersionTLS12},
		"handshake failure":            {CurvePreferences: []tls.CurveID{tls.CurveP256}},
		"unknown authority":            {Certificates: []tls.Certificate{stranger}},
		"session resumed: false, want": {SessionTicketsDisabled: true},
	} {
		t.Run(want, func(t *testing.T) {
			if config.Certificates == nil {
				config.Certificates = []tls.Certificate{identity}
			}
			c := Config{
				Scenario: Churn, Address: front(t, mustBackend(t, echo.Options{}), config),
				Tunnels: 1, Certificate: file, Window: 200 * time.Millisecond, Resume: config.SessionTicketsDisabled,
			}
			res, err := Run(t.Context(), c)
			if err != nil || res.Connections != 0 || !strings.Contains(strings.Join(res.ErrorTexts, "\n"), want) {
				t.Fatalf("%+v, %v, want an error with %q", res, err, want)
			}
		})
	}
}

// TestBurstOfIdleTunnels wants every echo, and every tunnel still open when the
// burst is over, with TLS and without.
func TestBurstOfIdleTunnels(t *testing.T) {
	identity, file := testIdentity(t)
	for _, certificate := range []string{"", file} {
		s := mustBackend(t, echo.Options{})
		c := Config{Scenario: Idle, Tunnels: 2*burstsMax + 1, MessageBytes: 200_000, Certificate: certificate}
		c.Address = s.Addr().String()
		if certificate != "" {
			c.Address = front(t, s, &tls.Config{Certificates: []tls.Certificate{identity}})
		}
		begin := make(chan struct{}, 1)
		c.Burst = begin
		c.OnOpen = func(open int, errors int64) {
			if open != c.Tunnels || errors != 0 {
				t.Errorf("%d open, %d errors", open, errors)
			}
			begin <- struct{}{}
		}
		r, err := newRun(c)
		if err != nil {
			t.Fatal(err)
		}
		end := make(chan int64, 1)
		r.config.OnBurst = func(errors int64) { end <- errors }
		ended := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		go func() {
			_, err := r.runTunnels(ctx)
			ended <- err
		}()
		select {
		case errors := <-end:
			if errors != 0 || s.Open() != c.Tunnels {
				t.Errorf("%q: %d errors, %d tunnels open", r.problems.list(), errors, s.Open())
			}
		case <-ctx.Done():
			t.Error("no end of the burst")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestBadSecurityIsRefused(t *testing.T) {
	_, file := testIdentity(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"no such file":      {Scenario: Echo, MessageBytes: 1, Certificate: "no-such-file"},
		"no certificate":    {Scenario: Echo, MessageBytes: 1, Certificate: empty},
		"open":              {Scenario: Open, MessageBytes: 1, Rate: 1, Certificate: file},
		"storm":             {Scenario: Storm, MessageBytes: 1, Certificate: file},
		"both":              {Scenario: Both, MessageBytes: 1, Certificate: file},
		"resumed echo":      {Scenario: Echo, MessageBytes: 1, Certificate: file, Resume: true},
		"resumed plain":     {Scenario: Churn, MessageBytes: 1, Resume: true},
		"burst of echo":     {Scenario: Echo, MessageBytes: 1, Burst: make(chan struct{})},
		"burst of no bytes": {Scenario: Idle, Burst: make(chan struct{})},
	} {
		c.Address, c.Tunnels = "127.0.0.1:1", 1
		if _, err := newRun(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
