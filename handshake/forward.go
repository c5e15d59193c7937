package handshake

// Forward says what a request becomes on its way to the backend. The strings
// come from the configuration, which has checked them; the slices are scratch
// memory of the caller. AppendForward drops control bytes from all of them
// and escapes what cannot stand in a target, so that not even a mistake in
// routing can end a line (CVE-2023-25690 and its kin).
type Forward struct {
	Target []byte // new request target, path and query
	Host   string // Host for the backend; "" keeps the client's

	// Who sent the request. Trusted believes the client's own X-Forwarded-*
	// and Forwarded and adds to them; otherwise they are dropped.
	ClientAddr []byte // IP address as text, no port; empty for a unix socket
	Proto      string // "http" or "https"
	Trusted    bool

	// Protocol is the value for Upgrade, as AppendProtocols has it; empty means
	// websocket.
	Protocol []byte
	// Key is sent as Sec-WebSocket-Key, with version 13, where what goes to
	// the backend has none (`upgrade: none`); empty adds nothing.
	Key []byte

	// Set adds fields, in place of the client's of that name, and Remove
	// removes them. Names that frame or upgrade the request, Host and
	// X-Forwarded-* are ours: Set ignores them, and Remove has no effect.
	Set    []ForwardField
	Remove []string
}

// A ForwardField is a field that the configuration adds to requests.
type ForwardField struct{ Name, Value string }

// neverForwarded are fields that end at this hop, or that we write anew.
var neverForwarded = [numFieldKinds]bool{
	fieldHost:             true,
	fieldConnection:       true,
	fieldUpgrade:          true,
	fieldTransferEncoding: true,
	fieldContentLength:    true, // only an upgrade without body gets here
	fieldTrailer:          true,
	fieldHop:              true,
	fieldForwarded:        true,
	fieldForwardedFor:     true,
	fieldForwardedProto:   true,
	fieldForwardedHost:    true,
	fieldForwardedOther:   true,
}

// AppendForward appends the head that goes to the backend: the request line,
// Host, the client's field lines byte for byte and in their order, the fields
// of the configuration, and at the end Connection, Upgrade, X-Forwarded-* and
// Forwarded (RFC 7239), each written by us and exactly once.
//
// Left out are hop-by-hop fields and those that Connection nominates (RFC
// 9110 section 7.6.1), and names with an underscore, which CGI-like backends
// cannot tell from the same name with a hyphen.
func (r *Request) AppendForward(dst []byte, f *Forward) []byte {
	dst = r.appendStart(dst, f, 1)
	r.table.nominate()
	hasKey, hasVersion := false, false
	dst = r.table.appendLines(dst, func(i int) bool {
		line := &r.table.fields[i]
		if !r.forwards(i, f) {
			return false
		}
		hasKey = hasKey || line.kind == fieldKey
		hasVersion = hasVersion || line.kind == fieldVersion
		return true
	})
	if len(f.Key) > 0 && !hasVersion {
		dst = append(dst, "Sec-WebSocket-Version: 13\r\n"...)
	}
	if len(f.Key) > 0 && !hasKey {
		dst = appendLine(dst, "Sec-WebSocket-Key: ", f.Key)
	}
	dst = f.appendSet(dst)
	dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
	if len(f.Protocol) == 0 {
		dst = append(dst, "websocket"...)
	} else {
		dst = appendText(dst, f.Protocol)
	}
	dst = append(dst, "\r\n"...)
	dst = r.appendForwarded(dst, f)
	return append(dst, "\r\n"...)
}

// replaces reports whether Set or Remove names the client's field.
func (f *Forward) replaces(name []byte) bool {
	for i := range f.Set {
		if equalFoldString(name, f.Set[i].Name) {
			return true
		}
	}
	for _, remove := range f.Remove {
		if equalFoldString(name, remove) {
			return true
		}
	}
	return false
}

// sets reports whether Set may add a field of this name.
func (f *Forward) sets(name string) bool {
	var buffer [64]byte
	kind := kindOf(append(buffer[:0], name...))
	return !neverForwarded[kind]
}

// appendForwarded appends what tells the backend who the client is.
func (r *Request) appendForwarded(dst []byte, f *Forward) []byte {
	addr := cutZone(f.ClientAddr)
	chain := f.Trusted && r.table.first[fieldForwardedFor] > 0
	if chain || len(addr) > 0 {
		dst = append(dst, "X-Forwarded-For: "...)
		if chain {
			dst = r.table.appendJoined(dst, fieldForwardedFor)
			if len(addr) > 0 {
				dst = append(dst, ", "...)
			}
		}
		dst = append(appendText(dst, addr), "\r\n"...)
	}
	proto, trusted := r.table.get(fieldForwardedProto)
	if trusted && f.Trusted {
		dst = appendLine(dst, "X-Forwarded-Proto: ", proto)
	} else {
		dst = append(dst, "X-Forwarded-Proto: "...)
		dst = append(appendText(dst, f.Proto), "\r\n"...)
	}
	host, trusted := r.table.get(fieldForwardedHost)
	if !trusted || !f.Trusted {
		host = r.host
	}
	if len(host) > 0 {
		dst = appendLine(dst, "X-Forwarded-Host: ", host)
	}
	dst = append(dst, "Forwarded: "...)
	if f.Trusted && r.table.first[fieldForwarded] > 0 {
		dst = append(r.table.appendJoined(dst, fieldForwarded), ", "...)
	}
	return append(r.appendForwardedElement(dst, addr, f.Proto), "\r\n"...)
}

