package importer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// brokenApache are sources that cannot be understood, and the error that must
// say so.
var brokenApache = map[string]string{
	"<VirtualHost *:80>\nProxyPass / ws://b/\n":          "f.conf:1:1: <VirtualHost> is not closed; add </VirtualHost>",
	"Listen 80\n  </Location>\n":                         "f.conf:2:3: </Location> ends a section that does not begin in this file; remove it",
	"<Location /a>\n</Proxy>\n":                          "f.conf:2:1: </Proxy> stands where </Location> is expected, for <Location> in line 1",
	"<Location /a\n</Location>\n":                        "f.conf:1:1: <Location: the > is missing; add it at the end of the line",
	"ProxyPass \"/a ws://b/\n":                           "f.conf:1:11: ProxyPass: the quote is not closed; add it where the argument ends",
	"ProxyPass /a\n":                                     "f.conf:1:1: ProxyPass has 1 arguments; it is written: ProxyPass PATH URL [KEY=VALUE…]",
	"ProxyPass /a b:9000\n":                              "f.conf:1:14: ProxyPass: \"b:9000\" is not a URL; write scheme://host:port/path",
	"ProxyPass /a \\\n  ws:///x\n":                       "f.conf:2:3: ProxyPass: \"ws:///x\" has no host; write scheme://host:port/path",
	"ProxyPass /a ws://b/ timeout\n":                     "f.conf:1:22: ProxyPass: \"timeout\" is not KEY=VALUE, nocanon, interpolate or noquery; put a URL with spaces in quotes",
	"ProxyPass /a ws://b/ timeout=soon\n":                "f.conf:1:22: timeout=soon is not a time; write a number with ms, s, mi or h, such as 90 or 500ms",
	"ProxyPass /a ws://b/ upgrade=,\n":                   "f.conf:1:22: ProxyPass: upgrade=\",\" is not a protocol, a list of them, ANY or NONE",
	"ProxyPass /a ws://${B}/\n":                          "f.conf:1:1: ProxyPass: ${B} is not defined in what was read; add -D B=VALUE to the command",
	"ProxyPass /a unix:/s\n":                             "f.conf:1:14: ProxyPass: \"unix:/s\" a unix socket is written unix:/path|http://host/path",
	"<Location /a>\nProxyPass /b ws://b/\n</Location>\n": "f.conf:2:11: ProxyPass: in <Location> the path is that of the section; remove /b",
	"Listen 99999\n":                                     "f.conf:1:8: Listen: \"99999\" is not [ADDRESS:]PORT with a port from 1 to 65535",
	"Listen here:80\n":                                   "f.conf:1:8: Listen: \"here\" is not an IP address; an IPv6 one stands in brackets",
	"ProxyPreserveHost maybe\n":                          "f.conf:1:19: ProxyPreserveHost is On or Off, but this is \"maybe\"",
	"ProxyWebsocketIdleTimeout -1\n":                     "f.conf:1:27: ProxyWebsocketIdleTimeout: \"-1\" is negative; write 0 for no limit",
	"ProxyWebsocketAsyncDelay 5 ms\n":                    "f.conf:1:1: ProxyWebsocketAsyncDelay has 2 arguments; it is written: ProxyWebsocketAsyncDelay NUMBER[ms|s|mi|h]",
	"RewriteRule ^/a ws://b/ P,L\n":                      "f.conf:1:25: RewriteRule: the flags \"P,L\" stand in brackets without spaces, such as [P,L]",
	"RewriteEngine on\nRewriteRule ^/a nowhere [P]\n":    "f.conf:2:17: RewriteRule with [P]: \"nowhere\" is not a URL; write scheme://host:port/path",
	"BalancerMember ws://b\n":                            "f.conf:1:1: BalancerMember stands outside of <Proxy balancer://name>; name the balancer before the URL",
	"<Proxy balancer://a>\nBalancerMember ws://b status=X\n</Proxy>\nProxyPass / balancer://a/\n": "f.conf:2:23: status=X: \"x\" is none of D, S, I, R, H, E, N and C",
	"<VirtualHost *:80>\n<VirtualHost *:81>\n</VirtualHost>\n</VirtualHost>\n":                    "f.conf:2:1: <VirtualHost> stands inside another section; close that one first",
	"RequestHeader set \"a b\" c\n": "f.conf:1:19: RequestHeader: \"a b\" is not the name of a header",
	"a\x00b\n":                      "f.conf:1:1: the line holds a NUL byte: this is not a configuration",
	"Define a b c\n":                "f.conf:1:1: Define takes a name and at most one value; put the value in quotes",
}

func TestApacheErrors(t *testing.T) {
	for source, want := range brokenApache {
		_, err := Apache("f.conf", []byte(source), Options{})
		if err == nil {
			t.Errorf("%q: no error, want %s", source, want)
			continue
		}
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", source, err, want)
		}
		var all Errors
		if !errors.As(err, &all) {
			t.Errorf("%q: the error is a %T", source, err)
		}
	}
}

// TestApacheBounds holds that every bound ends in an error and not in memory.
func TestApacheBounds(t *testing.T) {
	deep := strings.Repeat("<Location /a>\n", sectionDepthMax+1) + strings.Repeat("</Location>\n", sectionDepthMax+1)
	growing := "Define a0 xxxxxxxx\n"
	for i := range 40 {
		growing += fmt.Sprintf("Define a%d ${a%d}${a%d}${a%d}${a%d}\n", i+1, i, i, i, i)
	}
	for name, source := range map[string]string{
		"more than 32 deep":            deep,
		"larger than 1048576 bytes":    strings.Repeat("#\n", fileBytesMax),
		"more than 50000 directives":   strings.Repeat("A\n", directivesMax+1),
		"at most 65536 are read":       "A " + strings.Repeat("x", lineBytesMax+1),
		"more than 1024 arguments":     "ServerAlias" + strings.Repeat(" a", wordsMax+1),
		"after its variables are repl": growing,
	} {
		_, err := Apache("f.conf", []byte(source), Options{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// circle includes itself.
type circle struct{}

func (circle) Glob(string) ([]string, error) { return []string{"again.conf"}, nil }
func (circle) Read(string) ([]byte, error) {
	return []byte("Include again.conf\nInclude again.conf\n"), nil
}

func TestApacheIncludeCircle(t *testing.T) {
	_, err := Apache("f.conf", []byte("Include again.conf\n"), Options{Files: circle{}})
	if err == nil || !strings.Contains(err.Error(), "is there a circle?") {
		t.Errorf("got %v", err)
	}
}

func TestApacheTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "500ms": 500 * time.Millisecond, "5mi": 5 * time.Minute, "2h": 2 * time.Hour, "7S": 7 * time.Second,
	} {
		if got, wrong := parseApacheTime(text); wrong != "" || got != want {
			t.Errorf("%s: %v %s, want %v", text, got, wrong, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "5d", "99999999999", "400000h"} {
		if got, wrong := parseApacheTime(text); wrong == "" {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}
