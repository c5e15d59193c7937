package importer

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An apacheParser turns a file and what it includes into directives.
// Conditions are decided on the way, as httpd does, because what they hold may
// define variables and include files.
type apacheParser struct {
	o       *Options
	r       *report
	defines map[string]string

	mainDir    string
	serverRoot string // "" = not given

	files, bytes, directives int
	notes                    []Note
}

// A block is the lines of one file and how far they were read.
type block struct {
	lines []logicalLine
	next  int
	depth int // files that include each other
}

// file reads one file into out.
func (p *apacheParser) file(name string, data []byte, depth int, out *[]*directive) {
	p.r.file(name)
	p.files++
	p.bytes += len(data)
	start := Pos{File: name, Line: 1, Column: 1}
	switch {
	case len(data) > fileBytesMax:
		p.r.errorAt(start, "the file is larger than %d bytes", fileBytesMax)
		return
	case p.bytes > totalBytesMax:
		p.r.errorAt(start, "the files together are larger than %d bytes", totalBytesMax)
		return
	}
	if i := strings.IndexByte(string(data), 0); i >= 0 {
		line := 1 + strings.Count(string(data[:i]), "\n")
		p.r.errorAt(Pos{File: name, Line: line, Column: 1}, "the line holds a NUL byte: this is not a configuration")
		return
	}
	b := &block{lines: logicalLines(name, string(data), p.r), depth: depth}
	p.block(b, nil, 0, true, out)
}

// block reads lines up to the end of the section it is in (nil = of the file).
// What is not live is only searched for its end.
func (p *apacheParser) block(b *block, in *directive, depth int, live bool, out *[]*directive) {
	for b.next < len(b.lines) && len(p.r.errs) < errorsMax {
		d := p.directive(b.lines[b.next])
		b.next++
		if p.directives++; p.directives > directivesMax {
			p.r.errorAt(d.Pos, "more than %d directives", directivesMax)
			b.next = len(b.lines)
			return
		}
		switch {
		case strings.HasPrefix(d.name, "</"):
			if p.closes(d, in) {
				return
			}
		case d.section && depth == sectionDepthMax:
			p.r.errorAt(d.Pos, "sections stand in each other more than %d deep", sectionDepthMax)
			b.next = len(b.lines)
			return
		case d.section:
			p.section(b, d, depth, live, out)
		case live && !p.control(d, b, out):
			*out = append(*out, d)
		}
	}
	if in != nil && len(p.r.errs) < errorsMax {
		p.r.errorAt(in.Pos, "<%s> is not closed; add </%s>", in.name, in.name)
	}
}

// directive takes one line apart.
func (p *apacheParser) directive(l logicalLine) *directive {
	start := len(l.text) - len(strings.TrimLeft(l.text, blanks))
	text := strings.TrimRight(l.text, blanks)
	d := &directive{line: l, Pos: l.at(start), source: text[start:]}
	end := start
	for end < len(text) && !isSpace(text[end]) && (text[end] != '>' || text[start] != '<') {
		end++
	}
	d.name = text[start:end]
	for end < len(text) && isSpace(text[end]) {
		end++
	}
	d.offset, d.args = end, text[end:]
	if strings.HasPrefix(d.name, "<") {
		p.sectionHead(d)
	}
	d.key = strings.ToLower(d.name)
	if expanded := p.expand(d.args); expanded != d.args {
		d.args, d.changed = expanded, true
	}
	if len(d.args) > lineBytesMax {
		p.r.errorAt(d.Pos, "the line has more than %d bytes after its variables are replaced", lineBytesMax)
		d.args = ""
	}
	return d
}

// sectionHead removes the angle brackets of <Name args> and </Name>.
func (p *apacheParser) sectionHead(d *directive) {
	inner, closed := strings.CutSuffix(d.args, ">")
	if !closed {
		p.r.errorAt(d.Pos, "%s: the > is missing; add it at the end of the line", d.name)
	}
	d.args = strings.TrimRight(inner, blanks)
	if !strings.HasPrefix(d.name, "</") {
		d.name, d.section = d.name[1:], true
	}
}

// variable is ${NAME}, which httpd replaces in every line.
var variable = regexp.MustCompile(`\$\{[^}$]*\}`)

// expand replaces the variables that are known. The others stay, as in httpd,
// and are errors where their directive is understood.
func (p *apacheParser) expand(s string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	left := lineBytesMax
	return variable.ReplaceAllStringFunc(s, func(name string) string {
		value, known := p.defines[name[2:len(name)-1]]
		if left -= len(value); !known || left < 0 {
			return name
		}
		return value
	})
}

// closes reports whether d ends the section in; it is an error if it does not.
func (p *apacheParser) closes(d, in *directive) bool {
	name := d.name[2:]
	switch {
	case in == nil:
		p.r.errorAt(d.Pos, "</%s> ends a section that does not begin in this file; remove it", name)
		return false
	case !strings.EqualFold(name, in.name):
		p.r.errorAt(d.Pos, "</%s> stands where </%s> is expected, for <%s> in line %d", name, in.name, in.name, in.Line)
		return true
	}
	return true
}

