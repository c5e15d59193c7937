package greeting

import "bytes"

// v1Signature is what a line of version 1 begins with.
const v1Signature = "PROXY "

// v1Protocols are what may follow: two that addresses follow, and one behind
// which everything is ignored up to the end of the line.
var v1Protocols = [...]string{"TCP4 ", "TCP6 ", v1Unknown}

const v1Unknown = "UNKNOWN "

// measureV1 finds the end of a line of version 1 (section 2.1), for which the
// balancer has v1BytesMax bytes.
func measureV1(b []byte) (n int, verdict Verdict) {
	line := b[:min(len(b), v1BytesMax)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end >= 0:
		line = line[:end+1]
		if line[end-1] != '\r' || !soundV1(line[:end-1]) {
			return 0, Malformed
		}
		return end + 1, Complete
	case len(line) == v1BytesMax || !soundV1(bytes.TrimSuffix(line, []byte("\r"))):
		return 0, Malformed
	}
	return 0, Incomplete
}

// soundV1 reports whether line, without its end, may be a part of a header, so
// that what cannot be one is refused before its end has come.
func soundV1(line []byte) bool {
	if len(line) <= len(v1Signature) {
		return true
	}
	rest := line[len(v1Signature):]
	for _, protocol := range v1Protocols {
		if begins(rest, protocol) {
			return protocol == v1Unknown || soundAddresses(rest[min(len(rest), len(protocol)):])
		}
	}
	return false
}

// soundAddresses reports whether b has only bytes of addresses and ports.
func soundAddresses(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '.', c == ':', c == ' ':
		default:
			return false
		}
	}
	return true
}
