// Package proxy joins clients to backends: it composes the event loop, the
// handshake rules, the pumps and the pool into tunnels.
//
// It parses nothing and makes no system call of its own; those live in the
// rooms it composes. A Server runs one worker per loop. Everything a worker
// owns belongs to its loop's goroutine; what the workers share is in server.go
// and is atomic or immutable.
package proxy
