package e2e

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// functionLinesMax keeps a test readable without scrolling.
const functionLinesMax = 70

// TestTidy reads this module's own sources for what review would have to
// catch otherwise.
func TestTidy(t *testing.T) {
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		checkLines(t, path, text)
		checkCalls(t, files, tree)
		checkLengths(t, files, tree)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkLines(t *testing.T, path string, text []byte) {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}
	for i, line := range bytes.Split(text, []byte("\n")) {
		for _, mark := range marks {
			if bytes.Contains(line, []byte(mark)) {
				t.Errorf("%s:%d: %s: do it, or open an issue", path, i+1, mark)
			}
		}
	}
}

// bannedCalls are calls that a test must not make, and why.
var bannedCalls = map[string]string{
	"time.Sleep": "wait for an event with a deadline (rig.Eventually)",
	"time.Tick":  "it can never be stopped",
	"t.SkipNow":  "say what is missing (t.Skip)",
}

func checkCalls(t *testing.T, files *token.FileSet, tree *ast.File) {
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		name := pkg.Name + "." + sel.Sel.Name
		if why, banned := bannedCalls[name]; banned {
			t.Errorf("%s: %s: %s", files.Position(call.Pos()), name, why)
		}
		if name == "t.Skip" && len(call.Args) == 0 {
			t.Errorf("%s: t.Skip without a reason", files.Position(call.Pos()))
		}
		return true
	})
}

func checkLengths(t *testing.T, files *token.FileSet, tree *ast.File) {
	for _, decl := range tree.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1
		if lines > functionLinesMax {
			t.Errorf("%s: %s has %d lines, more than %d",
				files.Position(f.Pos()), f.Name.Name, lines, functionLinesMax)
		}
	}
}
