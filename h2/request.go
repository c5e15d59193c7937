package h2

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A request is what the proxy is asked in HTTP/1.1.
type request struct {
	head      []byte
	method    string // of it
	websocket bool
	chunked   bool
	length    int64    // of the body; -1 = not said
	refusal   *refusal // it is answered here
}

// pseudo are the pseudo-header fields of a request (RFC 9113 section 8.3.1, RFC 8441
// section 4).
type pseudo struct {
	method, scheme, authority, path, protocol string
	hasScheme, hasAuthority, hasPath          bool
	extended                                  bool
}

func pseudoOf(f *http2.MetaHeadersFrame) (p pseudo) {
	for _, field := range f.PseudoFields() {
		switch field.Name {
		case ":method":
			p.method = field.Value
		case ":scheme":
			p.scheme, p.hasScheme = field.Value, true
		case ":authority":
			p.authority, p.hasAuthority = field.Value, true
		case ":path":
			p.path, p.hasPath = field.Value, true
		case ":protocol":
			p.protocol, p.extended = field.Value, true
		}
	}
	return p
}

// malformed reports whether what is said makes no request (section 8.3.1, section
// 8.5, and RFC 8441 section 4).
func (p *pseudo) malformed(websockets bool) bool {
	connect := p.method == http.MethodConnect
	switch {
	case !isToken(p.method), strings.Contains(p.authority, "@"), strings.ContainsFunc(p.authority+p.path, isBlank):
		return true
	case p.extended:
		return !websockets || !connect || p.scheme == "" || p.authority == "" || !strings.HasPrefix(p.path, "/")
	case connect:
		return p.hasScheme || p.hasPath || p.authority == ""
	case p.path == "*":
		return p.scheme == "" || p.method != http.MethodOptions
	}
	return p.scheme == "" || !strings.HasPrefix(p.path, "/")
}

// refusal is what is wrong with a request that is one.
func (p *pseudo) refusal() *refusal {
	switch {
	case p.method == http.MethodConnect && !strings.EqualFold(p.protocol, "websocket"):
		return badProtocol
	case p.scheme != "https":
		return badScheme
	}
	return nil
}

// isBlank reports whether c ends a part of a request line (RFC 9112 section 3). The
// other controls were found before.
func isBlank(c rune) bool { return c == ' ' || c == '\t' }

// isToken reports whether s is one (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// parse makes a request of a header list. The library has checked the characters
// of names and values, and that pseudo-header fields are known, come first and
// once. The proxy judges all else.
func (c *conn) parse(f *http2.MetaHeadersFrame) (*request, error) {
	p := pseudoOf(f)
	r := &request{length: -1}
	if c.tooLarge(f) {
		r.refusal = headTooLarge
		return r, nil
	}
	fields, ok := readFields(f.Fields)
	if !ok || p.malformed(c.lane.config.WebSockets) || fields.hasHost && p.hasAuthority && fields.host != p.authority {
		return nil, streamError(f.StreamID, http2.ErrCodeProtocol)
	}
	r.method, r.length = p.method, fields.length
	if r.refusal = p.refusal(); r.refusal != nil {
		return r, nil
	}
	if r.websocket = p.extended; r.websocket {
		r.method = http.MethodGet
		r.length = -1
	} else if f.StreamEnded() {
		if r.length > 0 {
			return nil, streamError(f.StreamID, http2.ErrCodeProtocol) // section 8.1.1
		}
	} else {
		r.chunked = r.length < 0
	}
	if !p.hasAuthority {
		p.authority = fields.host
	}
	r.writeHead(&p, f.RegularFields(), fields.cookie)
	return r, nil
}

// tooLarge reports whether a header list is larger than it may be (section 10.5.1).
func (c *conn) tooLarge(f *http2.MetaHeadersFrame) bool {
	size := uint32(0)
	for _, field := range f.Fields {
		size += field.Size()
	}
	return f.Truncated || int64(size) > int64(c.lane.config.Head)
}

