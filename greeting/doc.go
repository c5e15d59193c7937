// Package greeting reads what a load balancer sends before the first request:
// the PROXY protocol header, versions 1 and 2 (proxy-protocol.txt of HAProxy).
// Bytes in, verdict out.
//
// It does not read from sockets, keeps no state and believes no one: whether
// the peer may announce an address is for its user to decide. What stands in a
// header is parsed by go-proxyproto; this room says how many bytes that is,
// and as soon as the bytes prove it, that it can never be one.
package greeting
