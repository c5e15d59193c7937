package e2e

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// proxyV2 is a PROXY header of version 2 by its specification: command 1 is
// PROXY and 0 LOCAL; the destination is of no interest.
func proxyV2(command byte, source netip.AddrPort) string {
	family, size := byte(0x11), 4
	if source.Addr().Is6() {
		family, size = 0x21, 16
	}
	b := []byte("\r\n\r\n\x00\r\nQUIT\n")
	b = append(b, 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(2*size+4))
	b = append(b, source.Addr().AsSlice()...)
	b = append(b, make([]byte, size)...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	return string(binary.BigEndian.AppendUint16(b, 443))
}

var (
	announced4 = netip.MustParseAddrPort("192.0.2.1:56324")
	announced6 = netip.MustParseAddrPort("[2001:db8::7]:56324")
)

const (
	proxyV1  = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
	proxyV16 = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"
)

// A greetingCase is what a balancer sends first, and whom the backend sees: the
// balancer itself where announced is not valid, or nobody, where refused.
type greetingCase struct {
	header    string
	announced netip.AddrPort
	refused   bool
}

// TestProxyProtocol tries each setting with each header.
func TestProxyProtocol(t *testing.T) {
	announcing := map[string]greetingCase{
		"version 1":           {proxyV1, announced4, false},
		"version 1 with IPv6": {proxyV16, announced6, false},
		"version 2":           {proxyV2(1, announced4), announced4, false},
		"version 2 with IPv6": {proxyV2(1, announced6), announced6, false},
	}
	silent := map[string]greetingCase{
		"version 1 unknown": {header: "PROXY UNKNOWN\r\n"},
		"version 2 local":   {header: proxyV2(0, announced4)},
	}
	broken := map[string]greetingCase{
		"version 1 of another port":   {header: "PROXY TCP4 192.0.2.1 198.51.100.1 99999 443\r\n", refused: true},
		"version 1 of no address":     {header: "PROXY TCP4 nobody 198.51.100.1 1 2\r\n", refused: true},
		"version 1 of the other kind": {header: "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", refused: true},
		"version 1 too long":          {header: "PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n", refused: true},
		"version 2 of version 3":      {header: strings.Replace(proxyV2(1, announced4), "\x21\x11", "\x31\x11", 1), refused: true},
		"version 2 too short":         {header: strings.Replace(proxyV2(1, announced4), "\x00\x0c", "\x00\x03", 1), refused: true},
	}
	for setting, none := range map[string]greetingCase{
		"required": {refused: true}, "optional": {}, "off": {},
	} {
		t.Run(setting, func(t *testing.T) {
			proxy := startWith(t, rig.Config{ListenerX: "proxy_protocol: " + setting},
				`- {path: /ws/, to: "ws://%[1]s/"}`, newMirror(t, "b"))
			none.run(t, proxy, "none")
			for _, group := range []map[string]greetingCase{announcing, silent, broken} {
				for name, c := range group {
					if setting == "off" { // nobody is believed
						c = greetingCase{header: c.header, refused: true}
					}
					c.run(t, proxy, name)
				}
			}
		})
	}
}

func (c greetingCase) run(t *testing.T, p *rig.Proxy, name string) {
	for way, step := range map[string]int{"whole": 0, "split": 3} {
		t.Run(name+"/"+way, func(t *testing.T) { c.try(t, p.In(t), step) })
	}
}

func (c greetingCase) try(t *testing.T, p *rig.Proxy, step int) {
	mark := p.Logs.Mark()
	client := rig.Dial(t, p.Addr(0))
	client.Offer(c.header+upgradeTo("/ws/x"), step)
	m := readMirrored(t, client)
	if c.refused {
		if m.Status != 400 || m.backend != "" {
			t.Errorf("answer %q, want 400", m.Raw)
		}
		client.WantEnd()
		return
	}
	client.WantEcho("the tunnel's first bytes")
	socket := netip.MustParseAddrPort(client.LocalAddr().String())
	seen, via := c.announced, any(socket.String())
	if !seen.IsValid() {
		seen, via = socket, nil
	}
	if got := m.head.Values("X-Forwarded-For"); len(got) != 1 || got[0] != seen.Addr().String() {
		t.Errorf("X-Forwarded-For %q, want %v", got, seen.Addr())
	}
	line := p.WaitLog(mark, "the tunnel is open", isMsg("tunnel open"))
	if line.Text("client") != seen.String() || line["via"] != via {
		t.Errorf("client=%v via=%v, want %v and %v", line["client"], line["via"], seen, via)
	}
}

// TestProxyProtocolThatNeverEnds is under the clock of the request head.
func TestProxyProtocolThatNeverEnds(t *testing.T) {
	proxy := startWith(t, rig.Config{
		ListenerX: "proxy_protocol: optional", Timeouts: rig.Settings{"head": "400ms"},
	}, `- {path: /ws/, to: "ws://%[1]s/"}`, newMirror(t, "b"))
	for name, sent := range map[string]string{
		"half a header of version 1":     proxyV1[:20],
		"half a header of version 2":     proxyV2(1, announced4)[:14],
		"a header and no request":        proxyV1,
		"a header and half of a request": proxyV1 + upgradeTo("/ws/x")[:30],
	} {
		t.Run(name, func(t *testing.T) {
			client := rig.Dial(t, proxy.In(t).Addr(0))
			client.Put(sent)
			within(t, shortTimeout, shortLate, client.WantGone)
		})
	}
}

// TestProxyProtocolIsReadOnce takes a second header for what it is: no request.
func TestProxyProtocolIsReadOnce(t *testing.T) {
	proxy := startWith(t, rig.Config{ListenerX: "proxy_protocol: required"},
		`- {path: /ws/, to: "ws://%[1]s/"}`, newMirror(t, "b"))
	if a := look(t, proxy, proxyV1+proxyV1+upgradeTo("/ws/x")); a.Status != 400 {
		t.Errorf("answer %q, want 400", a.Raw)
	}
}

// TestProxyProtocolHoldsForTheConnection names the client of every request.
func TestProxyProtocolHoldsForTheConnection(t *testing.T) {
	proxy := startWith(t, rig.Config{ListenerX: "proxy_protocol: required"}, `
- {path: /ws/, to: "ws://%[1]s/"}
- {path: /, to: "http://%[1]s/"}`, newMirror(t, "b"))
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(proxyV1)
	for _, request := range []string{getRequest("/1"), getRequest("/2"), upgradeTo("/ws/3")} {
		client.Put(request)
		m := readMirrored(t, client)
		if got := m.head.Values("X-Forwarded-For"); len(got) != 1 || got[0] != "192.0.2.1" {
			t.Errorf("X-Forwarded-For %q at %q, want the announced client", got, m.head.Target)
		}
	}
	client.WantEcho("a tunnel")
}

// forgery is what a client would like the backend to believe.
var forgery = []string{
	"X-Forwarded-For: 203.0.113.9, 203.0.113.10", "X-Forwarded-Proto: https",
	"X-Forwarded-Host: public.test", "Forwarded: for=203.0.113.9;proto=https",
}

// TestTrustedNetworks has the same claims come from somebody who is believed,
// and from somebody who is not.
func TestTrustedNetworks(t *testing.T) {
	type fields [4]string // X-Forwarded-For, -Proto and -Host, Forwarded
	ours := func(addr, node string) fields {
		return fields{addr, "http", "example.test", "for=" + node + ";host=example.test;proto=http"}
	}
	const own = "for=127.0.0.1;host=example.test;proto=http"
	extended := fields{
		"203.0.113.9, 203.0.113.10, 127.0.0.1", "https", "public.test", "for=203.0.113.9;proto=https, " + own,
	}
	for name, c := range map[string]struct {
		trusted, header string
		lines           []string
		want            fields
	}{
		"nobody is trusted":              {"[]", "", forgery, ours("127.0.0.1", "127.0.0.1")},
		"others are trusted":             {"[10.0.0.0/8, 2001:db8::/32]", "", forgery, ours("127.0.0.1", "127.0.0.1")},
		"the client's network":           {"[10.0.0.0/8, 127.0.0.0/8]", "", forgery, extended},
		"the client's address":           {"[127.0.0.1]", "", forgery, extended},
		"one who claims nothing":         {"[127.0.0.1]", "", nil, ours("127.0.0.1", "127.0.0.1")},
		"the announced, not the socket":  {"[127.0.0.1]", proxyV1, forgery, ours("192.0.2.1", "192.0.2.1")},
		"the announced one of version 2": {"[127.0.0.1]", proxyV2(1, announced6), forgery, ours("2001:db8::7", `"[2001:db8::7]"`)},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := startWith(t, rig.Config{ListenerX: "proxy_protocol: optional", More: "trusted_networks: " + c.trusted},
				`- {path: /, to: "http://%[1]s/"}`, newMirror(t, "b"))
			for _, request := range []string{rig.UpgradeRequest("/x", c.lines...), getRequest("/x", c.lines...)} {
				m := look(t, proxy, c.header+request)
				if m.backend == "" {
					t.Fatalf("answer %q", m.Raw)
				}
				for i, field := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
					if got := m.head.Values(field); len(got) != 1 || got[0] != c.want[i] {
						t.Errorf("%s: %q, want %q", field, got, c.want[i])
					}
				}
			}
		})
	}
}

