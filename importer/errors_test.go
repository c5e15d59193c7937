package importer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// broken returns the sources in errors.txt that cannot be understood, and the
// error that must say so.
func broken(t testing.TB, r reader) map[string]string {
	t.Helper()
	text, err := os.ReadFile(r.folder + "/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"a\x00b\n": "f.conf:1:"}
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		source, want, ok := strings.Cut(paragraph, "=> f.conf")
		if ok {
			all[source] = "f.conf" + strings.TrimSpace(want)
		}
	}
	return all
}

func TestErrors(t *testing.T) {
	for _, r := range readers {
		for source, want := range broken(t, r) {
			_, err := r.read("f.conf", []byte(source), Options{})
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
}

// TestLighttpdBounds holds that every bound ends in an error and not in memory.
func TestLighttpdBounds(t *testing.T) {
	growing := "var.a0 = \"xxxxxxxx\"\n"
	for i := range 40 {
		growing += fmt.Sprintf("var.a%d = var.a%d + var.a%d + var.a%d\n", i+1, i, i, i)
	}
	server := `( "/a/" => ( ( "host" => "b" ) ) )`
	for name, source := range map[string]string{
		"blocks stand more than 32 deep": strings.Repeat("global {\n", sectionDepthMax+1),
		"lists stand more than 32 deep":  "a = " + strings.Repeat("(", sectionDepthMax+2),
		"larger than 1048576 bytes":      strings.Repeat("#\n", fileBytesMax),
		"more than 50000 options":        strings.Repeat("a=1\n", directivesMax+1),
		"longer than 65536 bytes":        `a = "` + strings.Repeat("x", lineBytesMax+1) + `"`,
		"the value is too long":          growing,
		"more than 1024 conditions":      strings.Repeat("$HTTP[\"host\"] == \"a\" { }\n", sectionsMax+1),
		"more than 4096 elements":        "a = (" + strings.Repeat("1,", listItemsMax+1) + ")",
		"more than 500000 words":         strings.Repeat("+\n", tokensMax),
		"more than 256 variables": func() (all string) {
			for i := range definesMax + 1 {
				all += fmt.Sprintf("var.b%d = 1\n", i)
			}
			return all
		}(),
		"more than 256 addresses": func() (all string) {
			for i := range listensMax + 1 {
				all += fmt.Sprintf("$SERVER[\"socket\"] == \":%d\" { }\n", i+1000)
			}
			return all
		}(),
		"more than 256 servers": `wstunnel.server = ( "/a" => ( ` + strings.Repeat(`( "host" => "b" ),`, membersMax+1) + "))\n",
		"more than 4096 routes": func() (all string) {
			keys := ""
			for i := range 100 {
				keys += fmt.Sprintf(`"/%d/" => ( ( "host" => "b" ) ),`, i)
			}
			for i := range 50 {
				all += fmt.Sprintf("$HTTP[\"host\"] == \"h%d\" { wstunnel.server = ( %s ) }\n", i, keys)
			}
			return all
		}(),
		"a list and a string": `a = "x" + ` + server,
	} {
		_, err := Lighttpd("f.conf", []byte(source), Options{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
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

// circle is a file that includes itself.
type circle string

func (circle) Glob(string) ([]string, error) { return []string{"again.conf"}, nil }
func (c circle) Read(string) ([]byte, error) { return []byte(c), nil }

func TestIncludeCircle(t *testing.T) {
	for format, source := range map[string]string{"apache": "Include again.conf\n", "lighttpd": "include \"again.conf\"\n"} {
		_, err := readers[format].read("f.conf", []byte(source), Options{Files: circle(source + source)})
		if err == nil || !strings.Contains(err.Error(), "is there a circle?") {
			t.Errorf("%s: got %v", format, err)
		}
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
