package configs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listeners reads the addresses that clients connect to.
func (d *decoder) listeners(n *node, c *Config) {
	ok := d.list(n, listenersMax, func(n *node) { c.Listeners = append(c.Listeners, d.listener(n)) })
	if ok && len(n.items) == 0 {
		d.wrong(n, "is empty; add at least one, such as `- address: \":8080\"`")
	}
}

func (d *decoder) listener(n *node) Listener {
	l := Listener{ProxyProtocol: "off", Pos: n.Pos}
	ok := d.mapping(n, map[string]decode{
		"address":        d.address(&l.Address),
		"mode":           d.mode(&l.Mode),
		"owner":          d.account(&l.Owner),
		"group":          d.account(&l.Group),
		"defer_accept":   d.boolean(&l.DeferAccept),
		"proxy_protocol": d.enum(&l.ProxyProtocol, []string{"off", "optional", "required"}),
		"tls":            func(n *node) { l.TLS = d.listenerTLS(n) },
	})
	if !ok {
		return l
	}
	address := n.get("address")
	if address == nil {
		d.wrong(n, "has no address; add `address: \":8080\"` or `address: unix:/path`")
		return l
	}
	l.Pos = address.Pos
	if l.Address == "" {
		return l
	}
	_, unix := l.SocketPath()
	for _, key := range []string{"mode", "owner", "group"} {
		if given := n.get(key); given != nil && !unix {
			d.wrong(given, "is for unix sockets only, but the address is %s; remove the key", l.Address)
		}
	}
	if given := n.get("defer_accept"); unix && l.DeferAccept {
		d.wrong(given, "is for TCP only, but the address is a unix socket; remove the key")
	}
	return l
}

// mode takes the permission bits in octal, quoted or not.
func (d *decoder) mode(to *fs.FileMode) decode {
	return func(n *node) {
		bits, err := strconv.ParseUint(strings.TrimPrefix(n.text, "0o"), 8, 32)
		switch {
		case !n.scalar() || err != nil || bits > 0o777:
			d.wrong(n, "must be permission bits in octal such as \"0660\", but this is %s", show(n))
		case bits&0o222 == 0:
			d.wrong(n, "%s lets nobody connect: connecting to a socket needs write permission; write \"0660\"", n.text)
		default:
			*to = fs.FileMode(bits)
		}
	}
}

// account takes a user's or group's name or number.
func (d *decoder) account(to *string) decode {
	return func(n *node) {
		if n.kind == numberNode {
			if _, err := strconv.ParseUint(n.text, 10, 31); err == nil && !leadingZero(n.text) {
				*to = n.text
				return
			}
		}
		if s, ok := d.text(n); ok {
			if strings.ContainsAny(s, " :/") {
				d.wrong(n, "must be a name or a number, but this is %s", quote(s))
				return
			}
			*to = s
		}
	}
}

// address takes host:port, [v6]:port, :port and unix:/path.
func (d *decoder) address(to *string) decode {
	return func(n *node) {
		if n.kind == numberNode {
			d.wrong(n, "must be host:port or unix:/path; for port %s of every address write \":%s\"", n.text, n.text)
			return
		}
		s, ok := d.text(n)
		if !ok {
			return
		}
		if path, unix := strings.CutPrefix(s, "unix:"); unix {
			if path, ok = d.socketPath(n, path); ok {
				*to = "unix:" + path
			}
			return
		}
		host, port, err := splitHostPort(s)
		if err != nil {
			d.wrong(n, "%v", err)
			return
		}
		*to = net.JoinHostPort(host, port)
	}
}

// splitHostPort returns the two parts of a listening address, checked.
func splitHostPort(s string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		return "", "", fmt.Errorf("must be host:port, [v6]:port or unix:/path, but this is %s%s", quote(s), addressHint(s))
	}
	if _, err := parsePort(port, 0); err != nil {
		return "", "", fmt.Errorf("the port %w", err)
	}
	if host == "*" {
		return "", "", fmt.Errorf("%s: for every address leave the host out and write \":%s\"", quote(s), port)
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return host, port, nil
	}
	if strings.Contains(host, ":") || !validHost(host) {
		return "", "", fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
	}
	return strings.ToLower(host), port, nil
}

func addressHint(s string) string {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "; add a port: " + net.JoinHostPort(ip.String(), "8080")
	}
	if validHost(s) {
		return "; add a port: " + s + ":8080"
	}
	return ""
}

// parsePort returns a port number from least to 65535.
func parsePort(s string, least uint64) (uint64, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port < least || leadingZero(s) {
		return 0, fmt.Errorf("must be a number from %d to 65535, but this is %s", least, quote(s))
	}
	return port, nil
}

