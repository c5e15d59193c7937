package greeting

import "encoding/binary"

// v2Signature begins a header of version 2; no HTTP request begins like it.
const v2Signature = "\r\n\r\n\x00\r\nQUIT\n"

// The fixed part of version 2 (section 2.2): the signature, the version with
// the command, the family with the transport, and the length of what follows.
const (
	v2CommandAt  = len(v2Signature)
	v2FamilyAt   = v2CommandAt + 1
	v2LengthAt   = v2FamilyAt + 1
	v2FixedBytes = v2LengthAt + 2

	v2Local = 0x20
	v2Proxy = 0x21

	familyUnspecified = 0x00
)

// v2AddressBytes returns how long the addresses of a family are. It reports
// false for a family or transport that the protocol does not have.
func v2AddressBytes(family byte) (n int, ok bool) {
	switch family {
	case familyUnspecified:
		return 0, true
	case 0x11, 0x12:
		return 12, true
	case 0x21, 0x22:
		return 36, true
	case 0x31, 0x32:
		return v2AddressBytesMax, true
	}
	return 0, false
}

// measureV2 finds the end of a header of version 2.
func measureV2(b []byte) (n int, verdict Verdict) {
	if len(b) > v2CommandAt && b[v2CommandAt] != v2Local && b[v2CommandAt] != v2Proxy {
		return 0, Malformed
	}
	if len(b) <= v2FamilyAt {
		return 0, Incomplete
	}
	least, ok := v2AddressBytes(b[v2FamilyAt])
	if !ok {
		return 0, Malformed
	}
	if len(b) < v2FixedBytes {
		return 0, Incomplete
	}
	length := int(binary.BigEndian.Uint16(b[v2LengthAt:]))
	if b[v2CommandAt] == v2Local {
		least = 0 // what follows LOCAL is skipped, whatever it is
	}
	n = v2FixedBytes + length
	switch {
	case length < least || n > HeaderBytesMax:
		return 0, Malformed
	case len(b) < n:
		return 0, Incomplete
	}
	return n, Complete
}

// unspecified reports whether a complete header is one of version 2 that
// announces a client of a family which it cannot name.
func unspecified(b []byte) bool {
	return len(b) >= v2FixedBytes && b[v2CommandAt] == v2Proxy && b[v2FamilyAt] == familyUnspecified &&
		begins(b, v2Signature)
}
