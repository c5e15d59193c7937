package importer

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Options say how to read a source.
type Options struct {
	// Defines are variables that the source may use without defining them, as
	// httpd's -D gives them.
	Defines map[string]string

	// Files reads what the source includes; nil includes nothing.
	Files Files

	// Supports says what this version of wsplice can do; nil = everything that
	// the contract names.
	Supports func(Feature) bool
}

// supports reports whether the result may use f.
func (o *Options) supports(f Feature) bool { return o.Supports == nil || o.Supports(f) }

// A Result is a configuration and what there is to say about it.
type Result struct {
	YAML  []byte
	Notes []Note // in the order of the source

	// Routes is how many routes there are; without any, package configs refuses
	// the result.
	Routes int
}

// Files is where included files come from.
type Files interface {
	// Glob returns the names that match a pattern, sorted. A pattern without
	// special characters matches an existing file or directory.
	Glob(pattern string) ([]string, error)

	// Read returns a file's bytes, at most fileBytesMax+1 of them.
	Read(name string) ([]byte, error)
}

// Disk is the Files of the machine.
type Disk struct{}

// Glob returns the files that match pattern; of a directory, those in it.
func (Disk) Glob(pattern string) ([]string, error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			files = append(files, name)
		case info.IsDir():
			entries, err := os.ReadDir(name)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if e.Type().IsRegular() {
					files = append(files, filepath.Join(name, e.Name()))
				}
			}
		}
	}
	return files, nil
}

// Read returns the beginning of a file, so that the caller can tell that it is
// too large.
func (Disk) Read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := ReadSource(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// ReadSource reads a source up to one byte more than is allowed.
func ReadSource(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, fileBytesMax+1)) }
