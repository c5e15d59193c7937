// Package far gives this machine an address that is far away from it: packets
// take a while to get there, and are back on the same machine then.
//
// Test machines often have no netem, so the way there is a TUN device and the
// time is spent in this process. It knows IPv4 alone, and carries what a few
// hundred handshakes a second need, not bulk. A Link owns its device and two
// goroutines.
package far
