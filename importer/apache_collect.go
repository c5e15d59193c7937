package importer

import (
	"fmt"
	"slices"
	"strings"
)

// An apacheCollector walks the directives and fills the model. It decides
// nothing that depends on what stands elsewhere.
type apacheCollector struct {
	o      *Options
	r      *report
	config *apacheConfig
	conds  []*apacheCond // waiting for their RewriteRule

	sections int
}

// An apacheScope is where a directive stands.
type apacheScope struct {
	server   *apacheServer
	section  *apacheSection  // <Location>, or nil
	balancer *apacheBalancer // <Proxy balancer://…>, or nil
	worker   *apacheWorker   // <Proxy URL>, or nil
	proxy    bool            // in any <Proxy>
}

// settings returns what the directives of the scope change.
func (s apacheScope) settings() *apacheSettings {
	if s.section != nil {
		return &s.section.settings
	}
	return &s.server.settings
}

// note keeps a note at its place: at the section, the balancer or the server.
func (s apacheScope) note(d *directive, format string, args ...any) {
	s.add(Note{Pos: d.Pos, Text: d.name + ": " + fmt.Sprintf(format, args...)})
}

func (s apacheScope) add(n Note) {
	switch {
	case s.section != nil:
		s.section.notes = append(s.section.notes, n)
	case s.balancer != nil:
		s.balancer.notes = append(s.balancer.notes, n)
	default:
		s.server.notes = append(s.server.notes, n)
	}
}

// An apacheHandler reads one directive whose arguments are split.
type apacheHandler func(c *apacheCollector, s apacheScope, d *directive, args []word)

// apacheDirectives are those that are understood, in lower case.
var apacheDirectives map[string]apacheHandler

// apacheQuiet are understood directives that may be skipped without a word.
var apacheQuiet = map[string]bool{
	"timeout": true, "requestheader": true, "require": true, "order": true, "allow": true, "deny": true,
	"rewriteengine": true, "servername": true, "serveralias": true, "header": true, "authtype": true, "satisfy": true,
	"rewritecond": true,
}

func init() {
	apacheDirectives = map[string]apacheHandler{
		"listen":        (*apacheCollector).listen,
		"servername":    (*apacheCollector).serverName,
		"serveralias":   (*apacheCollector).serverAlias,
		"proxyrequests": (*apacheCollector).proxyRequests,

		"proxypass":      (*apacheCollector).proxyPass,
		"proxypassmatch": (*apacheCollector).proxyPass,
		"balancermember": (*apacheCollector).balancerMember,
		"proxyset":       (*apacheCollector).proxySet,

		"rewriteengine": (*apacheCollector).rewriteEngine,
		"rewritecond":   (*apacheCollector).rewriteCond,
		"rewriterule":   (*apacheCollector).rewriteRule,

		"proxypreservehost":                 onOffSetting(func(s *apacheSettings) **bool { return &s.preserveHost }),
		"proxywebsocketfallbacktoproxyhttp": (*apacheCollector).fallback,
		"proxywebsocketasync":               onOffSetting(func(s *apacheSettings) **bool { return &s.async }),
		"proxywebsocketasyncdelay":          timeSetting(settingDelay),
		"proxyasyncdelay":                   timeSetting(settingDelay),
		"proxywebsocketidletimeout":         timeSetting(settingIdle),
		"proxyasyncidletimeout":             timeSetting(settingIdle),
		"timeout":                           timeSetting(settingTimeout),
		"proxytimeout":                      timeSetting(settingProxyTimeout),
		"requestheader":                     (*apacheCollector).requestHeader,
		"header":                            (*apacheCollector).header,

		"sslengine":             (*apacheCollector).sslEngine,
		"sslcertificatefile":    (*apacheCollector).sslFile,
		"sslcertificatekeyfile": (*apacheCollector).sslFile,

		"remoteipproxyprotocol": onOffSetting(func(s *apacheSettings) **bool { return &s.proxied }),
		"remoteipheader":        (*apacheCollector).remoteIPHeader,
		"remoteiptrustedproxy":  (*apacheCollector).remoteIPTrusted,
		"remoteipinternalproxy": (*apacheCollector).remoteIPTrusted,

		"require": (*apacheCollector).require, "authtype": (*apacheCollector).access,
		"order": (*apacheCollector).access, "allow": (*apacheCollector).access, "deny": (*apacheCollector).access,
		"satisfy": (*apacheCollector).access,
	}
}

// all reads directives in their order.
func (c *apacheCollector) all(list []*directive, s apacheScope) {
	for _, d := range list {
		if len(c.r.errs) >= errorsMax {
			return
		}
		if d.section {
			c.section(d, s)
			continue
		}
		handler, understood := apacheDirectives[d.key]
		if !understood {
			c.other(d, s)
			continue
		}
		if name := variable.FindString(d.args); name != "" && !strings.HasPrefix(d.key, "rewrite") {
			c.r.errorAt(d.Pos, "%s: %s is not defined in what was read; add -D %s=VALUE to the command",
				d.name, name, name[2:len(name)-1])
			continue
		}
		if args, ok := d.words(c.r); ok {
			handler(c, s, d, args)
		}
	}
}

// want reports whether there are as many arguments as there must be; most < 0
// is any number.
func (c *apacheCollector) want(d *directive, args []word, least, most int, usage string) bool {
	if len(args) < least || most >= 0 && len(args) > most {
		c.r.errorAt(d.Pos, "%s has %d arguments; it is written: %s", d.name, len(args), usage)
		return false
	}
	return true
}

