package greeting

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"
)

// FuzzScan holds Scan to go-proxyproto over the whole input: what we accept it
// reads the same way and up to the same byte, and what we say is absent it does
// not find. No cut of the input gives another verdict.
func FuzzScan(f *testing.F) {
	for _, c := range complete {
		f.Add([]byte(c.header))
		f.Add([]byte(c.header + "GET / HTTP/1.1\r\n"))
	}
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, verdict := Scan(b)
		reader := bufio.NewReaderSize(bytes.NewReader(b), len(b)+1)
		theirs, err := proxyproto.Read(reader)
		switch verdict {
		case Complete:
			sameHeader(t, h, b, theirs, err, reader)
		case Absent:
			if !errors.Is(err, proxyproto.ErrNoProxyProtocol) && !bytes.HasPrefix(b, proxyproto.SIGV1) {
				t.Fatalf("absent, but go-proxyproto says %v", err)
			}
		case Incomplete:
			if err == nil {
				t.Fatalf("incomplete, but go-proxyproto reads %+v", theirs)
			}
		}
		if verdict != Complete && h != (Header{}) {
			t.Fatalf("%v with %+v", verdict, h)
		}
		decided := false
		for n := range min(len(b), HeaderBytesMax+2) {
			cut, was := Scan(b[:n])
			switch {
			case was == Incomplete && !decided:
			case was != verdict || cut != h:
				t.Fatalf("after %d bytes %+v %v, after all %+v %v", n, cut, was, h, verdict)
			default:
				decided = true
			}
		}
	})
}

func sameHeader(t *testing.T, h Header, b []byte, theirs *proxyproto.Header, err error, reader *bufio.Reader) {
	t.Helper()
	if h.Bytes > len(b) || h.Bytes > HeaderBytesMax || h.Local && h.Source.IsValid() {
		t.Fatalf("%+v of %d bytes", h, len(b))
	}
	if errors.Is(err, proxyproto.ErrUnsupportedAddressFamilyAndProtocol) && h.Local && b[13] == familyUnspecified {
		return // a choice that the protocol leaves to us
	}
	if err != nil {
		t.Fatalf("%+v, but go-proxyproto says %v", h, err)
	}
	if read := len(b) - reader.Buffered(); read != h.Bytes {
		t.Fatalf("%d bytes, go-proxyproto reads %d", h.Bytes, read)
	}
	if h.Local != theirs.Command.IsLocal() {
		t.Fatalf("local is %v", h.Local)
	}
	if h.Local {
		return
	}
	var source netip.AddrPort
	switch a := theirs.SourceAddr.(type) {
	case *net.TCPAddr:
		source = a.AddrPort()
	case *net.UDPAddr:
		source = a.AddrPort()
	}
	if source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port()); source != h.Source {
		t.Fatalf("source %v, go-proxyproto has %v", h.Source, source)
	}
}

// FuzzWritten holds Scan to what go-proxyproto writes.
func FuzzWritten(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint16(1), byte(1))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(65535), byte(2))
	f.Add(netip.MustParseAddr("::ffff:192.0.2.1").AsSlice(), uint16(0), byte(1))
	f.Fuzz(func(t *testing.T, address []byte, port uint16, version byte) {
		ip, ok := netip.AddrFromSlice(address)
		if !ok {
			return // no address has so many bytes
		}
		addr := &net.TCPAddr{IP: address, Port: int(port)}
		b, err := proxyproto.HeaderProxyFromAddrs(1+version%2, addr, addr).Format()
		if err != nil {
			t.Fatal(err)
		}
		h, verdict := Scan(b)
		want := Header{Bytes: len(b), Source: netip.AddrPortFrom(ip.Unmap(), port)}
		if verdict != Complete || h != want {
			t.Fatalf("%q: %+v, %v; want %+v", b, h, verdict, want)
		}
	})
}
