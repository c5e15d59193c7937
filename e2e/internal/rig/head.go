package rig

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
)

// headBytesMax bounds the heads that the rig itself reads.
const headBytesMax = 256 << 10

// Key is the Sec-WebSocket-Key of UpgradeRequest (RFC 6455 section 1.3).
const Key = "dGhlIHNhbXBsZSBub25jZQ=="

// Accept returns the Sec-WebSocket-Accept that answers key.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// UpgradeRequest returns a correct opening handshake for target, with further
// header lines at its end.
func UpgradeRequest(target string, lines ...string) string {
	head := []string{
		"GET " + target + " HTTP/1.1",
		"Host: example.test",
		"Connection: Upgrade",
		"Upgrade: websocket",
		"Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + Key,
	}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n\r\n"
}

// SwitchingProtocols returns the correct answer to key, with further header
// lines at its end.
func SwitchingProtocols(key string, lines ...string) string {
	head := []string{
		"HTTP/1.1 101 Switching Protocols",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Accept: " + Accept(key),
	}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n\r\n"
}

// A Field is one header line.
type Field struct{ Name, Value string }

// A Head is a request as a backend saw it.
type Head struct {
	Method, Target, Proto string
	Fields                []Field // in order, spelled as they came
	Raw                   string
}

// Values returns the values of every field called name, in any spelling.
func (h *Head) Values(name string) []string {
	var values []string
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Get returns the first value of name, or "".
func (h *Head) Get(name string) string {
	if values := h.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Path returns the target without its query.
func (h *Head) Path() string {
	path, _, _ := strings.Cut(h.Target, "?")
	return path
}

func parseHead(raw string) (*Head, error) {
	lines := strings.Split(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 {
		return nil, fmt.Errorf("request line %q", lines[0])
	}
	h := &Head{Method: parts[0], Target: parts[1], Proto: parts[2], Raw: raw}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header line %q", line)
		}
		h.Fields = append(h.Fields, Field{name, strings.TrimSpace(value)})
	}
	return h, nil
}

// readRawHead reads up to and with the first empty line.
func readRawHead(r *bufio.Reader) (string, error) {
	var head bytes.Buffer
	for head.Len() < headBytesMax {
		line, err := r.ReadSlice('\n')
		head.Write(line)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return head.String(), err
		}
		if bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
			return head.String(), nil
		}
	}
	return head.String(), fmt.Errorf("head of more than %d bytes", headBytesMax)
}

// An Answer is a response as a client saw it.
type Answer struct {
	Status int
	Header http.Header
	Raw    string // the head, byte for byte
	Body   string
}

// Closes reports whether the answer announces the end of the connection.
func (a *Answer) Closes() bool {
	for _, value := range a.Header.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "close") {
				return true
			}
		}
	}
	return false
}

// readAnswer reads one response, and its body as far as it declares one. A
// response without length has its body up to the end of the connection.
func readAnswer(r *bufio.Reader) (*Answer, error) {
	raw, err := readRawHead(r)
	if err != nil {
		return nil, fmt.Errorf("read answer after %q: %w", raw, err)
	}
	a := &Answer{Raw: raw}
	line, rest, _ := strings.Cut(raw, "\r\n")
	if !strings.HasPrefix(line, "HTTP/1.1 ") || len(line) < 12 {
		return nil, fmt.Errorf("status line %q", line)
	}
	if a.Status, err = strconv.Atoi(line[9:12]); err != nil {
		return nil, fmt.Errorf("status line %q: %w", line, err)
	}
	fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(rest))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("header of answer %q: %w", raw, err)
	}
	a.Header = http.Header(fields)
	body, err := a.readBody(r)
	a.Body = string(body)
	return a, err
}

func (a *Answer) readBody(r *bufio.Reader) ([]byte, error) {
	if a.Status < 200 || a.Status == 204 || a.Status == 304 {
		return nil, nil
	}
	if length := a.Header.Get("Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > headBytesMax {
			return nil, fmt.Errorf("content length %q: %w", length, err)
		}
		body := make([]byte, n)
		_, err = io.ReadFull(r, body)
		return body, err
	}
	if strings.EqualFold(a.Header.Get("Transfer-Encoding"), "chunked") {
		body, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err != nil {
			return body, err
		}
		_, err = r.Discard(len("\r\n")) // the empty trailer
		return body, err
	}
	return io.ReadAll(io.LimitReader(r, headBytesMax))
}
