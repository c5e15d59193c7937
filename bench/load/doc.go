// Package load is the bench's WebSocket client: it opens tunnels, keeps them
// busy or idle for a measured window, and says what went through.
//
// It does not start servers and does not know what stands between it and the
// backend. A tunnel belongs to its netpoll handler or, when it sends bulk, to
// one goroutine; what all tunnels share is atomic.
package load
