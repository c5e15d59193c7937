// Package proxy joins clients to backends: it composes the event loop, the
// handshake rules, the pumps and the pool into tunnels.
//
// It parses nothing itself, and its only system calls are those that open,
// connect and shut sockets down, through internal/sys; moving bytes is the
// other rooms' work. A Server runs one worker per loop. Everything a worker
// owns belongs to its loop's goroutine; what the workers share is in server.go
// and is atomic or immutable.
package proxy
