package importer

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// portable says why a regular expression of PCRE is none of RE2, or nothing.
func portable(pattern string) string {
	_, err := syntax.Parse(pattern, syntax.Perl)
	if err == nil {
		return ""
	}
	text := "has a regular expression that RE2 does not take"
	var part string
	if e, ok := err.(*syntax.Error); ok { //nolint:errorlint // Parse returns it bare.
		part = e.Expr
	}
	switch {
	case strings.HasPrefix(part, "(?=") || strings.HasPrefix(part, "(?!") || strings.HasPrefix(part, "(?<"):
		text += fmt.Sprintf(": look-around (%s)", part)
	case len(part) == 2 && part[0] == '\\' && part[1] >= '1' && part[1] <= '9':
		text += fmt.Sprintf(": a back-reference (%s)", part)
	case part != "":
		text += fmt.Sprintf(": %s", part)
	}
	return text
}

// quoteMeta escapes text for a regular expression, but no more than is needed.
func quoteMeta(text string) string { return regexp.QuoteMeta(text) }

// A match is how a route finds its requests and what it makes of the path.
type match struct {
	path, regex string
	to          string // path part of the target; with regex it may have groups
}

// group is a capture in a target.
var group = regexp.MustCompile(`\$[0-9]`)

// whole stands for the request's path in a target.
const whole = "%{REQUEST_URI}"

// A prefix is what a simple pattern matches: every path that begins with text.
type prefix struct {
	text  string // ends in a slash
	group string // what $1 is: "" = nothing, "rest" after the prefix, "slash" and the rest
}

// asPrefix returns what a pattern matches where that is a prefix, so that a
// path can stand for the regular expression.
func asPrefix(pattern string, nocase bool) (prefix, bool) {
	switch pattern {
	case "", "^", ".*", "^.*", "^.*$", ".*$", "^/", "/", "^/.*", "/.*", "^/.*$", "^/?":
		return prefix{text: "/"}, true
	case "(.*)", "^(.*)", "^(.*)$", "(.*)$", "(/.*)", "^(/.*)", "^(/.*)$", "(/.*)$":
		return prefix{text: "/", group: "slash"}, true
	case "/(.*)", "^/(.*)", "^/(.*)$", "/(.*)$", "^/?(.*)", "^/?(.*)$", "/?(.*)", "/?(.*)$":
		return prefix{text: "/", group: "rest"}, true
	}
	inner, ok := strings.CutPrefix(pattern, "^/")
	if !ok || nocase {
		return prefix{}, false
	}
	inner = strings.TrimSuffix(inner, "$")
	for _, end := range []struct{ text, group string }{{"/(.*)", "rest"}, {"(/.*)", "slash"}, {"/.*", ""}} {
		if name, ok := strings.CutSuffix(inner, end.text); ok {
			if literal, ok := literalPath(name); ok {
				return prefix{text: "/" + literal + "/", group: end.group}, true
			}
		}
	}
	return prefix{}, false
}

// literalPath returns what a piece of a pattern matches when it has no special
// characters but escaped ones.
func literalPath(s string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) && strings.IndexByte("./-", s[i+1]) >= 0 {
			i++
			c = s[i]
		} else if !wordByte(c) && c != '/' && c != '-' && c != '~' {
			return "", false
		}
		out.WriteByte(c)
	}
	text := out.String()
	return text, text != "" && !strings.Contains(text, "//") && !strings.HasSuffix(text, "/") &&
		!strings.HasPrefix(text, "/") && !strings.HasPrefix(text, ".")
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// matchFor returns the match for a pattern and the path part of its target. A
// ProxyPassMatch without $1 appends the whole path; a RewriteRule does not.
func matchFor(pattern string, nocase bool, to string, appends bool) (match, string) {
	if wrong := portable(pattern); wrong != "" {
		return match{}, wrong
	}
	if strings.ContainsAny(to, "\\") {
		return match{}, "has a backslash in its target"
	}
	if strings.Contains(to, "${") {
		return match{}, "looks its target up in a map (${…})"
	}
	uses := group.FindAllString(to, -1)
	isWhole := strings.HasSuffix(to, whole)
	base := strings.TrimSuffix(to, whole)
	if strings.Contains(base, "%{") || !appends && percentGroup.MatchString(base) {
		return match{}, "has a variable in its target, which a route cannot have"
	}
	if isWhole && len(uses) > 0 {
		return match{}, "has %{REQUEST_URI} and groups in its target"
	}
	if before, ok := strings.CutSuffix(base, "$1"); ok && len(uses) == 1 && wholeGroup(pattern) {
		base, uses, isWhole = before, nil, true
	}
	isWhole = isWhole || appends && len(uses) == 0
	if p, ok := asPrefix(pattern, nocase); ok {
		if m, ok := p.match(base, uses, isWhole); ok {
			return m, ""
		}
	}
	if strings.HasPrefix(base, "$") {
		return match{}, "takes a part of the host from the request, which would let clients choose it"
	}
	regex := pattern
	if nocase {
		regex = "(?i)" + regex
	}
	if isWhole || len(uses) > 0 {
		return match{regex: regex, to: base}, ""
	}
	// Without $ the path would be appended, so the target ends in a group that
	// stands for nothing.
	groups := regexp.MustCompile(pattern).NumSubexp()
	if groups >= groupsMax {
		return match{}, fmt.Sprintf("has more than %d groups", groupsMax-1)
	}
	if strings.Contains(regex, "|") {
		regex = "(?:" + regex + ")"
	}
	if base == "" {
		base = "/"
	}
	return match{regex: regex + "()", to: fmt.Sprintf("%s$%d", base, groups+1)}, ""
}

// wholeGroup reports whether $1 is the whole path wherever the pattern matches:
// ^(/…)$ or ^(/….*).
func wholeGroup(pattern string) bool {
	inner, ok := strings.CutPrefix(pattern, "^(/")
	if !ok || strings.ContainsAny(inner, "|[") {
		return false
	}
	if body, ok := strings.CutSuffix(inner, ")$"); ok {
		inner = body
	} else if inner, ok = strings.CutSuffix(inner, ".*)"); !ok {
		return false
	}
	return !strings.ContainsAny(inner, "()")
}

// percentGroup is a capture of a condition.
var percentGroup = regexp.MustCompile(`%[0-9]`)

// match returns a path route where the target is a base and what follows the
// prefix, or the whole path.
func (p prefix) match(base string, uses []string, isWhole bool) (match, bool) {
	switch {
	case isWhole:
		return match{path: p.text, to: base + p.text}, true
	case len(uses) != 1:
		return match{}, false
	}
	before, ends := strings.CutSuffix(base, uses[0])
	switch {
	case !ends:
	case uses[0] == "$1" && p.group == "rest" && before != "":
		return match{path: p.text, to: before}, true
	case uses[0] == "$1" && p.group == "slash":
		return match{path: p.text, to: before + "/"}, true
	}
	return match{}, false
}

// identity reports whether m is a route for everything that keeps the path
// after a base, and returns the base.
func (m match) identity() (base string, ok bool) {
	return strings.TrimSuffix(m.to, "/"), m.path == "/" && (m.to == "" || strings.HasSuffix(m.to, "/"))
}
