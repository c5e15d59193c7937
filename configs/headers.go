package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// headers reads conditions on a request's fields, in the order of the file.
func (d *decoder) headers(n *node, to *[]HeaderMatch) {
	d.fields(n, func(name string, n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		match, err := compile(s)
		if err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = append(*to, HeaderMatch{Name: name, Match: match})
	})
}

// named reports whether n is a mapping whose keys are names, of at most so many
// entries; what says from what to what.
func (d *decoder) named(n *node, what string, most int) bool {
	switch {
	case n.kind == nullNode:
	case n.kind != mappingNode:
		d.wrong(n, "must be a mapping from %s, but this is %v", what, n.kind)
	case len(n.entries) > most:
		d.wrong(n, "has %d entries; at most %d are allowed", len(n.entries), most)
	default:
		return true
	}
	return false
}

// fields hands over the value of each field name in a mapping.
func (d *decoder) fields(n *node, value func(name string, n *node)) {
	if !d.named(n, "header names to values", headersMax) {
		return
	}
	for _, e := range n.entries {
		if err := checkName(e.key); err != nil {
			d.errorAt(e.pos, "%s: %v", n.path(), err)
		} else if e.value.kind != brokenNode {
			value(e.key, e.value)
		}
	}
}

// requestHeaders reads what is changed in the fields that go to the backend.
func (d *decoder) requestHeaders(n *node, to *RequestHeaders) {
	named := map[string]bool{} // in lower case
	name := func(pos Pos, path, s string, ours func(string) bool) bool {
		lower := strings.ToLower(s)
		switch {
		case ours(lower):
			d.errorAt(pos, "%s: %s is written by wsplice: it frames, upgrades or attributes the request; remove it",
				path, quote(s))
		case named[lower]:
			d.errorAt(pos, "%s: %s stands twice under request_headers; remove one", path, quote(s))
		default:
			named[lower] = true
			return true
		}
		return false
	}
	d.mapping(n, map[string]decode{
		"set": func(n *node) {
			d.fields(n, func(s string, value *node) {
				if text, ok := d.fieldValue(value); name(value.Pos, n.path(), s, setByUs) && ok {
					to.Set = append(to.Set, Header{Name: s, Value: text})
				}
			})
		},
		"remove": func(n *node) {
			d.list(n, headersMax, func(n *node) {
				s, ok := d.text(n)
				if !ok {
					return
				}
				if err := checkName(s); err != nil {
					d.wrong(n, "%v", err)
				} else if name(n.Pos, n.path(), s, keptByUs) {
					to.Remove = append(to.Remove, s)
				}
			})
		},
	})
}

// variable is how other servers write a value that depends on the request.
var variable = regexp.MustCompile(`%\{|\$[a-zA-Z{]`)

// fieldValue returns the value of a field (RFC 9110 section 5.5). It may be
// empty where it is quoted.
func (d *decoder) fieldValue(n *node) (string, bool) {
	if n.kind == quotedNode && n.text == "" {
		return "", true
	}
	s, ok := d.text(n)
	switch {
	case !ok:
		return "", false
	case len(s) > headerBytesMax:
		d.wrong(n, "has %d bytes; at most %d are allowed", len(s), headerBytesMax)
		return "", false
	case strings.TrimSpace(s) != s:
		d.wrong(n, "%s begins or ends with a space, which HTTP does not carry; remove it", quote(s))
		return "", false
	}
	if variable.MatchString(s) {
		d.warn(n.Pos, "%s: %s is sent as it stands: there are no variables", n.path(), quote(s))
	}
	return s, true
}

// checkName says what is wrong with a field's name.
func checkName(s string) error {
	if !isToken(s) || len(s) > nameBytesMax {
		return fmt.Errorf("%s is not a header name: 1 to %d letters, digits and - (no spaces, no colon)",
			quote(s), nameBytesMax)
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r >= 0x80 || !alphanumeric(byte(r)) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// hopFields end at this hop, or frame the request (RFC 9110 sections 6.6, 7.6
// and 7.8, RFC 9112 section 6).
var hopFields = []string{
	"host", "connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer", "keep-alive", "expect",
	"http2-settings", "proxy-connection", "proxy-authenticate", "proxy-authorization", "proxy-authentication-info",
}

// setByUs reports names that a configuration must not set: what they say is
// decided by the request.
func setByUs(lower string) bool {
	return keptByUs(lower) || strings.HasPrefix(lower, "sec-websocket-")
}

// keptByUs reports names that a configuration must not remove. What a client
// merely offers may be taken away: then the backend cannot choose it.
func keptByUs(lower string) bool {
	offer := lower == "sec-websocket-extensions" || lower == "sec-websocket-protocol"
	return slices.Contains(hopFields, lower) || lower == "forwarded" || strings.HasPrefix(lower, "x-forwarded-") ||
		strings.HasPrefix(lower, "sec-websocket-") && !offer
}
