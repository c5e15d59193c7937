package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

func newAuthority(t testing.TB) *rig.Authority {
	t.Helper()
	authority, err := rig.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// listenerTLS is the keys of a listener with the pairs that authority has issued
// under these names.
func listenerTLS(authority *rig.Authority, more string, names ...string) string {
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, "{cert: "+authority.Dir+"/"+name+".pem, key: "+authority.Dir+"/"+name+"-key.pem}")
	}
	return "tls: {certificates: [" + strings.Join(pairs, ", ") + "]" + more + "}"
}

// dialTLS opens a TLS connection, handshake and all.
func dialTLS(t testing.TB, address string, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err = raw.SetDeadline(time.Now().Add(rig.Soon)); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, config)
	return conn, conn.Handshake()
}

// TestTLSCertificateBySNI has three names at one listener.
func TestTLSCertificateBySNI(t *testing.T) {
	authority := newAuthority(t)
	authority.MustIssue(t, "one", []string{"one.test"}, nil)
	authority.MustIssue(t, "two", []string{"two.test", "*.two.test"}, nil)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, "", "one", "two"), Routes: `- {path: /, to: "ws://127.0.0.1:1/"}`,
	})
	for name, want := range map[string]string{
		"one.test": "one", "two.test": "two", "a.two.test": "two", "TWO.test": "two", "other.test": "one", "": "one",
	} {
		conn, err := dialTLS(t, proxy.Addr(0), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("for %q: got the certificate of %s, want %s", name, got, want)
		}
	}
}

// TestTLSCertificateIsReadAgain replaces the files: new connections get the new
// certificate, an open tunnel stays, and a broken file changes nothing.
func TestTLSCertificateIsReadAgain(t *testing.T) {
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"old.test"}, nil)
	backend := rig.EchoBackend(t)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, "", "server"), Routes: `- {path: /, to: "` + backend.URL() + `/"}`,
	})
	config := &tls.Config{RootCAs: authority.Roots(), ServerName: "old.test"}
	tunnel, err := dialTLS(t, proxy.Addr(0), config)
	if err != nil {
		t.Fatal(err)
	}
	upgradeTLS(t, tunnel)
	authority.MustIssue(t, "server", []string{"new.test"}, nil)
	proxy.WaitLog(0, "certificates reloaded", func(l rig.Line) bool { return l.Msg() == "certificates reloaded" })
	config = &tls.Config{RootCAs: authority.Roots(), ServerName: "new.test"}
	if _, err = dialTLS(t, proxy.Addr(0), config); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
	mark := proxy.Logs.Mark()
	if err = exec.Command("cp", authority.Dir+"/ca.pem", authority.Dir+"/server.pem").Run(); err != nil {
		t.Fatal(err)
	}
	line := proxy.WaitLog(mark, "certificates not reloaded", func(l rig.Line) bool {
		return strings.HasPrefix(l.Msg(), "certificates not reloaded")
	})
	if because := line.Text("because"); !strings.Contains(because, "server.pem") {
		t.Errorf("the log does not name the file: %s", because)
	}
	if _, err = dialTLS(t, proxy.Addr(0), config); err != nil {
		t.Errorf("with a broken file: %v", err)
	}
	echoTLS(t, tunnel, "still here")
}

// upgradeTLS makes conn a tunnel.
func upgradeTLS(t testing.TB, conn *tls.Conn, lines ...string) {
	t.Helper()
	upgradeTLSAt(t, conn, "/x", lines...)
}

func upgradeTLSAt(t testing.TB, conn *tls.Conn, target string, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(conn, rig.UpgradeRequest(target, lines...)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 0, 1024)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		b := make([]byte, 1)
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("after %q: %v", head, err)
		}
		head = append(head, b[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101 ") {
		t.Fatalf("got %q", head)
	}
}

