package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

// logLines collects what is logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

// Write takes one line.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// with returns the lines that hold part.
func (l *logLines) with(part string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			list = append(list, line)
		}
	}
	return list
}

// A secureHost is the backend of a rig whose server keeps one connection, by TLS.
type secureHost struct {
	*rig
	log   logLines
	conns chan *tls.Conn // whose handshake is over, in the order of that
}

// startSecureHost says words on every connection; change may alter both ends of TLS
// and the configuration before.
func startSecureHost(t *testing.T, words string, change func(c *Config, server, client *tls.Config)) *secureHost {
	t.Helper()
	server, client := newBackendTLS(t)
	h := &secureHost{conns: make(chan *tls.Conn, 1024)}
	h.rig = newRig(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&h.log, nil))
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
		secureTo(t, c, client)
		if change != nil {
			change(c, server, client)
		}
	})
	go func() {
		for {
			raw, err := h.backend.AcceptTCP()
			if err != nil {
				return
			}
			t.Cleanup(func() { raw.Close() })
			_ = raw.SetDeadline(time.Now().Add(2 * patience))
			go func() {
				conn := tls.Server(raw, server)
				if conn.Handshake() != nil {
					raw.Close() // the test sees that nothing comes
					return
				}
				_, _ = io.WriteString(conn, words)
				h.conns <- conn
			}()
		}
	}()
	return h
}

func (h *secureHost) ready() {
	h.t.Helper()
	testutil.Eventually(h.t, patience, "a connection is warm", func() bool { return h.server.Stats().WarmIdle == 1 })
}

// hold keeps the loops from seeing anything until the function that it returns is
// called.
func (h *secureHost) hold() (goOn func()) {
	h.t.Helper()
	held, until := make(chan bool, len(h.server.workers)), make(chan struct{})
	for _, w := range h.server.workers {
		w.post(func() {
			held <- true
			<-until
		})
	}
	for range h.server.workers {
		receive(h.t, held, "loop to hold")
	}
	return func() { close(until) }
}

// asked returns the first of the connections to come on which somebody asks.
func (h *secureHost) asked() *tls.Conn {
	h.t.Helper()
	asked := make(chan *tls.Conn, 16)
	for {
		select {
		case conn := <-h.conns:
			go func() {
				if _, err := io.ReadFull(conn, make([]byte, len(upgradeRequest))); err == nil {
					asked <- conn
				}
			}()
		case conn := <-asked:
			return conn
		case <-time.After(patience):
			h.t.Fatal("nobody was asked")
		}
	}
}

// The tickets that a server sends behind its handshake come while the connection
// waits. They do not spoil it, and the next one is shorter by them.
func TestWarmConnectionTakesTickets(t *testing.T) {
	h := startSecureHost(t, "", nil)
	for round := range 3 {
		h.ready()
		conn := receive(t, h.conns, "a connection")
		if resumed := conn.ConnectionState().DidResume; resumed != (round > 0) {
			t.Errorf("connection %d: resumed is %v", round, resumed)
		}
		// Some looks later it still is there. Tickets that come with the answer are late.
		until := time.Now().Add(200 * time.Millisecond)
		testutil.Eventually(t, patience, "time passes", func() bool { return time.Now().After(until) })
		if n := len(h.conns); n > 0 {
			t.Fatalf("round %d: %d more connections were made", round, n)
		}
		client := h.dial()
		write(t, client, upgradeRequest)
		buf := make([]byte, len(upgradeRequest))
		if _, err := io.ReadAtLeast(conn, buf, 1); err != nil {
			t.Fatal(err)
		}
		write(t, conn, upgradeAnswer)
		expect(t, client, upgradeAnswer)
	}
	if s := h.server.Stats(); s.WarmTaken != 3 || s.WarmDead != 0 {
		t.Errorf("%d taken, %d dead; want 3, 0", s.WarmTaken, s.WarmDead)
	}
}

// What a server says, or that it ends its stream, makes a connection useless to
// wait with, whether that is seen while it waits or when it is taken.
func TestWarmSecureConnectionIsSpoiled(t *testing.T) {
	for name, spoil := range map[string]func(conn *tls.Conn) error{
		"bytes":        func(conn *tls.Conn) error { _, err := io.WriteString(conn, "HTTP/1.1 408 Tired\r\n\r\n"); return err },
		"close_notify": (*tls.Conn).CloseWrite,
		"FIN":          func(conn *tls.Conn) error { return conn.NetConn().(*net.TCPConn).CloseWrite() },
		"no TLS":       func(conn *tls.Conn) error { _, err := io.WriteString(conn.NetConn(), "hello"); return err },
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				h := startSecureHost(t, "", func(_ *Config, server, _ *tls.Config) { server.MaxVersion = version })
				h.ready()
				spoiled := receive(t, h.conns, "a connection")
				if err := spoil(spoiled); err != nil {
					t.Fatal(err)
				}
				client := h.dial() // at once: the end may be found now, or was before
				write(t, client, upgradeRequest)
				got := h.asked()
				write(t, got, upgradeAnswer)
				expect(t, client, upgradeAnswer)
			})
		}
	}
}

