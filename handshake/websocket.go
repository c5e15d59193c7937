package handshake

import "bytes"

// An UpgradeKind says what a request asks for with its Upgrade field.
type UpgradeKind uint8

const (
	// NoUpgrade is an ordinary request: no Upgrade field, or HTTP/1.0, in
	// which that field must be ignored (RFC 9110 section 7.8).
	NoUpgrade UpgradeKind = iota
	// WebSocket asks for websocket, perhaps among other protocols.
	WebSocket
	// OtherProtocol asks for other protocols only.
	OtherProtocol
	// UpgradeWithoutConnection has an Upgrade field that Connection does not
	// name: whoever sent it did not mean it for us.
	UpgradeWithoutConnection
)

// String returns the kind in words for logs.
func (k UpgradeKind) String() string {
	switch k {
	case NoUpgrade:
		return "no upgrade"
	case WebSocket:
		return "websocket"
	case OtherProtocol:
		return "other protocol"
	case UpgradeWithoutConnection:
		return "upgrade without connection"
	}
	return "unknown"
}

// Upgrade says what the request asks for.
func (r *Request) Upgrade() UpgradeKind {
	upgrade, present := r.table.get(fieldUpgrade)
	switch {
	case !present || r.minor == 0:
		return NoUpgrade
	case !r.table.tokens.upgrade:
		return UpgradeWithoutConnection
	case hasElement(upgrade, "websocket"):
		return WebSocket
	}
	return OtherProtocol
}

// UpgradeField returns the value of the Upgrade field, or nothing.
func (r *Request) UpgradeField() []byte {
	value, _ := r.table.get(fieldUpgrade)
	return value
}

// UpgradeHas reports whether the Upgrade field lists protocol, lower case, in
// any case.
func (r *Request) UpgradeHas(protocol string) bool {
	return hasElement(r.UpgradeField(), protocol)
}

// AppendProtocols appends, as a list in the client's order, those protocols of
// the Upgrade field that are in accepted, which is lower case, or all of them
// where every is set. What is no protocol (RFC 9110 section 7.8), what is named
// again, and what is beyond protocolsMax (16) is left out.
// websocket is written in lower case, since there are servers that know it in
// no other.
func (r *Request) AppendProtocols(dst []byte, every bool, accepted []string) []byte {
	start := len(dst)
	count := 0
	for list := r.UpgradeField(); len(list) > 0 && count < protocolsMax; {
		var protocol []byte
		protocol, list = cutList(list)
		if !isProtocol(protocol) || !every && !inList(protocol, accepted) || hasElementFold(dst[start:], protocol) {
			continue
		}
		count++
		if len(dst) > start {
			dst = append(dst, ", "...)
		}
		if equalFold(protocol, "websocket") {
			dst = append(dst, "websocket"...)
		} else {
			dst = append(dst, protocol...)
		}
	}
	return dst
}

// NamesProtocol reports whether the Upgrade field names any protocol.
func (r *Request) NamesProtocol() bool {
	for list := r.UpgradeField(); len(list) > 0; {
		var protocol []byte
		if protocol, list = cutList(list); isProtocol(protocol) {
			return true
		}
	}
	return false
}

// isProtocol reports whether b is a name, or a name and a version.
func isProtocol(b []byte) bool {
	name, version, found := bytes.Cut(b, []byte{'/'})
	return isToken(name) && (!found || isToken(version))
}

// inList reports whether b is in the list, which is lower case, in any case.
func inList(b []byte, list []string) bool {
	for _, s := range list {
		if equalFold(b, s) {
			return true
		}
	}
	return false
}

// Key returns the value of Sec-WebSocket-Key, and whether there is one.
func (r *Request) Key() (key []byte, present bool) { return r.table.get(fieldKey) }

// CheckWebSocket applies RFC 6455 section 4.2.1 to a request on a route that
// serves nothing but WebSocket. The rules are in the order in which their
// answers help most: what the client should have asked for comes before how.
//
// lenient accepts any method and any key that is not empty, as Apache does.
func (r *Request) CheckWebSocket(lenient bool) *Refusal {
	upgrade, present := r.table.get(fieldUpgrade)
	switch {
	case !present:
		return RefusalUpgradeRequired
	case !hasElement(upgrade, "websocket"):
		return RefusalOtherProtocol
	}
	if refusal := r.CheckUpgrade(); refusal != nil {
		return refusal
	}
	if !lenient && string(r.method) != "GET" {
		return RefusalUpgradeMethod
	}
	if _, present = r.table.get(fieldVersion); !present {
		// 426 is for versions that exist (RFC 6455 section 4.4).
		return RefusalVersionMissing
	}
	if refusal := r.checkVersionAndKey(lenient); refusal != nil {
		return refusal
	}
	if _, present = r.table.get(fieldKey); !present {
		return RefusalKeyMissing
	}
	return nil
}

// CheckUpgrade applies what holds for an upgrade to any protocol: HTTP/1.1,
// an Upgrade field that Connection names, no body (RFC 9110 section 7.8).
func (r *Request) CheckUpgrade() *Refusal {
	if _, present := r.table.get(fieldUpgrade); !present {
		return RefusalUpgradeRequired
	}
	switch {
	case r.minor == 0:
		return RefusalUpgradeHTTP10
	case !r.table.tokens.upgrade:
		return RefusalUpgradeConnection
	case r.HasBody():
		return RefusalUpgradeBody
	}
	return nil
}

// CheckPlainGet is for routes that upgrade requests which do not ask for it
// (`upgrade: none`): a GET without body in HTTP/1.1, whose version and key
// are checked where they are present. AppendForward adds them where they are
// not (see Forward.Key).
func (r *Request) CheckPlainGet(lenient bool) *Refusal {
	switch {
	case r.minor == 0:
		return RefusalUpgradeHTTP10
	case r.HasBody():
		return RefusalUpgradeBody
	case !lenient && string(r.method) != "GET":
		return RefusalUpgradeMethod
	}
	return r.checkVersionAndKey(lenient)
}

// checkVersionAndKey judges both where they are present.
func (r *Request) checkVersionAndKey(lenient bool) *Refusal {
	if version, present := r.table.get(fieldVersion); present && string(version) != "13" {
		return RefusalVersion
	}
	if key, present := r.table.get(fieldKey); present {
		return checkKey(key, lenient)
	}
	return nil
}

func checkKey(key []byte, lenient bool) *Refusal {
	if len(key) == 0 {
		return RefusalKeyMissing
	}
	if !lenient && !validKey(key) {
		return RefusalKey
	}
	return nil
}

// keyBytes is the length of 16 bytes in base64.
const keyBytes = 24

// validKey reports whether key is 16 bytes in base64: 22 digits, the last of
// which carries two bits, and two signs of padding (RFC 4648 section 4). The
// four unused bits may be set: section 3.5 leaves that to the decoder, and
// there are clients that make their keys up.
func validKey(key []byte) bool {
	if len(key) != keyBytes || key[22] != '=' || key[23] != '=' {
		return false
	}
	for _, c := range key[:22] {
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && c != '+' && c != '/' {
			return false
		}
	}
	return true
}
