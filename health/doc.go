// Package health asks the servers of upstreams, again and again, whether they
// serve: by connecting, by a GET, or by a WebSocket handshake and a ping. It
// tells the pool which do not.
//
// It chooses no server and moves no bytes of clients. Its checks run in
// goroutines of their own, never on a loop, at most one for each server, and
// none between two checks.
package health