// A backend that must not be trusted is not dialed without end, and the log says
// once why there are no connections.
func TestWarmUntrustedBackend(t *testing.T) {
	h := startSecureHost(t, "", func(_ *Config, _, client *tls.Config) { client.ServerName = "other.test" })
	const line = "are not kept warm"
	testutil.Eventually(t, patience, "it is said", func() bool { return len(h.log.with(line)) > 0 })
	accepted := h.log.with(line)[0]
	for _, part := range []string{"other.test", `CN=localhost`, "127.0.0.1:"} {
		if !strings.Contains(accepted, part) {
			t.Errorf("the log does not say %s: %s", part, accepted)
		}
	}
	h.server.config.Routes[0].Upstream.Servers()[0].Warm().GiveWay() // has it look again, in vain
	client := h.dial()
	write(t, client, upgradeRequest)
	expectAnswer(t, client, "502")
	if lines := h.log.with(line); len(lines) != 1 {
		t.Errorf("said %d times: %q", len(lines), lines)
	}
	if n := h.server.Stats().WarmIdle; n != 0 {
		t.Errorf("%d connections are warm", n)
	}
}

// With TLS 1.3 a server says only behind the handshake that it does not take a
// client's certificate, or the lack of one.
func TestWarmConnectionLacksClientCertificate(t *testing.T) {
	h := startSecureHost(t, "", func(_ *Config, server, _ *tls.Config) {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	})
	const line = "are not kept warm"
	testutil.Eventually(t, patience, "it is said", func() bool { return len(h.log.with(line)) > 0 })
	const certificateRequired = "alert 116"
	if line := h.log.with(line)[0]; !strings.Contains(line, certificateRequired) {
		t.Errorf("the log does not say %s: %s", certificateRequired, line)
	}
}

// A server that accepts connections and does not go on costs nothing but time, and
// the end does not wait for it.
func TestWarmSilentHandshake(t *testing.T) {
	_, config := newBackendTLS(t)
	r := newRig(t, func(c *Config) {
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
		secureTo(t, c, config)
	})
	conn := r.acceptBytes()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the hello
		t.Fatal(err)
	}
	begin := time.Now()
	r.close(patience)
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("the end took %v", took)
	}
}

// What a server says first by TLS is the client's first message, and the connection
// goes on from there.
func TestWarmSecureEndpoint(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, words := range []string{"", "220 ready\r\n", strings.Repeat("é", 30_000)} {
			t.Run(tls.VersionName(version)+" "+words[:min(3, len(words))], func(t *testing.T) {
				h := startSecureHost(t, words, func(c *Config, server, _ *tls.Config) {
					server.MaxVersion = version
					endpointRoute(nil)(c)
				})
				for range 5 {
					h.ready()
					client := h.dial()
					write(t, client, upgradeRequest)
					expect(t, client, upgradeAnswer)
					expectMessage(t, client, ws.OpText, words)
					conn := receive(t, h.conns, "a connection")
					send(t, client, masked(text("up")))
					expect(t, conn, "up")
					write(t, conn, "down")
					expectMessage(t, client, ws.OpText, "down")
				}
				if s := h.server.Stats(); s.WarmTaken != 5 || s.WarmDead != 0 {
					t.Errorf("%d taken, %d dead; want 5, 0", s.WarmTaken, s.WarmDead)
				}
			})
		}
	}
}

// A connection that ends before anything has moved on it is replaced, also if the
// proxy sees the client's bytes before the end; and no byte of them is lost.
func TestWarmSecureEndpointIsReplaced(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, conn *tls.Conn){
		"close_notify and FIN": func(t *testing.T, conn *tls.Conn) {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		},
		"FIN": func(_ *testing.T, conn *tls.Conn) { conn.NetConn().Close() },
		"RST": func(t *testing.T, conn *tls.Conn) { reset(t, conn.NetConn().(*net.TCPConn)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := startSecureHost(t, "", func(c *Config, _, _ *tls.Config) { endpointRoute(nil)(c) })
			h.ready()
			client := h.dial()
			write(t, client, upgradeRequest)
			expect(t, client, upgradeAnswer)
			conn := receive(t, h.conns, "a connection")
			goOn := h.hold()
			send(t, client, slices.Concat(masked(text("all ")), masked(text("of it"))))
			end(t, conn)
			goOn() // and the client's bytes are the first to be seen
			got := make(chan string, 2)
			for range 2 { // the tunnel's, and the next warm one
				conn := receive(t, h.conns, "another connection")
				go func() {
					b := make([]byte, len("all of it"))
					n, _ := io.ReadFull(conn, b)
					got <- string(b[:n])
				}()
			}
			if all := receive(t, got, "bytes"); all != "all of it" {
				t.Fatalf("the backend got %q", all)
			}
			if s := h.server.Stats(); s.WarmDead != 1 || s.DialFailures != 0 {
				t.Errorf("%d dead, %d dials failed; want 1, 0", s.WarmDead, s.DialFailures)
			}
		})
	}
}
