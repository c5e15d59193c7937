package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wsplice/configs"
	"wsplice/importer"
)

// importTestdata holds what importer is tested with.
const importTestdata = "../../importer/testdata"

// runImport runs the command line args and returns what it prints.
func runImport(t *testing.T, format, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := root()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(append([]string{"import", format}, args...))
	err = cmd.Execute()
	return out.String(), errOut.String(), err
}

// importedFiles returns the files in importTestdata that end so, with the format
// that they are for.
func importedFiles(t *testing.T, end string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for folder, format := range map[string]string{"": "apache", "/lighttpd": "lighttpd"} {
		files, err := filepath.Glob(importTestdata + folder + "/*" + end)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files for %s: %v", format, err)
		}
		for _, file := range files {
			all[file] = format
		}
	}
	return all
}

// reportLine is FILE:LINE: what, why, what to do.
var reportLine = regexp.MustCompile(`^[^ :]+:[0-9]+: (?:WARNING: )?(.+: .+)$`)

// TestImportPassesCheck holds the promise of the command: the result passes
// check, and stderr has a place in every line.
func TestImportPassesCheck(t *testing.T) {
	for conf, format := range importedFiles(t, ".conf") {
		t.Run(format+"/"+strings.TrimSuffix(filepath.Base(conf), ".conf"), func(t *testing.T) {
			stdout, stderr, err := runImport(t, format, "", conf)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, stderr, stdout)
			}
			for line := range strings.Lines(stderr) {
				m := reportLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
				if m == nil || !strings.Contains(stdout, ": "+m[1]+"\n") {
					t.Errorf("%q is no line of the form that is promised, or no comment of\n%s", line, stdout)
				}
			}
		})
	}
}

// TestGoldenFilesKeepTheContract takes the golden files of package importer,
// which use all of the contract: what this version has of it must accept them.
func TestGoldenFilesKeepTheContract(t *testing.T) {
	for file := range importedFiles(t, ".yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = configs.Parse(file, data)
		if err == nil {
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.Contains(line, "not supported yet") {
				t.Error(line)
			}
		}
	}
}

func TestImportFromStdin(t *testing.T) {
	const source = "Listen 8080\nProxyWebsocketFallbackToProxyHttp Off\nProxyPass /ws ws://${B}:9000/ws\n"
	stdout, stderr, err := runImport(t, "apache", source, "-D", "B=app", "-")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, want := range []string{
		`- address: ":8080"`, "- path: /ws\n", "mode: tunnel\n", "to: ws://app:9000/ws\n", "line 3: ProxyPass",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if !strings.HasPrefix(stderr, "stdin:2: ProxyWebsocketFallbackToProxyHttp: ") {
		t.Errorf("stderr: %s", stderr)
	}
}

func TestImportFailures(t *testing.T) {
	for source, want := range map[string]string{
		"ProxyPass /a nowhere\n":              "stdin:1:14: ProxyPass: ",
		"DocumentRoot /srv\n":                 "the result has no routes",
		"ProxyPass /a ws://b/ timeout=1 \x00": "NUL",
	} {
		stdout, stderr, err := runImport(t, "apache", source, "-")
		if err == nil || !strings.Contains(stderr, want) {
			t.Errorf("%q: %v\n%s\n%s", source, err, stderr, stdout)
		}
	}
	_, _, err := runImport(t, "apache", "", "/nonexistent.conf")
	if err == nil || !strings.Contains(err.Error(), "/nonexistent.conf") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// theirs are the complaints of package configs that no value of a source may
// cause: they mean that the writer wrote something that is no configuration.
var theirs = regexp.MustCompile(
	`unknown key|stands twice|must be a mapping|must be a list|but this is (a|empty)|second document|YAML`)

// FuzzImport holds that whatever is imported is well-formed YAML of the
// contract: package configs may only object to values.
func FuzzImport(f *testing.F) {
	confs, err := filepath.Glob(importTestdata + "/*.conf")
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
	f.Fuzz(func(t *testing.T, source []byte) {
		result, err := importer.Apache("f.conf", source, importer.Options{})
		if err != nil {
			return
		}
		_, _, err = configs.Parse("stdout", result.YAML)
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if theirs.MatchString(line) && !strings.Contains(line, ": routes: must be a list") {
				t.Fatalf("%s\n%s", line, result.YAML)
			}
		}
	})
}
