// Package pool names the backend that a tunnel goes to: upstreams of servers,
// their addresses, and how the load is spread.
//
// It moves no bytes and knows no HTTP. Upstreams are shared by all loops: what
// changes in them is atomic.
package pool
