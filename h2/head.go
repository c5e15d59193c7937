package h2

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
)

// protocolField is where the library puts the :protocol (RFC 8441 section 4).
const protocolField = ":protocol"

// isWebSocket reports whether r asks for a WebSocket.
func isWebSocket(r *http.Request) bool { return r.Method == http.MethodConnect }

// judge refuses what the library accepts and HTTP/1.1 cannot say. The rest is
// left to the proxy.
func judge(r *http.Request) *refusal {
	protocol, extended := r.Header[protocolField]
	switch {
	case !isToken(r.Method):
		return badMethod
	case r.Method != http.MethodConnect && extended:
		return malformed
	case r.Method != http.MethodConnect:
	case !extended || !strings.EqualFold(protocol[0], "websocket"):
		return badProtocol
	case r.TLS == nil: // so the library tells of it
		return noScheme
	}
	return nil
}

// isToken reports whether s is one (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// ours are the fields of a request that are made anew, or mean nothing beyond
// HTTP/2.
var ours = map[string]bool{
	protocolField: true, "Host": true, "Content-Length": true, "Te": true,
	"Sec-Websocket-Key": true, "Sec-Websocket-Accept": true,
}

// spelling is how HTTP/1.1 clients write what net/http writes otherwise: backends
// exist that know no other.
var spelling = map[string]string{
	"Sec-Websocket-Version":    "Sec-WebSocket-Version",
	"Sec-Websocket-Protocol":   "Sec-WebSocket-Protocol",
	"Sec-Websocket-Extensions": "Sec-WebSocket-Extensions",
}

// appendHead appends r as a head of HTTP/1.1. The names and values in it were
// checked by the library, and the proxy judges it all.
func appendHead(b []byte, r *http.Request) []byte {
	method := r.Method
	if isWebSocket(r) {
		method = http.MethodGet
	}
	b = append(append(b, method...), ' ')
	b = append(append(b, r.RequestURI...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	for name, values := range r.Header {
		if ours[name] {
			continue
		}
		if s, ok := spelling[name]; ok {
			name = s
		}
		for _, value := range values {
			b = appendField(b, name, value)
		}
	}
	switch {
	case isWebSocket(r):
		b = appendField(b, "Upgrade", "websocket")
		b = appendField(b, "Connection", "Upgrade")
		b = appendField(b, "Sec-WebSocket-Key", newKey())
	case r.ContentLength < 0:
		b = appendField(b, "Transfer-Encoding", "chunked")
		for name := range r.Trailer {
			b = appendField(b, "Trailer", name)
		}
	case r.ContentLength > 0 || r.Header.Get("Content-Length") != "":
		b = appendField(b, "Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	return append(b, "\r\n"...)
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

// sendBody sends what follows the head: the body, or the client's side of a tunnel.
func (s *stream) sendBody() error {
	r := s.request
	switch {
	case isWebSocket(r):
		return s.sendTunnel()
	case r.ContentLength > 0:
		_, err := io.CopyN(s.file, r.Body, r.ContentLength)
		return err
	case r.ContentLength == 0:
		return nil
	}
	chunked := httputil.NewChunkedWriter(s.file)
	if _, err := io.Copy(chunked, r.Body); err != nil {
		return err
	}
	if err := chunked.Close(); err != nil {
		return err
	}
	var trailer []byte
	for name, values := range r.Trailer {
		for _, value := range values {
			trailer = appendField(trailer, name, value)
		}
	}
	_, err := s.file.Write(append(trailer, "\r\n"...))
	return err
}

// An answerReader reads answers of HTTP/1.1.
type answerReader struct{ buffered *bufio.Reader }

func newAnswerReader(from io.Reader) *answerReader { return &answerReader{bufio.NewReader(from)} }

// response returns the next answer.
func (a *answerReader) response(to *http.Request) (*http.Response, error) {
	if isWebSocket(to) {
		to = &http.Request{Method: http.MethodGet}
	}
	return http.ReadResponse(a.buffered, to)
}

// rest returns what was read and not used, and drops the buffer.
func (a *answerReader) rest() []byte {
	b, _ := a.buffered.Peek(a.buffered.Buffered()) // so much it has
	a.buffered = nil
	return b
}

// connectionFields belong to the connection to the proxy (RFC 9113 section 8.2.2).
var connectionFields = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Sec-Websocket-Accept",
}

// invented are the fields that the library adds where the proxy sent none.
var invented = [...]string{"Date", "Content-Type"}

// writeHead sends the head of an answer.
func writeHead(rw http.ResponseWriter, response *http.Response, status int) {
	header := rw.Header()
	for name, values := range response.Header {
		header[name] = values
	}
	for _, name := range connectionFields {
		header.Del(name)
	}
	for _, name := range invented {
		if _, present := header[name]; !present && status >= http.StatusOK {
			header[name] = nil
		}
	}
	rw.WriteHeader(status)
}
