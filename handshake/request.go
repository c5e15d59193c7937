package handshake

import "bytes"

// A Request is a judged request head.
//
// It refers to the head it was parsed from, which must stay unchanged while
// the Request is used; slices it returns are parts of that head or of the
// Request, and end with the next Parse. It is large: keep one per loop.
type Request struct {
	// Request line, written by Parse.
	method []byte
	target []byte // as sent
	path   []byte // normalised; part of target or of pathBuffer
	query  []byte // with its '?', or empty
	minor  uint8

	// Header section, written by Parse.
	host   []byte
	table  fieldTable
	length int64 // of the body; 0 when chunked
	chunks bool

	pathBuffer []byte
}

// Parse judges head, a complete request head up to and including its final
// CRLFCRLF (see HeadScanner), and returns nil or a refusal: 400 for what is
// malformed, 431 for too many fields, 505 for another version of HTTP. After
// a refusal nothing else of r may be used.
//
// It holds head to RFC 9112 and RFC 3986 without their allowances for
// leniency; everything it accepts, net/http reads the same way (FuzzRequest).
// It does not allocate, except to let a buffer grow to the longest path that
// needed normalising.
func (r *Request) Parse(head []byte) *Refusal {
	if !endsHead(head) {
		return RefusalHeadIncomplete
	}
	authority, pos, refusal := r.parseRequestLine(head)
	if refusal != nil {
		return refusal
	}
	if f := r.table.parse(head, pos); f != faultNone {
		return requestFaults[f]
	}
	for _, kind := range [...]fieldKind{
		fieldHost, fieldUpgrade, fieldOrigin, fieldKey, fieldVersion,
		fieldContentLength, fieldTransferEncoding,
	} {
		if r.table.many[kind] {
			return RefusalDuplicate
		}
	}
	if refusal := r.parseHost(authority); refusal != nil {
		return refusal
	}
	return r.parseFraming()
}

// parseRequestLine reads method, target and version (RFC 9112 section 3). It
// returns the authority of a target in absolute form, and where the first
// field line starts.
func (r *Request) parseRequestLine(head []byte) (authority []byte, pos int, refusal *Refusal) {
	end := bytes.IndexByte(head, '\r')
	if end == 0 {
		return nil, 0, RefusalEmptyLine
	}
	if head[end+1] != '\n' {
		return nil, 0, RefusalLineEnding
	}
	line := head[:end]
	i := bytes.IndexByte(line, ' ')
	if i < 0 {
		return nil, 0, RefusalRequestLine
	}
	method, rest := line[:i], line[i+1:]
	if len(method) > methodBytesMax || !isToken(method) {
		return nil, 0, RefusalMethod
	}
	if i = bytes.IndexByte(rest, ' '); i < 0 {
		return nil, 0, RefusalRequestLine
	}
	target, version := rest[:i], rest[i+1:]
	switch {
	case string(version) == "HTTP/1.1":
		r.minor = 1
	case string(version) == "HTTP/1.0":
		r.minor = 0
	case isHTTPVersion(version):
		return nil, 0, RefusalHTTPVersion
	default:
		return nil, 0, RefusalRequestLine
	}
	// CONNECT takes no path, and no tunnel of that kind is served here.
	if string(method) == "CONNECT" {
		return nil, 0, RefusalTargetForm
	}
	r.method, r.target = method, target
	authority, refusal = r.parseTarget()
	return authority, end + 2, refusal
}

// parseTarget splits the target into path and query. Browsers and proxies
// send it in origin form; absolute form must be accepted of any client (RFC
// 9112 section 3.2.2), the other two forms have no use here.
func (r *Request) parseTarget() (authority []byte, refusal *Refusal) {
	target := r.target
	if len(target) == 0 || target[0] != '/' {
		if authority, target = cutAuthority(target); authority == nil {
			return nil, RefusalTargetForm
		}
	}
	path, query := target, target[len(target):]
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	if !validTarget(path) || !validTarget(query) {
		return nil, RefusalTarget
	}
	if r.path, refusal = r.normalizePath(path); refusal != nil {
		return nil, refusal
	}
	r.query = query
	return authority, nil
}

// cutAuthority takes a target in absolute form apart. Its authority is nil
// when the target is not in that form, or not for HTTP or WebSocket.
func cutAuthority(target []byte) (authority, rest []byte) {
	i := bytes.IndexByte(target, ':')
	if i < 0 || !bytes.HasPrefix(target[i:], []byte("://")) {
		return nil, nil
	}
	scheme := target[:i]
	if !equalFold(scheme, "http") && !equalFold(scheme, "https") &&
		!equalFold(scheme, "ws") && !equalFold(scheme, "wss") {
		return nil, nil
	}
	rest = target[i+len("://"):]
	if i = bytes.IndexAny(rest, "/?#"); i < 0 {
		i = len(rest)
	}
	return rest[:i], rest[i:]
}

// validTarget reports whether b consists of bytes that may stand in a target,
// with every '%' the beginning of an escape.
func validTarget(b []byte) bool {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if byteClasses[c]&classTarget == 0 {
			return false
		}
		if c == '%' {
			if i+2 >= len(b) || byteClasses[b[i+1]]&byteClasses[b[i+2]]&classHex == 0 {
				return false
			}
			i += 2
		}
	}
	return true
}

