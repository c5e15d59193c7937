package route

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// A piece is a part of a template: text, or a group where that is empty.
type piece struct {
	text  string
	group int
}

// newTemplate reads a template. A '$' that no digit follows stands for itself.
func newTemplate(expression *regexp.Regexp, to string) (Target, error) {
	t := Target{kind: targetExpand, expression: expression}
	path, query, hasQuery := strings.Cut(to, "?")
	t.path, t.query, t.hasQuery = pieces(path), pieces(query), hasQuery
	t.whole = true
	for _, list := range [...][]piece{t.path, t.query} {
		for _, p := range list {
			if p.text != "" {
				if !validLiteral(p.text) { // an escape must not end in a group
					return Target{}, fmt.Errorf("%w: %q", ErrBase, to)
				}
				continue
			}
			t.whole = false
			if p.group > expression.NumSubexp() {
				return Target{}, fmt.Errorf("%w: $%d of %q in %q", ErrGroup, p.group, expression, to)
			}
		}
	}
	if path != "" && path[0] != '/' && t.path[0].text != "" || hasDotSegment([]byte(path)) {
		return Target{}, fmt.Errorf("%w: %q", ErrBase, to)
	}
	return t, nil
}

// pieces splits a part of a template at its groups.
func pieces(s string) (list []piece) {
	text := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '$' || s[i+1] < '0' || s[i+1] > '0'+groupMax {
			continue
		}
		if i > text {
			list = append(list, piece{text: s[text:i]})
		}
		list = append(list, piece{group: int(s[i+1] - '0')})
		i++
		text = i + 1
	}
	if text < len(s) {
		list = append(list, piece{text: s[text:]})
	}
	return list
}

// appendTemplate is Append for an expression.
func (t *Target) appendTemplate(dst []byte, s *Subject, query []byte) (target []byte, ok bool) {
	start := len(dst)
	var groups []int
	if !t.whole {
		groups = t.expression.FindSubmatchIndex(s.decoded)
	}
	dst = appendPieces(dst, s, t.path, groups, classPath)
	if t.whole {
		dst = appendEscaped(dst, s.path, classPath)
	}
	if dst, ok = finishPath(dst, start); !ok {
		return dst, false
	}
	if !t.hasQuery {
		return append(dst, query...), true
	}
	dst = append(dst, '?')
	own := len(dst)
	dst = appendPieces(dst, s, t.query, groups, classQuery)
	query = bytes.TrimPrefix(query, []byte{'?'})
	if len(query) > 0 && len(dst) > own {
		dst = append(dst, '&')
	}
	return append(dst, query...), true
}

// appendPieces appends text as it is and groups escaped.
func appendPieces(dst []byte, s *Subject, list []piece, groups []int, class uint8) []byte {
	for _, p := range list {
		if p.text != "" {
			dst = append(dst, p.text...)
			continue
		}
		if i := 2 * p.group; i+1 < len(groups) && groups[i] >= 0 {
			dst = appendEscaped(dst, s.encoded(groups[i], groups[i+1]), class)
		}
	}
	return dst
}
