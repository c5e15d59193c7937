package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/handshake"
	"wsplice/internal/testutil"
	"wsplice/secure"
)

// writePair makes a certificate for localhost, and returns who signs it.
func writePair(t testing.TB) (secure.KeyPair, *x509.CertPool) {
	t.Helper()
	certificate, roots := testutil.NewCertificate(t)
	dir := t.TempDir()
	pair := secure.KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	testutil.WriteCertificate(t, certificate, pair.Cert, pair.Key)
	return pair, roots
}

// newServerTLS makes what serves TLS for localhost, and what its clients need.
func newServerTLS(t testing.TB) (*secure.Server, *tls.Config) {
	t.Helper()
	pair, roots := writePair(t)
	keys := secure.NewTicketKeys()
	t.Cleanup(keys.Close)
	server, err := secure.NewServer(secure.ServerFiles{Certificates: []secure.KeyPair{pair}}, secure.NewGate(1), keys,
		handshake.RefusalNotTLS.AppendResponse(nil))
	if err != nil {
		t.Fatal(err)
	}
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

// overVersions runs test by each version, served by loops, by goroutines, and by
// both in turns.
func overVersions(t *testing.T, test func(t *testing.T, r *rig, config *tls.Config)) {
	services := map[string]func(r *Route){
		"async": func(*Route) {}, "sync": func(r *Route) { r.Sync = true },
		"delayed": func(r *Route) { r.AsyncDelay = 3 * time.Millisecond },
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		for how, serve := range services {
			t.Run(name+" "+how, func(t *testing.T) {
				server, config := newServerTLS(t)
				config.MaxVersion = version
				test(t, newRig(t, func(c *Config) {
					c.Listeners[0].TLS = server
					serve(&c.Routes[0])
				}), config)
			})
		}
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

func TestSecureClientGetsOrdinaryHTTP(t *testing.T) {
	server, config := newServerTLS(t)
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}
	r := newHTTPRig(t, handler, func(c *Config) { c.Listeners[0].TLS = server })
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	body := make([]byte, 1<<20)
	rand.Read(body)
	for _, size := range []int{0, 1, 1000, 1 << 20, 10} {
		answer, err := client.Post("https://"+r.address+"/a", "text/plain", bytes.NewReader(body[:size]))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !bytes.Equal(got, body[:size]) || answer.Header.Get("X-Proto") != "https" {
			t.Fatalf("%d bytes: got %d, %v, %v", size, len(got), answer.Header, err)
		}
	}
	if n := r.server.Stats().Accepted; n != 1 {
		t.Errorf("%d connections for five requests; want 1", n)
	}
}

func TestPlainRequestOnSecurePortGetsReadableAnswer(t *testing.T) {
	r, _ := newSecureRig(t)
	client := r.dial()
	write(t, client, upgradeRequest)
	got := expectEnd(t, client)
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "speaks TLS") {
		t.Errorf("got %q", got)
	}
}

func TestFailedHandshakeIsToldByAlert(t *testing.T) {
	r, config := newSecureRig(t)
	config.MaxVersion = tls.VersionTLS11
	config.MinVersion = tls.VersionTLS10
	client := tls.Client(r.dial(), config)
	if err := client.Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1 got %v", err)
	}
	r.took(stateClosing, stateFree)
}

// A client that says nothing, or half a hello, is gone when the time for its head
// is over.
func TestSilentHandshakeEnds(t *testing.T) {
	server, _ := newServerTLS(t)
	r := newRig(t, func(c *Config) {
		c.Listeners[0].TLS = server
		c.Timeouts.Head = 50 * time.Millisecond
	})
	for _, early := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		client := r.dial()
		write(t, client, early)
		if got := expectEnd(t, client); got != "" {
			t.Errorf("after %q: got %q", early, got)
		}
	}
	r.took(stateClosing, stateFree)
}

// The client's bytes come one at a time, and so does every record of either side.
func TestSecureTunnelByteByByte(t *testing.T) {
	overVersions(t, func(t *testing.T, r *rig, config *tls.Config) {
		client := tls.Client(&trickle{TCPConn: r.dial()}, config)
		write(t, client, upgradeRequest)
		backend, _ := r.accept()
		write(t, backend, upgradeAnswer)
		expect(t, client, upgradeAnswer)
		text := strings.Repeat("0123456789", 300)
		write(t, client, text)
		expect(t, backend, text)
		write(t, backend, text)
		expect(t, client, text)
	})
}

