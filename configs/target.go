package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// group is what a regex route will be able to write.
var group = regexp.MustCompile(`\$[0-9]`)

// target reads the value of to, or returns nil.
func (d *decoder) target(n *node) *Target {
	s, ok := d.text(n)
	if !ok {
		return nil
	}
	if group.MatchString(s) {
		d.wrong(n, "groups ($1) are not supported yet; write a plain address, to which the rest of the path is appended")
		return nil
	}
	if rest, unix := strings.CutPrefix(s, "unix:"); unix {
		return d.unixTarget(n, rest)
	}
	t, err := parseTarget(s)
	if err != nil {
		d.wrong(n, "%v", err)
		return nil
	}
	return &t
}

// unixTarget reads /path, or /path|ws://host/path as Apache writes it.
func (d *decoder) unixTarget(n *node, s string) *Target {
	path, url, both := strings.Cut(s, "|")
	t := Target{}
	if both {
		var err error
		if t, err = parseTarget(url); err != nil {
			d.wrong(n, "after the |: %v", err)
			return nil
		}
	}
	path, ok := d.socketPath(n, path)
	if !ok {
		return nil
	}
	t.Network, t.Address = "unix", path
	return &t
}

// parseTarget reads ws://host[:port][/path].
func parseTarget(s string) (Target, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch strings.ToLower(scheme) {
	case "ws":
	case "wss", "http", "https", "tcp":
		if ok {
			return Target{}, fmt.Errorf("%s:// is not supported yet; use ws:// or unix:/path", strings.ToLower(scheme))
		}
	default:
		ok = false
	}
	if !ok {
		return Target{}, fmt.Errorf("must be ws://host:port/path or unix:/path, but this is %s", quote(s))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if strings.Contains(authority, "@") {
		return Target{}, errors.New("must not carry a user name or password; remove what stands before the @")
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return Target{}, fmt.Errorf("must not have a query or fragment: the client's query is appended; remove %s", quote(path[i:]))
	}
	t := Target{Network: "tcp"}
	var err error
	if t.Address, t.Host, err = parseAuthority(authority); err != nil {
		return Target{}, err
	}
	if path != "" {
		if t.Path, err = normalPath(path); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

// parseAuthority returns the address to dial and the value of Host for
// host[:port] with the default port 80.
func parseAuthority(s string) (address, host string, err error) {
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return "", "", fmt.Errorf("%s: an IPv6 address stands in brackets: ws://[::1]:9000/", quote(s))
	}
	name, port := s, "80"
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
	case port != "80":
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

// hosts reads the names that a route answers to.
func (d *decoder) hosts(n *node, to *[]string) {
	ok := d.list(n, hostsMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		host, err := normalHost(s)
		if err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = append(*to, host)
	})
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; remove the key to match any host")
	}
}

// normalHost returns name, *.name, an IPv4 address or an IPv6 address in
// brackets, as a Host header without port shows it, in lower case.
func normalHost(s string) (string, error) {
	if s == "*" {
		return "", errors.New("\"*\": remove hosts to match any host")
	}
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && ip.Zone() == "" {
		if ip.Is6() {
			return "[" + ip.String() + "]", nil
		}
		return s, nil
	}
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "*."), "."))
	switch {
	case strings.Contains(s, "://"):
		return "", fmt.Errorf("%s: write the host without %s", quote(s), s[:strings.Index(s, "://")+3])
	case strings.Contains(s, ":"):
		return "", fmt.Errorf("%s: write the host without its port", quote(s))
	case strings.Contains(name, "*"):
		return "", fmt.Errorf("%s: * stands only at the beginning, as in *.example.com", quote(s))
	case !validHost(name):
		return "", fmt.Errorf("%s is not a host name (letters, digits, - and _ between dots; other letters as xn--…)", quote(s))
	}
	if strings.HasPrefix(s, "*.") {
		return "*." + name, nil
	}
	return name, nil
}

// origins reads the list of origins that may open a WebSocket. Entries stay
// as they are written: they are compared byte by byte.
func (d *decoder) origins(n *node, to *[]string) {
	d.list(n, originsMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		if err := checkOrigin(s); err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = append(*to, s)
	})
}

// checkOrigin reports entries that could never match, or that look as if they
// matched more than they do. An entry is a whole origin, scheme://host[:port],
// or the end of one after a dot.
func checkOrigin(s string) error {
	_, authority, scheme := strings.Cut(s, "://")
	if !scheme {
		authority = s
	}
	switch {
	case s == "*":
		return errors.New("\"*\": remove origins to admit any")
	case s == "null":
		return errors.New("\"null\" is never admitted; remove it")
	case strings.Contains(s, "*"):
		return fmt.Errorf("%s: write the name after the *., which admits every name below it", quote(s))
	case strings.HasPrefix(s, "."):
		return fmt.Errorf("%s: write %s, which admits every name below it", quote(s), quote(strings.TrimLeft(s, ".")))
	case strings.ContainsAny(authority, "/?#@"):
		return fmt.Errorf("%s: an origin has no path: it ends after the host and port", quote(s))
	case strings.ContainsAny(s, " ,"):
		return fmt.Errorf("%s: write one origin per entry, without spaces", quote(s))
	case authority == "":
		return fmt.Errorf("%s has no host; write https://example.com or example.com", quote(s))
	}
	return nil
}
