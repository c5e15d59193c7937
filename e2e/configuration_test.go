package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// goodConfig is a configuration that every case breaks in its own way.
const goodConfig = `log: {level: info, format: json}
admin: {address: ""}
limits:
  head_bytes: 16KiB
timeouts:
  head: 10s
listeners:
  - address: "127.0.0.1:0"
routes:
  - path: /ws/
    to: ws://127.0.0.1:9
`

// brokenConfigs are edits of goodConfig, and a word that the error must have:
// the key or the value that is wrong.
var brokenConfigs = map[string]struct{ old, replacement, names string }{
	"unknown key":            {"head_bytes:", "head_byte:", "head_byte"},
	"unknown top-level key":  {"timeouts:", "timeout:", "timeout"},
	"unknown key of a route": {"path:", "paht:", "paht"},
	"wrong type":             {"head: 10s", "head: [10s]", "head"},
	"bad duration":           {"10s", "10 parsecs", "parsecs"},
	"negative duration":      {"10s", "-10s", "head"},
	"bad size":               {"16KiB", "16 bananas", "bananas"},
	"head_bytes of zero":     {"16KiB", "0", "head_bytes"},
	"timeouts.head of zero":  {"10s", "0s", "head"},
	"bad level":              {"level: info", "level: loud", "loud"},
	"bad format":             {"format: json", "format: xml", "xml"},
	"bad address":            {"127.0.0.1:0", "127.0.0.1:99999", "99999"},
	"address without a port": {"127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
	"no listeners":           {"listeners:\n  - address: \"127.0.0.1:0\"\n", "", "listeners"},
	"no target":              {"    to: ws://127.0.0.1:9\n", "", "to"},
	"two targets":            {"    to:", "    upstream: chat\n    to:", "upstream"},
	"unknown upstream":       {"to: ws://127.0.0.1:9", "upstream: chat", "chat"},
	"bad scheme":             {"ws://127.0.0.1:9", "gopher://127.0.0.1:9", "gopher"},
	"target without a host":  {"ws://127.0.0.1:9", "ws:///x", "to"},
	"path without a slash":   {"/ws/", "ws", "path"},
	"path and regex":         {"    to:", "    regex: ^/ws\n    to:", "regex"},
	"bad handshake":          {"    to:", "    handshake: loose\n    to:", "loose"},
	"empty origin":           {"    to:", "    origins: [\"\"]\n    to:", "origins"},
	"duplicate key":          {"    to:", "    path: /two/\n    to:", "path"},
	"admin open to the world": {
		`address: ""`, `address: "0.0.0.0:9180"`, "token",
	},
	"two listeners of one address": {
		"  - address: \"127.0.0.1:0\"\n", "  - address: \"127.0.0.1:81\"\n  - address: \"127.0.0.1:81\"\n", "81",
	},
	"not YAML": {"listeners:", "listeners: [", ""},
}

func TestBrokenConfiguration(t *testing.T) {
	needsWsplice(t)
	for name, c := range brokenConfigs {
		t.Run(name, func(t *testing.T) {
			if strings.Count(goodConfig, c.old) != 1 {
				t.Fatalf("%q is not once in the configuration", c.old)
			}
			text := strings.Replace(goodConfig, c.old, c.replacement, 1)
			for _, command := range []string{"check", "run"} {
				res, file := rig.RunConfig(t, command, text)
				wantFailure(t, res, c.names)
				wantPosition(t, res, file)
			}
		})
	}
}

// wantPosition ends the test unless stderr begins with FILE:LINE:COLUMN.
func wantPosition(t *testing.T, res rig.Result, file string) {
	t.Helper()
	begin := regexp.MustCompile(`^` + regexp.QuoteMeta(file) + `:\d+:\d+: `)
	if !begin.MatchString(res.Stderr) {
		t.Errorf("stderr does not begin with %s:LINE:COLUMN:\n%s", file, res.Stderr)
	}
}

// notYet are edits of goodConfig with keys of the contract that a later version
// fills: ignoring them silently would be a lie.
var notYet = map[string]struct{ old, replacement string }{
	"kTLS": {
		"127.0.0.1:0\"\n", "127.0.0.1:0\"\n    tls: {kernel: on, certificates: [{cert: a, key: b}]}\n",
	},
}

func TestNotSupportedYet(t *testing.T) {
	needsWsplice(t)
	for name, c := range notYet {
		t.Run(name, func(t *testing.T) {
			if strings.Count(goodConfig, c.old) != 1 {
				t.Fatalf("%q is not once in the configuration", c.old)
			}
			text := strings.Replace(goodConfig, c.old, c.replacement, 1)
			for _, command := range []string{"check", "run"} {
				res, file := rig.RunConfig(t, command, text)
				wantFailure(t, res, "not supported yet")
				wantPosition(t, res, file)
			}
		})
	}
}

// TestCheckReportsEveryError finds three errors in one go.
func TestCheckReportsEveryError(t *testing.T) {
	needsWsplice(t)
	text := strings.NewReplacer("16KiB", "16 bananas", "10s", "10 parsecs",
		"    to:", "    handshake: loose\n    to:").Replace(goodConfig)
	res, file := rig.RunConfig(t, "check", text)
	wantFailure(t, res, "bananas", "parsecs", "loose")
	if n := strings.Count(res.Stderr, file+":"); n < 3 {
		t.Errorf("%d errors are reported, want 3:\n%s", n, res.Stderr)
	}
}

func TestCheckAcceptsGoodConfiguration(t *testing.T) {
	needsWsplice(t)
	res, _ := rig.RunConfig(t, "check", goodConfig)
	if res.Code != 0 || strings.Contains(res.Stderr, "goroutine ") {
		t.Errorf("exit status %d, stderr:\n%s", res.Code, res.Stderr)
	}
}

// TestUnreadableConfiguration names the file, and the reason.
func TestUnreadableConfiguration(t *testing.T) {
	needsWsplice(t)
	dir := rig.TempDir(t, 0)
	empty := dir + "/empty.yaml"
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"missing": dir + "/none.yaml", "a directory": dir, "empty": empty,
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"check", "run"} {
				wantFailure(t, rig.Run(t, command, "--config", file), file)
			}
		})
	}
	t.Run("no file given", func(t *testing.T) {
		if res := rig.Run(t, "run"); res.Code == 0 || !strings.Contains(res.Stderr, "config") {
			t.Errorf("exit status %d, stderr:\n%s", res.Code, res.Stderr)
		}
	})
}

func TestVersion(t *testing.T) {
	needsWsplice(t)
	res := rig.Run(t, "version")
	if res.Code != 0 || !strings.Contains(res.Stdout, "wsplice") {
		t.Errorf("exit status %d, stdout %q", res.Code, res.Stdout)
	}
}

func TestUnknownCommand(t *testing.T) {
	needsWsplice(t)
	if res := rig.Run(t, "serve-me-well"); res.Code == 0 || !strings.Contains(res.Stderr, "serve-me-well") {
		t.Errorf("exit status %d, stderr %q", res.Code, res.Stderr)
	}
}
