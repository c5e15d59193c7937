package importer

import (
	"regexp"
	"strings"
	"time"
)

// An apacheConfig is what a configuration says about proxying.
type apacheConfig struct {
	main      *apacheServer   // what stands outside of <VirtualHost>
	hosts     []*apacheServer // in their order
	balancers map[string]*apacheBalancer
	order     []string // names of balancers
	workers   []*apacheWorker
	listens   []apacheListen
	trusted   []string
	trusts    bool            // a directive names whom to trust
	remote    *directive      // RemoteIPHeader
	inserted  map[string]bool // cookies that Header adds for stickiness
	global    []Note
}

// An apacheServer is the main server or a virtual host.
type apacheServer struct {
	at       *directive // nil: the main server
	name     string     // host of ServerName, or ""
	aliases  []string
	settings apacheSettings
	proxies  []*apacheMapping
	sections []*apacheSection
	rules    []*apacheRule
	engine   *bool // RewriteEngine
	tls      bool
	cert     string
	key      string
	notes    []Note
}

// An apacheSection is a <Location> or <LocationMatch>.
type apacheSection struct {
	at       *directive
	path     string // of <Location>
	regex    string // of <LocationMatch>
	settings apacheSettings
	proxy    *apacheMapping // the last one wins
	denied   *directive     // Require all denied
	granted  bool           // Require all granted
	notes    []Note
}

// apacheSettings are what a server gives to its routes, and what a section may
// change. Pointers are nil where nothing was said.
type apacheSettings struct {
	preserveHost *bool
	fallback     *bool
	async        *bool
	delay, idle  *time.Duration
	timeout      *time.Duration // Timeout
	proxyTimeout *time.Duration
	proxied      *bool // RemoteIPProxyProtocol
	set          []Header
	remove       []string
}

// over returns s with what inner says on top.
func (s apacheSettings) over(inner apacheSettings) apacheSettings {
	pick(&s.preserveHost, inner.preserveHost)
	pick(&s.fallback, inner.fallback)
	pick(&s.async, inner.async)
	pick(&s.delay, inner.delay)
	pick(&s.idle, inner.idle)
	pick(&s.timeout, inner.timeout)
	pick(&s.proxyTimeout, inner.proxyTimeout)
	pick(&s.proxied, inner.proxied)
	set := append([]Header(nil), s.set...)
	remove := append([]string(nil), s.remove...)
	for _, h := range inner.set {
		set, remove = setHeader(set, remove, h)
	}
	for _, name := range inner.remove {
		set, remove = removeHeader(set, remove, name)
	}
	s.set, s.remove = set, remove
	return s
}

func pick[T any](outer **T, inner *T) {
	if inner != nil {
		*outer = inner
	}
}

func is(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}

// setHeader makes h the last word about its name.
func setHeader(set []Header, remove []string, h Header) ([]Header, []string) {
	set, remove = removeHeader(set, remove, h.Name)
	return append(set, h), remove[:len(remove)-1]
}

// removeHeader makes the removal the last word about a name.
func removeHeader(set []Header, remove []string, name string) ([]Header, []string) {
	kept := set[:0:0]
	for _, h := range set {
		if !strings.EqualFold(h.Name, name) {
			kept = append(kept, h)
		}
	}
	gone := remove[:0:0]
	for _, n := range remove {
		if !strings.EqualFold(n, name) {
			gone = append(gone, n)
		}
	}
	return kept, append(gone, name)
}

// An apacheMapping is one ProxyPass or ProxyPassMatch.
type apacheMapping struct {
	at      *directive
	path    string // exactly one of path and regex
	regex   string
	target  string // "!" = do not proxy
	where   Pos    // of the target
	params  []apacheParam
	keyword []string // nocanon, interpolate, noquery
}

// An apacheParam is key=value.
type apacheParam struct {
	Pos
	key, value string
}

// An apacheWorker holds parameters that <Proxy URL> gives to a target.
type apacheWorker struct {
	url    string
	params []apacheParam
}

// An apacheBalancer is <Proxy balancer://name> with its members.
type apacheBalancer struct {
	at      *directive
	name    string
	members []*apacheMember
	params  []apacheParam
	notes   []Note
}

type apacheMember struct {
	at     *directive
	url    word
	params []apacheParam
	left   []string // what is not carried over
}

// An apacheListen is one Listen.
type apacheListen struct {
	at      *directive
	address string // as the configuration writes it
	port    string
}

// An apacheRule is a RewriteRule with its RewriteConds.
type apacheRule struct {
	at      *directive
	conds   []*apacheCond
	pattern word
	target  word
	flags   map[string]string // upper case, with its value
}

// An apacheCond is one RewriteCond.
type apacheCond struct {
	at      *directive
	test    string
	pattern word
	nocase  bool
	or      bool
}

// apacheTarget is a URL that a mapping leads to, taken apart.
type apacheTarget struct {
	socket    string // of unix:/path|…
	scheme    string // lower case
	authority string
	path      string // "" or begins with a slash; or begins with $ or %
}

// targetURL is scheme://authority and the rest.
var targetURL = regexp.MustCompile(`^(?i)([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)$`)

// parseApacheTarget takes a URL apart, or says what is wrong with it.
func parseApacheTarget(s string) (apacheTarget, string) {
	t := apacheTarget{}
	rest := s
	if len(s) > 5 && strings.EqualFold(s[:5], "unix:") {
		path, url, both := strings.Cut(s[5:], "|")
		if !both || !strings.HasPrefix(path, "/") {
			return t, "a unix socket is written unix:/path|http://host/path"
		}
		t.socket, rest = path, url
	}
	m := targetURL.FindStringSubmatch(rest)
	if m == nil {
		return t, "is not a URL; write scheme://host:port/path"
	}
	t.scheme, t.authority, t.path = strings.ToLower(m[1]), m[2], m[3]
	if t.socket == "" && t.authority == "" {
		return t, "has no host; write scheme://host:port/path"
	}
	if i := strings.IndexAny(t.authority, "$%"); i >= 0 {
		t.authority, t.path = t.authority[:i], t.authority[i:]+t.path
	}
	return t, ""
}

// url returns t with another scheme, as to: writes it.
func (t apacheTarget) url(scheme, path string) string {
	authority := t.authority
	if authority == "" {
		authority = "localhost"
	}
	url := scheme + "://" + authority + path
	if t.socket != "" {
		return "unix:" + t.socket + "|" + url
	}
	return url
}
