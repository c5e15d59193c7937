package configs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// normalPath returns s in the normal form of RFC 3986 section 6.2.2: what may
// stand as it is does, everything else is percent-encoded in upper case.
// Dot segments are errors, since a request's path has none when it is matched.
func normalPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("a path begins with a slash; write %s", quote("/"+s))
	}
	normal, err := normalBytes(s)
	if err == nil && hasDots(strings.Split(normal, "/")) {
		err = errDots(s)
	}
	return normal, err
}

// normalSuffix is normalPath for the end of a path, which may begin within a
// segment.
func normalSuffix(s string) (string, error) {
	if s[0] == '/' {
		return "", fmt.Errorf("%s is not a suffix: lighttpd takes a leading slash for the beginning of the path; "+
			"write path: %s for that, or regex: %s for the end", quote(s), s, regexp.QuoteMeta(s)+"$")
	}
	normal, err := normalBytes(s)
	if err == nil && hasDots(strings.Split(normal, "/")[1:]) {
		err = errDots(s)
	}
	return normal, err
}

func hasDots(segments []string) bool {
	return slices.Contains(segments, ".") || slices.Contains(segments, "..")
}

func errDots(s string) error {
	return errors.New(quote(s) + " has a segment . or ..; write the path that is meant")
}

// normalBytes returns s, a path or a part of one, with every byte in its
// normal form.
func normalBytes(s string) (string, error) {
	switch {
	case len(s) > pathBytesMax:
		return "", fmt.Errorf("the path has %d bytes; at most %d are allowed", len(s), pathBytesMax)
	case strings.ContainsAny(s, "?#"):
		return "", fmt.Errorf("a path has no query or fragment; remove %s, or write %%3F for ? and %%23 for #",
			quote(s[strings.IndexAny(s, "?#"):]))
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '%' {
			writePathByte(&out, c)
			continue
		}
		decoded, ok := hexByte(s[i+1:])
		if !ok {
			return "", fmt.Errorf("%s: %% is not followed by two hexadecimal digits; write %%25 for %%", quote(s))
		}
		if decoded < ' ' || decoded == 0x7f {
			return "", fmt.Errorf("%s: no request with the control character %%%02X is accepted; remove it", quote(s), decoded)
		}
		if unreserved(decoded) {
			out.WriteByte(decoded)
		} else {
			fmt.Fprintf(&out, "%%%02X", decoded)
		}
		i += 2
	}
	return out.String(), nil
}

// writePathByte writes c as it may stand in a path: pchar and slash.
func writePathByte(out *strings.Builder, c byte) {
	if unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0 {
		out.WriteByte(c)
		return
	}
	fmt.Fprintf(out, "%%%02X", c)
}

func unreserved(c byte) bool { return alphanumeric(c) || strings.IndexByte("-._~", c) >= 0 }

// hexByte returns the byte that the first two digits of s stand for.
func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, low := strings.IndexByte(hexDigits, s[0]|0x20), strings.IndexByte(hexDigits, s[1]|0x20)
	return byte(high<<4 | low), high >= 0 && low >= 0
}

const hexDigits = "0123456789abcdef"
