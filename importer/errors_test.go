package importer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// brokenApache returns the sources in testdata/errors.txt that cannot be
// understood, and the error that must say so.
func brokenApache(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"a\x00b\n": "f.conf:1:1: the line holds a NUL byte: this is not a configuration"}
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		source, want, ok := strings.Cut(paragraph, "=> ")
		if ok {
			all[source] = strings.TrimSpace(want)
		}
	}
	return all
}

func TestApacheErrors(t *testing.T) {
	for source, want := range brokenApache(t) {
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
		"more than 1024 virtual hosts": strings.Repeat("<VirtualHost *:80>\n</VirtualHost>\n", serversMax+1),
		"more than 256 addresses":      strings.Repeat("Listen 80\n", listensMax+1),
		"more than 1024 sections":      strings.Repeat("<Location /a>\n</Location>\n", sectionsMax+1),
		"more than 32 conditions":      strings.Repeat("RewriteCond %{HTTP:A} b\n", condsMax+1),
		"more than 256 members":        strings.Repeat("BalancerMember balancer://a ws://b\n", membersMax+1),
		"more than 4096 routes": strings.Repeat("ProxyPass /a ws://b/\n", 100) +
			strings.Repeat("<VirtualHost *:80>\n</VirtualHost>\n", 100),
		"more than 128 headers": func() (all string) {
			for i := range headersMax + 1 {
				all += fmt.Sprintf("RequestHeader set A%d b\n", i)
			}
			return all
		}(),
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
		"0": 0, "90": 90 * time.Second, "500ms": 500 * time.Millisecond,
		"5mi": 5 * time.Minute, "2h": 2 * time.Hour, "7S": 7 * time.Second,
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
