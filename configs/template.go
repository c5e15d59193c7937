package configs

import (
	"errors"
	"fmt"
	"strings"
)

// groups is how many groups $n may name in a template; noGroups is for routes
// that have no regex and no templates.
//
// In a template every $ is followed by the one digit of a group, 0 for all
// that matched: $10 is $1 and a 0. A literal $ is written %24. So a template
// has a group exactly where it has a $.
type groups int

const (
	noGroups  groups = -1
	allGroups groups = 9 // $0 to $9; also where the regex is broken and nobody knows
)

// check says what is wrong with the groups in s.
func (g groups) check(s string) error {
	for i := range len(s) {
		if s[i] != '$' {
			continue
		}
		digit := i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9'
		switch {
		case g == noGroups && digit:
			return fmt.Errorf("%s is a group of a regex, and this route has none; match with regex, "+
				"or write %%24 for the character $", s[i:i+2])
		case g == noGroups:
		case !digit:
			return fmt.Errorf("%s: $ is followed by a digit, $0 to $9; write %%24 for the character $", quote(s[i:]))
		case groups(s[i+1]-'0') > g:
			return fmt.Errorf("there is no %s: the regex has %s", s[i:i+2], count(int(g)))
		}
	}
	return nil
}

func count(groups int) string {
	switch groups {
	case 0:
		return "no group; put what is meant in parentheses"
	case 1:
		return "one group"
	}
	return fmt.Sprintf("%d groups", groups)
}

// errGroupPlace guards against requests that choose their own backend.
var errGroupPlace = errors.New("groups ($1) stand only in the path and the query, behind a slash: ws://host:port/$1; " +
	"a request must not choose its server")

// normalQuery returns s with everything percent-encoded that cannot stand in a
// query (RFC 3986 section 3.4).
func normalQuery(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("nothing follows the ?; remove it")
	case len(s) > pathBytesMax:
		return "", fmt.Errorf("the query has %d bytes; at most %d are allowed", len(s), pathBytesMax)
	}
	var out strings.Builder
	for i := range len(s) {
		switch c := s[i]; c {
		case '?':
			out.WriteByte(c)
		case '%':
			if _, ok := hexByte(s[i+1:]); !ok {
				return "", fmt.Errorf("%s: %% is not followed by two hexadecimal digits; write %%25 for %%", quote(s))
			}
			out.WriteByte(c)
		default:
			writePathByte(&out, c)
		}
	}
	return out.String(), nil
}
