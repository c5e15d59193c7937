package secure

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A Session is one TLS connection.
//
//	state        becomes             when
//	fresh        handshaking         a client has sent its first record; the loop asks for a hello
//	handshaking  ready failed        crypto/tls says so, on a goroutine
//	ready        failed              a record is not as it must be
//
// Once ready, records of TLS 1.3 are this room's, and those of TLS 1.2 are left to
// crypto/tls. It is used from one goroutine at a time, except that Open and Seal
// may run side by side. It fulfils loop.Layer.
type Session struct {
	client  bool // ours is the hello
	begun   bool
	ready   bool
	notTLS  []byte     // what a client is told that speaks plainly
	shake   *handshake // nil when records do without it
	records *records   // nil for TLS 1.2
	early   []byte     // came behind the handshake, and was not opened yet
	peer    *Peer      // whose certificate was verified, or nil
	http2   bool       // the handshake has agreed on it
	weak    bool       // its cipher suite is none for HTTP/2
	failure error      // io.EOF once the peer has ended its stream
}

// A Peer is who has shown a certificate that was verified.
type Peer struct {
	Subject     string // distinguished name (RFC 2253), percent-encoded where it is not printable ASCII
	Fingerprint string // SHA-256 of the certificate, in hexadecimal
}

// ErrNotTLS says that a client's first byte begins no TLS handshake.
var ErrNotTLS = errors.New("secure: the client does not speak TLS")

// ErrBusy says that too many handshakes are under way.
var ErrBusy = errors.New("secure: too many TLS handshakes under way (max 8192)")

// Start keeps wake, which tells that Settle and Output have something new.
func (s *Session) Start(wake func()) { s.shake.wake = wake }

// Settle reports whether the handshake is over, and begins a client's.
func (s *Session) Settle() (ready bool, err error) {
	if s.client && !s.begun {
		s.begun = true
		s.shake.begin()
	}
	if s.ready || s.failure != nil {
		return s.ready, s.failure
	}
	done, err := s.shake.result()
	if err == nil && s.shake.speaks() {
		return false, nil // Output goes first: what comes until then belongs behind
	}
	if !done || err != nil {
		s.failure = err
		return false, err
	}
	s.ready = true
	s.peer, s.http2, s.weak = s.shake.peer, s.shake.http2, s.shake.weak
	if s.records = s.shake.records; s.records == nil {
		return true, nil
	}
	s.early = s.shake.rest()
	if s.records.ticket == nil {
		s.shake = nil
	}
	return true, nil
}

// Room returns how large a buffer Open needs for n bytes; 0 says that it opens
// them where they are.
func (s *Session) Room(n int) int {
	switch {
	case s.records == nil:
		return s.shake.meter.held + s.shake.unread() + n
	case len(s.early) > 0:
		return len(s.early) + s.records.room(n) + n
	}
	return s.records.room(n)
}

// Open returns what received brings, and overwrites it: appended to dst, which is
// not nil where Room has asked for that, or in received. During the handshake that
// is nothing. The error is io.EOF after a close_notify.
func (s *Session) Open(dst, received []byte) ([]byte, error) {
	switch {
	case !s.ready:
		s.feed(received)
		return dst, nil
	case s.failure != nil:
		return dst, s.failure
	}
	var err error
	if s.records == nil {
		dst, err = s.shake.open(dst, received)
	} else {
		if early := s.early; len(early) > 0 {
			s.early = nil
			received = append(early, received...)
		}
		dst, err = s.records.open(dst, received)
	}
	if s.records != nil && s.records.ticket == nil {
		s.shake = nil // a client's, which has waited for tickets
	}
	s.failure = err // the end, too: who did not want it yet asks again
	return dst, err
}

// feed takes bytes of the handshake.
func (s *Session) feed(b []byte) {
	if !s.begun && len(b) > 0 && s.shake.unread() == 0 {
		if b[0] != typeHandshake {
			s.begun = true
			s.shake.out = s.notTLS
			s.shake.over(ErrNotTLS)
			return
		}
	}
	s.shake.feed(b)
	// Only a whole record takes a place among those that are under way.
	if !s.begun && s.shake.whole() {
		s.begun = true
		s.shake.begin()
	}
}

// Begun reports whether the handshake has begun: the hello is here, or was sent.
func (s *Session) Begun() bool { return s.begun }

// Ready reports whether the handshake is over, and bytes may pass.
func (s *Session) Ready() bool { return s.ready }

// Full reports whether the handshake has more than enough to work on.
func (s *Session) Full() bool { return !s.ready && s.begun && s.shake.unread() > waitingMax/2 }

// Seal appends the records of b to dst, behind what Output would.
func (s *Session) Seal(dst, b []byte) []byte {
	if s.records != nil {
		return s.records.seal(dst, b)
	}
	return s.shake.seal(dst, b)
}

// Output appends what TLS has to say by itself.
func (s *Session) Output(dst []byte) []byte {
	if s.records != nil {
		dst = s.records.seal(dst, nil)
	}
	if s.shake != nil {
		dst = s.shake.take(dst)
	}
	return dst
}

// Finish appends a close_notify.
func (s *Session) Finish(dst []byte) []byte {
	if s.records != nil {
		return s.records.finish(dst)
	}
	return s.shake.finish(dst)
}

// Close ends a handshake that is under way, and gives buffers back.
func (s *Session) Close() {
	if s.shake != nil {
		s.shake.Close()
	}
	if s.records != nil {
		s.records.drop()
	}
}

// Err says why the session has failed.
func (s *Session) Err() error { return s.failure }

// SpeaksHTTP2 reports whether the handshake has agreed on that (ALPN, RFC 7301). weak
// says that it has also agreed on a cipher suite that RFC 9113 prohibits (section
// 9.2.2).
func (s *Session) SpeaksHTTP2() (yes, weak bool) { return s.http2, s.weak }

// Peer is who has shown a certificate that was verified, or nil.
func (s *Session) Peer() *Peer { return s.peer }

// printable returns s with what cannot stand in a header, and the percent sign,
// percent-encoded: a certificate may name its owner as it likes.
func printable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// peerOf returns whose certificate was verified.
func peerOf(state *tls.ConnectionState) *Peer {
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	return &Peer{Subject: printable(leaf.Subject.String()), Fingerprint: hex.EncodeToString(sum[:])}
}
