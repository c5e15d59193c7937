// Package pool names the backend that a tunnel goes to: upstreams of servers,
// their addresses, how the load is spread, and which servers are left out
// because they failed.
//
// It moves no bytes, opens no connections and knows no HTTP beyond the rules of
// a sticky cookie. Upstreams are shared by all loops: what changes in them is
// atomic, and Pick waits for nothing but, with round_robin, a walk over the
// servers by another loop. Names are looked up again, and the log is written, by
// goroutines that Start begins and Close ends.
package pool
