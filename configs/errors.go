package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Pos is a place in a configuration file. Line and Column count from 1.
type Pos struct {
	File         string
	Line, Column int
}

// String returns FILE:LINE:COLUMN.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// An Error is one thing wrong with a file. Its text names the key, what is
// wrong and what to write instead.
type Error struct {
	Pos
	Text  string
	cause error // what the system said, or nil
}

// Error returns FILE:LINE:COLUMN: text.
func (e *Error) Error() string { return e.String() + ": " + e.Text }

// Unwrap returns the system's error behind e, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Errors is everything wrong with a file, sorted by position. Load and Parse
// return no other error type.
type Errors []*Error

// Error returns one line for each error, without a final newline.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors one by one, for errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int { return a.compare(b.Pos) })
}

// A Warning is something that works but is probably not what was meant.
type Warning struct {
	Pos
	Text string
}

// String returns FILE:LINE:COLUMN: warning: text.
func (w Warning) String() string { return w.Pos.String() + ": warning: " + w.Text }
