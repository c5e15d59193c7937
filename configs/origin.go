package configs

import (
	"errors"
	"fmt"
	"strings"
)

// origins reads the list of origins that may open a WebSocket. Entries stay
// as they are written: they are compared byte by byte.
func (d *decoder) origins(n *node, to *[]string) {
	d.list(n, originsMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		if err := checkOrigin(s); err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = append(*to, s)
	})
}

// checkOrigin reports entries that could never match, or that look as if they
// matched more than they do. An entry is a whole origin, scheme://host[:port],
// or the end of one after a dot.
func checkOrigin(s string) error {
	_, authority, scheme := strings.Cut(s, "://")
	if !scheme {
		authority = s
	}
	switch {
	case s == "*":
		return errors.New("\"*\": remove origins to admit any")
	case s == "null":
		return errors.New("\"null\" is never admitted; remove it")
	case strings.Contains(s, "*"):
		return fmt.Errorf("%s: write the name after the *., which admits every name below it", quote(s))
	case strings.HasPrefix(s, "."):
		return fmt.Errorf("%s: write %s, which admits every name below it", quote(s), quote(strings.TrimLeft(s, ".")))
	case strings.ContainsAny(authority, "/?#@"):
		return fmt.Errorf("%s: an origin has no path: it ends after the host and port", quote(s))
	case strings.ContainsAny(s, " ,"):
		return fmt.Errorf("%s: write one origin per entry, without spaces", quote(s))
	case authority == "":
		return fmt.Errorf("%s has no host; write https://example.com or example.com", quote(s))
	}
	return nil
}
