package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// balanced makes a route to a balancer.
func (b *apacheBuilder) balanced(r *apacheDraft, m *apacheMapping, t apacheTarget, name string,
	params []apacheParam, s apacheSettings, plain plainRequests,
) *apacheDraft {
	balancer := b.config.balancers[name]
	if balancer == nil || len(balancer.members) == 0 {
		return r.refuse(m.at, "balancer://"+name+" has no members in what was read", "write its servers under upstreams")
	}
	first, base, wrong := memberTarget(balancer)
	if wrong != "" {
		return r.refuse(m.at, "of balancer://"+name+", "+wrong, "write an upstream by hand")
	}
	if strings.ContainsAny(t.path, "?#") {
		return r.refuse(m.at, "its target has a query", "the client's query is appended to the path; have the backend do the rest")
	}
	all := append(append([]apacheParam(nil), first.params...), params...)
	target, _ := parseApacheTarget(first.url.text)
	if !b.direct(r, m.at, target, all, s, plain) {
		return r
	}
	if wrong := b.place(r.route, m, base+t.path); wrong != "" {
		return r.refuse(m.at, "it "+wrong, "write a path or a simpler regex by hand")
	}
	r.route.Upstream = b.upstream(balancer, m, params, r)
	if r.route.Upstream == "" {
		return r
	}
	b.leave(r, m, params, append(append([]string(nil), balancerParams...), balancedParams...))
	b.finish(r, first.params, s)
	return r
}

// memberTarget returns the first member of a balancer, whose kind and path all
// others must share.
func memberTarget(b *apacheBalancer) (*apacheMember, string, string) {
	first := b.members[0]
	want, wrong := parseApacheTarget(first.url.text)
	if wrong != "" {
		return nil, "", first.url.text + " " + wrong
	}
	for _, m := range b.members[1:] {
		t, wrong := parseApacheTarget(m.url.text)
		switch {
		case wrong != "":
			return nil, "", m.url.text + " " + wrong
		case t.scheme != want.scheme:
			return nil, "", fmt.Sprintf("members speak %s and %s", want.scheme, t.scheme)
		case strings.TrimSuffix(t.path, "/") != strings.TrimSuffix(want.path, "/"):
			return nil, "", fmt.Sprintf("members have the paths %q and %q", want.path, t.path)
		}
	}
	return first, strings.TrimSuffix(want.path, "/"), ""
}

// place decides what a route to an upstream matches and what the backend sees:
// base is the path of the members and of the target.
func (b *apacheBuilder) place(route *Route, m *apacheMapping, base string) string {
	if m.regex != "" {
		found, wrong := matchFor(m.regex, false, base, true)
		if wrong != "" {
			return wrong
		}
		route.Path, route.Regex, route.Rewrite = found.path, found.regex, found.to
		if found.to == found.path {
			route.Rewrite = ""
		}
		return ""
	}
	switch {
	case base == m.path:
		route.Path = m.path
	case base != "":
		route.Path, route.Rewrite = m.path, base
	case m.path == "/":
		route.Path = "/"
	case strings.HasSuffix(m.path, "/"):
		route.Path, route.Rewrite = m.path, "/"
	default: // an empty rewrite cannot be written
		route.Regex, route.Rewrite = "^"+regexp.QuoteMeta(m.path)+"(?:/(.*))?$", "/$1"
	}
	return ""
}

