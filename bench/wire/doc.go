// Package wire holds the few pieces of WebSocket framing that the bench's
// backend and load generator share: frame headers decoded and encoded in
// place, and the payload both sides agree on.
//
// It does not own connections and does no I/O. Every function is safe for
// concurrent use.
package wire
