// Package echo is the bench's WebSocket backend, on netpoll and gobwas/ws: it
// echoes messages, discards them, produces them, or does both at once. As the
// backend of an endpoint it does the same with plain bytes, but for the last.
//
// It is no product server: it negotiates no extension and no subprotocol,
// does not check that text is UTF-8, and serves every path alike. Half-closing
// clients are not served: netpoll ends a connection on the peer's FIN.
//
// A session belongs to the netpoll handler of its connection, of which at
// most one runs at a time, but for a Duplex's writer, which is its source's;
// only what is declared under a mutex is shared.
package echo