func echoTLS(t testing.TB, conn *tls.Conn, text string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(rig.Soon)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// TestTLSVersionsAndSuites tries what a scanner would.
func TestTLSVersionsAndSuites(t *testing.T) {
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"s.test"}, nil)
	start := func(more string) string {
		return rig.Start(t, rig.Config{
			ListenerX: listenerTLS(authority, more, "server"), Routes: `- {path: /, to: "ws://127.0.0.1:1/"}`,
		}).Addr(0)
	}
	usual, newest := start(""), start(`, min_version: "1.3"`)
	for _, test := range []struct {
		name, address string
		low, high     uint16
		suite         uint16
		refused       bool
	}{
		{"TLS 1.0", usual, tls.VersionTLS10, tls.VersionTLS10, 0, true},
		{"TLS 1.1", usual, tls.VersionTLS11, tls.VersionTLS11, 0, true},
		{"TLS 1.2", usual, tls.VersionTLS12, tls.VersionTLS12, 0, false},
		{"TLS 1.3", usual, tls.VersionTLS13, tls.VersionTLS13, 0, false},
		{"TLS 1.2 where 1.3 is the least", newest, tls.VersionTLS12, tls.VersionTLS12, 0, true},
		{"TLS 1.3 where it is the least", newest, tls.VersionTLS12, tls.VersionTLS13, 0, false},
		{"RC4", usual, 0, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, true},
		{"3DES", usual, 0, tls.VersionTLS12, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, true},
		{"RSA key exchange", usual, 0, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, true},
		{"AES-GCM", usual, 0, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
		{"ChaCha20", usual, 0, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false},
	} {
		config := &tls.Config{RootCAs: authority.Roots(), ServerName: "s.test", MinVersion: test.low, MaxVersion: test.high}
		if test.suite != 0 {
			config.CipherSuites = []uint16{test.suite}
		}
		if _, err := dialTLS(t, test.address, config); (err != nil) != test.refused {
			t.Errorf("%s: refused should be %v: %v", test.name, test.refused, err)
		}
	}
}

// TestTLSClientCertificates wants one of clients, and tells the backend whose it
// is. What clients say about that themselves does not pass.
func TestTLSClientCertificates(t *testing.T) {
	authority, stranger := newAuthority(t), newAuthority(t)
	authority.MustIssue(t, "server", []string{"s.test"}, nil)
	usage := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	named := func(c *x509.Certificate) {
		usage(c)
		c.Subject = pkix.Name{CommonName: "Zoë\r\nX-Evil: 1", Organization: []string{"50% off"}}
	}
	pairs := map[string]tls.Certificate{
		"client": authority.MustIssue(t, "client", nil, usage), "odd": authority.MustIssue(t, "odd", nil, named),
		"stranger": stranger.MustIssue(t, "stranger", nil, usage),
	}
	backend := rig.NewBackend(t, nil)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, ", client_ca: "+authority.CA()+
			", subject_header: X-Subject, fingerprint_header: X-Fingerprint", "server"),
		Routes: `- {path: /, to: "` + backend.URL() + `/"}`,
	})
	for name, want := range map[string]string{
		"client": "CN=client", "odd": "CN=Zo%C3%AB%0D%0AX-Evil: 1,O=50%25 off", "stranger": "", "": "",
	} {
		config := &tls.Config{RootCAs: authority.Roots(), ServerName: "s.test"}
		if name != "" {
			config.Certificates = []tls.Certificate{pairs[name]}
		}
		conn, err := dialTLS(t, proxy.Addr(0), config)
		if err == nil {
			// With TLS 1.3 a client hears only now that its certificate will not do.
			_, _ = io.WriteString(conn, rig.UpgradeRequest("/x", "X-Subject: forged", "x-fingerprint: forged"))
			if want == "" {
				_, err = conn.Read(make([]byte, 1))
			}
		}
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), "unknown") {
				t.Errorf("%q: got %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		head := backend.Next().WantHead()
		if subject, print := head.Values("X-Subject"), head.Values("X-Fingerprint"); len(subject) != 1 || subject[0] != want ||
			len(print) != 1 || len(print[0]) != 64 || len(head.Values("X-Evil")) != 0 {
			t.Errorf("%q: the backend was told %q %q, want %q", name, subject, print, want)
		}
	}
}

