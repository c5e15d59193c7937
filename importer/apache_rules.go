package importer

import (
	"slices"
	"strings"
)

// rules makes routes of the RewriteRules of a server, which mod_rewrite
// applies before mod_proxy looks for a ProxyPass.
func (b *apacheBuilder) rules(server *apacheServer, settings func(path, regex string) apacheSettings) []*apacheDraft {
	var drafts []*apacheDraft
	skips := ""
	for _, rule := range server.rules {
		d := b.draft(rule.at)
		switch {
		case !is(server.engine, false):
			d.refuse(rule.at, "RewriteEngine is not On for this server, so that it has no effect", "nothing is to be done")
		case skips != "":
			d.refuse(rule.at, "whether it is reached depends on the rule before it ("+skips+")", "write the route by hand")
		case rule.has("P", "PROXY"):
			drafts = append(drafts, b.rule(rule, drafts, settings)...)
			continue
		case rule.target.text == "-" && rule.has("F", "FORBIDDEN"):
			drafts = append(drafts, b.forbidden(rule)...)
			continue
		default:
			d.refuse(rule.at, redirects(rule), "let the backend do it, or a web server before wsplice")
		}
		for _, flag := range []string{"C", "CHAIN", "S", "SKIP", "N", "NEXT"} {
			if rule.has(flag) {
				skips = flag
			}
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// redirects says what a rule without [P] does.
func redirects(rule *apacheRule) string {
	switch {
	case rule.has("R", "REDIRECT"), strings.Contains(rule.target.text, "://"):
		return "wsplice makes no redirects"
	case rule.target.text == "-":
		return "it changes how later rules are used, which routes cannot"
	}
	return "wsplice does not rewrite a path before it chooses a route"
}

// rule makes the routes of one RewriteRule with [P]: one for each alternative
// of its conditions.
func (b *apacheBuilder) rule(rule *apacheRule, before []*apacheDraft,
	settings func(path, regex string) apacheSettings,
) []*apacheDraft {
	refuse := func(why string) []*apacheDraft {
		return []*apacheDraft{b.draft(rule.at).refuse(rule.at, why, "write a route by hand")}
	}
	if flag := rule.otherFlags(); flag != "" {
		return refuse("the flag " + flag + " has no counterpart")
	}
	if strings.HasPrefix(rule.pattern.text, "!") {
		return refuse("a pattern that must not match cannot be a route")
	}
	target, wrong := parseApacheTarget(rule.target.text)
	if wrong != "" {
		b.r.errorAt(rule.target.Pos, "RewriteRule with [P]: %q %s", rule.target.text, wrong)
		return nil
	}
	target.path = strings.TrimSuffix(target.path, "?%{QUERY_STRING}")
	if i := strings.IndexByte(target.path, '?'); i >= 0 {
		return refuse("its target has a query, which a route cannot add")
	}
	name, balancer := balancerName(rule.target.text)
	found, wrong := matchFor(rule.pattern.text, rule.has("NC", "NOCASE"), target.path, false)
	if wrong != "" {
		return refuse("it " + wrong)
	}
	all, wrong := conjunctions(rule.conds)
	if wrong != "" {
		return refuse(wrong)
	}
	var drafts []*apacheDraft
	for _, c := range all {
		d := b.alternative(rule, c, found, settings, func(d *apacheDraft, s apacheSettings) bool {
			if balancer {
				return b.ruleBalanced(d, rule, name, c, s)
			}
			return b.ruleDirect(d, rule, target, c, s)
		})
		if slices.Contains(c.dropped, "no upgrade") && d.route != nil && !taken(before, d.route) {
			return refuse("it is for requests that are no upgrade, and no rule before it takes the upgrades")
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// alternative makes one route of a rule. The target is filled in by finish,
// once the match is known.
func (b *apacheBuilder) alternative(rule *apacheRule, c conjunction, found match,
	settings func(path, regex string) apacheSettings, target func(*apacheDraft, apacheSettings) bool,
) *apacheDraft {
	d := b.draft(rule.at)
	for _, cond := range rule.conds {
		d.route.Comments = slices.Insert(d.route.Comments, len(d.route.Comments)-1, cond.at.comment(b.r))
	}
	if c.uri != "" {
		base, ok := found.identity()
		if !ok {
			return d.refuse(rule.at, "it asks for the path twice, in a condition and in its pattern", "write one regex by hand")
		}
		found = match{regex: c.uri, to: base}
	}
	for _, dropped := range c.dropped {
		if dropped != "no upgrade" {
			d.say("%s is not looked at: only upgrades come here, and these have it", dropped)
		}
	}
	d.route.Path, d.route.Regex, d.route.Headers = found.path, found.regex, c.headers
	d.route.To = found.to // finish puts the backend before it
	s := settings(found.path, found.regex)
	if target(d, s) {
		b.finish(d, nil, s)
	}
	return d
}

// ruleDirect completes a rule's route to one backend.
func (b *apacheBuilder) ruleDirect(d *apacheDraft, rule *apacheRule, t apacheTarget, c conjunction, s apacheSettings) bool {
	path := d.route.To
	if !b.direct(d, rule.at, t, nil, s, c.plain()) {
		return false
	}
	d.route.To = t.url(d.scheme(t), path)
	return true
}

// ruleBalanced completes a rule's route to a balancer.
func (b *apacheBuilder) ruleBalanced(d *apacheDraft, rule *apacheRule, name string, c conjunction, s apacheSettings) bool {
	balancer := b.config.balancers[name]
	if balancer == nil || len(balancer.members) == 0 {
		d.refuse(rule.at, "balancer://"+name+" has no members in what was read", "write its servers under upstreams")
		return false
	}
	first, base, wrong := memberTarget(balancer)
	if wrong != "" {
		d.refuse(rule.at, "of balancer://"+name+", "+wrong, "write an upstream by hand")
		return false
	}
	t, _ := parseApacheTarget(first.url.text)
	rewrite := base + d.route.To
	d.route.To = ""
	if !b.direct(d, rule.at, t, first.params, s, c.plain()) {
		return false
	}
	if d.route.Rewrite = rewrite; rewrite == d.route.Path || d.route.Regex != "" && rewrite == "" {
		d.route.Rewrite = ""
	}
	d.route.Upstream = b.upstream(balancer, &apacheMapping{at: rule.at}, nil, d)
	return d.route.Upstream != ""
}

// plain says where the plain requests go that fulfil the conditions.
func (c conjunction) plain() plainRequests {
	if c.upgrades {
		return plainElsewhere
	}
	return plainHere
}

// forbidden makes routes of a RewriteRule with [F].
func (b *apacheBuilder) forbidden(rule *apacheRule) []*apacheDraft {
	refuse := func(why string) []*apacheDraft {
		d := b.draft(rule.at).refuse(rule.at, why, "write a route with mode: deny by hand")
		d.notes[0].Warning = true
		return []*apacheDraft{d}
	}
	if strings.HasPrefix(rule.pattern.text, "!") {
		return refuse("a pattern that must not match cannot be a route")
	}
	found, wrong := matchFor(rule.pattern.text, rule.has("NC", "NOCASE"), "", true)
	if wrong != "" {
		return refuse("it " + wrong)
	}
	all, wrong := conjunctions(rule.conds)
	if wrong != "" {
		return refuse(wrong)
	}
	var drafts []*apacheDraft
	for _, c := range all {
		if len(c.dropped) > 0 || c.uri != "" && found.path != "/" {
			return refuse("its conditions cannot be a part of a route")
		}
		d := b.draft(rule.at)
		d.route.Path, d.route.Regex, d.route.Headers, d.route.Mode = found.path, found.regex, c.headers, "deny"
		if c.uri != "" {
			d.route.Path, d.route.Regex = "", c.uri
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// taken reports whether one of the routes before takes the upgrades that match
// route.
func taken(before []*apacheDraft, route *Route) bool {
	return slices.ContainsFunc(before, func(d *apacheDraft) bool {
		return d.route != nil && d.route.Mode == "tunnel" && d.route.Path == route.Path && d.route.Regex == route.Regex
	})
}