// upstream returns the name of the upstream for a balancer, and makes it when
// it is first asked for.
func (b *apacheBuilder) upstream(balancer *apacheBalancer, m *apacheMapping, params []apacheParam, r *apacheDraft) string {
	name := upstreamName(balancer.name)
	if b.upstreams[name] != nil {
		return name
	}
	u := &Upstream{Name: name, Comments: []string{balancer.at.comment(b.r)}, Notes: balancer.notes}
	note := func(pos Pos, format string, args ...any) {
		u.Notes = append(u.Notes, Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
	}
	all := append(append([]apacheParam(nil), balancer.params...), params...)
	b.balance(u, balancer, all, note)
	if text := left(balancer.params, nil, balancerParams); text != "" {
		note(balancer.at.Pos, "balancer://%s: left out: %s", balancer.name, text)
	}
	if !b.servers(u, balancer, r, note) {
		return ""
	}
	b.upstreams[name] = u
	b.order = append(b.order, u)
	return name
}

// upstreamName returns a balancer's name as upstreams may be called.
func upstreamName(name string) string {
	name = cut(regexp.MustCompile(`[^a-z0-9._-]`).ReplaceAllString(name, "-"), 60)
	if name = strings.ReplaceAll(name, "…", ""); name == "" {
		return "balancer"
	}
	return name
}

// balance reads the parameters of the balancer itself.
func (b *apacheBuilder) balance(u *Upstream, balancer *apacheBalancer, params []apacheParam, note func(Pos, string, ...any)) {
	u.Balance = "round_robin" // byrequests is Apache's default
	if p, ok := lastParam(params, "lbmethod"); ok {
		switch strings.ToLower(p.value) {
		case "byrequests":
		case "bybusyness":
			u.Balance = "least_connection"
		case "bytraffic":
			u.Balance = "by_traffic"
			if !b.o.supports(FeatureByTraffic) {
				u.Balance = "least_connection"
				note(p.Pos, "lbmethod=bytraffic: this version of wsplice has no by_traffic yet; least_connection counts open tunnels")
			}
		default:
			u.Balance = "least_connection"
			note(p.Pos, "lbmethod=%s: wsplice has no such method; least_connection counts open tunnels", p.value)
		}
	}
	if p, ok := lastParam(params, "stickysession"); ok {
		cookie, param, both := strings.Cut(p.value, "|")
		switch {
		case !b.o.supports(FeatureSticky):
			note(p.Pos, "stickysession=%s: this version of wsplice has no sticky_cookie yet; a client may change servers", p.value)
		case !token(cookie):
			note(p.Pos, "stickysession=%s: it is not the name of a cookie", p.value)
		default:
			u.Cookie, u.Insert = cookie, b.config.inserted[cookie]
			if both {
				note(p.Pos, "stickysession=%s: the session is looked for in the cookie only, not in %s of the URL", p.value, param)
			}
		}
	}
	if p, ok := lastParam(params, "maxattempts"); ok {
		n, err := strconv.Atoi(p.value)
		switch {
		case err != nil || n < 1 || n > 1000:
			b.r.errorAt(p.Pos, "maxattempts=%s is not a number from 1 to 1000", p.value)
		case !b.o.supports(FeatureRetries):
			note(p.Pos, "maxattempts=%s: this version of wsplice has no retries yet; it tries the others", p.value)
		default:
			u.Retries = min(n, retriesMax)
		}
	}
}

// servers makes the servers of an upstream. Their scheme is that of the first
// route that uses them.
func (b *apacheBuilder) servers(u *Upstream, balancer *apacheBalancer, r *apacheDraft, note func(Pos, string, ...any)) bool {
	var factors []string
	for _, m := range balancer.members {
		factor := "1"
		if p, ok := lastParam(m.params, "loadfactor"); ok {
			factor = p.value
		}
		factors = append(factors, factor)
	}
	weight, wrong := weights(factors)
	if wrong != "" {
		b.r.errorAt(balancer.at.Pos, "balancer://%s: %s", balancer.name, wrong)
		return false
	}
	for i, m := range balancer.members {
		t, _ := parseApacheTarget(m.url.text)
		s := Server{URL: t.url(r.scheme(t), "")}
		if t.socket != "" {
			s = Server{Socket: t.socket}
		}
		if b.member(&s, m, weight[i]) {
			u.Servers = append(u.Servers, s)
		}
		b.recovery(u, m)
		if text := left(m.params, nil, memberParams); text != "" {
			m.left = append(m.left, text)
		}
		if len(m.left) > 0 {
			note(m.at.Pos, "BalancerMember %s: left out: %s", m.url.text, strings.Join(m.left, ", "))
		}
	}
	if u.Insert && slices.ContainsFunc(u.Servers, func(s Server) bool { return s.Route == "" }) {
		u.Insert = false
		note(balancer.at.Pos, "balancer://%s: not every member has a route, so no cookie is set", balancer.name)
	}
	if len(u.Servers) == 0 {
		r.refuse(balancer.at, "no member of it may be used", "write an upstream by hand")
	}
	return len(u.Servers) > 0
}

// later reports whether f is there; if not, the parameter is left out.
func (b *apacheBuilder) later(m *apacheMember, p apacheParam, f Feature) bool {
	if !b.o.supports(f) {
		m.left = append(m.left, fmt.Sprintf("%s=%s (this version has no %s yet)", p.key, p.value, f))
	}
	return b.o.supports(f)
}

// member reads what one member has of its own. It reports whether the member
// is used: where status is not there yet, one that is switched off is left out.
func (b *apacheBuilder) member(s *Server, m *apacheMember, weight int) bool {
	used := true
	if p, ok := lastParam(m.params, "loadfactor"); ok && weight != 1 && !b.later(m, p, FeatureWeight) {
		weight = 1
	}
	if weight != 1 && b.o.supports(FeatureWeight) {
		s.Weight = weight
	}
	if p, ok := lastParam(m.params, "route"); ok && p.value != "" && b.later(m, p, FeatureRoute) {
		if len(p.value) <= routeBytesMax && !strings.ContainsFunc(p.value, notInCookie) {
			s.Route = p.value
		} else {
			m.left = append(m.left, "route="+p.value+" (it cannot stand in a cookie)")
		}
	}
	if p, ok := lastParam(m.params, "lbset"); ok {
		n, err := strconv.Atoi(p.value)
		if err != nil || n < 0 || n > 99 {
			b.r.errorAt(p.Pos, "lbset=%s is not a number from 0 to 99", p.value)
		} else if n > 0 && b.later(m, p, FeatureSet) {
			s.Set = n
		}
	}
	for _, p := range m.params {
		if p.key != "status" {
			continue
		}
		status, wrong := memberStatus(p.value)
		switch {
		case wrong != "":
			b.r.errorAt(p.Pos, "status=%s: %s", p.value, wrong)
		case status == "" && strings.Trim(p.value, "+-ie0123456789IE") == "":
			m.left = append(m.left, "status="+p.value+" (wsplice has no counterpart)")
		case status != "" && b.later(m, p, FeatureStatus):
			s.Status = status
		case status == "disabled" || status == "drain":
			used = false
		}
	}
	return used
}

// notInCookie reports what a cookie's value cannot have (RFC 6265 section 4.1.1).
func notInCookie(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\",;\\", r) }

