package importer

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// listen reads Listen [address:]port [protocol].
func (c *apacheCollector) listen(_ apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 2, "Listen [ADDRESS:]PORT") {
		return
	}
	if c.full(d, len(c.config.listens), listensMax, "addresses") {
		return
	}
	host, port := "", args[0].text
	if i := strings.LastIndexByte(port, ':'); i >= 0 {
		host, port = port[:i], port[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		c.r.errorAt(args[0].Pos, "Listen: %q is not [ADDRESS:]PORT with a port from 1 to 65535", args[0].text)
		return
	}
	if host != "" {
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "*" {
			c.r.errorAt(args[0].Pos, "Listen: %q is not an IP address; an IPv6 one stands in brackets", host)
			return
		}
	}
	if host == "*" || host == "0.0.0.0" {
		host = ""
	}
	c.config.listens = append(c.config.listens, apacheListen{d, net.JoinHostPort(strings.Trim(host, "[]"), port), port})
}

// serverName reads ServerName [scheme://]host[:port].
func (c *apacheCollector) serverName(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, "ServerName NAME[:PORT]") {
		return
	}
	name := args[0].text
	if _, rest, ok := strings.Cut(name, "://"); ok {
		name = rest
	}
	if host, port, err := net.SplitHostPort(name); err == nil && port != "" {
		name = host
	}
	if s.section != nil || s.proxy {
		return
	}
	if host, ok := c.host(s, d, name); ok {
		s.server.name = host
	}
}

func (c *apacheCollector) serverAlias(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, -1, "ServerAlias NAME…") || s.section != nil {
		return
	}
	for _, w := range args {
		if name, ok := c.host(s, d, w.text); ok {
			s.server.aliases = append(s.server.aliases, name)
		}
	}
}

// hostName is what the configuration takes as a host.
var hostName = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// host returns a name as hosts: takes it; "*" stands for any.
func (c *apacheCollector) host(s apacheScope, d *directive, name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && ip.Zone() == "" {
		return name, true
	}
	if name == "*" || hostName.MatchString(name) && len(name) <= 253 {
		return name, true
	}
	s.note(d, "%s: hosts of wsplice are names, or names that begin with *. ; write the names that are meant", name)
	return "", false
}

// proxyPass reads ProxyPass and ProxyPassMatch, on a path or in a <Location>.
func (c *apacheCollector) proxyPass(s apacheScope, d *directive, args []word) {
	m := &apacheMapping{at: d}
	match := d.key == "proxypassmatch"
	if len(args) > 0 && args[0].text == "~" && !match {
		args, match = args[1:], true
	}
	if s.proxy || s.section == nil && !c.want(d, args, 2, -1, d.name+" PATH URL [KEY=VALUE…]") ||
		s.section != nil && !c.want(d, args, 1, -1, d.name+" URL [KEY=VALUE…] in <Location>") {
		return
	}
	if s.section != nil {
		m.path, m.regex = s.section.path, s.section.regex
		if len(args) > 1 && !strings.Contains(args[1].text, "=") && strings.Contains(args[1].text, "://") {
			c.r.errorAt(args[0].Pos, "%s: in <%s> the path is that of the section; remove %s", d.name, s.section.at.name, args[0].text)
			return
		}
	} else {
		m.path = args[0].text
		if match {
			m.path, m.regex = "", m.path
		}
		args = args[1:]
	}
	if m.regex == "" && !strings.HasPrefix(m.path, "/") {
		s.note(d, "%s: a path begins with a slash, so no request ever matches this; write /%s", m.path, m.path)
		return
	}
	m.target, m.where = args[0].text, args[0].Pos
	if !c.params(d, args[1:], m) {
		return
	}
	if s.section != nil {
		s.section.proxy = m
		return
	}
	s.server.proxies = append(s.server.proxies, m)
}

// params reads key=value and the words without a value.
func (c *apacheCollector) params(d *directive, args []word, m *apacheMapping) bool {
	for _, w := range args {
		key, value, ok := strings.Cut(w.text, "=")
		key = strings.ToLower(key)
		switch {
		case ok && key != "":
			m.params = append(m.params, apacheParam{w.Pos, key, value})
		case key == "nocanon" || key == "interpolate" || key == "noquery":
			m.keyword = append(m.keyword, key)
		default:
			c.r.errorAt(w.Pos, "%s: %q is not KEY=VALUE, nocanon, interpolate or noquery; put a URL with spaces in quotes", d.name, w.text)
			return false
		}
	}
	return true
}

// balancerMember reads BalancerMember [balancer://name] URL [key=value…].
func (c *apacheCollector) balancerMember(s apacheScope, d *directive, args []word) {
	balancer := s.balancer
	if len(args) > 0 {
		if name, ok := balancerName(args[0].text); ok {
			balancer, args = c.balancer(name, d), args[1:]
		}
	}
	if !c.want(d, args, 1, -1, "BalancerMember URL [KEY=VALUE…]") {
		return
	}
	if balancer == nil {
		c.r.errorAt(d.Pos, "BalancerMember stands outside of <Proxy balancer://name>; name the balancer before the URL")
		return
	}
	m := apacheMapping{}
	if !c.full(d, len(balancer.members), membersMax, "members") && c.params(d, args[1:], &m) {
		balancer.members = append(balancer.members, &apacheMember{at: d, url: args[0], params: m.params})
	}
}

// proxySet reads ProxySet [URL] key=value….
func (c *apacheCollector) proxySet(s apacheScope, d *directive, args []word) {
	balancer, worker := s.balancer, s.worker
	if len(args) > 0 && strings.Contains(args[0].text, "://") && !strings.Contains(args[0].text, "=") {
		if name, ok := balancerName(args[0].text); ok {
			balancer, worker = c.balancer(name, d), nil
		} else {
			balancer, worker = nil, &apacheWorker{url: args[0].text}
			c.config.workers = append(c.config.workers, worker)
		}
		args = args[1:]
	}
	if !c.want(d, args, 1, -1, "ProxySet [URL] KEY=VALUE…") {
		return
	}
	m := apacheMapping{}
	if !c.params(d, args, &m) {
		return
	}
	switch {
	case balancer != nil:
		balancer.params = append(balancer.params, m.params...)
	case worker != nil:
		worker.params = append(worker.params, m.params...)
	default:
		s.note(d, "it names no balancer and no backend; write the URL before the parameters")
	}
}
