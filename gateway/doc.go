// Package gateway serves one ordinary HTTP request on a connection that has left
// its event loop, by net/http and httputil.ReverseProxy on goroutines.
//
// It judges no request: heads were judged, routed and rewritten by the loop, and
// whatever follows the one request goes back there. A Gateway is shared by all
// loops; its methods may be called from any goroutine and do not block.
package gateway