// section reads a section: a condition disappears, others become directives.
func (p *apacheParser) section(b *block, d *directive, depth int, live bool, out *[]*directive) {
	holds, condition := p.condition(d)
	switch {
	case !live:
		p.block(b, d, depth+1, false, new([]*directive))
	case condition && holds:
		p.block(b, d, depth+1, true, out)
	case condition:
		first := b.next
		p.block(b, d, depth+1, false, new([]*directive))
		p.noteSkipped(d, b.lines[first:b.next])
	default:
		*out = append(*out, d)
		p.block(b, d, depth+1, true, &d.children)
	}
}

// condition decides <IfModule>, <IfDefine> and the like. Every module is taken
// to be there.
func (p *apacheParser) condition(d *directive) (holds, condition bool) {
	name, negated := strings.CutPrefix(strings.Trim(d.args, `"' `), "!")
	switch d.key {
	case "ifmodule", "iffile", "ifdirective", "ifsection":
		return !negated, true
	case "ifdefine":
		_, defined := p.defines[name]
		return defined != negated, true
	case "ifversion":
		return ifVersion(strings.Fields(d.args)), true
	}
	return false, false
}

// assumedVersion is what <IfVersion> compares with.
var assumedVersion = []int{2, 4, 66}

// ifVersion compares with a release of 2.4; what it cannot read holds.
func ifVersion(args []string) bool {
	operator, version := "=", ""
	switch len(args) {
	case 1:
		version = args[0]
	case 2:
		operator, version = args[0], args[1]
	}
	operator, negated := strings.CutPrefix(operator, "!")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return true
		}
		numbers = append(numbers, n)
	}
	order := slices.Compare(assumedVersion[:min(len(numbers), len(assumedVersion))], numbers)
	holds := map[string]bool{
		"=": order == 0, "==": order == 0, ">": order > 0, ">=": order >= 0, "<": order < 0, "<=": order <= 0,
	}
	result, known := holds[operator]
	return !known || result != negated
}

// noteSkipped says that a section was left out that holds something to import.
func (p *apacheParser) noteSkipped(d *directive, lines []logicalLine) {
	for _, l := range lines {
		inner := p.directive(l)
		if _, understood := apacheDirectives[inner.key]; !understood || apacheQuiet[inner.key] {
			continue
		}
		why := "modules are taken to be there"
		if d.key != "ifmodule" {
			why = "the condition does not hold here"
		}
		p.note(d.Pos, "<%s %s>: left out, because %s; it holds %s in line %d: import that part alone if the server runs it",
			d.name, d.args, why, inner.name, inner.Line)
		return
	}
}

func (p *apacheParser) note(pos Pos, format string, args ...any) {
	p.notes = append(p.notes, Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// control obeys the directives that change what is read next. It reports
// whether d was one of them.
func (p *apacheParser) control(d *directive, b *block, out *[]*directive) bool {
	switch d.key {
	case "define", "undefine":
		p.define(d)
	case "serverroot":
		if words, ok := d.words(p.r); ok && len(words) == 1 {
			p.serverRoot = words[0].text
		}
	case "include", "includeoptional":
		p.include(d, b, out)
	default:
		return false
	}
	return true
}

func (p *apacheParser) define(d *directive) {
	words, ok := d.words(p.r)
	switch {
	case !ok:
	case len(words) == 0 || len(words) > 2 || d.key == "undefine" && len(words) > 1:
		p.r.errorAt(d.Pos, "%s takes a name and at most one value; put the value in quotes", d.name)
	case d.key == "undefine":
		delete(p.defines, words[0].text)
	case len(p.defines) >= definesMax:
		p.r.errorAt(d.Pos, "more than %d variables", definesMax)
	case len(words) == 1:
		p.defines[words[0].text] = ""
	default:
		p.defines[words[0].text] = words[1].text
	}
}

// include reads the files that a pattern names, in the order of their names.
func (p *apacheParser) include(d *directive, b *block, out *[]*directive) {
	words, ok := d.words(p.r)
	if !ok {
		return
	}
	if len(words) != 1 || words[0].text == "" {
		p.r.errorAt(d.Pos, "%s takes one file, directory or pattern", d.name)
		return
	}
	if b.depth == includeDepthMax {
		p.r.errorAt(d.Pos, "files include each other more than %d deep; is there a circle?", includeDepthMax)
		return
	}
	names := p.included(words[0].text, d.File)
	if len(names) == 0 && d.key == "include" {
		p.note(d.Pos, "Include %s: no such file here, so what stands in it is missing; run the import where the file is",
			words[0].text)
	}
	for _, name := range names {
		if p.files == filesMax {
			p.r.errorAt(d.Pos, "more than %d files", filesMax)
			return
		}
		data, err := p.o.Files.Read(name)
		if err != nil {
			p.note(d.Pos, "%s: cannot be read, so what stands in it is missing: %v", d.name, err)
			p.files++
			continue
		}
		p.file(name, data, b.depth+1, out)
		if len(p.r.errs) >= errorsMax {
			return
		}
	}
}

// included returns what a pattern names: relative to ServerRoot, and where
// that is not on this machine, to the first file or the one that includes.
func (p *apacheParser) included(pattern, from string) []string {
	if p.o.Files == nil {
		return nil
	}
	dirs := []string{""}
	if !filepath.IsAbs(pattern) {
		dirs = []string{p.mainDir, filepath.Dir(from)}
		if p.serverRoot != "" {
			dirs = slices.Insert(dirs, 0, p.serverRoot)
		}
	}
	for _, dir := range dirs {
		if names, err := p.o.Files.Glob(filepath.Join(dir, pattern)); err == nil && len(names) > 0 {
			return names
		}
	}
	return nil
}
