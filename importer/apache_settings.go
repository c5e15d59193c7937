package importer

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseOnOff reads On and Off in any case.
func (c *apacheCollector) parseOnOff(d *directive, w word) (value, ok bool) {
	switch strings.ToLower(w.text) {
	case "on":
		return true, true
	case "off":
		return false, true
	}
	c.r.errorAt(w.Pos, "%s is On or Off, but this is %q", d.name, w.text)
	return false, false
}

// onOffSetting returns a handler that keeps On or Off.
func onOffSetting(field func(*apacheSettings) **bool) apacheHandler {
	return func(c *apacheCollector, s apacheScope, d *directive, args []word) {
		if !c.want(d, args, 1, 1, d.name+" On|Off") {
			return
		}
		if value, ok := c.parseOnOff(d, args[0]); ok {
			*field(s.settings()) = &value
		}
	}
}

// The times that a scope has.
func settingDelay(s *apacheSettings) **time.Duration        { return &s.delay }
func settingIdle(s *apacheSettings) **time.Duration         { return &s.idle }
func settingTimeout(s *apacheSettings) **time.Duration      { return &s.timeout }
func settingProxyTimeout(s *apacheSettings) **time.Duration { return &s.proxyTimeout }

// timeSetting returns a handler that keeps a time.
func timeSetting(field func(*apacheSettings) **time.Duration) apacheHandler {
	return func(c *apacheCollector, s apacheScope, d *directive, args []word) {
		if !c.want(d, args, 1, 1, d.name+" NUMBER[ms|s|mi|h]") {
			return
		}
		value, wrong := parseApacheTime(args[0].text)
		if wrong != "" {
			c.r.errorAt(args[0].Pos, "%s: %q %s", d.name, args[0].text, wrong)
			return
		}
		*field(s.settings()) = &value
	}
}

// apacheUnits are those of ap_timeout_parameter_parse, the longest first.
var apacheUnits = []struct {
	suffix string
	unit   time.Duration
}{{"min", time.Minute}, {"ms", time.Millisecond}, {"mi", time.Minute}, {"s", time.Second}, {"h", time.Hour}, {"", time.Second}}

// parseApacheTime reads a number and a unit; without one it is seconds.
func parseApacheTime(s string) (value time.Duration, wrong string) {
	lower := strings.ToLower(s)
	for _, u := range apacheUnits {
		digits, ok := strings.CutSuffix(lower, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		switch {
		case err == nil && n < 0:
			return 0, "is negative; write 0 for no limit"
		case err == nil && time.Duration(n) <= 10*365*24*time.Hour/u.unit:
			return time.Duration(n) * u.unit, ""
		case err == nil:
			return 0, "is more than ten years"
		}
	}
	return 0, "is not a time; write a number with ms, s, mi or h, such as 90 or 500ms"
}

// fallback keeps the setting, and warns that the unsafe way does not exist.
func (c *apacheCollector) fallback(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, d.name+" On|Off") {
		return
	}
	value, ok := c.parseOnOff(d, args[0])
	if !ok {
		return
	}
	s.settings().fallback = &value
	if !value {
		s.note(d, "with Off, Apache opens a tunnel before the backend has agreed (CVE-2019-17567); "+
			"wsplice always waits for a correct 101; plain requests pass these routes by, as with Off")
	}
}

// proxyRequests refuses only the forward proxy.
func (c *apacheCollector) proxyRequests(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, d.name+" On|Off") {
		return
	}
	if on, ok := c.parseOnOff(d, args[0]); ok && on {
		s.note(d, "wsplice is no forward proxy; use another server for that")
	}
}

// oursToWrite are request headers that wsplice writes or checks itself.
var oursToWrite = map[string]string{
	"x-forwarded-for":   "wsplice writes it itself, with the client's address",
	"x-forwarded-proto": "wsplice writes it itself, with the scheme of the listener; see trusted_networks where TLS ends before it",
	"x-forwarded-host":  "wsplice writes it itself, with the client's Host",
	"x-forwarded-port":  "wsplice does not write it; the backend finds the port in X-Forwarded-Host",
	"forwarded":         "wsplice writes it itself",
	"host":              "write preserve_host: true on the route for the client's Host; otherwise the backend's is sent",
	"connection":        "wsplice writes it itself for an upgrade",
	"upgrade":           "wsplice writes it itself for an upgrade",
	"transfer-encoding": "wsplice writes it itself",
	"content-length":    "wsplice writes it itself",
	"te":                "wsplice writes it itself",
	"trailer":           "wsplice writes it itself",
	"keep-alive":        "wsplice writes it itself",
}

// requestHeader carries over what is set to a constant, and what is unset.
func (c *apacheCollector) requestHeader(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 2, -1, "RequestHeader set|unset NAME [VALUE]") {
		return
	}
	action, name := strings.ToLower(args[0].text), strings.TrimSuffix(args[1].text, ":")
	lower := strings.ToLower(name)
	if reason, ours := oursToWrite[lower]; ours || strings.HasPrefix(lower, "sec-websocket-") {
		if reason == "" {
			reason = "it belongs to the handshake, which wsplice checks and passes on"
		}
		s.note(d, "%s: %s", name, reason)
		return
	}
	constant, static := staticValue(args[2:])
	settings := s.settings()
	if c.full(d, len(settings.set)+len(settings.remove), headersMax, "headers") {
		return
	}
	switch {
	case s.proxy:
		s.note(d, "%s: it stands in <Proxy>; write request_headers on the routes that are meant", name)
	case !token(name):
		c.r.errorAt(args[1].Pos, "%s: %q is not the name of a header", d.name, args[1].text)
	case action == "unset" && len(args) == 2:
		settings.set, settings.remove = removeHeader(settings.set, settings.remove, name)
	case action == "set" && static:
		settings.set, settings.remove = setHeader(settings.set, settings.remove, Header{name, constant})
	case action == "set" || action == "unset":
		s.note(d, "%s: only a constant value can be set; have the backend look at X-Forwarded-*", name)
	default:
		s.note(d, "%s: %s has no counterpart; write set or remove in request_headers of the route if that will do", name, action)
	}
}

// staticValue returns a value without format specifiers or conditions.
func staticValue(args []word) (string, bool) {
	if len(args) != 1 || strings.HasPrefix(strings.ToLower(args[0].text), "expr=") {
		return "", false
	}
	value := strings.ReplaceAll(args[0].text, "%%", "\x00")
	if strings.ContainsAny(value, "%\r\n\t") {
		return "", false
	}
	return strings.ReplaceAll(value, "\x00", "%"), true
}

// token reports whether s can be the name of a header (RFC 9110 section 5.6.2).
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// header finds the cookie that makes a balancer sticky; the rest is about
// answers, which pass unchanged.
func (c *apacheCollector) header(_ apacheScope, d *directive, args []word) {
	for _, w := range args {
		name, rest, ok := strings.Cut(w.text, "=")
		if ok && token(name) && strings.Contains(rest, "%{BALANCER_WORKER_ROUTE}e") {
			c.config.inserted[name] = true
			return
		}
	}
	c.r.notOnce(d.name, d.Pos, "answers pass wsplice unchanged; let the backend send it")
}

func (c *apacheCollector) sslEngine(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, d.name+" on|off|optional") {
		return
	}
	s.server.tls = !strings.EqualFold(args[0].text, "off")
}

func (c *apacheCollector) sslFile(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, 1, d.name+" FILE") {
		return
	}
	if d.key == "sslcertificatefile" && s.server.cert == "" {
		s.server.cert = args[0].text
	} else if d.key == "sslcertificatekeyfile" && s.server.key == "" {
		s.server.key = args[0].text
	}
}

// remoteIPHeader is in force where trusted networks are.
func (c *apacheCollector) remoteIPHeader(s apacheScope, d *directive, args []word) {
	c.config.remote = d
	if c.want(d, args, 1, 1, d.name+" NAME") && !strings.EqualFold(args[0].text, "X-Forwarded-For") {
		s.note(d, "%s: wsplice reads X-Forwarded-For and Forwarded only; have the proxy before it send one of these", args[0].text)
	}
}

// remoteIPTrusted collects the networks whose headers are believed.
func (c *apacheCollector) remoteIPTrusted(s apacheScope, d *directive, args []word) {
	if !c.want(d, args, 1, -1, d.name+" ADDRESS|NETWORK…") {
		return
	}
	c.config.trusts = true
	for _, w := range args {
		network, ok := parseNetwork(w.text)
		switch {
		case !ok:
			s.note(d, "%s: only addresses and networks such as 10.0.0.0/8 can be trusted; write the addresses of that name", w.text)
		case !c.o.supports(FeatureTrusted):
			s.note(d, "%s: this version of wsplice has no trusted_networks yet; the backend sees the address of that proxy", w.text)
		case !contains(c.config.trusted, network) && !c.full(d, len(c.config.trusted), networksMax, "networks"):
			c.config.trusted = append(c.config.trusted, network)
		}
	}
}

// parseNetwork returns an address or network in CIDR notation.
func parseNetwork(s string) (string, bool) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()).String(), true
	}
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return prefix.Masked().String(), true
	}
	return "", false
}