func isHTTPVersion(b []byte) bool {
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return len(b) == len("HTTP/1.1") && string(b[:5]) == "HTTP/" &&
		isDigit(b[5]) && b[6] == '.' && isDigit(b[7])
}

// parseHost applies RFC 9112 section 3.2: an HTTP/1.1 request has one valid
// Host, and an authority in the target is the same one.
func (r *Request) parseHost(authority []byte) *Refusal {
	host, present := r.table.get(fieldHost)
	r.host = host
	switch {
	case !present && r.minor == 0 && authority == nil:
		return nil
	case !present || len(host) == 0:
		return RefusalHostMissing
	case !validHost(host):
		return RefusalHost
	case authority != nil && !equalFoldBytes(authority, host):
		return RefusalTargetHost
	}
	return nil
}

// parseFraming applies RFC 9112 section 6 more strictly than it asks for: no
// coding but chunked, none in HTTP/1.0, and no Content-Length beside it.
func (r *Request) parseFraming() *Refusal {
	r.length, r.chunks = 0, false
	length, hasLength := r.table.get(fieldContentLength)
	coding, hasCoding := r.table.get(fieldTransferEncoding)
	if hasCoding {
		if hasLength || r.minor == 0 || !equalFold(coding, "chunked") || r.table.framesTrailer() {
			return RefusalFraming
		}
		r.chunks = true
	}
	if hasLength {
		n, ok := parseLength(length)
		if !ok {
			return RefusalFraming
		}
		r.length = n
	}
	return nil
}

// parseLength reads 1*DIGIT up to 2^63-1.
func parseLength(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// Method returns the method, in the case it was sent in.
func (r *Request) Method() []byte { return r.method }

// Target returns the request target as it was sent.
func (r *Request) Target() []byte { return r.target }

// Path returns the path of the target, normalised: it begins with a slash,
// has no dot segments, and an escape in it stands for a byte that needs one,
// in upper-case digits (RFC 3986 section 6.2.2). An escaped slash stays so.
func (r *Request) Path() []byte { return r.path }

// Query returns the query of the target as it was sent, with its '?', or
// nothing.
func (r *Request) Query() []byte { return r.query }

// Host returns the Host, in the case it was sent in, with its port if it has
// one. It is empty only in HTTP/1.0.
func (r *Request) Host() []byte { return r.host }

// Origin returns the Origin, and whether there is such a field.
func (r *Request) Origin() (origin []byte, present bool) { return r.table.get(fieldOrigin) }

// UserAgent returns the User-Agent, or nothing.
func (r *Request) UserAgent() []byte {
	value, _ := r.table.get(fieldUserAgent)
	return value
}

// Minor returns 1 for HTTP/1.1 and 0 for HTTP/1.0.
func (r *Request) Minor() int { return int(r.minor) }

// KeepAlive reports whether another request may follow on the connection:
// in HTTP/1.1, unless Connection says close.
func (r *Request) KeepAlive() bool { return r.minor == 1 && !r.table.tokens.close }

// HasBody reports whether a body follows the head: a Content-Length above 0,
// or any Transfer-Encoding.
func (r *Request) HasBody() bool { return r.length > 0 || r.chunks }

// Body returns a scanner for the body that follows the head.
func (r *Request) Body() Body {
	switch {
	case r.chunks:
		return Body{kind: BodyChunked}
	case r.length > 0:
		return Body{kind: BodyLength, remain: r.length}
	}
	return Body{}
}

// Field returns the value of the first field called name, in any case,
// without surrounding white space, and whether there is one.
func (r *Request) Field(name string) (value []byte, present bool) { return r.table.lookup(name) }

// AppendField appends the values of all fields called name, in any case, as
// one list (RFC 9110 section 5.3).
func (r *Request) AppendField(dst []byte, name string) []byte {
	first := true
	for i := range r.table.n {
		if !equalFoldString(r.table.name(i), name) {
			continue
		}
		if !first {
			dst = append(dst, ", "...)
		}
		dst, first = append(dst, r.table.value(i)...), false
	}
	return dst
}

// Fields returns how many field lines the head has, and FieldAt one of them.
func (r *Request) Fields() int { return r.table.n }

// FieldAt returns name and value of field line i, from 0 to Fields()-1.
func (r *Request) FieldAt(i int) (name, value []byte) {
	return r.table.name(i), r.table.value(i)
}

// Cookie returns the value of the first cookie called name (RFC 6265 section
// 4.2), and whether there is one.
func (r *Request) Cookie(name string) (value []byte, present bool) {
	for i := int(r.table.first[fieldCookie]); i > 0; i = r.table.next(i, fieldCookie) {
		for list := r.table.value(i - 1); len(list) > 0; {
			pair, rest, _ := bytes.Cut(list, []byte{';'})
			list = rest
			key, val, found := bytes.Cut(trimBlank(pair), []byte{'='})
			if found && string(key) == name {
				return val, true
			}
		}
	}
	return nil, false
}
