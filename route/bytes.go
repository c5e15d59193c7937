package route

import "bytes"

// Classes of bytes, as bits of byteClasses.
const (
	classPath  = 1 << iota // may stand in the path of a target as it is
	classQuery             // stays as it is when it is substituted into a query
	classHex
)

var byteClasses = func() (t [256]uint8) {
	for c := range 256 {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80
		digit := '0' <= c && c <= '9'
		// What browsers leave as it is passes, as in handshake; '%' is looked at
		// with what follows it.
		if c > 0x20 && c < 0x7f && bytes.IndexByte([]byte(`"#%<>?\`), byte(c)) < 0 {
			t[c] |= classPath
		}
		if letter || digit || c != 0 && bytes.IndexByte([]byte("-._~/"), byte(c)) >= 0 {
			t[c] |= classQuery
		}
		if digit || letter && c|0x20 <= 'f' {
			t[c] |= classHex
		}
	}
	return t
}()

const upperHex = "0123456789ABCDEF"

func isHex(c byte) bool { return byteClasses[c]&classHex != 0 }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// appendEscaped appends b with every byte escaped that is not of the class;
// escapes stay.
func appendEscaped(dst, b []byte, class uint8) []byte {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]):
			dst = append(dst, b[i:i+3]...)
			i += 2
		case byteClasses[c]&class != 0:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// hasDotSegment reports whether a segment of the path is "." or "..", escaped
// or not.
func hasDotSegment(path []byte) bool {
	if bytes.IndexByte(path, '.') < 0 && bytes.IndexByte(path, '%') < 0 {
		return false
	}
	for len(path) > 0 {
		segment := path
		if i := bytes.IndexByte(path, '/'); i >= 0 {
			segment, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		dots := 0
		for len(segment) > 0 {
			if segment[0] == '.' {
				segment = segment[1:]
			} else if len(segment) > 2 && segment[0] == '%' && segment[1] == '2' && lower(segment[2]) == 'e' {
				segment = segment[3:]
			} else {
				break
			}
			dots++
		}
		if len(segment) == 0 && (dots == 1 || dots == 2) {
			return true
		}
	}
	return false
}
