package importer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzApache(f *testing.F) {
	fuzzReader(f, readers["apache"],
		"RewriteEngine on\nRewriteCond %{HTTP:U\x83\x83\x83pgrade} a\nRewriteRule /(.*) ws://b/$1 [P]\n", // longer in upper case
		"RewriteEngine on\nRewriteRule /(.*) ws://b/$1 [P,X,Y,Z]\n",
		"ProxyPass /a ws://b/ \x83\x83=b secret=c\n")
}

func FuzzLighttpd(f *testing.F) { fuzzReader(f, readers["lighttpd"]) }

// fuzzReader holds for every source: no panic; the same answer twice; errors
// carry a position, and a result is text whose comments cannot break out.
func fuzzReader(f *testing.F, r reader, seeds ...string) {
	confs, err := filepath.Glob(r.folder + "/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, conf := range confs {
		data, err := os.ReadFile(conf)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, source := range seeds {
		f.Add([]byte(source))
	}
	for source := range broken(f, r) {
		f.Add([]byte(source))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		result, err := r.read("f.conf", source, Options{})
		again, againErr := r.read("f.conf", source, Options{})
		if err != nil {
			checkErrors(t, err, againErr)
			return
		}
		if againErr != nil || !bytes.Equal(result.YAML, again.YAML) || len(result.Notes) != len(again.Notes) {
			t.Fatalf("two answers to one source:\n%s\n%s", result.YAML, again.YAML)
		}
		for line := range strings.Lines(string(result.YAML)) {
			if !knownLine(line) {
				t.Fatalf("the line %q of\n%s", line, result.YAML)
			}
		}
	})
}

func checkErrors(t *testing.T, err, again error) {
	t.Helper()
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 || len(all) > errorsMax || again == nil || again.Error() != err.Error() {
		t.Fatalf("errors %v, then %v", err, again)
	}
	for _, e := range all {
		if e.File != "f.conf" || e.Line < 1 || e.Column < 1 || e.Text == "" {
			t.Fatalf("the error %#v", e)
		}
	}
}

// knownLine reports whether a line of the result begins as the writer lets it:
// what the source holds stands behind a key, in a list or in a comment.
func knownLine(line string) bool {
	text := strings.TrimLeft(strings.TrimSuffix(line, "\n"), " -")
	if text == "" || text[0] == '#' {
		return true
	}
	key, _, ok := strings.Cut(text, ":")
	return ok && !strings.ContainsAny(key, "\"'") || strings.HasPrefix(text, "{") || strings.HasPrefix(text, `"`)
}
