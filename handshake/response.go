package handshake

import (
	"bytes"
)

// A Response is the judged head of a backend's answer. Like a Request it
// refers to the head it was parsed from, and there is one per loop.
type Response struct {
	status int
	minor  uint8
	reason []byte
	table  fieldTable

	hasLength bool
	length    int64
	chunks    bool
}

// Parse judges head, the complete head of an answer up to and including its
// final CRLFCRLF, and returns nil or a refusal (502). It holds the backend to
// the same grammar as clients, save that equal Content-Length fields count as
// one, and that the space before an absent reason phrase may be absent too.
func (r *Response) Parse(head []byte) *Refusal {
	if !endsHead(head) {
		return RefusalBadAnswer
	}
	end := bytes.IndexByte(head, '\r')
	if head[end+1] != '\n' || !r.parseStatusLine(head[:end]) {
		return RefusalBadAnswer
	}
	if f := r.table.parse(head, end+2); f != faultNone {
		return responseFaults[f]
	}
	return r.parseFraming()
}

// parseStatusLine reads version, status and reason (RFC 9112 section 4).
func (r *Response) parseStatusLine(line []byte) bool {
	const prefix = "HTTP/1.x 200"
	if len(line) < len(prefix) || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return false
	}
	if line[7] != '0' && line[7] != '1' {
		return false
	}
	r.minor = line[7] - '0'
	r.status = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		r.status = r.status*10 + int(c-'0')
	}
	r.reason = line[12:]
	if len(r.reason) > 0 {
		if r.reason[0] != ' ' {
			return false
		}
		r.reason = r.reason[1:]
	}
	end := skipText(r.reason, 0)
	for end < len(r.reason) && r.reason[end] == '\t' {
		end = skipText(r.reason, end+1)
	}
	return r.status >= 100 && end == len(r.reason)
}

// parseFraming refuses what RFC 9112 sections 6.1 and 6.3 forbid a server to
// send, and what different readers have read differently.
func (r *Response) parseFraming() *Refusal {
	r.hasLength, r.length, r.chunks = false, 0, false
	t := &r.table
	for i := int(t.first[fieldContentLength]); i > 0; i = t.next(i, fieldContentLength) {
		value := t.value(i - 1)
		n, ok := parseLength(value)
		first, _ := t.get(fieldContentLength)
		if !ok || !bytes.Equal(value, first) {
			return RefusalAnswerFraming
		}
		r.hasLength, r.length = true, n
	}
	if coding, present := t.get(fieldTransferEncoding); present {
		if r.hasLength || r.minor == 0 || t.many[fieldTransferEncoding] ||
			!equalFold(coding, "chunked") || t.framesTrailer() {
			return RefusalAnswerFraming
		}
		r.chunks = true
	}
	if (r.status < 200 || r.status == 204) && (r.chunks || r.length > 0) {
		return RefusalAnswerFraming
	}
	return nil
}

// Status returns the status code, 100 to 999.
func (r *Response) Status() int { return r.status }

// Interim reports whether another answer follows this one: 1xx, except 101.
func (r *Response) Interim() bool { return r.status < 200 && r.status != 101 }

// KeepAlive reports whether the backend keeps the connection open after this
// answer. It says nothing of a body that ends with the connection.
func (r *Response) KeepAlive() bool { return r.minor == 1 && !r.table.tokens.close }

// Field returns the value of the first field called name, in any case, and
// whether there is one.
func (r *Response) Field(name string) (value []byte, present bool) { return r.table.lookup(name) }

// Body returns a scanner for the body that follows the head (RFC 9112 section
// 6.3); toHead says that the request was a HEAD, whose answer has none.
func (r *Response) Body(toHead bool) Body {
	switch {
	case toHead || r.status < 200 || r.status == 204 || r.status == 304:
		return Body{}
	case r.chunks:
		return Body{kind: BodyChunked}
	case r.hasLength && r.length == 0:
		return Body{}
	case r.hasLength:
		return Body{kind: BodyLength, remain: r.length}
	}
	return Body{kind: BodyUntilClose}
}