// socketPath returns path relative to the working directory, checked for what
// the kernel can take.
func (d *decoder) socketPath(n *node, path string) (string, bool) {
	switch {
	case path == "":
		d.wrong(n, "has no path after unix:; write unix:/path/to/socket")
		return "", false
	case strings.HasPrefix(path, "@"):
		d.wrong(n, "an abstract socket (@) is not supported yet; write the path of a file")
		return "", false
	case strings.HasPrefix(path, "//"):
		d.wrong(n, "write unix:%s, with one slash", "/"+strings.TrimLeft(path, "/"))
		return "", false
	case slices.Contains([]string{"", ".", ".."}, path[strings.LastIndexByte(path, '/')+1:]):
		d.wrong(n, "%s is a directory; name the socket in it", quote(path))
		return "", false
	}
	path = d.resolve(path)
	if len(path) > socketPathBytesMax {
		d.wrong(n, "the path %s has %d bytes; the kernel takes at most %d", quote(path), len(path), socketPathBytesMax)
		return "", false
	}
	return path, true
}

// admin reads the address of metrics and API, which is not for everyone.
func (d *decoder) admin(n *node, a *Admin) {
	address := d.address(&a.Address)
	d.mapping(n, map[string]decode{
		"address": func(n *node) {
			a.Pos, a.Address = n.Pos, ""
			if n.kind == quotedNode && n.text == "" {
				return
			}
			address(n)
		},
		"token_file": func(n *node) { d.tokenFile(n, &a.TokenFile) },
	})
	if n.get("token_file") != nil || a.Address == "" || strings.HasPrefix(a.Address, "unix:") {
		return
	}
	if host, _, _ := net.SplitHostPort(a.Address); !loopback(host) {
		d.wrong(n.get("address"), "%s can be reached from other machines, so it needs a token_file; "+
			"add one, or listen on 127.0.0.1", quote(a.Address))
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// tokenFile takes the path of a file that holds a token now. "" is none.
func (d *decoder) tokenFile(n *node, to *string) {
	if n.kind == quotedNode && n.text == "" {
		return
	}
	s, ok := d.text(n)
	if !ok {
		return
	}
	path := d.resolve(s)
	if err := checkToken(path); err != nil {
		d.errs = append(d.errs, &Error{Pos: n.Pos, Text: n.path() + ": " + err.Error(), cause: err})
		return
	}
	*to = path
}

// checkToken opens only a regular file: opening a pipe would block.
func checkToken(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w; create it, with the token as its one line", err)
	}
	if !info.Mode().IsRegular() || info.Size() > tokenBytesMax {
		return fmt.Errorf("%s must be an ordinary file of at most %d bytes that holds the token", path, tokenBytesMax)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w; let the user that runs wsplice read it", err)
	}
	defer f.Close()
	token, err := io.ReadAll(io.LimitReader(f, tokenBytesMax))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(token)) == 0 {
		return fmt.Errorf("%s is empty; write the token into it", path)
	}
	return nil
}

// duplicateListeners reports addresses that cannot be listened on together.
// Port 0 never collides: the kernel picks another port each time.
func (d *decoder) duplicateListeners(c *Config) {
	type place struct {
		address string
		pos     Pos
	}
	var seen []place
	add := func(key string, l place) {
		i := slices.IndexFunc(seen, func(earlier place) bool { return collide(earlier.address, l.address) })
		if i >= 0 {
			d.errorAt(l.pos, "%s: %s is taken by %s in line %d; remove one or change its port",
				key, quote(l.address), quote(seen[i].address), seen[i].pos.Line)
			return
		}
		seen = append(seen, l)
	}
	for i, l := range c.Listeners {
		if l.Address != "" {
			add(fmt.Sprintf("listeners[%d].address", i), place{l.Address, l.Pos})
		}
	}
	if c.Admin.Address == "" {
		return
	}
	if c.Admin.Pos == (Pos{}) {
		for i, l := range c.Listeners {
			if collide(l.Address, c.Admin.Address) {
				d.errorAt(l.Pos, "listeners[%d].address: %s is the default of admin.address; change one, "+
					"or turn the admin off with admin: {address: \"\"}", i, quote(l.Address))
			}
		}
		return
	}
	add("admin.address", place{c.Admin.Address, c.Admin.Pos})
}

func collide(a, b string) bool {
	if strings.HasPrefix(a, "unix:") || strings.HasPrefix(b, "unix:") {
		return a == b
	}
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	if hostA == "" || hostB == "" {
		other := hostA + hostB
		ip, err := netip.ParseAddr(other)
		return other == "" || err == nil && ip.IsUnspecified()
	}
	ipA, errA := netip.ParseAddr(hostA)
	ipB, errB := netip.ParseAddr(hostB)
	if errA == nil && errB == nil {
		return ipA.Unmap() == ipB.Unmap()
	}
	return hostA == hostB
}
