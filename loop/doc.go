// Package loop runs non-blocking sockets, timers and messages of one CPU core
// on one thread.
//
// It knows no HTTP and no tunnels: owners submit operations on their sockets
// and are told of completions. Two engines can serve a loop; both answer to the
// contract in engine.go, which engine_test.go holds them to.
//
// Everything reachable from a Loop belongs to the goroutine in Loop.Run. Only
// Post, Stop and Stats may be called from other goroutines.
package loop
