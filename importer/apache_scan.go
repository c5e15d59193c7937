package importer

import (
	"strings"
)

// A logicalLine is what a backslash at the end of a line joins, with the
// places that its bytes came from.
type logicalLine struct {
	text  string
	file  string
	marks []mark // by offset, the first at 0
}

// A mark says where the bytes from an offset on stand in the file.
type mark struct{ offset, line, column int }

// at returns the place of a byte of the line.
func (l *logicalLine) at(offset int) Pos {
	m := l.marks[0]
	for _, next := range l.marks[1:] {
		if next.offset > offset {
			break
		}
		m = next
	}
	return Pos{File: l.file, Line: m.line, Column: m.column + max(offset-m.offset, 0)}
}

// logicalLines cuts a file as ap_cfg_getline does: a backslash before the end
// of a line joins the next one, in comments too. Lines that are empty or
// comments are left out.
func logicalLines(file, data string, r *report) []logicalLine {
	data = strings.TrimPrefix(data, "\ufeff")
	var (
		all  []logicalLine
		text strings.Builder
		now  = logicalLine{file: file}
	)
	number := 0
	flush := func() {
		now.text = text.String()
		start := len(now.text) - len(strings.TrimLeft(now.text, blanks))
		switch {
		case len(now.text) > lineBytesMax:
			r.errorAt(now.at(0), "the line has %d bytes; at most %d are read", len(now.text), lineBytesMax)
		case start < len(now.text) && now.text[start] != '#':
			all = append(all, now)
		}
		text.Reset()
		now = logicalLine{file: file}
	}
	for line := range strings.Lines(data) {
		number++
		line = strings.TrimRight(line, "\r\n")
		now.marks = append(now.marks, mark{text.Len(), number, 1})
		joined := strings.HasSuffix(line, `\`)
		if joined {
			text.WriteString(line[:len(line)-1])
			continue
		}
		text.WriteString(line)
		flush()
	}
	if text.Len() > 0 {
		flush()
	}
	return all
}

// A word is one argument of a directive.
type word struct {
	Pos
	text string
}

// A directive is one line, or a section with what stands in it.
type directive struct {
	Pos             // of its name
	name     string // as written
	key      string // in lower case
	args     string // after the name, variables replaced
	source   string // the line, for comments
	children []*directive
	section  bool

	line    logicalLine
	offset  int  // of args in line.text
	changed bool // args are not those of the file: a variable was replaced
}

// comment returns where d stands and what it says.
func (d *directive) comment(r *report) string {
	return d.line.at(0).short(r.main) + ": " + redact(oneLine(d.source))
}

// place returns the position of a byte of args.
func (d *directive) place(offset int) Pos {
	if d.changed {
		return d.Pos
	}
	return d.line.at(d.offset + offset)
}

// words splits the arguments as ap_getword_conf does. It returns nil after
// reporting what cannot be split.
func (d *directive) words(r *report) ([]word, bool) {
	var all []word
	s := d.args
	for i := 0; ; {
		for i < len(s) && isSpace(s[i]) {
			i++
		}
		if i == len(s) {
			return all, true
		}
		if len(all) == wordsMax {
			r.errorAt(d.place(i), "%s: more than %d arguments", d.name, wordsMax)
			return nil, false
		}
		w := word{Pos: d.place(i)}
		var ok bool
		if w.text, i, ok = nextWord(s, i); !ok {
			r.errorAt(w.Pos, "%s: the quote is not closed; add it where the argument ends", d.name)
			return nil, false
		}
		all = append(all, w)
	}
}

// nextWord returns the word that begins at i, and where it ends. In quotes a
// backslash protects the quote and itself; elsewhere it is like any byte.
func nextWord(s string, i int) (text string, end int, ok bool) {
	quote := s[i]
	if quote != '"' && quote != '\'' {
		end = i
		for end < len(s) && !isSpace(s[end]) {
			end++
		}
		return s[i:end], end, true
	}
	var out strings.Builder
	for i++; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return out.String(), i + 1, true
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == quote || s[i+1] == '\\'):
			i++
			out.WriteByte(s[i])
		default:
			out.WriteByte(s[i])
		}
	}
	return "", len(s), false
}

// blanks separate words.
const blanks = " \t\f\v\r"

func isSpace(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }
