package route

import "bytes"

// A Request is what routes are chosen by. The slices it returns must stay as
// they are while the Subject that was set to it is used.
type Request interface {
	// Path returns the path in RFC 3986 normal form: no dot segments, valid
	// escapes in upper case and only where they are needed.
	Path() []byte
	// Host returns the host with its port, if it has one, in any case.
	Host() []byte
	// AppendField appends the values of all fields called name, in any case,
	// joined by ", ".
	AppendField(dst []byte, name string) []byte
}

// A Subject is one request as routes see it, and where the search among them
// stands. It is scratch memory: keep one per loop. The zero value is ready.
//
// The decoded path has no escapes but %2F, since a slash that does not
// separate segments must not seem to, and no runs of slashes, so that // is no
// way past a route. Each byte of it knows where in the path it came from.
type Subject struct {
	request Request
	path    []byte // as the request has it
	decoded []byte // path itself where nothing needed decoding
	offsets []int  // of each decoded byte in path, and of the end; empty where decoded is path
	host    []byte // lower case, without port and trailing dot

	// The search: the ascending routes that may match, in several lists.
	lists [][]int32
	ids   []int32 // numbers that the table has for the host

	decodeBuffer []byte
	hostBuffer   []byte
	value        []byte // of a field
}

// Set makes r the request that s is about. It does not allocate once its
// buffers have grown.
func (s *Subject) Set(r Request) {
	s.request, s.path = r, r.Path()
	s.offsets = s.offsets[:0]
	s.decoded = s.path
	if bytes.IndexByte(s.path, '%') >= 0 || bytes.Contains(s.path, []byte("//")) {
		s.decodeBuffer, s.offsets = appendDecoded(s.decodeBuffer[:0], s.offsets, s.path)
		s.decoded = s.decodeBuffer
	}
	s.hostBuffer = s.hostBuffer[:0]
	for _, c := range withoutPort(r.Host()) {
		s.hostBuffer = append(s.hostBuffer, lower(c))
	}
	s.host = s.hostBuffer
}

// appendDecoded appends the decoded path, and the offset in path of each byte
// appended and of the end.
//
// The bytes behind the '%' of an escaped slash have the offset of what follows
// it, so that no range of decoded bytes becomes a part of an escape.
func appendDecoded(dst []byte, offsets []int, path []byte) ([]byte, []int) {
	for i := 0; i < len(path); {
		c, n := path[i], 1
		if c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			c, n = unhex(path[i+1])<<4|unhex(path[i+2]), 3
		}
		switch {
		case n == 3 && c == '/':
			dst = append(dst, "%2F"...)
			offsets = append(offsets, i, i+n, i+n)
		case n == 1 && c == '/' && len(dst) > 0 && i > 0 && path[i-1] == '/':
			// the run is one slash already
		default:
			dst = append(dst, c)
			offsets = append(offsets, i)
		}
		i += n
	}
	return dst, append(offsets, len(path))
}

// encoded returns the bytes of the path that decoded[from:to] came from.
func (s *Subject) encoded(from, to int) []byte {
	if len(s.offsets) == 0 {
		return s.path[from:to]
	}
	return s.path[s.offsets[from]:s.offsets[to]]
}

// decode returns a path or a part of one as Subject has it.
func decode(path string) string {
	decoded, _ := appendDecoded(nil, nil, []byte(path))
	return string(decoded)
}

// withoutPort cuts a port, and a trailing dot, off a valid Host.
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
