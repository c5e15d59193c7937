// Package admission says whether one more is allowed: tunnels of one client
// (Addresses), and handshakes in a second (Rate).
//
// It knows no sockets, no HTTP and no tunnels. Both types are shared by all
// loops and safe for concurrent use; they are asked when a tunnel opens and
// when it ends, never while bytes move.
package admission
