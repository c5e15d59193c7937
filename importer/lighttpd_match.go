package importer

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// A lighttpdWhere is which requests the conditions of a scope let in.
type lighttpdWhere struct {
	hosts   []string
	headers []Header
	path    lighttpdPath
	say     []string // comments
	loose   bool     // a condition was left out
	wrong   string   // a condition has no counterpart, and without it too much would match
	outer   bool     // what is left out here is served by the routes of a block around it
}

// A lighttpdPath is what a path must look like: at most one of them is set.
type lighttpdPath struct{ prefix, suffix, regex string }

// where turns the conditions of a scope into the matching part of a route.
func (b *lighttpdBuilder) where(scope *lighttpdScope) lighttpdWhere {
	var w lighttpdWhere
	for _, c := range scope.conds {
		if w.wrong != "" {
			return w
		}
		switch field := c.field + "." + strings.ToLower(c.name); {
		case field == "SERVER.socket":
			w.loose = true
			w.say = append(w.say, c.source()+": routes do not depend on the listener; this one serves all of them")
			if len(b.d.Listeners) > 1 {
				b.d.Global = append(b.d.Global, Note{Pos: c.Pos, Warning: true, Text: c.source() +
					": routes do not depend on the listener; what it holds is served on all of them"})
			}
		case field == "HTTP.scheme" && c.op == "==" && c.value == "http":
		case field == "HTTP.host" || field == "REQUEST_HEADER.host":
			w.host(c)
		case field == "HTTP.url":
			w.url(c)
		case c.field == "REQUEST_HEADER":
			w.header(c.name, c)
		case field == "HTTP.referer" || field == "HTTP.useragent" || field == "HTTP.cookie":
			w.header(map[string]string{"referer": "Referer", "useragent": "User-Agent", "cookie": "Cookie"}[c.name], c)
		default:
			w.wrong = "no route can depend on that; its routes are left out, lest they serve everybody"
		}
	}
	return w
}

func (w *lighttpdWhere) host(c *lighttpdCond) {
	if w.hosts != nil {
		w.wrong = "it stands inside of another condition on the host; write the hosts of the inner one"
		return
	}
	switch c.op {
	case "==":
		w.hosts = []string{withoutPort(c.value)}
	case "=$":
		if name, ok := strings.CutPrefix(c.value, "."); ok && name != "" {
			w.hosts = []string{"*." + withoutPort(name)}
		}
	case "=~":
		w.hosts = hostsOf(c.value)
	}
	if w.hosts == nil || slices.ContainsFunc(w.hosts, func(h string) bool { return !plainHost.MatchString(h) }) {
		w.wrong = "it cannot be written as a list of names; write hosts: by hand, such as [example.com, \"*.example.com\"]"
	}
}

