package proxy

import "wsplice/handshake"

var refusalHTTP = &handshake.Refusal{
	Status: 503, Reason: "http_not_served",
	Detail: "This server does not serve ordinary HTTP here yet; connect with a WebSocket client.",
}

// serveHTTP answers an ordinary request on a route of ModeHTTP.
func (t *Tunnel) serveHTTP(chosen *Route) {
	t.route = chosen
	t.refuse(refusalHTTP)
}
