package route

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
)

// A Target says what a request's target becomes at the backend. The zero
// Target passes path and query on. It is immutable.
//
// Whatever a request's path is, what Append makes of it begins with exactly
// one slash, so that it names no host, has no byte that could end the request
// line, and no question mark in front of the query that the configuration or
// the client put there (CVE-2023-25690 and its kin).
type Target struct {
	kind   targetKind
	base   string // targetAppend
	prefix string // targetAppend: decoded; what follows it is appended

	// targetExpand. The whole path is appended to path where there is no group.
	expression *regexp.Regexp
	path       []piece
	query      []piece
	hasQuery   bool
	whole      bool
}

type targetKind uint8

const (
	targetKeep   targetKind = iota // the path as it is
	targetAppend                   // base and what follows the prefix
	targetExpand                   // a template and the groups of an expression
)

// Errors of NewTarget.
var (
	ErrBase = errors.New("a target is a path: it begins with a slash, has valid escapes " +
		"and no dot segments, fragment, space or control character")
	ErrBaseQuery  = errors.New("the target of a prefix has no query; the client's is appended")
	ErrSuffixBase = errors.New("the target of a suffix has no path beyond the slash: the request's is passed on")
	ErrGroup      = errors.New("the expression has no such group")
)

// NewTarget returns the target of a route with pattern p whose configuration
// says to:
//
//   - for a prefix, what follows it in the path is appended to `to`, which may
//     be empty; nothing is put in between, as in Apache's ProxyPass;
//   - for an expression, $0 to $9 in `to` are replaced by its groups. A group
//     is substituted as it stands in the path, still encoded; what means more
//     than itself in the place where it comes to stand is escaped. In front of
//     a '?' in `to` a slash stays a slash and a %2F a %2F; behind it also &, =
//     and + are escaped. Without any group the whole path is appended to the
//     path of `to`;
//   - for a suffix, the path is passed on; `to` is empty or a slash.
//
// The error wraps ErrPath, ErrBase, ErrBaseQuery, ErrSuffixBase or ErrGroup.
func NewTarget(p *Pattern, to string) (Target, error) {
	if err := p.check(); err != nil {
		return Target{}, err
	}
	switch {
	case p.Suffix != "":
		if to != "" && to != "/" {
			return Target{}, fmt.Errorf("%w: %q", ErrSuffixBase, to)
		}
		return Target{}, nil
	case p.Regexp != nil:
		return newTemplate(p.Regexp, to)
	}
	switch {
	case bytes.IndexByte([]byte(to), '?') >= 0:
		return Target{}, fmt.Errorf("%w: %q", ErrBaseQuery, to)
	case to != "" && to[0] != '/', !validLiteral(to), hasDotSegment([]byte(to)):
		return Target{}, fmt.Errorf("%w: %q", ErrBase, to)
	}
	return Target{kind: targetAppend, base: to, prefix: decode(p.Prefix)}, nil
}

// Append appends the target for the request that s is set to, which the
// pattern of t matches. The query is the client's, with its '?', or empty; it
// comes after the target's own, behind an '&'.
//
// It reports false, and dst as it was, when the result would have a dot
// segment, which a backend would resolve to another path. It allocates only
// where an expression's groups are asked for.
func (t *Target) Append(dst []byte, s *Subject, query []byte) (target []byte, ok bool) {
	start := len(dst)
	switch t.kind {
	case targetKeep:
		dst = appendEscaped(dst, s.path, classPath)
	case targetAppend:
		dst = append(dst, t.base...)
		dst = appendEscaped(dst, s.encoded(len(t.prefix), len(s.decoded)), classPath)
	case targetExpand:
		return t.appendTemplate(dst, s, query)
	}
	if dst, ok = finishPath(dst, start); !ok {
		return dst, false
	}
	return append(dst, query...), true
}

// finishPath makes dst[start:] begin with one slash: with none, Apache would
// join "ws://b" and "x" to another host name, and what begins with two names a
// host. It reports false where there is a dot segment.
func finishPath(dst []byte, start int) (target []byte, ok bool) {
	slashes := start
	for slashes < len(dst) && dst[slashes] == '/' {
		slashes++
	}
	switch slashes - start {
	case 0:
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '/'
	case 1:
	default:
		dst = dst[:start+1+copy(dst[start+1:], dst[slashes:])]
	}
	if hasDotSegment(dst[start:]) {
		return dst[:start], false
	}
	return dst, true
}

// validLiteral reports whether s may stand in a target as it is, but for a '?'.
func validLiteral(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) || unhex(s[i+1])<<4|unhex(s[i+2]) < ' ' {
				return false
			}
			i += 2
		case c != '?' && byteClasses[c]&classPath == 0:
			return false
		}
	}
	return true
}
