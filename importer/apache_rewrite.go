package importer

import (
	"maps"
	"slices"
	"strings"
)

func (c *apacheCollector) rewriteEngine(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, "RewriteEngine On|Off") {
		return
	}
	if on, ok := c.parseOnOff(d, args[0]); ok && s.section == nil {
		s.server.engine = &on
	}
}

// rewriteCond keeps a condition for the rule that follows.
func (c *apacheCollector) rewriteCond(_ apacheScope, d *directive, args []word) {
	if !c.want(d, args, 2, 3, "RewriteCond TEST PATTERN [FLAGS]") {
		return
	}
	cond := &apacheCond{at: d, test: args[0].text, pattern: args[1]}
	if len(args) == 3 {
		flags, ok := c.flags(d, args[2])
		if !ok {
			return
		}
		for name := range flags {
			switch name {
			case "NC", "NOCASE":
				cond.nocase = true
			case "OR", "ORNEXT":
				cond.or = true
			}
		}
	}
	if !c.full(d, len(c.conds), condsMax, "conditions of a rule") {
		c.conds = append(c.conds, cond)
	}
}

// flags reads [A,B=value].
func (c *apacheCollector) flags(d *directive, w word) (map[string]string, bool) {
	inner, open := strings.CutPrefix(w.text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !open || !closed {
		c.r.errorAt(w.Pos, "%s: the flags %q stand in brackets without spaces, such as [P,L]", d.name, w.text)
		return nil, false
	}
	flags := map[string]string{}
	for flag := range strings.SplitSeq(inner, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(flag), "=")
		flags[strings.ToUpper(name)] = value
	}
	return flags, true
}

// rewriteRule takes the waiting conditions and keeps the rule.
func (c *apacheCollector) rewriteRule(s apacheScope, d *directive, args []word) {
	conds := c.conds
	c.conds = nil
	if !c.want(d, args, 2, 3, "RewriteRule PATTERN TARGET [FLAGS]") {
		return
	}
	rule := &apacheRule{at: d, conds: conds, pattern: args[0], target: args[1], flags: map[string]string{}}
	if len(args) == 3 {
		var ok bool
		if rule.flags, ok = c.flags(d, args[2]); !ok {
			return
		}
	}
	if s.section != nil {
		s.note(d, "rules of a <%s> are not carried over, because they see another path than those of a server; "+
			"move the rule out of the section and import again", s.section.at.name)
		return
	}
	if name := variable.FindString(d.args); name != "" && !strings.Contains(name, ":") {
		c.r.errorAt(d.Pos, "%s: %s is not defined in what was read; add -D %s=VALUE to the command",
			d.name, name, name[2:len(name)-1])
		return
	}
	s.server.rules = append(s.server.rules, rule)
}

// has reports whether the rule has one of the flags.
func (r *apacheRule) has(names ...string) bool {
	for _, name := range names {
		if _, ok := r.flags[name]; ok {
			return true
		}
	}
	return false
}

// otherFlags returns a flag that changes more than where a request goes.
func (r *apacheRule) otherFlags() string {
	for _, name := range slices.Sorted(maps.Keys(r.flags)) {
		switch name {
		case "P", "PROXY", "L", "LAST", "NC", "NOCASE", "QSA", "QSAPPEND", "NE", "NOESCAPE", "B", "BNP", "END", "F", "FORBIDDEN", "":
		default:
			return name
		}
	}
	return ""
}

// A conjunction is what one route asks for: all of it must hold.
type conjunction struct {
	headers  []Header
	uri      string // regular expression on the path, or ""
	upgrades bool   // only a request for an upgrade fulfils it
	dropped  []string
}

// conjunctions turns the conditions into alternatives, each of which makes a
// route. Conditions joined by [OR] form a group, one of which must hold.
func conjunctions(conds []*apacheCond) ([]conjunction, string) {
	all := []conjunction{{}}
	for i := 0; i < len(conds); {
		end := i
		for end < len(conds)-1 && conds[end].or {
			end++
		}
		group := conds[i : end+1]
		i = end + 1
		if len(all)*len(group) > alternativesMax {
			return nil, "its conditions make too many alternatives; write the routes by hand"
		}
		var next []conjunction
		for _, before := range all {
			for _, cond := range group {
				now := before.clone()
				if wrong := now.add(cond); wrong != "" {
					return nil, wrong
				}
				next = append(next, now)
			}
		}
		all = next
	}
	return all, ""
}

