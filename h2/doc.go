// Package h2 serves connections of HTTP/2 (RFC 9113) by goroutines. Each of their
// requests becomes one of HTTP/1.1 on a connection of its own to the proxy itself,
// whose loops judge, route and serve it like any other. A WebSocket (extended
// CONNECT, RFC 8441) becomes an upgrade there.
//
// How frames are written and headers are compressed is left to
// golang.org/x/net/http2; what they mean is decided here. Its server, and that of
// net/http, cannot say that they serve extended CONNECT without a variable in the
// environment, answer some malformed requests instead of resetting them, and cannot
// end one direction of a stream alone.
package h2
