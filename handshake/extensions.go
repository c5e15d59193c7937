package handshake

import "bytes"

// What a Sec-WebSocket-Extensions field answers to the two kinds of offers of
// permessage-deflate that we can take. Neither side keeps a context between
// messages: an answer may say so whether or not the offer did (RFC 7692 sections
// 7.1.1.1 and 7.1.1.2). An offer that limits the server's window is accepted by
// naming a limit (section 7.1.2.1); ours is no limit.
const (
	deflateName   = "permessage-deflate"
	deflateAnswer = deflateName + "; server_no_context_takeover; client_no_context_takeover"
	deflateWindow = deflateAnswer + "; server_max_window_bits=15"
)

// SelectDeflate returns the extension that answers the first of the client's offers
// of permessage-deflate that we can take, or "" (RFC 7692 section 5.1). Passed
// over are offers with parameters that RFC 7692 does not define, that stand twice or
// have values they must not have, and those that want the server to keep to a
// smaller window than 32 KiB. Names compare with case.
func (r *Request) SelectDeflate() string {
	for i := int(r.table.first[fieldExtensions]); i > 0; i = r.table.next(i, fieldExtensions) {
		for list, more := r.table.value(i-1), true; more; {
			var offer []byte
			offer, list, more = cutQuoted(list, ',')
			if answer := answerDeflate(offer); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// The parameters of an offer, as bits.
const (
	paramServerContext = 1 << iota
	paramClientContext
	paramServerWindow
	paramClientWindow
)

// answerDeflate returns the answer to one offer, or "".
func answerDeflate(offer []byte) string {
	name, rest, more := cutQuoted(offer, ';')
	if string(name) != deflateName {
		return ""
	}
	seen := 0
	for more {
		var parameter []byte
		parameter, rest, more = cutQuoted(rest, ';')
		bit, ok := readParameter(parameter)
		if !ok || seen&bit != 0 {
			return ""
		}
		seen |= bit
	}
	if seen&paramServerWindow != 0 {
		return deflateWindow
	}
	return deflateAnswer
}

// readParameter returns which parameter this is, and whether we can take it as it
// stands.
func readParameter(parameter []byte) (bit int, ok bool) {
	name, value, hasValue := bytes.Cut(parameter, []byte{'='})
	value = unquoted(trimBlank(value))
	switch string(trimBlank(name)) {
	case "server_no_context_takeover":
		return paramServerContext, !hasValue
	case "client_no_context_takeover":
		return paramClientContext, !hasValue
	case "server_max_window_bits":
		return paramServerWindow, string(value) == "15"
	case "client_max_window_bits":
		return paramClientWindow, !hasValue || isWindow(value)
	}
	return 0, false
}

// isWindow reports whether b is 8 to 15, in decimal digits and without a leading
// zero (RFC 7692 section 7.1.2).
func isWindow(b []byte) bool {
	switch len(b) {
	case 1:
		return b[0] == '8' || b[0] == '9'
	case 2:
		return b[0] == '1' && '0' <= b[1] && b[1] <= '5'
	}
	return false
}

// unquoted returns what is in a quoted string without escapes, and anything else
// as it is: none of our values needs an escape.
func unquoted(b []byte) []byte {
	if len(b) >= 2 && b[0] == '"' && b[len(b)-1] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}

// cutQuoted cuts the first element off a list whose elements may hold quoted
// strings (RFC 9110 section 5.6.4), without its white space, and reports whether
// another one follows.
func cutQuoted(list []byte, separator byte) (element, rest []byte, more bool) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == separator:
			return trimBlank(list[:i]), list[i+1:], true
		}
	}
	return trimBlank(list), nil, false
}
