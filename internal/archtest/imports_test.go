package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of the main module, with the slash.
const module = "wsplice/"

// imports says which of our own packages each room may import. An entry that
// ends in /... stands for a package and all below it.
var imports = map[string][]string{
	"cmd/wsplice": {"..."},
	"proxy": {
		"loop", "greeting", "handshake", "route", "admission", "frame", "deflate", "secure", "splice", "pool", "gateway", "h2",
		"internal/sys",
	},

	// It serves what the loop has judged, at a backend of the pool.
	"gateway": {"handshake", "pool", "secure", "internal/sys"},

	// It makes requests of HTTP/1.1 to the proxy itself.
	"h2": {"internal/sys"},

	// It asks the pool's servers how they are, and tells the pool.
	"health": {"pool", "internal/sys"},

	// The mechanism rooms do not know each other: proxy composes them.
	"loop":      {"internal/sys", "internal/uring"},
	"splice":    {"internal/sys"},
	"pool":      {"internal/sys"},
	"spawn":     {"internal/sys"},
	"handshake": {},
	"route":     {},
	"frame":     {},
	"deflate":   {},
	"greeting":  {},
	"admission": {},
	"secure":    {},
	"admin":     {},
	"configs":   {},
	"importer":  {},

	// What measures the proxy shares no code with it but system calls.
	"bench/...": {"bench/...", "internal/sys"},

	"internal/sys":      {},
	"internal/uring":    {"internal/sys"},
	"internal/testutil": {},
	"internal/archtest": {},
}

// testImports is what the tests of every room may import besides.
var testImports = []string{"internal/testutil", "internal/sys"}

// restricted says who may import packages that are not ours.
var restricted = map[string][]string{
	"golang.org/x/sys/...": {"internal/sys"},
	"C":                    {},
}

// A listedPackage is what go list says about one package.
type listedPackage struct {
	ImportPath, Name                   string
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var list []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list = append(list, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := lookUp(room)
		if !known {
			t.Errorf("%s is a new package: say in the table `imports` of internal/archtest what it may import", room)
			continue
		}
		for _, path := range p.Imports {
			check(t, room, path, allowed)
			if path == module+"internal/testutil" {
				t.Errorf("%s imports internal/testutil, which is for tests only", room)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			check(t, room, path, slices.Concat(allowed, testImports, []string{room}))
		}
	}
}

// lookUp returns what room may import, from its own entry or the nearest one
// above it that ends in /...
func lookUp(room string) (allowed []string, known bool) {
	if allowed, known = imports[room]; known {
		return allowed, true
	}
	for above := room; above != ""; above, _ = cutLast(above) {
		if allowed, known = imports[above+"/..."]; known {
			return allowed, true
		}
	}
	return nil, false
}

func cutLast(path string) (above, last string) {
	i := max(strings.LastIndexByte(path, '/'), 0)
	return path[:i], path[i:]
}

func check(t *testing.T, room, path string, allowed []string) {
	t.Helper()
	for pattern, rooms := range restricted {
		if matches(pattern, path) && !slices.Contains(rooms, room) {
			t.Errorf("%s imports %s, which only %v may: use internal/sys", room, path, rooms)
		}
	}
	ours, ok := strings.CutPrefix(path, module)
	if !ok {
		return
	}
	if !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, ours) }) {
		t.Errorf("%s imports %s, but may import only %v (internal/archtest, table `imports`)", room, ours, allowed)
	}
}

// matches reports whether path is pattern, or below it where it ends in ...
func matches(pattern, path string) bool {
	above, all := strings.CutSuffix(pattern, "...")
	if !all {
		return path == pattern
	}
	return strings.HasPrefix(path, above) || path == strings.TrimSuffix(above, "/")
}

// TestTableMatches holds how the patterns of the tables are read.
func TestTableMatches(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"...", "proxy", true},
		{"loop", "loop", true},
		{"loop", "loop/x", false},
		{"bench/...", "bench", true},
		{"bench/...", "bench/echo", true},
		{"bench/...", "benchmark", false},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.path); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.path, got)
		}
	}
	if _, known := lookUp("bench/a/b"); !known {
		t.Error("bench/a/b is not found under bench/...")
	}
	if _, known := lookUp("bencher"); known {
		t.Error("bencher is found under bench/...")
	}
}
