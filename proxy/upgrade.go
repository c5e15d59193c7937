package proxy

import (
	"bytes"
	"slices"

	"wsplice/handshake"
)

const websocketName = "websocket"

// check reports whether the request asks for an upgrade that u accepts, and
// what is wrong with it. Where it does not ask, refusal is the answer if no
// other route takes the request: require, or why this is no upgrade.
//
// What names an accepted protocol asks, even if the rest of the handshake is
// broken: an attack on a tunnel route must not end on another one. Only an
// Upgrade that Connection does not name was not meant for us (RFC 9110
// section 7.8).
func (u *Upgrade) check(r *handshake.Request, lenient bool, require *handshake.Refusal) (asked bool, refusal *handshake.Refusal) {
	switch {
	case u.Unasked:
		return checkUnasked(r, lenient)
	case !u.names(r):
		if require == handshake.RefusalUpgradeRequired && !u.Any && len(r.UpgradeField()) > 0 {
			require = handshake.RefusalOtherProtocol
		}
		return false, require
	case r.Upgrade() == handshake.UpgradeWithoutConnection:
		return false, handshake.RefusalUpgradeConnection
	case u.isWebSocket(r):
		return true, r.CheckWebSocket(lenient)
	}
	return true, r.CheckUpgrade()
}

// checkUnasked is check for Unasked.
func checkUnasked(r *handshake.Request, lenient bool) (asked bool, refusal *handshake.Refusal) {
	refusal = r.CheckPlainGet(lenient)
	switch refusal {
	case handshake.RefusalUpgradeMethod, handshake.RefusalUpgradeBody, handshake.RefusalUpgradeHTTP10:
		return false, refusal
	}
	return true, refusal
}

// names reports whether the request names a protocol that u accepts.
func (u *Upgrade) names(r *handshake.Request) bool {
	if u.Any {
		return r.NamesProtocol()
	}
	for _, protocol := range u.Protocols {
		if r.UpgradeHas(protocol) {
			return true
		}
	}
	return false
}

// isWebSocket reports whether the backend is asked for websocket, perhaps
// among other protocols, so that the rules of RFC 6455 hold.
func (u *Upgrade) isWebSocket(r *handshake.Request) bool {
	return u.Unasked || r.UpgradeHas(websocketName) && (u.Any || slices.Contains(u.Protocols, websocketName))
}

// appendProtocols appends what the backend is asked for.
func (u *Upgrade) appendProtocols(dst []byte, r *handshake.Request) []byte {
	return r.AppendProtocols(dst, u.Any, u.Protocols)
}

// answersWebSocket reports whether a 101 that was found correct switches to
// websocket.
func answersWebSocket(r *handshake.Response) bool {
	protocol, _ := r.Field("Upgrade")
	return bytes.EqualFold(protocol, []byte(websocketName))
}