// TestTLSKeyUpdate has OpenSSL change its keys, and ask for ours, in the middle of
// a tunnel.
func TestTLSKeyUpdate(t *testing.T) {
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"s.test"}, nil)
	backend := rig.EchoBackend(t)
	proxy := rig.Start(t, rig.Config{
		ListenerX: listenerTLS(authority, "", "server"), Routes: `- {path: /, to: "` + backend.URL() + `/", tunnel: {frames: off}}`,
	})
	client := exec.Command("openssl", "s_client", "-connect", proxy.Addr(0), "-CAfile", authority.CA(), "-servername", "s.test",
		"-verify_return_error", "-msg")
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	client.Stderr = nil
	if err = client.Start(); err != nil {
		missing(t, "openssl: %v", err)
	}
	defer func() { _ = client.Process.Kill(); _ = client.Wait() }()
	var seen strings.Builder
	await := func(text string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := out.Read(b)
			if seen.Write(b[:n]); err != nil {
				t.Fatalf("openssl: %v before %q:\n%s", err, text, seen.String())
			}
		}
		seen.Reset()
	}
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
	}
	send(rig.UpgradeRequest("/x"))
	await("101 Switching Protocols")
	for i, command := range []string{"k", "K", "k", "K"} {
		send(command + "\n")
		await("KeyUpdate")
		text := "after update " + string(rune('0'+i))
		send(text + "\n")
		await(text)
	}
}

// TestTLSBackends verifies them: a wrong name, a CA that nobody knows, a
// certificate out of date, and none at all are each a 502, and the log says why.
func TestTLSBackends(t *testing.T) {
	authority, stranger := newAuthority(t), newAuthority(t)
	old := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for name, test := range map[string]struct {
		pair tls.Certificate
		more string
		want string // why it is refused; "" = it is not
	}{
		"good":          {authority.MustIssue(t, "good", []string{"localhost"}, nil), "", ""},
		"expired":       {authority.MustIssue(t, "expired", []string{"localhost"}, old), "", "expired"},
		"wrong name":    {authority.MustIssue(t, "other", []string{"other.test"}, nil), "", "valid for other.test"},
		"given name":    {authority.MustIssue(t, "given", []string{"other.test"}, nil), ", server_name: other.test", ""},
		"untrusted":     {stranger.MustIssue(t, "untrusted", []string{"localhost"}, nil), "", "unknown authority"},
		"own signature": {stranger.MustIssue(t, "own", []string{"localhost"}, nil), ", insecure: off", "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := newTLSBackend(t, test.pair)
			proxy := rig.Start(t, rig.Config{
				Routes: `- {path: /http/, upstream: u, mode: http}` + "\n" + `- {path: /, upstream: u}`,
				Upstreams: "  u: {disable_time: 0s, servers: [{url: \"wss://localhost:" + backend + "\"}], tls: {ca: " + authority.CA() +
					test.more + "}}",
			})
			for path, good := range map[string]int{"/x": 101, "/http/x": 200} {
				client := rig.Dial(t, proxy.Addr(0))
				if path == "/x" {
					client.Put(rig.UpgradeRequest(path))
				} else {
					client.Put("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
				}
				want := map[bool]int{true: good, false: 502}[test.want == ""]
				if got := client.Answer(); got.Status != want {
					t.Errorf("%s: got %q, want %d", path, got.Raw, want)
				}
				if test.want != "" {
					line := proxy.WaitLog(0, "TLS handshake failed", func(l rig.Line) bool { return l.Msg() == "TLS handshake failed" })
					if because := line.Text("because"); !strings.Contains(because, test.want) ||
						!strings.Contains(because, "issued by") || !strings.Contains(line.Text("backend"), backend) {
						t.Errorf("%s: the log says %v", path, line)
					}
				}
			}
		})
	}
}