// full reports that there are more of something than are read.
func (c *apacheCollector) full(d *directive, n, most int, what string) bool {
	if n >= most {
		c.r.errorAt(d.Pos, "%s: more than %d %s; split the configuration", d.name, most, what)
	}
	return n >= most
}

// section reads what stands in a section.
func (c *apacheCollector) section(d *directive, s apacheScope) {
	switch d.key {
	case "virtualhost":
		if s.server.at != nil || s.section != nil {
			c.r.errorAt(d.Pos, "<VirtualHost> stands inside another section; close that one first")
			return
		}
		if c.full(d, len(c.config.hosts), serversMax, "virtual hosts") {
			return
		}
		server := &apacheServer{at: d}
		c.config.hosts = append(c.config.hosts, server)
		c.all(d.children, apacheScope{server: server})
		c.dropConds()
	case "location", "locationmatch":
		c.location(d, s)
	case "proxy", "proxymatch":
		c.proxySection(d, s)
	case "requireall", "requireany", "requirenone", "limit", "limitexcept":
		c.accessSection(d, s)
	default:
		c.foreign(d, s)
	}
}

// location reads <Location path>, <Location ~ regex> and <LocationMatch regex>.
func (c *apacheCollector) location(d *directive, s apacheScope) {
	args, ok := d.words(c.r)
	if !ok {
		return
	}
	match := d.key == "locationmatch"
	if len(args) == 2 && args[0].text == "~" && !match {
		args, match = args[1:], true
	}
	if len(args) != 1 || args[0].text == "" {
		c.r.errorAt(d.Pos, "<%s> takes one path", d.name)
		return
	}
	if c.full(d, c.sections, sectionsMax, "sections") {
		return
	}
	c.sections++
	section := &apacheSection{at: d}
	path := args[0].text
	switch {
	case match:
		section.regex = path
	case strings.ContainsAny(path, "*?["):
		c.foreign(d, s)
		return
	case !strings.HasPrefix(path, "/"):
		c.foreign(d, s)
		return
	default:
		section.path = path
	}
	s.server.sections = append(s.server.sections, section)
	s.section = section
	c.all(d.children, s)
}

// foreign passes over a section of another kind, and says so where it holds
// something that would be imported.
func (c *apacheCollector) foreign(d *directive, s apacheScope) {
	held := understoodIn(d)
	if held == nil {
		if d.key != "directory" && d.key != "files" && d.key != "directorymatch" && d.key != "filesmatch" {
			c.r.notOnce("<"+d.name+">", d.Pos, "it holds nothing about proxying that wsplice has a counterpart for")
		}
		return
	}
	s.add(Note{Pos: held.Pos, Text: fmt.Sprintf(
		"%s: it stands in <%s %s>, which wsplice cannot tell from the request's path; write a route for the paths that are meant",
		held.name, d.name, d.args)})
}

// understoodIn returns the first directive below d that is about proxying.
func understoodIn(d *directive) *directive {
	for _, child := range d.children {
		if child.section {
			if held := understoodIn(child); held != nil {
				return held
			}
			continue
		}
		if _, ok := apacheDirectives[child.key]; ok && !apacheQuiet[child.key] {
			return child
		}
	}
	return nil
}

// proxySection reads <Proxy balancer://name>, <Proxy URL> and <Proxy *>.
func (c *apacheCollector) proxySection(d *directive, s apacheScope) {
	args, ok := d.words(c.r)
	if !ok {
		return
	}
	if len(args) == 0 {
		c.r.errorAt(d.Pos, "<%s> takes a URL", d.name)
		return
	}
	s.proxy = true
	url := args[0].text
	switch name, balancer := balancerName(url); {
	case balancer && d.key == "proxy":
		s.balancer = c.balancer(name, d)
	case d.key == "proxy" && strings.Contains(url, "://") && !strings.Contains(url, "*"):
		s.worker = &apacheWorker{url: url}
		c.config.workers = append(c.config.workers, s.worker)
	}
	c.all(d.children, s)
}

// balancerName returns the name in balancer://name/path.
func balancerName(url string) (string, bool) {
	const scheme = "balancer://"
	if len(url) < len(scheme) || !strings.EqualFold(url[:len(scheme)], scheme) {
		return "", false
	}
	name, _, _ := strings.Cut(url[len(scheme):], "/")
	return strings.ToLower(name), true
}

// balancer returns the balancer called name, which d mentions.
func (c *apacheCollector) balancer(name string, d *directive) *apacheBalancer {
	b := c.config.balancers[name]
	if b == nil {
		b = &apacheBalancer{at: d, name: name}
		c.config.balancers[name] = b
		c.config.order = append(c.config.order, name)
	}
	return b
}

// other reports a directive that is not understood: one that has to do with
// proxying at its place, others once.
func (c *apacheCollector) other(d *directive, s apacheScope) {
	if advice, known := apacheOnce[d.key]; known {
		c.r.notOnce(d.name, d.Pos, advice)
		return
	}
	for _, prefix := range []string{"proxy", "balancer", "sslproxy", "remoteip", "rewrite"} {
		if strings.HasPrefix(d.key, prefix) {
			s.note(d, "wsplice has no counterpart; see docs/migrating-from-apache.md")
			return
		}
	}
	c.r.notOnce(d.name, d.Pos, "not about proxying; wsplice has no counterpart")
}

// dropConds forgets conditions that no rule followed.
func (c *apacheCollector) dropConds() { c.conds = nil }

// contains reports whether list holds text, in any case.
func contains(list []string, text string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, text) })
}
