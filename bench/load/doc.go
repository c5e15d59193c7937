// Package load is the bench's WebSocket client: it opens tunnels, keeps them
// busy or idle for a measured window, or opens and closes them without end,
// and says what went through.
//
// It does not start servers and does not know what stands between it and the
// backend. A tunnel belongs to its netpoll handler or to one goroutine; where
// a second one sends on it (the pacer of Open, the sender of Both), the
// tunnel's mutex says what they share. What all tunnels share is atomic.
package load
