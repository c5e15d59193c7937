package handshake

import "strconv"

// AppendReply appends the head with which an answer that opens no tunnel is
// relayed to the client as ordinary HTTP/1.1: the status, the backend's field
// lines byte for byte, and a Connection field of our own. Hop-by-hop fields,
// those that the backend's Connection nominates, and Upgrade are left out;
// what frames the body stays.
//
// A body that ends with the connection makes it close, whatever keepAlive
// says. A 426 keeps saying what to upgrade to (RFC 9110 section 15.5.22).
func (r *Response) AppendReply(dst []byte, keepAlive bool) []byte {
	upgrade := r.status == 426 && r.table.first[fieldUpgrade] > 0
	body := r.Body(false)
	closes := !keepAlive || body.kind == BodyUntilClose
	dst = r.appendHead(dst)
	if upgrade {
		dst = append(dst, "Upgrade: websocket\r\n"...)
	}
	switch {
	case upgrade && closes:
		dst = append(dst, "Connection: Upgrade, close\r\n\r\n"...)
	case upgrade:
		dst = append(dst, "Connection: Upgrade\r\n\r\n"...)
	case closes:
		dst = append(dst, "Connection: close\r\n\r\n"...)
	default:
		dst = append(dst, "Connection: keep-alive\r\n\r\n"...)
	}
	return dst
}

// AppendInterim appends the head of an interim answer for the client, which a
// proxy must pass on (RFC 9110 section 15.2).
func (r *Response) AppendInterim(dst []byte) []byte {
	return append(r.appendHead(dst), "\r\n"...)
}

func (r *Response) appendHead(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, r.reason...)
	dst = append(dst, "\r\n"...)
	r.table.nominate()
	bodiless := r.status < 200 || r.status == 204
	return r.table.appendLines(dst, func(i int) bool {
		f := &r.table.fields[i]
		switch f.kind {
		case fieldConnection, fieldUpgrade, fieldHop:
			return false
		case fieldTransferEncoding:
			return true
		case fieldContentLength:
			// Equal ones count as one; such an answer must have none.
			return !bodiless && i+1 == int(r.table.first[fieldContentLength])
		}
		return !f.nominated
	})
}
