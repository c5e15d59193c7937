package handshake

import "bytes"

// normalizePath applies RFC 3986 section 6.2.2 to a valid path: it decodes
// escaped unreserved characters, writes the other escapes in upper case, and
// removes dot segments, so that a route sees each resource under one name.
//
// It refuses what a backend might read differently from us: a path that
// climbs above its root (RFC 3986 section 5.2.4 would stop there silently),
// a backslash, and an escaped control character.
//
// Nearly all paths need none of that and are returned as they are.
func (r *Request) normalizePath(path []byte) ([]byte, *Refusal) {
	if len(path) == 0 {
		r.pathBuffer = append(r.pathBuffer[:0], '/') // http://host?query
		return r.pathBuffer, nil
	}
	if bytes.IndexByte(path, '\\') >= 0 {
		return nil, RefusalPath
	}
	if bytes.IndexByte(path, '%') < 0 && !bytes.Contains(path, []byte("/.")) {
		return path, nil
	}
	normal, ok := appendNormalPath(r.pathBuffer[:0], path)
	if !ok {
		return nil, RefusalPath
	}
	r.pathBuffer = normal
	return normal, nil
}

// appendNormalPath appends path, which begins with a slash and has valid
// escapes only. The result is never longer than path.
//
// dst is empty or already ends in normalised segments of this path, each with
// the slash before it: that is what a ".." segment takes away.
func appendNormalPath(dst, path []byte) (normal []byte, ok bool) {
	for len(path) > 0 {
		segment := path[1:]
		if i := bytes.IndexByte(segment, '/'); i >= 0 {
			segment = segment[:i]
		}
		path = path[1+len(segment):]
		start := len(dst)
		dst = append(dst, '/')
		if dst, ok = appendNormalSegment(dst, segment); !ok {
			return nil, false
		}
		switch string(dst[start+1:]) {
		case ".":
			dst = dst[:start]
		case "..":
			parent := bytes.LastIndexByte(dst[:start], '/')
			if parent < 0 {
				return nil, false
			}
			dst = dst[:parent]
		default:
			continue
		}
		if len(path) == 0 {
			dst = append(dst, '/') // "/a/." is the directory "/a/"
		}
	}
	return dst, true
}

func appendNormalSegment(dst, segment []byte) (normal []byte, ok bool) {
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			dst = append(dst, segment[i])
			continue
		}
		c := unhex(segment[i+1])<<4 | unhex(segment[i+2])
		i += 2
		switch {
		case c < 0x20 || c == 0x7f || c == '\\':
			return nil, false
		case byteClasses[c]&classHost != 0:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst, true
}

const upperHex = "0123456789ABCDEF"

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