// plainHost is a name or a wildcard as hosts: takes it.
var plainHost = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$|^\[[0-9A-Fa-f:.]+\]$`)

func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i > 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		return host[:i]
	}
	return host
}

// hostsOf returns the names that a regular expression matches, or nil where they
// cannot be listed. `(^|\.)example\.com$`, which documents recommend, is the
// name and everything below it.
func hostsOf(pattern string) []string {
	for _, port := range []string{`(:[0-9]+)?$`, `(:\d+)?$`, `(?::[0-9]+)?$`, `(?::\d+)?$`} {
		if host, ok := strings.CutSuffix(pattern, port); ok {
			pattern = host + "$" // hosts have none
		}
	}
	for _, begin := range []string{`(^|\.)`, `(?:^|\.)`, `(^|.*\.)`, `^(.*\.)?`, `^(.+\.)?`, `^(?:.*\.)?`} {
		if rest, ok := strings.CutPrefix(pattern, begin); ok {
			var both []string
			for _, name := range finite("^" + rest) {
				both = append(both, name, "*."+name)
			}
			return both
		}
	}
	for _, begin := range []string{`\.`, `^.*\.`, `^.+\.`} {
		if rest, ok := strings.CutPrefix(pattern, begin); ok {
			var below []string
			for _, name := range finite("^" + rest) {
				below = append(below, "*."+name)
			}
			return below
		}
	}
	return finite(pattern)
}

// finite returns every text that an anchored pattern matches, or nil if there
// are more than alternativesMax.
func finite(pattern string) []string {
	pattern, begin := strings.CutPrefix(pattern, "^")
	pattern, end := strings.CutSuffix(pattern, "$")
	if !begin || !end {
		return nil
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	texts, ok := textsOf(parsed.Simplify())
	if !ok {
		return nil
	}
	return texts
}

// textsOf lists what re matches.
func textsOf(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, true
	case syntax.OpCapture:
		return textsOf(re.Sub[0])
	case syntax.OpQuest:
		texts, ok := textsOf(re.Sub[0])
		return append(texts, ""), ok && len(texts) < alternativesMax
	case syntax.OpCharClass:
		var texts []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
				if texts = append(texts, string(c)); len(texts) > alternativesMax {
					return nil, false
				}
			}
		}
		return texts, len(texts) > 0
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			texts, ok := textsOf(sub)
			if all = append(all, texts...); !ok || len(all) > alternativesMax {
				return nil, false
			}
		}
		return all, true
	case syntax.OpConcat:
		all := []string{""}
		for _, sub := range re.Sub {
			texts, ok := textsOf(sub)
			if !ok || len(all)*len(texts) > alternativesMax {
				return nil, false
			}
			var longer []string
			for _, a := range all {
				for _, b := range texts {
					longer = append(longer, a+b)
				}
			}
			all = longer
		}
		return all, true
	default:
		return nil, false
	}
}

func (w *lighttpdWhere) url(c *lighttpdCond) {
	if w.path != (lighttpdPath{}) {
		w.wrong = "it stands inside of another condition on the path; write one path or regex by hand"
		return
	}
	switch c.op {
	case "==":
		w.path.regex = "^" + quoteMeta(c.value) + "$"
	case "=^":
		w.path = prefixPath(c.value)
	case "=$":
		w.path.suffix = c.value
	case "=~":
		if wrong := portable(c.value); wrong != "" {
			w.wrong = "it " + wrong + "; write a simpler one by hand"
			return
		}
		w.path.regex = c.value
		if text, whole := literalOf(c.value); whole {
			w.path = prefixPath(text)
		}
	default:
		w.wrong = "what does not match a path cannot be a route; write mode: deny for the paths that are meant, before the others"
	}
}

// literalOf returns the text after the ^ of a pattern that is nothing but text.
func literalOf(pattern string) (string, bool) {
	rest, anchored := strings.CutPrefix(pattern, "^")
	if !anchored || !strings.HasPrefix(rest, "/") {
		return "", false
	}
	compiled, err := regexp.Compile(rest)
	if err != nil {
		return "", false
	}
	return compiled.LiteralPrefix()
}

// prefixPath is every path that begins with text. That of a route has Apache's
// rule of whole segments, so that one without a slash at the end has to be a
// regular expression.
func prefixPath(text string) lighttpdPath {
	if strings.HasPrefix(text, "/") && strings.HasSuffix(text, "/") {
		return lighttpdPath{prefix: text}
	}
	return lighttpdPath{regex: "^" + quoteMeta(text)}
}

// and returns the paths that match both, or what is wrong.
func (p lighttpdPath) and(key lighttpdPath) (both lighttpdPath, wrong string) {
	all := func(p lighttpdPath) bool { return p == lighttpdPath{} || p == lighttpdPath{prefix: "/"} }
	switch {
	case all(p):
		return key, ""
	case all(key) || p == key:
		return p, ""
	}
	outer, inner := p.begin(), key.begin()
	switch {
	case key.suffix == "" && outer != "" && strings.HasPrefix(inner, outer):
		return key, ""
	case p.suffix == "" && inner != "" && strings.HasPrefix(outer, inner):
		return p, ""
	}
	return p, "its path has to match a condition and a key that say different things; write one path or regex by hand"
}

// begin returns the text that p is a prefix of, or "" where it is no mere prefix.
func (p lighttpdPath) begin() string {
	if text, whole := literalOf(p.regex); whole {
		return text
	}
	return p.prefix
}

func (w *lighttpdWhere) header(name string, c *lighttpdCond) {
	if !token(name) {
		w.wrong = "that is not the name of a header"
		return
	}
	pattern := c.value
	switch c.op {
	case "==":
		pattern = "^" + quoteMeta(c.value) + "$"
	case "=^":
		pattern = "^" + quoteMeta(c.value)
	case "=$":
		pattern = quoteMeta(c.value) + "$"
	case "=~":
		if wrong := portable(c.value); wrong != "" {
			w.wrong = "it " + wrong + "; write a simpler one by hand"
			return
		}
	default:
		w.wrong = "what does not match a header cannot be a route; turn the condition round"
		return
	}
	if pattern == "" {
		w.wrong = "an absent header cannot be a condition of a route"
		return
	}
	w.headers = append(w.headers, Header{name, pattern})
}
