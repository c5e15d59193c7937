package secure

import (
	"crypto/tls"
	"path/filepath"
	"testing"

	"wsplice/internal/testutil"
)

// newServer returns a server with a certificate for P-256, whose handshakes gate
// computes.
func newServer(t testing.TB, gate *Gate) *Server {
	t.Helper()
	certificate, _ := testutil.NewCertificate(t)
	dir := t.TempDir()
	pair := KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	testutil.WriteCertificate(t, certificate, pair.Cert, pair.Key)
	keys := NewTicketKeys()
	t.Cleanup(keys.Close)
	server, err := NewServer(ServerFiles{Certificates: []KeyPair{pair}}, gate, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return server
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
	first, err := p.move(0)
	if err != nil {
		return false, err
	}
	second, err := p.move(1)
	return first && second, err
}

// move moves what one end has to say, and reports whether that end is ready.
func (p *meeting) move(from int) (ready bool, err error) {
	if ready, err = p.ends[from].Settle(); err != nil {
		return false, err
	}
	if out := p.ends[from].Output(nil); len(out) > 0 {
		_, err = p.ends[1-from].Open(nil, out)
	}
	return ready, err
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
	gate := NewGate(1)
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
