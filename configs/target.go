package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// target reads the value of to, or returns nil.
func (d *decoder) target(n *node, r *Route, g groups) *Target {
	s, ok := d.text(n)
	if !ok {
		return nil
	}
	if err := g.check(s); err != nil {
		d.wrong(n, "%v", err)
		return nil
	}
	var t *Target
	if rest, unix := strings.CutPrefix(s, "unix:"); unix {
		t = d.unixTarget(n, rest, g)
	} else {
		t = d.urlTarget(n, s, "", g)
	}
	if t == nil {
		return nil
	}
	if r.Suffix != "" && strings.Trim(t.Path, "/") != "" {
		d.wrong(n, "a suffix route passes the request's path on unchanged; remove %s from the end", t.Path)
		return nil
	}
	t.Path = wholePath(r, t.Path, t.Query)
	return t
}

// wholePath returns the base path to which a whole path, and not the rest of
// one, is appended: a single slash would double the one that the path begins
// with. Where Query has a group nothing is appended, and there is a path.
func wholePath(r *Route, base, query string) string {
	switch {
	case strings.Contains(query, "$") && base == "":
		return "/"
	case base == "/" && r.Path == "" && !strings.Contains(query, "$"):
		return ""
	}
	return base
}

// urlTarget reads a URL, which stands behind what before says.
func (d *decoder) urlTarget(n *node, s, before string, g groups) *Target {
	t, err := parseTarget(s, g)
	if err != nil {
		d.wrong(n, "%s%v", before, err)
		return nil
	}
	return &t
}

// unixTarget reads /path, or /path|ws://host/path as Apache writes it.
func (d *decoder) unixTarget(n *node, s string, g groups) *Target {
	path, url, both := strings.Cut(s, "|")
	if g != noGroups && strings.Contains(path, "$") {
		d.wrong(n, "%v", errGroupPlace)
		return nil
	}
	t := &Target{}
	if both {
		if t = d.urlTarget(n, url, "after the |: ", g); t == nil {
			return nil
		}
	}
	path, ok := d.socketPath(n, path)
	if !ok {
		return nil
	}
	t.Network, t.Address = "unix", path
	return t
}

// parseTarget reads ws://host[:port][/path], http://, wss:// or https:// likewise, or
// tcp://host:port, and with groups also a query. The string's groups are already
// checked.
func parseTarget(s string, g groups) (Target, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if g != noGroups && strings.Contains(scheme+authority, "$") {
		return Target{}, errGroupPlace
	}
	scheme = strings.ToLower(scheme)
	switch {
	case ok && slices.Contains([]string{"ws", "wss", "http", "https"}, scheme):
	case ok && scheme == "tcp":
		return parseTCP(authority, path)
	default:
		return Target{}, fmt.Errorf("must be ws://host:port/path, wss://, http:// or https:// likewise, or unix:/path, "+
			"but this is %s", quote(s))
	}
	if strings.Contains(authority, "@") {
		return Target{}, errors.New("must not carry a user name or password; remove what stands before the @")
	}
	t := Target{Scheme: scheme, Network: "tcp"}
	var err error
	if t.Address, t.Host, err = parseAuthority(authority, t.defaultPort()); err != nil {
		return Target{}, err
	}
	t.Path, t.Query, err = parsePathQuery(path, g)
	return t, err
}

// parsePathQuery reads what follows the authority of a target.
func parsePathQuery(s string, g groups) (path, query string, err error) {
	i := strings.IndexAny(s, "?#")
	switch {
	case i < 0:
		path = s
	case g == noGroups:
		return "", "", fmt.Errorf("must not have a query or fragment: the client's query is appended; remove %s", quote(s[i:]))
	case strings.Contains(s, "#"):
		return "", "", fmt.Errorf("must not have a fragment; remove %s", quote(s[strings.IndexByte(s, '#'):]))
	default:
		path = s[:i]
		if query, err = normalQuery(s[i+1:]); err != nil {
			return "", "", err
		}
	}
	if path != "" {
		path, err = normalPath(path)
	}
	return path, query, err
}

// TLS reports whether the backend is spoken to by TLS.
func (t *Target) TLS() bool { return t.Scheme == "wss" || t.Scheme == "https" || t.Secured }

func (t *Target) defaultPort() string {
	if t.TLS() {
		return "443"
	}
	return "80"
}

// parseAuthority returns the address to dial and the value of Host for
// host[:port]. Host does not say the default port.
func parseAuthority(s, defaultPort string) (address, host string, err error) {
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return "", "", fmt.Errorf("%s: an IPv6 address stands in brackets: ws://[::1]:9000/", quote(s))
	}
	name, port := s, defaultPort
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name, port = s[:i], s[i+1:]
		if _, err := parsePort(port, 1); err != nil {
			return "", "", fmt.Errorf("the port %w", err)
		}
	}
	name = strings.ToLower(name)
	if inner, bracket := strings.CutPrefix(name, "["); bracket {
		literal, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(literal)
		if !closed || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", fmt.Errorf("%s is not an IPv6 address in brackets (without zone)", quote(name))
		}
		name = ip.String()
	} else if err := checkHost(name); err != nil {
		return "", "", err
	}
	address, host = net.JoinHostPort(name, port), name
	switch {
	case port != defaultPort:
		host = address
	case strings.Contains(name, ":"):
		host = "[" + name + "]"
	}
	return address, host, nil
}

// checkHost says what is wrong with a host name or IPv4 address.
func checkHost(s string) error {
	switch {
	case s == "":
		return errors.New("has no host; write ws://host:port/path")
	case !validHost(s):
		return fmt.Errorf("%s is not a host name (letters, digits, - and _ between dots; other letters as xn--…)", quote(s))
	}
	return nil
}

// validHost reports whether s is an IPv4 address or a name that a resolver
// would take. Underscores are common in container networks.
func validHost(s string) bool {
	if s == "" || len(s) > hostBytesMax {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !alphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		ip, err := netip.ParseAddr(s)
		return err == nil && ip.Is4()
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
