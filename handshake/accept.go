package handshake

import (
	"crypto/sha1"
	"encoding/base64"
)

// acceptBytes is the length of a SHA-1 in base64.
const acceptBytes = 28

// keyGUID is appended to the key before hashing (RFC 6455 section 4.2.2).
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendAccept appends the Sec-WebSocket-Accept that answers key (RFC 6455
// section 4.2.2, item 5.4). It does not allocate for a key of 24 bytes.
func AppendAccept(dst, key []byte) []byte {
	var buffer [keyBytes + len(keyGUID)]byte
	sum := sha1.Sum(append(append(buffer[:0], key...), keyGUID...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// SelectSubprotocol returns the first subprotocol the client offers that is
// among those accepted, or "". Subprotocols compare with case.
func (r *Request) SelectSubprotocol(accepted []string) string {
	for i := int(r.table.first[fieldSubprotocol]); i > 0; i = r.table.next(i, fieldSubprotocol) {
		for list := r.table.value(i - 1); len(list) > 0; {
			var offer []byte
			offer, list = cutList(list)
			for _, a := range accepted {
				if a == string(offer) {
					return a
				}
			}
		}
	}
	return ""
}

// AppendSwitch appends the 101 with which we open a WebSocket ourselves (RFC
// 6455 section 4.2.2); subprotocol and extensions are left out when empty.
func AppendSwitch(dst, key []byte, subprotocol, extensions string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = AppendAccept(dst, key)
	if subprotocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, subprotocol...)
	}
	if extensions != "" {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: "...)
		dst = append(dst, extensions...)
	}
	return append(dst, "\r\n\r\n"...)
}
