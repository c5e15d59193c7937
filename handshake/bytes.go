package handshake

import "bytes"

// Classes of bytes, as bits of byteClasses.
const (
	classToken  = 1 << iota // tchar, RFC 9110 section 5.6.2
	classTarget             // may stand in a request target as it is
	classHost               // unreserved: all that a host name consists of
	classHex
	classUnderscore
)

var byteClasses = func() (t [256]uint8) {
	for c := range 256 {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80
		digit := '0' <= c && c <= '9'
		if letter || digit || c != 0 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= classToken
		}
		if c == '_' {
			t[c] |= classUnderscore
		}
		if letter || digit || c != 0 && bytes.IndexByte([]byte("-._~"), byte(c)) >= 0 {
			t[c] |= classHost
		}
		if digit || 'a' <= c|0x20 && c|0x20 <= 'f' && letter {
			t[c] |= classHex
		}
		// Browsers leave |^`{}[]\ in a URL as they are, so these pass though
		// RFC 3986 has no place for them; '#', '"', '<' and '>' do not.
		if c > 0x20 && c < 0x7f && bytes.IndexByte([]byte(`#"<>`), byte(c)) < 0 {
			t[c] |= classTarget
		}
	}
	return t
}()

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isToken(b []byte) bool {
	for _, c := range b {
		if byteClasses[c]&classToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold reports whether b is s, which is lower case, in any ASCII case.
// bytes.EqualFold will not do: it takes U+212A for a k.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != s[i] {
			return false
		}
	}
	return true
}

// equalName is equalFold, faster, for a b of token bytes and an s of letters,
// digits and hyphens: no other token byte becomes one of those by bit 0x20.
func equalName(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c|0x20 != s[i] {
			return false
		}
	}
	return true
}

// equalFoldString is equalFold for an s of any case.
func equalFoldString(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

// equalFoldBytes is equalFold for two slices.
func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

// cutList cuts the first element off a comma-separated list (RFC 9110
// section 5.6.1), without its white space. Empty elements are returned too,
// for the caller to ignore. Commas in quoted strings are not special: none of
// the lists read here has any before the name it is read for.
func cutList(list []byte) (element, rest []byte) {
	element = list
	if i := bytes.IndexByte(list, ','); i >= 0 {
		element, rest = list[:i], list[i+1:]
	}
	return trimBlank(element), rest
}

func trimBlank(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// hasElement reports whether the list has element, lower case, in any case.
func hasElement(list []byte, element string) bool {
	for len(list) > 0 {
		var e []byte
		if e, list = cutList(list); equalFold(e, element) {
			return true
		}
	}
	return false
}