// appendForwardedElement appends one element of RFC 7239 section 4. A host
// with a port or in brackets is no token and must be quoted, as must an IPv6
// address, in brackets of its own (section 6).
func (r *Request) appendForwardedElement(dst, addr []byte, proto string) []byte {
	switch {
	case len(addr) == 0:
		dst = append(dst, "for=unknown"...)
	case !isToken(addr):
		dst = append(dst, `for="[`...)
		dst = append(appendText(dst, addr), `]"`...)
	default:
		dst = append(append(dst, "for="...), addr...)
	}
	if len(r.host) > 0 {
		dst = append(dst, ";host="...)
		if isToken(r.host) {
			dst = append(dst, r.host...)
		} else { // a valid host has nothing in it that needs a backslash
			dst = append(dst, '"')
			dst = append(dst, r.host...)
			dst = append(dst, '"')
		}
	}
	return appendText(append(dst, ";proto="...), proto)
}

// appendJoined appends the values of all fields of kind as one list.
func (t *fieldTable) appendJoined(dst []byte, kind fieldKind) []byte {
	first := int(t.first[kind])
	for i := first; i > 0; i = t.next(i, kind) {
		if i != first {
			dst = append(dst, ", "...)
		}
		dst = append(dst, t.value(i-1)...)
	}
	return dst
}

// AppendOrdinary appends the head of an ordinary request, for a reader that must
// not see an upgrade, such as net/http: AppendForward's, but that the version,
// Trailer and what frames the body are the client's, and that Connection says
// close or is not there. Of f, Protocol and Key have no meaning here.
func (r *Request) AppendOrdinary(dst []byte, f *Forward) []byte {
	dst = r.appendStart(dst, f, r.minor)
	r.table.nominate()
	dst = r.table.appendLines(dst, func(i int) bool {
		line := &r.table.fields[i]
		switch line.kind {
		case fieldContentLength, fieldTransferEncoding:
			return true // nominating them must not change where the request ends
		case fieldTrailer:
			return !line.nominated
		}
		return r.forwards(i, f)
	})
	dst = f.appendSet(dst)
	if !r.KeepAlive() {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = r.appendForwarded(dst, f)
	return append(dst, "\r\n"...)
}

// appendStart appends the request line, in HTTP/1.minor, and Host.
func (r *Request) appendStart(dst []byte, f *Forward, minor uint8) []byte {
	dst = append(dst, r.method...)
	dst = append(dst, ' ')
	dst = appendTarget(dst, f.Target)
	dst = append(dst, " HTTP/1."...)
	dst = append(dst, '0'+minor, '\r', '\n')
	switch {
	case f.Host != "":
		dst = append(appendText(append(dst, "Host: "...), f.Host), "\r\n"...)
	case len(r.host) > 0 || minor > 0:
		dst = appendLine(dst, "Host: ", r.host)
	}
	return dst
}

// forwards reports whether field line i goes on to the backend as it is;
// nominate was called before.
func (r *Request) forwards(i int, f *Forward) bool {
	line := &r.table.fields[i]
	return !neverForwarded[line.kind] && !line.underscore && !line.nominated && !f.replaces(r.table.name(i))
}

// appendSet appends the fields of the configuration.
func (f *Forward) appendSet(dst []byte) []byte {
	for i := range f.Set {
		if set := &f.Set[i]; f.sets(set.Name) {
			dst = append(appendText(dst, set.Name), ": "...)
			dst = append(appendText(dst, set.Value), "\r\n"...)
		}
	}
	return dst
}

// appendTarget appends target with every byte escaped that cannot stand in a
// request line, and a slash in front where there is none.
func appendTarget(dst, target []byte) []byte {
	if len(target) == 0 || target[0] != '/' {
		dst = append(dst, '/')
	}
	for _, c := range target {
		if byteClasses[c]&classTarget != 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// appendLine appends a field line whose value comes from a judged head or is
// a key of ours.
func appendLine(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, name...), value...)
	return append(dst, "\r\n"...)
}

// appendText appends text without its control bytes.
func appendText[T string | []byte](dst []byte, text T) []byte {
	for i := range len(text) {
		if c := text[i]; c >= 0x20 && c != 0x7f {
			dst = append(dst, c)
		}
	}
	return dst
}

// cutZone cuts the zone off an IPv6 address; it has no meaning elsewhere, and
// RFC 7239 section 6 has no place for it.
func cutZone(addr []byte) []byte {
	for i, c := range addr {
		if c == '%' {
			return addr[:i]
		}
	}
	return addr
}
