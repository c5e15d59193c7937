package configs

import (
	_ "embed" // the two files below
	"fmt"
	"io"
	"os"
	"slices"
)

//go:embed example.yaml
var exampleYAML []byte

//go:embed demo.yaml
var demoYAML []byte

// Example returns the commented example file: every supported key, with its
// default where it has one.
func Example() []byte { return slices.Clone(exampleYAML) }

// Demo returns the configuration of "wsplice demo". The caller puts the
// address of its built-in backend into Routes[0].To.
func Demo() *Config {
	c, _, err := Parse("demo.yaml", demoYAML)
	if err != nil {
		panic("configs: embedded demo.yaml: " + err.Error())
	}
	return c
}

// Load returns the configuration in the file at path, and what is doubtful
// about it. Relative paths in the file are relative to the file.
//
// A non-nil error is of type Errors and holds everything that is wrong; the
// Config is then nil. Warnings are returned in both cases.
func Load(path string) (*Config, []Warning, error) {
	data, err := readFile(path)
	if err != nil {
		pos := Pos{File: path, Line: 1, Column: 1}
		return nil, nil, Errors{{Pos: pos, Text: fmt.Sprintf("cannot read the file: %v", err), cause: err}}
	}
	return Parse(path, data)
}

// readFile reads at most fileBytesMax+1 bytes, so that Parse can tell that
// the file is too large; it may be a pipe.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fileBytesMax+1))
}

// Parse is Load for a file that is in memory; name is the file's path.
func Parse(name string, data []byte) (*Config, []Warning, error) {
	d := newDecoder(name)
	c := defaults()
	if root := d.tree(data); root != nil {
		d.config(root, c)
	}
	slices.SortStableFunc(d.warnings, func(a, b Warning) int { return a.compare(b.Pos) })
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.warnings, d.errs
	}
	return c, d.warnings, nil
}
