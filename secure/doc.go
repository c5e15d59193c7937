// Package secure holds TLS sessions that do no I/O: bytes go in and come out, and
// an event loop moves them (RFC 8446, RFC 5246). The handshake, which computes for
// a long time, runs on goroutines of its own. Connect alone reads and writes, for
// connections that no loop has yet.
package secure
