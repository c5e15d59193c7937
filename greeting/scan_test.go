package greeting

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// v2 makes a header of version 2 with any content.
func v2(command, family byte, content string) string {
	b := append([]byte(v2Signature), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(content)))) + content
}

const (
	inet4 = "\xc0\x00\x02\x01" + "\xc6\x33\x64\x01" + "\xdc\x04" + "\x01\xbb"
	ports = "\xdc\x04\x01\xbb"
	noop  = "\x04\x00\x02xx"
)

var (
	inet6  = string(netip.MustParseAddr("2001:db8::1").AsSlice()) + string(netip.MustParseAddr("2001:db8::2").AsSlice()) + ports
	mapped = string(netip.MustParseAddr("::ffff:192.0.2.1").AsSlice()) + string(netip.MustParseAddr("::1").AsSlice()) + ports
	paths  = strings.Repeat("\x00", v2AddressBytesMax)
	longV1 = "PROXY UNKNOWN " + strings.Repeat("x", v1BytesMax-len("PROXY UNKNOWN \r\n")) + "\r\n"
	longV2 = v2(v2Proxy, 0x31, strings.Repeat("\x00", v2AddressBytesMax+v2ExtensionBytesMax))
)

var complete = []struct {
	name, header, source string // source is empty where there is none
	local                bool
}{
	{"IPv4 in version 1", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1:56324", false},
	{"IPv6 in version 1", "PROXY TCP6 2001:db8::1 2001:DB8::2 56324 443\r\n", "[2001:db8::1]:56324", false},
	{"mapped IPv4 in version 1", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", false},
	{"ports at their bounds", "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535", false},
	{"unknown", "PROXY UNKNOWN\r\n", "", true},
	{"unknown with text", "PROXY UNKNOWN ffff::1 whatever \x00 \r \r\n", "", true},
	{"longest line", longV1, "", true},

	{"IPv4 in version 2", v2(v2Proxy, 0x11, inet4), "192.0.2.1:56324", false},
	{"IPv6 in version 2", v2(v2Proxy, 0x21, inet6), "[2001:db8::1]:56324", false},
	{"mapped IPv4 in version 2", v2(v2Proxy, 0x21, mapped), "192.0.2.1:56324", false},
	{"datagrams", v2(v2Proxy, 0x12, inet4), "192.0.2.1:56324", false},
	{"extensions", v2(v2Proxy, 0x11, inet4+noop+noop), "192.0.2.1:56324", false},
	{"unix", v2(v2Proxy, 0x31, paths), "", false},
	{"largest", longV2, "", false},
	{"local", v2(v2Local, 0x00, ""), "", true},
	{"local with addresses", v2(v2Local, 0x11, inet4), "", true},
	{"local with something else", v2(v2Local, 0x21, "x"), "", true},
	{"unspecified", v2(v2Proxy, 0x00, ""), "", true},
	{"unspecified with extensions", v2(v2Proxy, 0x00, noop), "", true},
}

func TestComplete(t *testing.T) {
	for _, c := range complete {
		t.Run(c.name, func(t *testing.T) {
			var source netip.AddrPort
			if c.source != "" {
				source = netip.MustParseAddrPort(c.source)
			}
			want := Header{Bytes: len(c.header), Local: c.local, Source: source}
			for n := range c.header {
				if h, verdict := Scan([]byte(c.header[:n])); verdict != Incomplete || h != (Header{}) {
					t.Fatalf("after %d of %d bytes: %+v, %v", n, len(c.header), h, verdict)
				}
			}
			for _, behind := range []string{"", "G", "GET / HTTP/1.1\r\n\r\n", c.header} {
				if h, verdict := Scan([]byte(c.header + behind)); verdict != Complete || h != want {
					t.Fatalf("with %q behind: %+v, %v; want %+v", behind, h, verdict, want)
				}
			}
		})
	}
}

// Each text is refused with its last byte, and not before.
func TestRefusedAtOnce(t *testing.T) {
	tests := []struct {
		name, text string
		want       Verdict
	}{
		{"GET", "G", Absent},
		{"POST", "PO", Absent},
		{"PROXYING", "PROXYI", Absent},
		{"empty line", "\r\nG", Absent},
		{"TLS", "\x16", Absent},
		{"almost version 2", v2Signature[:11] + "x", Absent},

		{"unknown protocol", "PROXY TCP5", Malformed},
		{"a request", "PROXY /", Malformed},
		{"lower case", "PROXY t", Malformed},
		{"no word behind", "PROXY UNKNOWNx", Malformed},
		{"bytes no address has", "PROXY TCP4 192.0.2.1 h", Malformed},
		{"zone", "PROXY TCP6 fe80::1%", Malformed},
		{"CR without LF", "PROXY TCP4 192.0.2.1\r1", Malformed},
		{"LF without CR", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Malformed},
		{"nothing but the name", "PROXY \r\n", Malformed},
		{"cut off", "PROXY TCP\r\n", Malformed},
		{"no addresses", "PROXY TCP4 \r\n", Malformed},
		{"port missing", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Malformed},
		{"one field too many", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Malformed},
		{"two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", Malformed},
		{"port too large", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", Malformed},
		{"port with zero in front", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Malformed},
		{"IPv6 as TCP4", "PROXY TCP4 ::1 ::2 1 2\r\n", Malformed},
		{"IPv4 as TCP6", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Malformed},
		{"line too long", longV1[:v1BytesMax-1] + "x", Malformed},

		{"version 1 in version 2", v2Signature + "\x11", Malformed},
		{"unknown command", v2Signature + "\x22", Malformed},
		{"unknown family", v2Signature + "\x21\x41", Malformed},
		{"unknown transport", v2Signature + "\x21\x13", Malformed},
		{"unknown family of a local one", v2Signature + "\x20\x01", Malformed},
		{"shorter than its addresses", v2Signature + "\x21\x11\x00\x0b", Malformed},
		{"too long", v2Signature + "\x21\x11\xff\xff", Malformed},
		{"one byte too long", v2Signature + "\x20\x00\x08\xd9", Malformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			last := len(test.text) - 1
			if _, verdict := Scan([]byte(test.text[:last])); verdict != Incomplete {
				t.Errorf("%v before the last byte", verdict)
			}
			for _, behind := range []string{"", "\r\n", "1 2\r\n\r\n"} {
				if h, verdict := Scan([]byte(test.text + behind)); verdict != test.want || h != (Header{}) {
					t.Errorf("with %q behind: %+v, %v; want %v", behind, h, verdict, test.want)
				}
			}
		})
	}
}

// Until a header is complete, scanning costs no memory.
func TestIncompleteDoesNotAllocate(t *testing.T) {
	for _, c := range complete {
		b := []byte(c.header[:len(c.header)-1])
		if n := testing.AllocsPerRun(100, func() { Scan(b) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
