package echo

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/gobwas/ws"
)

// headView lets gobwas/ws read a complete head from memory, so that it can
// neither block nor swallow bytes that follow the head.
type headView struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (v *headView) Read(p []byte) (int, error)  { return v.in.Read(p) }
func (v *headView) Write(p []byte) (int, error) { return v.out.Write(p) }

var upgrader = ws.Upgrader{OnHeader: refuseBody}

// refuseBody turns down requests that announce a body: what follows the head
// would be taken for frames.
func refuseBody(key, value []byte) error {
	switch {
	case bytes.EqualFold(key, []byte("Transfer-Encoding")),
		bytes.EqualFold(key, []byte("Content-Length")) && string(value) != "0":
		return ws.RejectConnectionError(ws.RejectionStatus(http.StatusBadRequest),
			ws.RejectionReason("an upgrade request has no body"))
	}
	return nil
}

// upgrade judges one complete head, the blank line included, and returns the
// response to send and whether it opens the tunnel.
func upgrade(head []byte) (response []byte, ok bool) {
	if err := checkHead(head); err != nil {
		return badRequest(err), false
	}
	v := &headView{}
	v.in.Reset(head)
	if _, err := upgrader.Upgrade(v); err != nil {
		if v.out.Len() == 0 { // some errors are left for the caller to answer
			return badRequest(err), false
		}
		return v.out.Bytes(), false
	}
	return v.out.Bytes(), true
}

// checkHead finds what gobwas/ws lets pass: lines that end in a bare LF, and
// a key that is not the base64 of 16 bytes (RFC 6455 section 4.2.1).
func checkHead(head []byte) error {
	for line := range bytes.Lines(head) {
		text, crlf := bytes.CutSuffix(line, []byte("\r\n"))
		if !crlf || bytes.IndexByte(text, '\r') >= 0 {
			return fmt.Errorf("line does not end in CR LF")
		}
		name, value, _ := strings.Cut(string(text), ":")
		if !strings.EqualFold(name, "Sec-WebSocket-Key") {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(value, " \t"))
		if err != nil || len(key) != 16 {
			return fmt.Errorf("Sec-WebSocket-Key is not base64 of 16 bytes")
		}
	}
	return nil
}

func badRequest(err error) []byte {
	return respond(http.StatusBadRequest, err.Error())
}

// respond returns a complete response that ends the connection.
func respond(status int, reason string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(reason), reason)
}
