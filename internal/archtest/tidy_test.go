package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The numbers that sources keep to.
const (
	functionLinesMax     = 70
	testFunctionLinesMax = 120
	lineRunesMax         = 130
)

// root is the top of the repository, seen from this package.
const root = "../.."

// skipped directories hold no sources of ours.
var skipped = []string{".git", "bin", "node_modules", "testdata", "results"}

// freeOfSys may use package syscall as they need: e2e is a module of its own
// and cannot import internal/sys, and both start and stop other processes.
var freeOfSys = []string{"internal/sys", "e2e", "bench"}

// syscallNames are what every room may use of package syscall: names and
// interfaces, but no calls.
var syscallNames = regexp.MustCompile(`^(Errno|Signal|RawConn|Conn|E[A-Z0-9]+|SIG[A-Z0-9]+)$`)

// leftover marks are written in two halves so that this file has none.
var leftover = regexp.MustCompile(`\b(` + "TO" + `DO|` + "FIX" + `ME|` + "XX" + `X|` + "HA" + `CK)\b`)

// A source is one file of the repository.
type source struct {
	path string // from the top of the repository
	text string
	set  *token.FileSet // of a Go file
	tree *ast.File      // of a Go file
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// sources returns the files that have one of the endings.
func sources(t *testing.T, endings ...string) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && slices.Contains(skipped, e.Name()):
			return fs.SkipDir
		case e.IsDir() || !slices.Contains(endings, filepath.Ext(path)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(name), text: string(text)}
		if filepath.Ext(path) == ".go" {
			s.set = token.NewFileSet()
			if s.tree, err = parser.ParseFile(s.set, s.path, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
				return err
			}
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t, ".go") {
		limit := functionLinesMax
		if s.test() {
			limit = testFunctionLinesMax
		}
		for _, declaration := range s.tree.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := s.set.Position(f.Pos()), s.set.Position(f.End())
			if lines := last.Line - first.Line + 1; lines > limit {
				t.Errorf("%v: %s has %d lines, at most %d: split it", first, f.Name.Name, lines, limit)
			}
		}
	}
}

func TestLinesAreShort(t *testing.T) {
	for _, s := range sources(t, ".go") {
		number := 0
		for line := range strings.Lines(s.text) {
			number++
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineRunesMax {
				t.Errorf("%s:%d: %d columns, at most %d", s.path, number, n, lineRunesMax)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t, ".go") {
		dir := filepath.Dir(s.path)
		documented[dir] = documented[dir] || s.tree.Doc != nil && !s.test()
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment: add a doc.go that says what the package does and what it does not", dir)
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, s := range sources(t, ".go") {
		if !s.test() {
			continue
		}
		forEachSelector(s, "time", func(name string, at token.Position) {
			if name == "Sleep" {
				t.Errorf("%v: time.Sleep in a test: wait for the event, or use testutil.Eventually", at)
			}
		})
	}
}

// TestSystemCallsLiveInSys passes over tests: they play the odd peer and run
// under other limits, which the product never does.
func TestSystemCallsLiveInSys(t *testing.T) {
	for _, s := range sources(t, ".go") {
		if s.test() || slices.ContainsFunc(freeOfSys, func(dir string) bool { return strings.HasPrefix(s.path, dir+"/") }) {
			continue
		}
		forEachSelector(s, "syscall", func(name string, at token.Position) {
			if !syscallNames.MatchString(name) {
				t.Errorf("%v: syscall.%s: system calls live in internal/sys", at, name)
			}
		})
	}
}

// forEachSelector calls f for every name that s uses of an imported package.
func forEachSelector(s source, path string, f func(name string, at token.Position)) {
	local := ""
	for _, spec := range s.tree.Imports {
		if spec.Path.Value == `"`+path+`"` {
			local = path
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return
	}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
				f(selector.Sel.Name, s.set.Position(selector.Pos()))
			}
		}
		return true
	})
}

func TestNothingIsLeftForLater(t *testing.T) {
	for _, s := range sources(t, ".go", ".md", ".sh", ".yml", ".yaml", ".ts", ".js") {
		number := 0
		for line := range strings.Lines(s.text) {
			number++
			if mark := leftover.FindString(line); mark != "" {
				t.Errorf("%s:%d: %s: do it now, or write an issue", s.path, number, mark)
			}
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	fencedCode   = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

func TestMarkdownLinksResolve(t *testing.T) {
	for _, s := range sources(t, ".md") {
		for _, link := range markdownLink.FindAllStringSubmatch(fencedCode.ReplaceAllString(s.text, ""), -1) {
			if err := resolve(s.path, link[1]); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", s.path, link[1], err)
			}
		}
	}
}

// resolve says why a relative link from a Markdown file has no target.
func resolve(from, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return nil
	}
	if strings.HasPrefix(u.Path, "/") {
		return fmt.Errorf("a path from the root of the server: write it relative to %s", from)
	}
	_, err = os.Stat(filepath.Join(root, filepath.Dir(from), filepath.FromSlash(u.Path)))
	return err
}
