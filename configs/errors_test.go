package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An errorCase is a file and the one line it must be refused with.
type errorCase struct{ text, want string }

func (test errorCase) test(t *testing.T) {
	_, _, err := Parse("f.yaml", []byte(test.text))
	if err == nil {
		t.Fatalf("accepted; want %s", test.want)
	}
	got := strings.ReplaceAll(err.Error(), "f.yaml:", "")
	if got != test.want {
		t.Errorf("\ngot  %s\nwant %s", got, test.want)
	}
}

// TestErrors runs the cases of testdata/errors.txt.
func TestErrors(t *testing.T) {
	data, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	template, cases := "", 0
	for block := range strings.SplitSeq(string(data), "\n\n") {
		var yaml, want []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			if text, ok := strings.CutPrefix(line, "\t"); ok {
				want = append(want, text)
			} else if !strings.HasPrefix(line, "#") {
				yaml = append(yaml, line)
			}
		}
		text := strings.Join(yaml, "\n")
		switch after, ok := strings.CutPrefix(text, "template\n"); {
		case ok:
			template = after + "\n"
		case text != "":
			cases++
			text = strings.Replace(template, "%s", text, 1)
			t.Run(yaml[0], errorCase{text, strings.Join(want, "\n")}.test)
		}
	}
	if cases < 100 {
		t.Errorf("found only %d cases", cases)
	}
}

// TestErrorsOfBytes has the files that are not text, or too much of it.
func TestErrorsOfBytes(t *testing.T) {
	const empty = "1:1: the file is empty: it needs at least listeners and routes"
	tests := map[string]errorCase{
		"nothing":       {"", empty},
		"comments only": {"# x\n", empty},
		"tab":           {"log:\n\tlevel: info\n", "2:1: not valid YAML: found character '�' that cannot start any token"},
		"escape":        {"engine: \x1b[2J\n", `1:9: control character U+001B: remove it, or write it as an escape ("\x1b")`},
		"not UTF-8":     {"a: é\nb: \xff\n", "2:4: the file is not UTF-8: byte 0xff; save it as UTF-8"},
		"deep brackets": {"a: " + strings.Repeat("[", 200), "1:36: nested more than 32 deep: the configuration needs 5 levels"},
		"deep dashes":   {"a:\n" + strings.Repeat("- ", 200), "2:65: nested more than 32 deep: the configuration needs 5 levels"},
		"too large":     {strings.Repeat("#\n", fileBytesMax/2+1), "1:1: the file is larger than 1 MiB"},
	}
	for name, test := range tests {
		t.Run(name, test.test)
	}
}

func TestAdminAndListenerCollide(t *testing.T) {
	errorCase{
		strings.Replace(minimal, ":8080", "127.0.0.1:80", 1) + "admin: {address: '127.0.0.1:80'}\n",
		`3:18: admin.address: "127.0.0.1:80" is taken by "127.0.0.1:80" in line 1; remove one or change its port`,
	}.test(t)
}

func TestSocketPathsFitTheKernel(t *testing.T) {
	path := "/" + strings.Repeat("x", socketPathBytesMax)
	text := strings.Replace(minimal, ":8080", "unix:"+path, 1)
	_, _, err := Parse("f.yaml", []byte(text))
	if err == nil || !strings.Contains(err.Error(), "has 108 bytes; the kernel takes at most 107") {
		t.Errorf("got %v", err)
	}
	mustParse(t, strings.Replace(minimal, ":8080", "unix:"+path[:socketPathBytesMax], 1))
}

func TestTokenFileMustHoldSomething(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Parse(filepath.Join(dir, "f.yaml"), []byte(minimal+"admin: {token_file: token}\n"))
	want := filepath.Join(dir, "f.yaml") + ":3:21: admin.token_file: " + token + " is empty; write the token into it"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCountsAreBounded(t *testing.T) {
	text := minimal + "upstreams: {u: {servers: [" + strings.Repeat("{url: ws://a},", serversMax+1) + "]}}\n"
	errorCase{text, "3:26: upstreams.u.servers: has 257 entries; at most 256 are allowed"}.test(t)
}
