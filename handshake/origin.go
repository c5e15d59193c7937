package handshake

import (
	"bytes"
	"strings"
)

// CheckOrigin reports whether the Origin (RFC 6454 section 7) is one of those
// allowed; an empty list allows all, and a missing Origin too. It returns
// RefusalOriginMissing or RefusalOriginForbidden.
//
// An entry with a scheme, like https://example.com:8443, allows exactly that
// origin. An entry without one, like example.com, allows that host and all
// below it under any scheme; it names a port or it means none. Case does not
// matter. An origin that is not scheme://host[:port] matches nothing, nor
// does "null": anything can send it from a sandboxed frame.
func (r *Request) CheckOrigin(allowed []string) *Refusal {
	if len(allowed) == 0 {
		return nil
	}
	origin, _ := r.Origin()
	if len(origin) == 0 {
		return RefusalOriginMissing
	}
	host, ok := originHost(origin)
	if !ok {
		return RefusalOriginForbidden
	}
	for _, entry := range allowed {
		if entry == "" {
			continue // it would be the end of every origin
		}
		if strings.Contains(entry, "://") {
			if equalFoldString(origin, entry) {
				return nil
			}
			continue
		}
		below := len(host) - len(entry)
		if below < 0 || !equalFoldString(host[below:], entry) {
			continue
		}
		// evilexample.com ends in example.com, but not after a dot.
		if below == 0 || host[below-1] == '.' {
			return nil
		}
	}
	return RefusalOriginForbidden
}

// originHost returns the host and port of a well-formed origin. User
// information, a path, or a second origin in it make it malformed.
func originHost(origin []byte) (host []byte, ok bool) {
	i := bytes.Index(origin, []byte("://"))
	if i <= 0 || !validScheme(origin[:i]) {
		return nil, false
	}
	host = origin[i+len("://"):]
	return host, validHost(host)
}

// validScheme applies RFC 3986 section 3.1.
func validScheme(scheme []byte) bool {
	for i, c := range scheme {
		letter := 'a' <= lower(c) && lower(c) <= 'z'
		inner := '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
		if !letter && (i == 0 || !inner) {
			return false
		}
	}
	return true
}
