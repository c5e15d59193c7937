package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// regex reads the pattern of a regex route.
func (d *decoder) regex(n *node, to **regexp.Regexp) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	re, err := compile(s)
	if err != nil {
		d.wrong(n, "%v", err)
		return
	}
	*to = re
}

// suffix reads the end of a path, as lighttpd's keys such as .ws.
func (d *decoder) suffix(n *node, to *string) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	normal, err := normalSuffix(s)
	if err != nil {
		d.wrong(n, "%v", err)
		return
	}
	*to = normal
}

// compile returns the regular expression in s, or what is wrong with it and,
// where that is known, the column in s. RE2 takes time linear in the text,
// which is why it leaves out what Perl has besides.
func compile(s string) (*regexp.Regexp, error) {
	if len(s) > regexBytesMax {
		return nil, fmt.Errorf("the regex has %d bytes; at most %d are allowed", len(s), regexBytesMax)
	}
	re, err := regexp.Compile(s)
	var problem *syntax.Error
	if !errors.As(err, &problem) {
		return re, err
	}
	text, part := problem.Code.String(), problem.Expr
	switch {
	case part == "" || part == s:
	case strings.Count(s, part) == 1:
		column := 1 + utf8.RuneCountInString(s[:strings.Index(s, part)])
		text += fmt.Sprintf(" %s in column %d of it", quote(part), column)
	default:
		text += " " + quote(part)
	}
	return nil, fmt.Errorf("%s is not a regex of RE2: %s%s", quote(s), text, regexHint(part))
}

// regexHint says what to do instead of what other engines have and RE2 has
// not. part is the text that RE2 did not understand.
func regexHint(part string) string {
	starts := func(prefixes ...string) bool {
		for _, prefix := range prefixes {
			if strings.HasPrefix(part, prefix) {
				return true
			}
		}
		return false
	}
	switch {
	case starts("(?=", "(?!", "(?<=", "(?<!"):
		return "; RE2 has no lookaround: put what is excepted into a route of its own above this one"
	case len(part) > 1 && part[0] == '\\' && part[1] >= '1' && part[1] <= '9', starts(`\k`, `\g`):
		return "; RE2 has no backreferences: write the text out"
	case starts("(?>"), len(part) > 1 && part[len(part)-1] == '+' && strings.ContainsRune("*+?}", rune(part[len(part)-2])):
		return "; RE2 never backtracks: leave atomic groups and possessive quantifiers out"
	}
	return ""
}

// hosts reads the names that a route answers to.
func (d *decoder) hosts(n *node, to *[]string) {
	ok := d.list(n, hostsMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		host, err := normalHost(s)
		if err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = append(*to, host)
	})
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; remove the key to match any host")
	}
}

// normalHost returns name, *.name, an IPv4 address or an IPv6 address in
// brackets, as a Host header without port shows it, in lower case.
func normalHost(s string) (string, error) {
	if s == "*" {
		return "", errors.New("\"*\": remove hosts to match any host")
	}
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && ip.Zone() == "" {
		if ip.Is6() {
			return "[" + ip.String() + "]", nil
		}
		return s, nil
	}
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "*."), "."))
	switch {
	case strings.Contains(s, "://"):
		return "", fmt.Errorf("%s: write the host without %s", quote(s), s[:strings.Index(s, "://")+3])
	case strings.Contains(s, ":"):
		return "", fmt.Errorf("%s: write the host without its port", quote(s))
	case strings.Contains(name, "*"):
		return "", fmt.Errorf("%s: * stands only at the beginning, as in *.example.com", quote(s))
	case !validHost(name):
		return "", fmt.Errorf("%s is not a host name (letters, digits, - and _ between dots; other letters as xn--…)", quote(s))
	}
	if strings.HasPrefix(s, "*.") {
		return "*." + name, nil
	}
	return name, nil
}
