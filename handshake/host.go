package handshake

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// validHost reports whether b is a host with an optional port (RFC 9110
// section 7.2): a name or IPv4 address of unreserved characters, or an IPv6
// address in brackets. RFC 3986 would also allow escapes and sub-delims in a
// name, and an empty port; no client of ours has a use for them, and a comma
// or an '@' would be read differently by whatever is behind us.
func validHost(b []byte) bool {
	if len(b) > hostBytesMax {
		return false
	}
	name, port, hasPort := cutPort(b)
	return validHostName(name) && (!hasPort || validPort(port))
}

// cutPort cuts host:port at the colon that follows the name or the address.
func cutPort(b []byte) (name, port []byte, hasPort bool) {
	start := 0
	if len(b) > 0 && b[0] == '[' {
		start = bytes.IndexByte(b, ']') + 1
	}
	if i := bytes.IndexByte(b[start:], ':'); i >= 0 {
		return b[:start+i], b[start+i+1:], true
	}
	return b, nil, false
}

func validHostName(name []byte) bool {
	if len(name) > 0 && name[0] == '[' {
		return validIPv6(name)
	}
	for _, c := range name {
		if byteClasses[c]&classHost == 0 {
			return false
		}
	}
	return len(name) > 0
}

// validIPv6 reports whether b is an IPv6 address in brackets, without a zone,
// which has no meaning beyond the host that wrote it (RFC 6874 section 3).
func validIPv6(b []byte) bool {
	if len(b) < len("[::]") || b[len(b)-1] != ']' {
		return false
	}
	b = b[1 : len(b)-1]
	// A zone begins with '%', the only part ParseAddr would keep a reference
	// to; without it the string need not outlive the call.
	if bytes.IndexByte(b, '%') >= 0 || bytes.IndexByte(b, ':') < 0 {
		return false
	}
	addr, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(b), len(b)))
	return err == nil && addr.Is6()
}

func validPort(port []byte) bool {
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' || len(port) > 5 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(port) > 0 && n <= 65535
}
