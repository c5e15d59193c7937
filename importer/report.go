package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Pos is a place in the source. Line and Column count from 1, Column in
// bytes; a Column of 0 stands for the whole line.
type Pos struct {
	File         string
	Line, Column int
}

// String returns FILE:LINE:COLUMN, or FILE:LINE for a whole line.
func (p Pos) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// line returns FILE:LINE.
func (p Pos) line() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// short returns line LINE for a place in the file main, and FILE:LINE for one
// in another.
func (p Pos) short(main string) string {
	if p.File == main {
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.line()
}

// An Error is something in the source that cannot be understood. Its text says
// what is wrong and what to write instead.
type Error struct {
	Pos
	Text string
}

// Error returns FILE:LINE:COLUMN: text.
func (e *Error) Error() string { return e.String() + ": " + e.Text }

// Errors is what is wrong with a source, in its order; at most errorsMax. The
// functions of this package return no other error type.
type Errors []*Error

// Error returns one line for each error, without a final newline.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// A Note is something of the source that the result does not hold, or not in
// the same way: what it is, why, and what to do instead.
type Note struct {
	Pos
	Text    string
	Warning bool // the result is less safe than the source
}

// String returns FILE:LINE: text, as it stands on stderr.
func (n Note) String() string {
	if n.Warning {
		return printable(n.line() + ": WARNING: " + n.Text)
	}
	return printable(n.line() + ": " + n.Text)
}

// comment returns the note as a comment of the result, which was made from the
// file main.
func (n Note) comment(main string) string {
	if n.Warning {
		return "WARNING: " + n.short(main) + ": " + n.Text
	}
	return "not carried over: " + n.short(main) + ": " + n.Text
}

// A report collects what there is to say about a source while it is read.
type report struct {
	main  string // the first file
	errs  Errors
	order map[string]int // of the files, by name
	once  map[string]*Note
	count map[string]int
}

func newReport(main string) *report {
	return &report{main: main, order: map[string]int{}, once: map[string]*Note{}, count: map[string]int{}}
}

// file remembers in which order files were opened.
func (r *report) file(name string) {
	if _, known := r.order[name]; !known {
		r.order[name] = len(r.order)
	}
}

func (r *report) errorAt(pos Pos, format string, args ...any) {
	if len(r.errs) < errorsMax {
		r.errs = append(r.errs, &Error{Pos: pos, Text: fmt.Sprintf(format, args...)})
	}
}

// notOnce counts a directive that is reported once, however often it stands.
func (r *report) notOnce(name string, pos Pos, advice string) {
	key := strings.ToLower(name)
	r.count[key]++
	if r.count[key] == 1 {
		r.once[key] = &Note{Pos: pos, Text: name + ": " + advice}
	}
}

// leftovers returns what notOnce counted, in the order of the source.
func (r *report) leftovers() []Note {
	notes := make([]Note, 0, len(r.once))
	for key, note := range r.once {
		n := *note
		if more := r.count[key]; more > 1 {
			name, rest, _ := strings.Cut(n.Text, ": ")
			n.Text = fmt.Sprintf("%s (%d times): %s", name, more, rest)
		}
		notes = append(notes, n)
	}
	r.sort(notes)
	return notes
}

// sort puts notes into the order of the source.
func (r *report) sort(notes []Note) {
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(r.order[a.File], r.order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
}
