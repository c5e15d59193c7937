package proxy

import (
	"bytes"
	"strings"
)

// matchRoute returns the first route for host (as the Host header has it) and
// path (normalised), or nil.
func (s *Server) matchRoute(host, path []byte) *Route {
	host = withoutPort(host)
	for i := range s.config.Routes {
		r := &s.config.Routes[i]
		if matchPrefix(r.Path, path) && matchHost(r.Hosts, host) {
			return r
		}
	}
	return nil
}

func (s *Server) matchPage(path []byte) *Page {
	for i := range s.config.Pages {
		if s.config.Pages[i].Path == string(path) {
			return &s.config.Pages[i]
		}
	}
	return nil
}

// matchPrefix has Apache's segment rule: /ws matches /ws and /ws/a but not
// /wsx; /ws/ does not match /ws.
func matchPrefix(prefix string, path []byte) bool {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}

// matchHost compares without case. "*.example.com" matches every sub-domain
// but not example.com itself.
func matchHost(hosts []string, host []byte) bool {
	if len(hosts) == 0 {
		return true
	}
	for _, want := range hosts {
		if suffix, wild := strings.CutPrefix(want, "*"); wild {
			if len(host) > len(suffix) && equalFold(host[len(host)-len(suffix):], suffix) {
				return true
			}
		} else if equalFold(host, want) {
			return true
		}
	}
	return false
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// withoutPort cuts a port, and a trailing dot, off a Host that handshake has
// found valid.
func withoutPort(host []byte) []byte {
	colon := bytes.LastIndexByte(host, ':')
	if colon >= 0 && bytes.IndexByte(host[colon:], ']') < 0 {
		host = host[:colon]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	return host
}

// appendTarget appends the request target for the backend: what follows the
// route's prefix, on its base, and the query.
func (r *Route) appendTarget(dst, path, query []byte) []byte {
	if r.KeepPath {
		dst = append(dst, path...)
		return append(dst, query...)
	}
	start := len(dst)
	dst = append(dst, r.Base...)
	rest := path[len(r.Path):]
	// Apache would join "ws://b" and "x" to another host name here.
	if len(dst) == start && (len(rest) == 0 || rest[0] != '/') {
		dst = append(dst, '/')
	}
	dst = append(dst, rest...)
	return append(dst, query...)
}