// TestTLSBackendFilesAreReadAgain replaces our certificate for a backend, and the CA
// that backends are verified by: new tunnels have the new ones, an open one stays,
// and a broken file changes nothing.
func TestTLSBackendFilesAreReadAgain(t *testing.T) {
	authority, stranger := newAuthority(t), newAuthority(t)
	ours := func(name string) {
		authority.MustIssue(t, "ours", nil, func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = name, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})
	}
	ours("first")
	pair := authority.MustIssue(t, "server", []string{"localhost"}, nil)
	port := newTLSBackendOn(t, "127.0.0.1", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: authority.Roots(), ClientAuth: tls.RequireAndVerifyClientCert,
	})
	proxy := rig.Start(t, rig.Config{
		Routes: `- {path: /, upstream: u}`,
		Upstreams: "  u: {disable_time: 0s, servers: [{url: \"wss://localhost:" + port + "\"}], tls: {ca: " + authority.CA() +
			", cert: " + authority.Dir + "/ours.pem, key: " + authority.Dir + "/ours-key.pem}}",
	})
	open := func(status int, name string) *rig.Client {
		t.Helper()
		client := rig.Dial(t, proxy.Addr(0))
		client.Put(rig.UpgradeRequest("/x"))
		if a := client.Answer(); a.Status != status || a.Header.Get(clientHeader) != name {
			t.Fatalf("answer %q, want %d for %q", a.Raw, status, name)
		}
		return client
	}
	said := func(mark int, begin string) rig.Line {
		t.Helper()
		return proxy.WaitLog(mark, begin, func(l rig.Line) bool { return strings.HasPrefix(l.Msg(), begin) })
	}
	first := open(101, "first")
	mark := proxy.Logs.Mark()
	ours("second")
	if line := said(mark, "certificates reloaded"); line.Text("server") != "localhost:"+port {
		t.Errorf("the log does not name the server: %v", line)
	}
	open(101, "second").WantEcho("hello")

	mark = proxy.Logs.Mark()
	if err := exec.Command("cp", authority.Dir+"/ours-key.pem", authority.CA()).Run(); err != nil {
		t.Fatal(err)
	}
	if because := said(mark, "certificates not reloaded").Text("because"); !strings.Contains(because, authority.CA()) {
		t.Errorf("the log does not name the file: %s", because)
	}
	open(101, "second")

	mark = proxy.Logs.Mark()
	if err := exec.Command("cp", stranger.CA(), authority.CA()).Run(); err != nil {
		t.Fatal(err)
	}
	said(mark, "certificates reloaded")
	open(502, "")
	first.WantEcho("still here")
}

// clientHeader is how a backend with TLS says whose certificate it was shown.
const clientHeader = "X-Client"

// newTLSBackend serves HTTP and tunnels that echo, and returns its port.
func newTLSBackend(t testing.TB, pair tls.Certificate) (port string) {
	t.Helper()
	return newTLSBackendOn(t, "127.0.0.1", &tls.Config{Certificates: []tls.Certificate{pair}})
}

// newTLSBackendOn is newTLSBackend on another address.
func newTLSBackendOn(t testing.TB, ip string, config *tls.Config) (port string) {
	t.Helper()
	listener, err := tls.Listen("tcp", ip+":0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: rig.Soon, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		var lines []string
		if shown := r.TLS.PeerCertificates; len(shown) > 0 {
			lines = append(lines, clientHeader+": "+shown[0].Subject.CommonName)
		}
		_, _ = io.WriteString(conn, rig.SwitchingProtocols(r.Header.Get("Sec-Websocket-Key"), lines...))
		_, _ = io.Copy(conn, conn)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
