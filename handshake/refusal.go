package handshake

import (
	"net/http"
	"strconv"
	"strings"
)

// A Refusal is our own answer to a head we do not serve.
//
// The refusals of this room are the package-level variables of refusals.go;
// they are compared by pointer and never changed. A function that returns a
// *Refusal returns nil when it has no objection; do not store that nil in an
// error variable, where it would no longer compare equal to nil.
type Refusal struct {
	Status int    // of the answer, 400 to 505
	Reason string // metric label and log text: snake_case, unique
	Header string // further header lines, each with its CRLF; no Connection
	Detail string // one sentence: what is wrong and what to do; the body
}

// Error returns the room, the status and the reason.
func (r *Refusal) Error() string {
	return "handshake: refuse with " + strconv.Itoa(r.Status) + ": " + r.Reason
}

// AppendResponse appends the whole answer to dst: status line, header, body.
//
// It always says `Connection: close`: after a refusal we do not know where
// the next request would begin (RFC 9112 section 9.6), and bytes sent along
// with the refused one must not become a request. A 426 also nominates its
// Upgrade field, as RFC 9110 section 7.8 wants.
func (r *Refusal) AppendResponse(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Detail))+1, 10)
	if r.Status == http.StatusUpgradeRequired {
		dst = append(dst, "\r\nConnection: Upgrade, close\r\n"...)
	} else {
		dst = append(dst, "\r\nConnection: close\r\n"...)
	}
	dst = append(dst, r.Header...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, r.Detail...)
	return append(dst, '\n')
}

// NewUpgradeRequired makes the 426 of a route that accepts protocols. It is
// for the time a configuration is loaded, not for each request. Without
// protocols, and for websocket alone, it is RefusalUpgradeRequired.
func NewUpgradeRequired(protocols ...string) *Refusal {
	if len(protocols) == 0 || len(protocols) == 1 && protocols[0] == "websocket" {
		return RefusalUpgradeRequired
	}
	list := strings.Join(protocols, ", ")
	return &Refusal{
		Status: http.StatusUpgradeRequired,
		Reason: RefusalUpgradeRequired.Reason,
		Header: "Upgrade: " + list + "\r\n",
		Detail: "This address serves connections upgraded to " + list +
			" only; ask for one with Upgrade and Connection: Upgrade.",
	}
}
