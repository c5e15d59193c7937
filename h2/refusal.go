package h2

import (
	"net/http"
	"strconv"
)

// A refusal is an answer of our own.
type refusal struct {
	status int
	detail string
}

var (
	badScheme   = &refusal{http.StatusBadRequest, "The :scheme must be https, as the connection is."}
	badProtocol = &refusal{
		http.StatusNotImplemented, "CONNECT is only for WebSockets here: it needs `:protocol: websocket` (RFC 8441).",
	}
	headTooLarge = &refusal{http.StatusRequestHeaderFieldsTooLarge, "The header fields are larger than this server takes."}
	shortage     = &refusal{http.StatusServiceUnavailable, "This server is short of descriptors; try again shortly."}
	badAnswer    = &refusal{http.StatusBadGateway, "The backend did not accept the WebSocket, or broke off."}
)

func (r *refusal) header(length int) http.Header {
	return http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {strconv.Itoa(length)}}
}
