package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// A lighttpdCase is a configuration for both servers, and requests that both
// must answer alike. In conf, PORT is where it listens; A and B are addresses of
// backends, and SOCKET is one on a unix socket.
type lighttpdCase struct {
	conf   string
	probes []lighttpdProbe
}

// A lighttpdProbe asks for a WebSocket, and says what must come of it: the
// status, and for 101 the subprotocol, the first frame and the echo of "hello".
type lighttpdProbe struct {
	target string
	fields string // further lines of the head
	want   string
	apart  string // why lighttpd 1.4.69 does something else; "" = it must not
}

// lighttpdCases are named after the options of lighttpd's page.
var lighttpdCases = map[string]lighttpdCase{
	"wstunnel.server, prefix": {
		`wstunnel.server = ( "/a/" => ( ( "host" => "127.0.0.1", "port" => A ) ), "/b" => ( ( "host" => "127.0.0.1", "port" => B ) ) )`,
		[]lighttpdProbe{
			{"/a/x", "", "101 text A, text hello", ""},
			{"/b", "", "101 text B, text hello", ""},
			{"/bcd/e", "", "101 text B, text hello", ""},
			{"/c", "", "404", ""},
		},
	},
	"wstunnel.server, suffix": {
		`wstunnel.server = ( ".ws" => ( ( "host" => "127.0.0.1", "port" => A ) ), "" => ( ( "host" => "127.0.0.1", "port" => B ) ) )`,
		[]lighttpdProbe{{"/x/y.ws", "", "101 text A, text hello", ""}, {"/x/y.wsx", "", "101 text B, text hello", ""}},
	},
	"socket": {
		`wstunnel.server = ( "/" => ( ( "socket" => "SOCKET" ) ) )`,
		[]lighttpdProbe{{"/", "", "101 text S, text hello", ""}},
	},
	"wstunnel.frame-type": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ) ) )
wstunnel.frame-type = "binary"`,
		[]lighttpdProbe{{"/", "", "101 binary A, binary hello", apartUnasked}},
	},
	"subprotocol binary": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ) ) )`,
		[]lighttpdProbe{
			{"/", "Sec-WebSocket-Protocol: binary\r\n", "101 (binary) binary A, binary hello", ""},
			{"/", "Sec-WebSocket-Protocol: chat, binary\r\n", "101 (binary) binary A, binary hello", ""},
		},
	},
	"wstunnel.origins": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ) ) )
wstunnel.origins = ( "https://a.test", "example.com" )`,
		[]lighttpdProbe{
			{"/", "Origin: https://a.test\r\n", "101 text A, text hello", ""},
			{"/", "Origin: https://sub.example.com\r\n", "101 text A, text hello", ""},
			{"/", "Origin: https://b.test\r\n", "403", ""},
			{"/", "", "400", ""},
		},
	},
	"wstunnel.map-extensions": {
		`wstunnel.server = ( ".ws" => ( ( "host" => "127.0.0.1", "port" => A ) ) )
wstunnel.map-extensions = ( ".ws3" => ".ws" )`,
		[]lighttpdProbe{{"/x.ws3", "", "101 text A, text hello", ""}, {"/x.ws", "", "101 text A, text hello", ""}},
	},
	"wstunnel.balance round-robin": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ), ( "host" => "127.0.0.1", "port" => B ) ) )
wstunnel.balance = "round-robin"`,
		[]lighttpdProbe{
			{"/", "", "101 text A, text hello", ""},
			{"/", "", "101 text B, text hello", ""},
			{"/", "", "101 text A, text hello", ""},
		},
	},
	"conditions": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ) ) )
$HTTP["host"] =~ "(^|\.)b\.test$" { wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => B ) ) ) }
else $HTTP["host"] == "c.test" { wstunnel.frame-type = "binary" }
$HTTP["url"] =~ "^/closed/" { wstunnel.origins = ( "https://nobody.test" ) }`,
		[]lighttpdProbe{
			{"/", "Host: x.b.test\r\n", "101 text B, text hello", ""},
			{"/", "Host: b.test\r\n", "101 text B, text hello", ""},
			{"/", "Host: c.test\r\n", "101 binary A, binary hello", apartUnasked},
			{"/", "", "101 text A, text hello", ""},
			{"/closed/x", "Origin: https://b.test\r\n", "403", ""},
		},
	},
	"a backend that is not there": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => GONE, "disable-time" => 0 ) ) )`,
		[]lighttpdProbe{{"/", "", "503", ""}},
	},
	"version": {
		`wstunnel.server = ( "/" => ( ( "host" => "127.0.0.1", "port" => A ) ) )`,
		[]lighttpdProbe{{"/", "Sec-WebSocket-Version: 7\r\n", "426", apartVersion}},
	},
}

