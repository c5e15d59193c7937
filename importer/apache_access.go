package importer

import (
	"strings"
)

// unprotected is what is said about every line of access control.
const unprotected = "nothing in this YAML protects the routes that it guards; let the backend or a server before wsplice check it"

// require reads Require: what grants to all needs nothing, what denies to all
// can be a route, the rest is not carried over.
func (c *apacheCollector) require(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, -1, "Require all granted|all denied|…") {
		return
	}
	all := len(args) == 2 && strings.EqualFold(args[0].text, "all")
	switch {
	case all && strings.EqualFold(args[1].text, "granted"):
		if s.section != nil {
			s.section.granted = true
		}
	case all && strings.EqualFold(args[1].text, "denied") && s.section != nil && s.section.denied == nil && !s.proxy:
		s.section.denied = d
	default:
		c.guard(s, d)
	}
}

// access reads AuthType and what came before Require.
func (c *apacheCollector) access(s apacheScope, d *directive, _ []word) {
	switch {
	case d.key == "order", d.key == "satisfy":
	case d.key == "allow" && strings.EqualFold(strings.Join(strings.Fields(d.args), " "), "from all"):
	case d.key == "authtype" && strings.EqualFold(d.args, "none"):
	default:
		c.guard(s, d)
	}
}

// guard warns of access control. In a section it is said only when the section
// turns out to hold routes.
func (c *apacheCollector) guard(s apacheScope, d *directive) {
	s.add(Note{Pos: d.Pos, Text: oneLine(d.source) + ": " + unprotected, Warning: true})
}

// accessSection reads <RequireAny>, <Limit> and the like: whatever they hold
// is more than one line of a route can say.
func (c *apacheCollector) accessSection(d *directive, s apacheScope) {
	for _, child := range d.children {
		switch {
		case child.section:
			c.accessSection(child, s)
		case child.key == "require" && strings.EqualFold(strings.Join(strings.Fields(child.args), " "), "all granted"):
		case child.key == "require" || child.key == "allow" || child.key == "deny" || child.key == "authtype":
			c.access(s, child, nil)
		}
	}
}

// apacheOnce are directives that are reported once, and what to do instead.
var apacheOnce = map[string]string{
	"documentroot":    "wsplice serves no files; keep a web server for them, and add a route that leads to it",
	"alias":           "wsplice serves no files; keep a web server for them, and add a route that leads to it",
	"scriptalias":     "wsplice runs no scripts; keep a web server for them, and add a route that leads to it",
	"directoryindex":  "wsplice serves no files",
	"errordocument":   "wsplice has its own short answers; a backend's are passed on unchanged",
	"redirect":        "wsplice makes no redirects; let the backend or a web server before it do so",
	"redirectmatch":   "wsplice makes no redirects; let the backend or a web server before it do so",
	"errorlog":        "wsplice logs to stderr; see log: in configs/example.yaml",
	"customlog":       "wsplice logs to stderr; see log: in configs/example.yaml",
	"transferlog":     "wsplice logs to stderr; see log: in configs/example.yaml",
	"logformat":       "wsplice logs to stderr; see log: in configs/example.yaml",
	"loglevel":        "wsplice logs to stderr; see log: in configs/example.yaml",
	"user":            "start wsplice as the user it shall be; see SECURITY.md",
	"group":           "start wsplice as the user it shall be; see SECURITY.md",
	"loadmodule":      "wsplice has no modules",
	"serveradmin":     "not about proxying",
	"authname":        "it goes with access control, which is not carried over",
	"authuserfile":    "it goes with access control, which is not carried over",
	"authgroupfile":   "it goes with access control, which is not carried over",
	"serversignature": "not about proxying; wsplice sends no signature",
	"servertokens":    "not about proxying; wsplice names itself nowhere",

	"proxyvia":                     "wsplice sends no Via",
	"proxyerroroverride":           "the answers of backends are passed on unchanged",
	"proxyaddheaders":              "wsplice always writes X-Forwarded-For, -Proto and -Host",
	"proxypassreverse":             "answers pass wsplice unchanged: have the backend write public addresses",
	"proxypassreversecookiedomain": "answers pass wsplice unchanged: let the backend set cookies for the public name",
	"proxypassreversecookiepath":   "answers pass wsplice unchanged: let the backend set cookies for the public path",
	"sslproxyengine":               "nothing to switch on: the scheme of the target says it",
	"rewriteoptions":               "rules are not inherited, as in Apache without this; check the rules of the main server by hand",

	"sslprotocol":           "wsplice has its own safe settings; see tls: min_version where TLS is supported",
	"sslciphersuite":        "wsplice has its own safe settings",
	"sslhonorcipherorder":   "wsplice has its own safe settings",
	"sslsessiontickets":     "wsplice has its own safe settings",
	"sslusestapling":        "wsplice has its own safe settings",
	"sslstaplingcache":      "wsplice has its own safe settings",
	"requestreadtimeout":    "see timeouts: head in configs/example.yaml, which bounds a slow head",
	"keepalive":             "wsplice keeps connections of clients by itself",
	"keepalivetimeout":      "wsplice keeps connections of clients by itself",
	"maxkeepaliverequests":  "wsplice keeps connections of clients by itself",
	"maxrequestworkers":     "a tunnel needs no worker; see limits: tunnels",
	"threadsperchild":       "a tunnel needs no worker; see limits: tunnels",
	"limitrequestfieldsize": "see limits: head_bytes",
	"limitrequestline":      "see limits: head_bytes",
	"protocols":             "wsplice speaks HTTP/1.1 to clients",
}