// A trickle sends each byte by itself.
type trickle struct{ *net.TCPConn }

func (c *trickle) Write(p []byte) (n int, err error) {
	for i := range p {
		if _, err = c.TCPConn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// newBackendTLS makes what a backend speaks TLS by, and what trusts it.
func newBackendTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	pair, roots := writePair(t)
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, &tls.Config{
		RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

// secureTo makes the backend of a rig one that is spoken to by TLS.
func secureTo(t testing.TB, c *Config, client *tls.Config) {
	c.Handshakes = secure.NewGate(1)
	c.Routes[0].Upstream.Servers()[0].SetTLS(client)
}

// newSecureBackend makes the rig's backend one that is spoken to by TLS.
func newSecureBackend(t testing.TB, change func(config *tls.Config)) (*rig, *tls.Config) {
	t.Helper()
	server, client := newBackendTLS(t)
	if change != nil {
		change(client)
	}
	return newRig(t, func(c *Config) { secureTo(t, c, client) }), server
}

func TestSecureBackendRelays(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			r, config := newSecureBackend(t, nil)
			config.MaxVersion = version
			for round := range 3 {
				client := r.dial()
				write(t, client, upgradeRequest)
				backend := tls.Server(r.acceptBytes(), config)
				if _, err := http.ReadRequest(bufio.NewReader(backend)); err != nil {
					t.Fatal(err)
				}
				if resumed := backend.ConnectionState().DidResume; resumed != (round > 0) {
					t.Errorf("tunnel %d: resumed is %v", round, resumed)
				}
				write(t, backend, upgradeAnswer+"early")
				expect(t, client, upgradeAnswer+"early")
				write(t, client, "up")
				expect(t, backend, "up")
				write(t, backend, "down")
				expect(t, client, "down")
				backend.Close()
				expectEnd(t, client)
			}
		})
	}
}

func TestUntrustedBackendIs502(t *testing.T) {
	for name, change := range map[string]func(c *tls.Config){
		"wrong name": func(c *tls.Config) { c.ServerName = "other.test" },
		"untrusted":  func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
		"expired":    func(c *tls.Config) { c.Time = func() time.Time { return time.Now().Add(100 * time.Hour) } },
	} {
		t.Run(name, func(t *testing.T) {
			r, config := newSecureBackend(t, change)
			client := r.dial()
			write(t, client, upgradeRequest)
			backend := tls.Server(r.acceptBytes(), config)
			if err := backend.Handshake(); err == nil {
				_, err = backend.Read(make([]byte, 1))
				if err == nil {
					t.Error("the backend was spoken to")
				}
			}
			expectAnswer(t, client, "502")
		})
	}
}

// A backend that speaks before the handshake is over, and in plain text, gets no
// request.
func TestPlainBackendIs502(t *testing.T) {
	r, _ := newSecureBackend(t, nil)
	client := r.dial()
	write(t, client, upgradeRequest)
	backend := r.acceptBytes()
	write(t, backend, upgradeAnswer)
	expectAnswer(t, client, "502")
	if got := expectEnd(t, backend); strings.Contains(got, "GET") {
		t.Errorf("the backend got %q", got)
	}
}

// A client that reads slowly has records wait for it, in whichever hands the
// tunnel is, and they arrive whole and in order.
func TestSecureSlowClient(t *testing.T) {
	overVersions(t, func(t *testing.T, r *rig, config *tls.Config) {
		client, backend := r.secureTunnel(config)
		b := make([]byte, 8<<20)
		rand.Read(b)
		go func() {
			_, _ = backend.Write(b)
			_ = backend.CloseWrite()
		}()
		got := make([]byte, 0, len(b))
		for len(got) < len(b) {
			part := make([]byte, 1+len(got)%70_000)
			n, err := client.Read(part)
			if got = append(got, part[:n]...); err != nil && len(got) < len(b) {
				t.Fatalf("after %d bytes: %v", len(got), err)
			}
			if len(got)%7 == 0 {
				runtime.Gosched() // slowly
			}
		}
		if rest := expectEnd(t, client); rest != "" || !bytes.Equal(got, b) {
			t.Errorf("%d bytes more, or not those that were sent", len(rest))
		}
	})
}