// Reasons for being apart.
const (
	apartUnasked = "it answers with a subprotocol that nobody asked for, which RFC 6455 section 4.1 has clients refuse"
	apartVersion = "it connects to the backend first, and then takes the wrong version for a fault of that"
)

// TestImportedLighttpd sends the same requests to lighttpd with a configuration
// and to wsplice with what was imported of it.
func TestImportedLighttpd(t *testing.T) {
	needsWsplice(t)
	needsPlain(t)
	if !rig.HasLighttpd() {
		missing(t, "needs lighttpd: run bench/install-peers lighttpd")
	}
	for name, c := range lighttpdCases {
		t.Run(name, func(t *testing.T) {
			port := strings.TrimPrefix(rig.FreeAddress(t), "127.0.0.1:")
			conf := c.fill(t, port)
			rig.Lighttpd(t, conf, "127.0.0.1:"+port)
			proxy := startImported(t, "lighttpd", conf)
			for _, p := range c.probes {
				if p.apart != "" {
					continue
				}
				if got := p.ask(t, "127.0.0.1:"+port); got != p.want {
					t.Errorf("lighttpd: %s %q answers %q, want %q", p.target, p.fields, got, p.want)
				}
			}
			for _, p := range c.probes {
				if got := p.ask(t, proxy); got != p.want {
					t.Errorf("wsplice: %s %q answers %q, want %q", p.target, p.fields, got, p.want)
				}
			}
		})
	}
}

// fill completes a configuration.
func (c lighttpdCase) fill(t *testing.T, port string) string {
	dir := rig.TempDir(t, 0o755)
	socket := filepath.Join(dir, "s")
	greetingBackend(t, "unix:"+socket, "S")
	portOf := func(name string) string {
		address := greetingBackend(t, "127.0.0.1:0", name).Addr()
		return address[strings.LastIndexByte(address, ':')+1:]
	}
	gone := strings.TrimPrefix(rig.FreeAddress(t), "127.0.0.1:")
	conf := strings.NewReplacer(
		"=> A ", "=> "+portOf("A")+" ", "=> B ", "=> "+portOf("B")+" ", "SOCKET", socket, "GONE", gone,
	).Replace(c.conf)
	return fmt.Sprintf("server.modules = ( \"mod_wstunnel\" )\nserver.document-root = %q\n"+
		"server.bind = \"127.0.0.1\"\nserver.port = %s\n%s\n",
		dir, port, conf)
}

// greetingBackend speaks plain bytes: its name first, and then what it is sent.
func greetingBackend(t *testing.T, address, name string) *rig.Backend {
	return rig.NewBackendAt(t, address, func(c *rig.BackendConn) {
		if c.Answer(name) == nil {
			c.Echo()
		}
	})
}

// ask sends the request and describes what comes of it.
func (p lighttpdProbe) ask(t *testing.T, address string) string {
	t.Helper()
	client := rig.Dial(t, address)
	defer func() { _ = client.Close() }()
	head := rig.UpgradeRequest(p.target)
	for line := range strings.SplitAfterSeq(p.fields, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		head = withoutField(head, name)
	}
	client.Put(strings.TrimSuffix(head, "\r\n") + p.fields + "\r\n")
	a := client.Answer()
	if a.Status != 101 {
		return fmt.Sprint(a.Status)
	}
	said := "101 "
	if protocol := a.Header.Get("Sec-WebSocket-Protocol"); protocol != "" {
		said += "(" + protocol + ") "
	}
	said += readAnyFrame(t, client)
	client.Put(textFrame("hello"))
	return said + ", " + readAnyFrame(t, client)
}

// withoutField removes the lines of a field from a head.
func withoutField(head, name string) string {
	if name == "" {
		return head
	}
	var kept strings.Builder
	for line := range strings.SplitAfterSeq(head, "\r\n") {
		if !strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// readAnyFrame describes a short data frame as a server sends it.
func readAnyFrame(t *testing.T, c *rig.Client) string {
	t.Helper()
	head := make([]byte, 2)
	readFull(t, c, head)
	payload := make([]byte, head[1]&0x7f)
	readFull(t, c, payload)
	return map[byte]string{0x81: "text", 0x82: "binary"}[head[0]] + " " + string(payload)
}