// fields is what some of a request's fields say.
type fields struct {
	host    string
	hasHost bool
	length  int64 // -1 = not said
	cookie  string
}

// readFields fails for what must not be in a request (section 8.2.2, and lengths
// that contradict each other).
func readFields(list []hpack.HeaderField) (to fields, ok bool) {
	to.length = -1
	var crumbs []string
	for _, f := range list {
		if f.Value != textproto.TrimString(f.Value) { // section 8.2.1
			return to, false
		}
		switch f.Name {
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return to, false
		case "te":
			if f.Value != "trailers" {
				return to, false
			}
		case "host":
			if to.hasHost && to.host != f.Value {
				return to, false
			}
			to.host, to.hasHost = f.Value, true
		case "content-length":
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || to.length >= 0 && to.length != int64(n) {
				return to, false
			}
			to.length = int64(n)
		case "cookie": // in crumbs (section 8.2.3)
			crumbs = append(crumbs, f.Value)
		}
	}
	to.cookie = strings.Join(crumbs, "; ")
	return to, true
}

// made are the fields that are made anew, or mean nothing beyond HTTP/2.
var made = map[string]bool{"host": true, "content-length": true, "te": true, "cookie": true, "http2-settings": true}

// ofUpgrade are those that only HTTP/1.1 has.
var ofUpgrade = map[string]bool{"sec-websocket-key": true, "sec-websocket-accept": true}

// spelling is how HTTP/1.1 clients write what textproto writes otherwise: backends
// exist that know no other.
var spelling = map[string]string{
	"sec-websocket-version":    "Sec-WebSocket-Version",
	"sec-websocket-protocol":   "Sec-WebSocket-Protocol",
	"sec-websocket-extensions": "Sec-WebSocket-Extensions",
}

// writeHead makes the head.
func (r *request) writeHead(p *pseudo, list []hpack.HeaderField, cookie string) {
	b := append(append([]byte(nil), r.method...), ' ')
	b = append(append(b, p.path...), " HTTP/1.1\r\n"...)
	if p.authority != "" {
		b = appendField(b, "Host", p.authority)
	}
	for _, f := range list {
		if made[f.Name] || r.websocket && ofUpgrade[f.Name] {
			continue
		}
		name, known := spelling[f.Name]
		if !known {
			name = textproto.CanonicalMIMEHeaderKey(f.Name)
		}
		b = appendField(b, name, f.Value)
	}
	if cookie != "" {
		b = appendField(b, "Cookie", cookie)
	}
	switch {
	case r.websocket:
		b = appendField(b, "Upgrade", "websocket")
		b = appendField(b, "Connection", "Upgrade")
		b = appendField(b, "Sec-WebSocket-Key", newKey())
	case r.chunked:
		b = appendField(b, "Transfer-Encoding", "chunked")
	case r.length >= 0:
		b = appendField(b, "Content-Length", strconv.FormatInt(r.length, 10))
	}
	r.head = append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// newKey returns a Sec-WebSocket-Key (RFC 6455 section 4.1), which HTTP/2 has not.
func newKey() string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // it ends the program rather than fail
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// chunk returns data as it follows the head (RFC 9112 section 7.1).
func (r *request) chunk(data []byte) []byte {
	if !r.chunked || len(data) == 0 { // which would end the body
		return data
	}
	b := strconv.AppendInt(nil, int64(len(data)), 16)
	b = append(append(b, "\r\n"...), data...)
	return append(b, "\r\n"...)
}

// end returns what ends the body, with its trailer.
func (r *request) end(trailer []hpack.HeaderField) []byte {
	if !r.chunked {
		return nil
	}
	b := []byte("0\r\n")
	for _, f := range trailer {
		if made[f.Name] { // no field of a trailer (RFC 9110 section 6.5.1)
			continue
		}
		b = appendField(b, textproto.CanonicalMIMEHeaderKey(f.Name), f.Value)
	}
	return append(b, "\r\n"...)
}
