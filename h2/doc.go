// Package h2 serves connections of HTTP/2 (RFC 9113) by goroutines. Each of their
// requests becomes one of HTTP/1.1 on a connection of its own to the proxy itself,
// whose loops judge, route and serve it like any other. A WebSocket (extended
// CONNECT, RFC 8441) becomes an upgrade there.
//
// Frames, flow control and header compression are golang.org/x/net/http2's. It
// serves extended CONNECT only in a process that was started with a setting in
// its environment: see Extended.
package h2
