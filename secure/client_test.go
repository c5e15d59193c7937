package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

const waitMax = 10 * time.Second

// newPair makes the configurations of a server for localhost and of its clients.
func newPair(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	certificate, roots := testutil.NewCertificate(t)
	return &tls.Config{Certificates: []tls.Certificate{certificate}},
		&tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

// newConns returns the ends of a TCP connection.
func newConns(t testing.TB) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{client, server} {
		_ = conn.SetDeadline(time.Now().Add(waitMax))
		t.Cleanup(func() { conn.Close() })
	}
	return client, server
}

// open opens what b brings as the owner of a session has to.
func (s *Session) open(b []byte) ([]byte, error) {
	var dst []byte
	if room := s.Room(len(b)); room > 0 {
		dst = make([]byte, 0, room)
	}
	return s.Open(dst, b)
}

// receive reads from conn until s has opened want.
func receive(t *testing.T, s *Session, conn net.Conn, want string) {
	t.Helper()
	got, err := s.open(nil)
	for b := make([]byte, 100); err == nil && len(got) < len(want); {
		var n int
		if n, err = conn.Read(b); err == nil {
			var plain []byte
			plain, err = s.open(b[:n])
			got = append(got, plain...)
		}
	}
	if err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// A session that was connected carries bytes, those that came with the end of its
// handshake too, its tickets are kept, and it gives crypto/tls up when told so.
func TestConnect(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config, trust := newPair(t)
			config.MaxVersion = version
			for round := range 2 {
				conn, other := newConns(t)
				server := tls.Server(other, config)
				said := make(chan error, 1)
				go func() {
					_, err := io.WriteString(server, "early")
					said <- err
				}()
				gate := NewGate(1)
				s, err := Connect(conn, trust, gate)
				if err != nil {
					t.Fatal(err)
				}
				if err = <-said; err != nil {
					t.Fatal(err)
				}
				if n := gate.UnderWay(); n != 0 {
					t.Errorf("%d handshakes are under way", n)
				}
				if resumed := server.ConnectionState().DidResume; resumed != (round > 0) {
					t.Errorf("connection %d: resumed is %v", round, resumed)
				}
				receive(t, s, conn, "early")
				s.Lean()
				if lean := s.shake == nil; lean != (version == tls.VersionTLS13) {
					t.Errorf("without crypto/tls is %v", lean)
				}
				if _, err = conn.Write(s.Finish(s.Seal(nil, []byte("up")))); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(server); err != nil || string(got) != "up" {
					t.Errorf("the server got %q, %v", got, err)
				}
				if _, err = io.WriteString(server, "down"); err != nil {
					t.Fatal(err)
				}
				receive(t, s, conn, "down")
				server.Close()
				b := make([]byte, 100)
				n, err := conn.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.open(b[:n]); len(got) > 0 || !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %q, %v", got, err)
				}
				s.Close()
			}
		})
	}
}

// What must not be trusted, what does not speak TLS and what says nothing is an
// error, and keeps no place of the gate.
func TestConnectFails(t *testing.T) {
	config, trust := newPair(t)
	_, stranger := newPair(t)
	gate := NewGate(1)
	serve := func(conn net.Conn) { _ = tls.Server(conn, config).Handshake() }
	for _, test := range []struct {
		name   string
		client *tls.Config
		serve  func(conn net.Conn)
		want   func(err error) bool
	}{
		{"stranger", stranger, serve, func(err error) bool {
			var refused *tls.CertificateVerificationError
			return errors.As(err, &refused)
		}},
		{"plain", trust, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, func(err error) bool {
			var foreign tls.RecordHeaderError
			return errors.As(err, &foreign)
		}},
		{"end", trust, func(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() }, func(err error) bool {
			return errors.Is(err, io.EOF)
		}},
		{"silence", trust, func(net.Conn) {}, func(err error) bool {
			var timeout net.Error
			return errors.As(err, &timeout) && timeout.Timeout()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, other := newConns(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				test.serve(other)
			}()
			if test.name == "silence" {
				_ = conn.SetDeadline(time.Now().Add(20 * time.Millisecond))
			}
			if _, err := Connect(conn, test.client, gate); err == nil || !test.want(err) {
				t.Errorf("got %v", err)
			}
			conn.Close()
			<-done
		})
	}
	testutil.Eventually(t, waitMax, "no handshake is under way", func() bool { return gate.UnderWay() == 0 })
	gate.backends.Store(handshakesMax)
	if _, err := Connect(nil, trust, gate); !errors.Is(err, ErrBusy) {
		t.Errorf("when all places are taken: %v", err)
	}
}