func (c conjunction) clone() conjunction {
	c.headers = append([]Header(nil), c.headers...)
	c.dropped = append([]string(nil), c.dropped...)
	return c
}

// variableHeaders are server variables that are headers of the request.
var variableHeaders = map[string]string{
	"HTTP_HOST": "Host", "HTTP_USER_AGENT": "User-Agent", "HTTP_COOKIE": "Cookie", "HTTP_REFERER": "Referer",
	"HTTP_ACCEPT": "Accept", "HTTP_FORWARDED": "Forwarded",
}

// add makes cond a part of c, or says why no route can ask for it.
func (c *conjunction) add(cond *apacheCond) string {
	name, ok := strings.CutPrefix(cond.test, "%{")
	name, closed := strings.CutSuffix(name, "}")
	if !ok || !closed {
		return "the condition on " + cond.test + " is more than a header or the path"
	}
	pattern, negated := strings.CutPrefix(cond.pattern.text, "!")
	regex, wrong := condRegex(pattern, cond.nocase)
	if wrong != "" {
		return "the condition on " + cond.test + " " + wrong
	}
	upper := strings.ToUpper(name)
	header := variableHeaders[upper]
	if strings.HasPrefix(upper, "HTTP:") {
		header = name[len("HTTP:"):]
	}
	switch {
	case negated && strings.EqualFold(header, "Upgrade") && strings.Contains(strings.ToLower(pattern), "websocket"):
		c.dropped = append(c.dropped, "no upgrade")
	case negated:
		return "a condition that must not hold (!" + pattern + ") cannot be a part of a route"
	case header != "" && token(header):
		c.headers = append(c.headers, Header{canonical(header), regex})
		c.upgrades = c.upgrades || asksForUpgrade(header, pattern)
	case upper == "REQUEST_URI" && c.uri == "":
		c.uri = regex
	case upper == "QUERY_STRING" && strings.EqualFold(strings.Trim(pattern, "^$=.*()"), "transport=websocket"):
		c.dropped = append(c.dropped, cond.test+" "+cond.pattern.text)
		c.upgrades = true
	default:
		return "the condition on " + cond.test + " cannot be a part of a route, which looks at path, host and headers"
	}
	return ""
}

// condRegex returns the regular expression of a condition's pattern, which may
// also compare with a string or ask for a file.
func condRegex(pattern string, nocase bool) (regex, wrong string) {
	prefix := ""
	if nocase {
		prefix = "(?i)"
	}
	switch {
	case strings.HasPrefix(pattern, "=") && len(pattern) > 1 && !strings.Contains(pattern, `"`):
		return prefix + "^" + quoteMeta(pattern[1:]) + "$", ""
	case pattern == "" || strings.HasPrefix(pattern, "=") || strings.HasPrefix(pattern, "<") || strings.HasPrefix(pattern, ">"):
		return "", "compares with " + pattern + ", which a regular expression cannot"
	case strings.HasPrefix(pattern, "-"):
		return "", "asks for a file or a number (" + pattern + "), which wsplice does not know"
	}
	if wrong := portable(pattern); wrong != "" {
		return "", wrong
	}
	return prefix + pattern, ""
}

// asksForUpgrade reports whether a condition holds only for an upgrade.
func asksForUpgrade(header, pattern string) bool {
	lower := strings.ToLower(pattern)
	return strings.EqualFold(header, "Upgrade") && strings.Contains(lower, "websocket") ||
		strings.EqualFold(header, "Connection") && strings.Contains(lower, "upgrade")
}

// canonical spells a header as it is usually written: Upgrade, not UPGRADE.
func canonical(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, part := range parts {
		if part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.ReplaceAll(strings.Join(parts, "-"), "Websocket", "WebSocket")
}
