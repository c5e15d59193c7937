package h2

import (
	"io"
	"net/http"
	"strconv"
)

// A refusal is an answer of our own.
type refusal struct {
	status int
	detail string
}

var (
	malformed   = &refusal{http.StatusBadRequest, ":protocol belongs to the method CONNECT (RFC 8441 section 4)."}
	noScheme    = &refusal{http.StatusBadRequest, "The :scheme must be https, as the connection is."}
	badMethod   = &refusal{http.StatusBadRequest, "The :method is not a method."}
	badProtocol = &refusal{
		http.StatusNotImplemented, "CONNECT is only for WebSockets here: it needs `:protocol: websocket` (RFC 8441).",
	}
	shortage  = &refusal{http.StatusServiceUnavailable, "This server is short of descriptors; try again shortly."}
	badAnswer = &refusal{http.StatusBadGateway, "The backend did not accept the WebSocket, or broke off."}
)

func (r *refusal) write(rw http.ResponseWriter) {
	header := rw.Header()
	clear(header)
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(r.detail)+1))
	rw.WriteHeader(r.status)
	_, _ = io.WriteString(rw, r.detail+"\n") // a client that is gone needs no answer
}