// memberStatus reads letters with + and -: +H, D, S-E.
func memberStatus(value string) (status, wrong string) {
	names := map[byte]string{'d': "disabled", 's': "disabled", 'n': "drain", 'h': "standby", 'r': "spare", 'i': "", 'e': "", 'c': ""}
	on := true
	for _, c := range []byte(strings.ToLower(value)) {
		name, known := names[c]
		switch {
		case c == '+' || c == '-':
			on = c == '+'
		case !known:
			return "", fmt.Sprintf("%q is none of D, S, I, R, H, E, N and C", string(rune(c)))
		case on && name != "" && (status == "" || name == "disabled"):
			status = name
		}
	}
	return status, ""
}

// recovery reads when a member that failed is tried again, and its checks. Both
// are settings of the whole upstream: the first health check and the longest
// retry hold for all.
func (b *apacheBuilder) recovery(u *Upstream, m *apacheMember) {
	if p, ok := lastParam(m.params, "retry"); ok {
		d, wrong := parseApacheTime(p.value)
		switch {
		case wrong != "":
			b.r.errorAt(p.Pos, "retry=%s %s", p.value, wrong)
		case d == 0:
			m.left = append(m.left, "retry=0 (a server that failed is left out for a second)")
		case b.later(m, p, FeatureDisableTime):
			u.DisableTime = max(u.DisableTime, d)
		}
	}
	method, ok := lastParam(m.params, "hcmethod")
	if !ok || len(u.Health) > 0 || strings.EqualFold(method.value, "none") {
		return
	}
	if b.later(m, method, FeatureHealth) {
		b.health(u, m, method)
	}
}

func (b *apacheBuilder) health(u *Upstream, m *apacheMember, method apacheParam) {
	value := func(key, otherwise string) string {
		if p, ok := lastParam(m.params, key); ok {
			return p.value
		}
		return otherwise
	}
	interval := 30 * time.Second
	if p, ok := lastParam(m.params, "hcinterval"); ok {
		if d, wrong := parseApacheTime(p.value); wrong != "" || d == 0 {
			b.r.errorAt(p.Pos, "hcinterval=%s is not a time of more than 0", p.value)
		} else {
			interval = d
		}
	}
	u.Health = []pair{{"type", "tcp"}}
	if !strings.EqualFold(method.value, "tcp") {
		u.Health = []pair{{"type", "http"}, {"path", scalar(value("hcuri", "/"))}}
	}
	u.Health = append(u.Health, pair{"interval", duration(interval)})
	for _, count := range []struct{ key, name string }{{"hcpasses", "rise"}, {"hcfails", "fall"}} {
		n, err := strconv.Atoi(value(count.key, "1"))
		if err != nil || n < 1 || n > 1000 {
			b.r.errorAt(m.at.Pos, "%s=%s is not a number from 1 to 1000", count.key, value(count.key, ""))
			continue
		}
		u.Health = append(u.Health, pair{count.name, strconv.Itoa(n)})
	}
}
