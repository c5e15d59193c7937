package route

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Pattern says which requests a route is for. Exactly one of Prefix, Regexp
// and Suffix is set. They are compared with the decoded path (see Subject),
// with case.
type Pattern struct {
	// Prefix begins with a slash and has Apache's segment rule: /ws matches
	// /ws and /ws/a but not /wsx; /ws/ does not match /ws. A slash in it
	// matches a run of slashes. Escapes in it stand for what they encode.
	Prefix string
	// Regexp is searched for in the path; it is anchored where it says so.
	Regexp *regexp.Regexp
	// Suffix is the end of the path.
	Suffix string

	// Hosts are names without a port, in any case; "*.example.com" stands for
	// every name below, not for example.com itself. None means any.
	Hosts []string
	// Headers must all match.
	Headers []Header
}

// A Header is a condition on a field: Match is searched for in its value. The
// values of several lines are joined by ", ", and a field that is not there
// has an empty value, as in Apache's %{HTTP:name}.
type Header struct {
	Name  string // in any case
	Match *regexp.Regexp
}

// Errors of Compile and NewTarget.
var (
	ErrPath   = errors.New("a route needs exactly one of prefix, regexp and suffix")
	ErrPrefix = errors.New("a prefix is a path: it begins with a slash and has no dot segments")
	ErrHost   = errors.New(`a host is a name without a port, or "*." and such a name`)
	ErrHeader = errors.New("a header condition needs a name and a regular expression")
)

// check returns what is wrong with p.
func (p *Pattern) check() error {
	count := 0
	for _, set := range [...]bool{p.Prefix != "", p.Regexp != nil, p.Suffix != ""} {
		if set {
			count++
		}
	}
	switch {
	case count != 1:
		return ErrPath
	case p.Prefix != "" && (p.Prefix[0] != '/' || hasDotSegment([]byte(p.Prefix))):
		return fmt.Errorf("%w: %q", ErrPrefix, p.Prefix)
	}
	for _, host := range p.Hosts {
		if name := strings.TrimPrefix(host, "*."); name == "" || strings.Contains(name, "*") ||
			len(withoutPort([]byte(name))) != len(strings.TrimSuffix(name, ".")) {
			return fmt.Errorf("%w: %q", ErrHost, host)
		}
	}
	if slices.ContainsFunc(p.Headers, func(h Header) bool { return h.Name == "" || h.Match == nil }) {
		return ErrHeader
	}
	return nil
}

// headersMatch reports whether all conditions hold.
func (p *Pattern) headersMatch(s *Subject) bool {
	for i := range p.Headers {
		h := &p.Headers[i]
		if s.value = s.request.AppendField(s.value[:0], h.Name); !h.Match.Match(s.value) {
			return false
		}
	}
	return true
}
