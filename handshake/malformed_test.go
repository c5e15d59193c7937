package handshake

import (
	"strings"
	"testing"
)

const good = "GET / HTTP/1.1\r\nHost: h\r\n"

// malformed are request heads nobody may accept, each with one fault. They
// also seed FuzzRequest.
var malformed = map[string]struct {
	head   string
	status int
}{
	"bare LF after request line":       {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
	"bare LF after a field":            {"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
	"bare LF ends the head":            {good + "\n", 400},
	"LF LF ends the head":              {"GET / HTTP/1.1\r\nHost: h\n\n", 400},
	"bare CR in a value":               {good + "X: a\rb\r\n\r\n", 400},
	"bare CR in a name":                {good + "X\rY: b\r\n\r\n", 400},
	"CR CR LF":                         {good + "X: a\r\r\n\r\n", 400},
	"NUL in the target":                {"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"NUL in a value":                   {good + "X: a\x00b\r\n\r\n", 400},
	"NUL in a name":                    {good + "X\x00Y: a\r\n\r\n", 400},
	"ESC in a value":                   {good + "X: \x1b[31m\r\n\r\n", 400},
	"DEL in a value":                   {good + "X: \x7f\r\n\r\n", 400},
	"vertical tab in a value":          {good + "X: a\vb\r\n\r\n", 400},
	"obs-fold with space":              {good + "X: a\r\n b\r\n\r\n", 400},
	"obs-fold with tab":                {good + "X: a\r\n\tb\r\n\r\n", 400},
	"fold before the first field":      {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
	"space before colon":               {good + "X : a\r\n\r\n", 400},
	"tab before colon":                 {good + "X\t: a\r\n\r\n", 400},
	"space before Host's colon":        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
	"empty name":                       {good + ": a\r\n\r\n", 400},
	"no colon":                         {good + "X\r\n\r\n", 400},
	"space in a name":                  {good + "X Y: a\r\n\r\n", 400},
	"obs-text in a name":               {good + "X\xe9: a\r\n\r\n", 400},
	"parenthesis in a name":            {good + "X(: a\r\n\r\n", 400},
	"empty line first":                 {"\r\n" + good + "\r\n", 400},
	"LF first":                         {"\n" + good + "\r\n", 400},
	"nothing but the end":              {"\r\n\r\n", 400},
	"TLS hello":                        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400},
	"PROXY header unasked":             {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + good + "\r\n", 400},
	"HTTP/2 preface":                   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	"HTTP/0.9":                         {"GET /\r\n\r\n", 400},
	"HTTP/1.2":                         {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
	"HTTP/2.0":                         {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
	"HTTP/1.10":                        {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
	"HTTP/01.1":                        {"GET / HTTP/01.1\r\nHost: h\r\n\r\n", 400},
	"lower-case version":               {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
	"no version":                       {"GET / \r\nHost: h\r\n\r\n", 400},
	"space after version":              {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
	"two spaces":                       {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"tab for space":                    {"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"space first":                      {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"no method":                        {"/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"method no token":                  {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"method too long":                  {strings.Repeat("A", methodBytesMax+1) + " / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"space in the target":              {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"request in the target":            {"GET /x HTTP/1.1\r\nX: HTTP/1.1\r\n\r\n", 400},
	"hash in the path":                 {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"hash in the query":                {"GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"quote in the target":              {"GET /a\"b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"angle bracket in the target":      {"GET /<script> HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"tab in the target":                {"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"UTF-8 in the target":              {"GET /\u00e4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"bad escape":                       {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"short escape":                     {"GET /%2 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"percent last":                     {"GET /a% HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"bad escape in the query":          {"GET /?a=%g0 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"escape across path and query":     {"GET /a%2?0 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"escaped NUL":                      {"GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"escaped CRLF":                     {"GET /a%0d%0ab HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"escaped DEL":                      {"GET /a%7fb HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"request splitting in the path":    {"GET /h/a%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0aGET%20/smug HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"backslash":                        {"GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"escaped backslash":                {"GET /a%5cb HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"above the root":                   {"GET /.. HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"above the root, escaped":          {"GET /a/%2e%2E/.%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"asterisk":                         {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"authority":                        {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 400},
	"CONNECT with a path":              {"CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"relative target":                  {"GET a/b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"empty target":                     {"GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"target of another scheme":         {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"target of another host":           {"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"target with user information":     {"GET http://h@evil/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"target without host":              {"GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"no Host":                          {"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
	"no field at all":                  {"GET / HTTP/1.1\r\n\r\n", 400},
	"two Hosts":                        {good + "Host: h\r\n\r\n", 400},
	"two Hosts in two cases":           {good + "hOST: i\r\n\r\n", 400},
	"empty Host":                       {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
	"Host with a slash":                {"GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", 400},
	"Host with user information":       {"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
	"Host with a comma":                {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
	"Host with a space":                {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	"Host with a bad port":             {"GET / HTTP/1.1\r\nHost: h:8o\r\n\r\n", 400},
	"Host with port 65536":             {"GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", 400},
	"Host with two ports":              {"GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n", 400},
	"Host with bad brackets":           {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
	"Host with IPv4 in brackets":       {"GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", 400},
	"Host with a zone":                 {"GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", 400},
	"Host in UTF-8":                    {"GET / HTTP/1.1\r\nHost: b\u00fccher.example\r\n\r\n", 400},
	"two keys":                         {upgradeHead("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
	"two versions":                     {upgradeHead("Sec-Websocket-Version: 13"), 400},
	"two Upgrades":                     {upgradeHead("Upgrade: h2c"), 400},
	"two Origins":                      {upgradeHead("Origin: https://a", "Origin: https://b"), 400},
	"two lengths":                      {good + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
	"empty length":                     {good + "Content-Length:\r\n\r\n", 400},
	"signed length":                    {good + "Content-Length: +1\r\n\r\n", 400},
	"negative length":                  {good + "Content-Length: -1\r\n\r\n", 400},
	"hexadecimal length":               {good + "Content-Length: 0x1\r\n\r\n", 400},
	"list of lengths":                  {good + "Content-Length: 1, 1\r\n\r\n", 400},
	"length of 2^63":                   {good + "Content-Length: 9223372036854775808\r\n\r\n", 400},
	"length of 2^64+1":                 {good + "Content-Length: 18446744073709551617\r\n\r\n", 400},
	"length and coding":                {good + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	"length 0 and coding":              {good + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
	"two codings":                      {good + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	"list of codings":                  {good + "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
	"unknown coding":                   {good + "Transfer-Encoding: xchunked\r\n\r\n", 400},
	"coding with a vertical tab":       {good + "Transfer-Encoding: \vchunked\r\n\r\n", 400},
	"coding in HTTP/1.0":               {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	"trailer that frames":              {good + "Transfer-Encoding: chunked\r\nTrailer: X, content-length\r\n\r\n", 400},
	"Connection no list of tokens":     {good + "Connection: a b\r\n\r\n", 400},
	"Connection with quotes":           {good + "Connection: \"upgrade\"\r\n\r\n", 400},
	"Connection nominates very much":   {good + "Connection: " + strings.Repeat("a,", connectionTokensMax+1) + "\r\n\r\n", 400},
	"too many fields":                  {good + strings.Repeat("X: y\r\n", fieldsMax) + "\r\n", 431},
	"name longer than 64 KiB, no data": {good + strings.Repeat("x", 70000) + "\r\n\r\n", 400},
}

func TestMalformedHeadsAreRefused(t *testing.T) {
	for name, c := range malformed {
		t.Run(name, func(t *testing.T) {
			head := []byte(c.head)
			refusal := judge(head)
			if refusal == nil || refusal == RefusalHeadIncomplete {
				t.Fatalf("accepted %q (%v)", c.head, refusal)
			}
			if refusal.Status != c.status {
				t.Errorf("refused with %v, want %d", refusal, c.status)
			}
		})
	}
}

// Parse must not rely on a HeadScanner having gone first.
func TestParseAloneRefusesMalformedHeads(t *testing.T) {
	var r Request
	for name, c := range malformed {
		head := []byte(c.head)
		if refusal := r.Parse(head); refusal == nil {
			t.Errorf("%s: accepted %q", name, c.head)
		}
		for i := range min(len(head), 300) {
			_ = r.Parse(head[:i]) // any prefix: it must not read beyond it
		}
	}
}

func TestScanSplits(t *testing.T) {
	heads := []string{chromeHead, upgradeHead(), good + "\r\n", upgradeHead("X:\ta\tb \xff\t")}
	for _, c := range malformed {
		if len(c.head) < 2000 {
			heads = append(heads, c.head)
		}
	}
	for _, head := range heads {
		b := []byte(head + "GET /next HTTP/1.1\r\n\r\n")
		var whole HeadScanner
		n, refusal := whole.Scan(b)
		for i := range b {
			gotN, got := scanInTwo(b, i)
			if gotN != n || got != refusal {
				t.Fatalf("split at %d: %d %v, whole: %d %v\n%q", i, gotN, got, n, refusal, head)
			}
		}
		var bytewise HeadScanner
		for i := range len(b) + 1 {
			gotN, got := bytewise.Scan(b[:i])
			if gotN == 0 && got == nil {
				continue
			}
			if gotN != n || got != refusal {
				t.Fatalf("byte by byte: %d %v, whole: %d %v\n%q", gotN, got, n, refusal, head)
			}
			if n > 0 && i != n {
				t.Fatalf("found the end of %d bytes after %d", n, i)
			}
			break
		}
	}
}

func TestScanRefusesEarly(t *testing.T) {
	for _, b := range []string{"\r", "\n", "\x16", "GET /\x00", "GET / HTTP/1.1\n", "GET / HTTP/1.1\rH", "GET /\x7f"} {
		var s HeadScanner
		if n, refusal := s.Scan([]byte(b)); n != 0 || refusal == nil || refusal.Status != 400 {
			t.Errorf("Scan(%q) = %d, %v", b, n, refusal)
		}
		s = HeadScanner{}
		if _, refusal := s.ScanResponse([]byte(b)); refusal == nil || refusal.Status != 502 {
			t.Errorf("ScanResponse(%q) = %v", b, refusal)
		}
	}
}

func TestSkipTextFindsEveryControlByte(t *testing.T) {
	for c := range 256 {
		for at := range 24 {
			b := []byte(strings.Repeat("\xff\x20~", 8))
			b[at] = byte(c)
			want := len(b)
			if c < 0x20 || c == 0x7f {
				want = at
			}
			if got := skipText(b, 0); got != want {
				t.Fatalf("byte %#x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}
