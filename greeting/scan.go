package greeting

import (
	"bufio"
	"bytes"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// A Verdict says what bytes are.
type Verdict uint8

const (
	Incomplete Verdict = iota // they may become a header: more are needed
	Complete                  // they begin with a header
	Absent                    // they do not begin with one
	Malformed                 // they begin like one, but can never become one
)

func (v Verdict) String() string {
	return [...]string{"incomplete", "complete", "absent", "malformed"}[v]
}

// A Header is what was announced.
type Header struct {
	Bytes int // its length, at most HeaderBytesMax; the request begins behind it

	// Local says that no client was announced: the balancer speaks for itself
	// (LOCAL), or does not know (UNKNOWN, AF_UNSPEC). The address of the socket
	// stands.
	Local bool

	// Source is the client's address, IPv4-mapped ones as IPv4. It is invalid
	// where Local is set, and for a client on a unix socket.
	Source netip.AddrPort
}

// Scan looks for a header at the start of b, which is what has come since the
// connection was accepted. The header is only filled when the verdict is
// Complete. A verdict other than Incomplete stays, whatever follows. b is
// neither kept nor changed.
func Scan(b []byte) (Header, Verdict) {
	n, verdict := measure(b)
	if verdict != Complete {
		return Header{}, verdict
	}
	return parse(b[:n])
}

// measure finds the end of a header without reading all of what is in it.
func measure(b []byte) (n int, verdict Verdict) {
	switch {
	case begins(b, v1Signature):
		return measureV1(b)
	case begins(b, v2Signature):
		return measureV2(b)
	}
	return 0, Absent
}

// begins reports whether b begins with text, as far as it goes.
func begins(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// parse reads a header that is complete and no longer than allowed.
func parse(b []byte) (Header, Verdict) {
	h := Header{Bytes: len(b)}
	if unspecified(b) {
		// go-proxyproto refuses it. The protocol leaves the choice to the receiver
		// (section 2.2); HAProxy and nginx keep the socket's address.
		h.Local = true
		return h, Complete
	}
	// The buffer takes all at once: go-proxyproto wants a line of version 1 whole.
	parsed, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	if err != nil {
		return Header{}, Malformed
	}
	if h.Local = parsed.Command.IsLocal(); h.Local {
		return h, Complete
	}
	if ip, _, ok := parsed.IPs(); ok {
		addr, _ := netip.AddrFromSlice(ip)
		port, _, _ := parsed.Ports()
		h.Source = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	}
	return h, Complete
}