// TestRequestHeaders changes what the backend sees, and lets nobody else do so.
func TestRequestHeaders(t *testing.T) {
	proxy := startRoutes(t, `
- path: /ws/
  to: "http://%[1]s/"
  request_headers: {set: {X-Site: a b, Authorization: "Bearer ours"}, remove: [X-Debug, Cookie]}
- {path: /plain/, to: "http://%[1]s/"}`, newMirror(t, "b"))
	lines := []string{"x-site: forged", "X-DEBUG: 1", "Cookie: a=1", "cookie: b=2", "Authorization: Basic x", "X-Other:  kept "}
	changed := []mirrored{look(t, proxy, rig.UpgradeRequest("/ws/x", lines...)), look(t, proxy, getRequest("/ws/x", lines...))}
	plain := []mirrored{look(t, proxy, rig.UpgradeRequest("/plain/x", lines...)), look(t, proxy, getRequest("/plain/x", lines...))}
	for name, want := range map[string][2]string{
		"X-Site": {"a b", "forged"}, "X-Debug": {"", "1"}, "Cookie": {"", "a=1|b=2"},
		"Authorization": {"Bearer ours", "Basic x"}, "X-Other": {"kept", "kept"},
	} {
		for i, group := range [][]mirrored{changed, plain} {
			for _, m := range group {
				if got := strings.Join(m.head.Values(name), "|"); got != want[i] {
					t.Errorf("%s: %q, want %q, in %q", name, got, want[i], m.head.Raw)
				}
			}
		}
	}
}
