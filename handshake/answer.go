package handshake

import "bytes"

// An Offer is what must be remembered of a request until its answer is
// judged: a view of the head that was sent to the backend, as AppendForward
// wrote it. The caller keeps those bytes anyway, in case a warm connection
// turns out dead and they must be sent again.
type Offer struct {
	Sent []byte
}

// CheckUpgrade reports whether the answer is a correct 101 to what was
// offered, and returns nil or a refusal (502): RFC 6455 section 4.1 for
// websocket, RFC 9110 section 7.8 for any protocol. Nothing else opens a
// tunnel.
//
// lenient skips the check of Sec-WebSocket-Accept.
func (r *Response) CheckUpgrade(o *Offer, lenient bool) *Refusal {
	if r.status != 101 {
		return RefusalAnswerStatus
	}
	if r.minor == 0 {
		return RefusalAnswerHTTP10
	}
	offer := r.readOffer(o)
	if len(offer.upgrade) == 0 {
		return RefusalAnswerUnasked
	}
	upgrade, present := r.table.get(fieldUpgrade)
	if !present || r.table.many[fieldUpgrade] || len(upgrade) == 0 || bytes.IndexByte(upgrade, ',') >= 0 {
		return RefusalAnswerUpgrade
	}
	if !hasElementFold(offer.upgrade, upgrade) {
		return RefusalAnswerProtocol
	}
	if !r.table.tokens.upgrade {
		return RefusalAnswerConnection
	}
	if !equalFold(upgrade, "websocket") {
		return nil
	}
	if !lenient && !r.accepts(offer.key) {
		return RefusalAnswerAccept
	}
	// The backend may only choose what was offered, and each field must not
	// appear twice in an answer (RFC 6455 sections 4.1, 11.3.2 and 11.3.4).
	_, chose := r.table.get(fieldSubprotocol)
	if chose && (r.table.many[fieldSubprotocol] || !offer.subprotocol) {
		return RefusalAnswerSubprotocol
	}
	if r.table.many[fieldExtensions] || !r.extensionsAllIn(offer.extensions) {
		return RefusalAnswerExtension
	}
	return nil
}

// accepts reports whether there is one Sec-WebSocket-Accept and it answers
// key.
func (r *Response) accepts(key []byte) bool {
	accept, present := r.table.get(fieldAccept)
	if !present || r.table.many[fieldAccept] || len(accept) != acceptBytes {
		return false
	}
	var want [acceptBytes]byte
	return bytes.Equal(accept, AppendAccept(want[:0], key))
}

// offered is what the sent head says about the choices in the answer.
type offered struct {
	upgrade     []byte
	key         []byte
	subprotocol bool // the one chosen is among those offered
	extensions  uint // bit i: the i-th one chosen is among those offered
}

// readOffer reads the sent head once.
func (r *Response) readOffer(o *Offer) (offer offered) {
	subprotocol, _ := r.table.get(fieldSubprotocol)
	for rest := o.Sent; len(rest) > 0; {
		var kind fieldKind
		var value []byte
		kind, value, rest = cutLine(rest)
		switch kind {
		case fieldUpgrade:
			offer.upgrade = value
		case fieldKey:
			offer.key = value
		case fieldSubprotocol:
			offer.subprotocol = offer.subprotocol ||
				len(subprotocol) > 0 && hasExactElement(value, subprotocol)
		case fieldExtensions:
			offer.extensions |= r.matchExtensions(value)
		}
	}
	return offer
}

// matchExtensions returns a bit for each extension the answer chose, in their
// order, that is in list. The names compare with case.
func (r *Response) matchExtensions(list []byte) (matched uint) {
	chosen, _ := r.table.get(fieldExtensions)
	for bit := uint(1); len(chosen) > 0 && bit < 1<<extensionsMax; bit <<= 1 {
		var name []byte
		name, chosen = cutExtension(chosen)
		for rest := list; len(rest) > 0; {
			var offer []byte
			if offer, rest = cutExtension(rest); bytes.Equal(offer, name) {
				matched |= bit
			}
		}
	}
	return matched
}

// extensionsAllIn reports whether there is a bit in matched for each
// extension the answer chose.
func (r *Response) extensionsAllIn(matched uint) bool {
	chosen, _ := r.table.get(fieldExtensions)
	for bit := uint(1); len(chosen) > 0; bit <<= 1 {
		var name []byte
		if name, chosen = cutExtension(chosen); len(name) > 0 && matched&bit == 0 {
			return false
		}
	}
	return true
}

// cutLine cuts the first line off a head and reads it as a field, of
// fieldOther if it is none or not one an offer is made of.
func cutLine(b []byte) (kind fieldKind, value, rest []byte) {
	line := b
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		line, rest = b[:i], b[i+1:]
	}
	// Upgrade and Sec-WebSocket-*; the others need no closer look.
	if len(line) == 0 || lower(line[0]) != 's' && lower(line[0]) != 'u' {
		return fieldOther, nil, rest
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return fieldOther, nil, rest
	}
	value = bytes.TrimSuffix(line[colon+1:], []byte{'\r'})
	return kindOf(line[:colon]), trimBlank(value), rest
}

// cutExtension cuts the first extension off a list and returns its name
// without its parameters, whose values may be quoted strings with commas and
// semicolons in them (RFC 6455 section 9.1).
func cutExtension(list []byte) (name, rest []byte) {
	end, quoted := len(list), false
	nameEnd := -1
scan:
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';' && nameEnd < 0:
			nameEnd = i
		case c == ',':
			end = i
			rest = list[i+1:]
			break scan
		}
	}
	if nameEnd < 0 {
		nameEnd = end
	}
	return trimBlank(list[:nameEnd]), rest
}

// hasElementFold reports whether the list has element in any case.
func hasElementFold(list, element []byte) bool {
	for len(list) > 0 {
		var e []byte
		if e, list = cutList(list); equalFoldBytes(e, element) {
			return true
		}
	}
	return false
}

// hasExactElement reports whether the list has element in this case.
func hasExactElement(list, element []byte) bool {
	for len(list) > 0 {
		var e []byte
		if e, list = cutList(list); bytes.Equal(e, element) {
			return true
		}
	}
	return false
}