// A holdingConn keeps what is written until somebody reads, or it is let go: so
// that a segment holds what comes behind a handshake, too.
type holdingConn struct {
	*net.TCPConn
	held []byte
}

func (c *holdingConn) Write(p []byte) (int, error) {
	c.held = append(c.held, p...)
	return len(p), nil
}

// SetWriteDeadline does nothing: crypto/tls sets one that has passed behind a
// close_notify.
func (c *holdingConn) SetWriteDeadline(time.Time) error { return nil }

func (c *holdingConn) Read(p []byte) (int, error) {
	if err := c.letGo(len(c.held)); err != nil {
		return 0, err
	}
	return c.TCPConn.Read(p)
}

func (c *holdingConn) letGo(n int) error {
	_, err := c.TCPConn.Write(c.held[:n])
	c.held = c.held[n:]
	return err
}

// What comes in one segment with the end of the handshake, whole or in the middle of
// a record, is not lost, and nor is the end of the stream behind it.
func TestSecureBytesBehindTheHandshake(t *testing.T) {
	overVersions(t, func(t *testing.T, r *rig, config *tls.Config) {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client, _ := r.secureTunnel(config) // a session of TLS 1.2 that is resumed ends with the client's Finished
		client.Close()
		text := strings.Repeat("0123456789abcdef", 1024) // a record as large as can be
		for _, behind := range []int{0, 1, 10, 10_000} {
			conn := &holdingConn{TCPConn: r.dial()}
			client = tls.Client(conn, config)
			write(t, client, upgradeRequest)
			write(t, client, text)
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := conn.letGo(len(conn.held) - behind); err != nil {
				t.Fatal(err)
			}
			backend, _ := r.accept()
			if err := conn.letGo(behind); err != nil {
				t.Fatal(err)
			}
			write(t, backend, upgradeAnswer)
			expect(t, client, upgradeAnswer)
			if got := expectEnd(t, backend); got != text {
				t.Fatalf("%d bytes behind: the backend got %d bytes of %d", behind, len(got), len(text))
			}
			closeWrite(t, backend)
			expectEnd(t, client)
		}
	})
}

// A request and the end of the stream come in one segment, on a route that serves
// HTTP. A client that ends while it waits counts as gone, as for net/http: it may
// be answered or not, and its connection ends.
func TestSecureRequestAndEndInOneSegment(t *testing.T) {
	server, config := newServerTLS(t)
	r := newHTTPRig(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}, func(c *Config) { c.Listeners[0].TLS = server })
	for range 20 {
		conn := &holdingConn{TCPConn: r.dial()}
		client := tls.Client(conn, config)
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		write(t, client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := conn.letGo(len(conn.held)); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(client); len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
			t.Errorf("got %q", got)
		}
	}
	conn, err := tls.Dial("tcp", r.address, config)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	conn.Close()
}

// An endpoint carries bytes between a client and a backend that both speak TLS, more
// than fits on the way, and both ends of its stream.
func TestEndpointWithTLSOnBothSides(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			server, clients := newServerTLS(t)
			serve, trust := newBackendTLS(t)
			clients.MaxVersion, serve.MaxVersion = version, version
			r := newRig(t, func(c *Config) {
				endpointRoute(binaryFrames)(c)
				secureTo(t, c, trust)
				c.Listeners[0].TLS = server
			})
			client := tls.Client(r.dial(), clients)
			write(t, client, upgradeRequest)
			backend := tls.Server(r.acceptBytes(), serve)
			if err := backend.Handshake(); err != nil {
				t.Fatal(err)
			}
			expect(t, client, upgradeAnswer)
			large := make([]byte, 3<<20)
			rand.Read(large)
			for _, size := range []int{1, 1000, 16 << 10, 100_000, len(large)} {
				go func() { _, _ = client.Write(masked(ws.NewBinaryFrame(bytes.Clone(large[:size])))) }()
				expect(t, backend, string(large[:size]))
				go func() { _, _ = backend.Write(large[:size]) }()
				expectMessage(t, client, ws.OpBinary, string(large[:size]))
			}
			write(t, backend, "last words")
			backend.Close()
			expectMessage(t, client, ws.OpBinary, "last words")
			expectClose(t, client, ws.StatusGoingAway)
		})
	}
}
