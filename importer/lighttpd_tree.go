package importer

import (
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

// A lighttpdValue is a string, an integer or a list.
type lighttpdValue struct {
	Pos
	kind  lighttpdKind // lighttpdString, lighttpdInteger, or lighttpdOperator for a list
	text  string       // of a string or an integer
	items []lighttpdItem
}

// A lighttpdItem is an element of a list, with a key or without.
type lighttpdItem struct {
	key   string
	keyed bool
	value lighttpdValue
}

// list reports whether v is one.
func (v lighttpdValue) list() bool { return v.kind == lighttpdOperator }

// A lighttpdBlock is the file, or what stands between the braces of a
// condition.
type lighttpdBlock struct {
	at       Pos
	cond     *lighttpdCond // nil: the file, or global { }
	options  []lighttpdOption
	children []*lighttpdBlock
}

// A lighttpdOption is one assignment.
type lighttpdOption struct {
	Pos
	key   string
	value lighttpdValue
}

// A lighttpdCond is $FIELD["name"] OP "value".
type lighttpdCond struct {
	Pos
	field, name, op, value string
	negated                bool // an else: whatever stands before did not match
}

// source returns the condition as it was written.
func (c *lighttpdCond) source() string {
	if c.op == "else" {
		return "else"
	}
	text := "$" + c.field + `["` + c.name + `"] ` + c.op + ` "` + c.value + `"`
	if c.negated {
		text = "else " + text
	}
	return oneLine(text)
}

// A lighttpdParser builds blocks, and reads what they include.
type lighttpdParser struct {
	o         *Options
	r         *report
	variables map[string]lighttpdValue
	files     int
	bytes     int
	options   int
	notes     []Note
	mainDir   string

	// Of the file that is being read.
	tokens []lighttpdToken
	next   int
	level  int // of included files
}

func newLighttpdParser(name string, o *Options, r *report) *lighttpdParser {
	p := &lighttpdParser{o: o, r: r, variables: map[string]lighttpdValue{}, mainDir: filepath.Dir(name)}
	for _, key := range []string{"CWD", "PID"} {
		p.variables["var."+key] = lighttpdValue{kind: lighttpdString}
	}
	for key, value := range o.Defines {
		p.variables["env."+key] = lighttpdValue{kind: lighttpdString, text: value}
		p.variables["var."+key] = lighttpdValue{kind: lighttpdString, text: value}
	}
	return p
}

// file reads one file into a block. It reports false after an error.
func (p *lighttpdParser) file(name string, data []byte, into *lighttpdBlock) bool {
	p.r.file(name)
	start := Pos{File: name, Line: 1, Column: 1}
	p.files++
	p.bytes += len(data)
	switch {
	case len(data) > fileBytesMax:
		p.r.errorAt(start, "the file is larger than %d bytes", fileBytesMax)
		return false
	case p.files > filesMax:
		p.r.errorAt(start, "more than %d files; is there a circle?", filesMax)
		return false
	case p.bytes > totalBytesMax:
		p.r.errorAt(start, "the files are larger than %d bytes together", totalBytesMax)
		return false
	}
	tokens, ok := scanLighttpd(name, string(data), p.r)
	if !ok {
		return false
	}
	outer := *p
	p.tokens, p.next = tokens, 0
	ok = p.block(into, false)
	p.tokens, p.next = outer.tokens, outer.next
	return ok
}

func (p *lighttpdParser) peek() lighttpdToken { return p.tokens[p.next] }

func (p *lighttpdParser) take() lighttpdToken {
	t := p.tokens[p.next]
	if t.kind != lighttpdEnd {
		p.next++
	}
	return t
}

func (p *lighttpdParser) isOperator(op string) bool {
	t := p.peek()
	return t.kind == lighttpdOperator && t.text == op
}

// want takes an operator, or says what is missing.
func (p *lighttpdParser) want(op, where string) bool {
	if p.isOperator(op) {
		p.next++
		return true
	}
	p.r.errorAt(p.peek().Pos, "%s is missing %s", quoted(op), where)
	return false
}

func quoted(s string) string { return strconv.Quote(s) }

func (p *lighttpdParser) lineEnds() {
	for p.peek().kind == lighttpdLineEnd {
		p.next++
	}
}

// block reads lines until the end of the file or, in braces, until they close.
func (p *lighttpdParser) block(b *lighttpdBlock, braces bool) bool {
	for {
		p.lineEnds()
		t := p.peek()
		switch {
		case t.kind == lighttpdEnd && braces:
			p.r.errorAt(b.at, "the block is not closed; add a } where it ends")
			return false
		case t.kind == lighttpdEnd:
			return true
		case braces && p.isOperator("}"):
			p.next++
			return true
		}
		if !p.statement(b) {
			return false
		}
	}
}

func (p *lighttpdParser) statement(b *lighttpdBlock) bool {
	t := p.take()
	switch {
	case t.kind == lighttpdOperator && t.text == "$":
		return p.condition(t.Pos, b, false)
	case t.kind != lighttpdKey:
		p.r.errorAt(t.Pos, "an option such as wstunnel.server is expected here, or $HTTP[…]")
		return false
	case t.text == "global" && p.isOperator("{"):
		p.next++
		return p.braced(&lighttpdBlock{at: t.Pos}, b, func(inner *lighttpdBlock) {
			b.options = append(b.options, inner.options...)
			b.children = append(b.children, inner.children...)
		})
	case t.text == "else":
		return p.otherwise(t.Pos, b)
	case t.text == "include" || t.text == "include_shell":
		return p.include(t, b)
	}
	return p.assignment(t, b)
}

// braced reads a block behind its brace and hands it to keep.
func (p *lighttpdParser) braced(inner, outer *lighttpdBlock, keep func(*lighttpdBlock)) bool {
	if p.level++; p.level > sectionDepthMax {
		p.r.errorAt(inner.at, "blocks stand more than %d deep", sectionDepthMax)
		return false
	}
	defer func() { p.level-- }()
	if !p.block(inner, true) {
		return false
	}
	if len(outer.children) >= sectionsMax {
		p.r.errorAt(inner.at, "more than %d conditions", sectionsMax)
		return false
	}
	keep(inner)
	return true
}

// condition reads $FIELD["name"] OP "value" { … }, the dollar being taken.
func (p *lighttpdParser) condition(at Pos, b *lighttpdBlock, negated bool) bool {
	c := &lighttpdCond{Pos: at, negated: negated}
	if t := p.take(); t.kind == lighttpdKey {
		c.field = t.text
	} else {
		p.r.errorAt(t.Pos, "the name of a condition is missing; write $HTTP[\"host\"] == \"name\" { … }")
		return false
	}
	if p.isOperator("[") {
		p.next++
		name, ok := p.expression()
		if !ok || !p.want("]", "behind the name of the condition") {
			return false
		}
		c.name = name.text
	}
	op := p.take()
	switch {
	case op.kind == lighttpdOperator && strings.Contains(" == != =~ !~ =^ =$ ", " "+op.text+" "):
		c.op = op.text
	default:
		p.r.errorAt(op.Pos, "a comparison is expected here: ==, !=, =~, !~, =^ or =$")
		return false
	}
	value, ok := p.expression()
	if !ok {
		return false
	}
	c.value = value.text
	p.lineEnds()
	if !p.want("{", "behind the condition") {
		return false
	}
	return p.braced(&lighttpdBlock{at: at, cond: c}, b, func(inner *lighttpdBlock) { b.children = append(b.children, inner) })
}

// otherwise reads else $… { } or else { }.
func (p *lighttpdParser) otherwise(at Pos, b *lighttpdBlock) bool {
	p.lineEnds()
	for _, word := range []string{"if", "elseif"} {
		if t := p.peek(); t.kind == lighttpdKey && t.text == word {
			p.next++
		}
	}
	if p.isOperator("$") {
		p.next++
		return p.condition(at, b, true)
	}
	if !p.want("{", "behind else") {
		return false
	}
	c := &lighttpdCond{Pos: at, negated: true, op: "else"}
	return p.braced(&lighttpdBlock{at: at, cond: c}, b, func(inner *lighttpdBlock) { b.children = append(b.children, inner) })
}

// include reads other files. What a program would print is not asked for.
func (p *lighttpdParser) include(t lighttpdToken, b *lighttpdBlock) bool {
	value, ok := p.expression()
	if !ok {
		return false
	}
	pattern := value.text
	if t.text == "include_shell" {
		p.notes = append(p.notes, Note{
			Pos:  t.Pos,
			Text: "include_shell " + oneLine(pattern) + ": no program is run; import what it prints as a file of its own",
		})
		return true
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(p.mainDir, pattern)
	}
	if p.o.Files == nil {
		return true
	}
	names, err := p.o.Files.Glob(pattern)
	if err != nil || len(names) == 0 && !strings.ContainsAny(pattern, "*?[") {
		p.notes = append(p.notes, Note{
			Pos: t.Pos, Text: "include " + oneLine(value.text) + ": there is no such file; what it says is missing here",
		})
		return true
	}
	if p.level++; p.level > includeDepthMax {
		p.r.errorAt(t.Pos, "files include each other more than %d deep; is there a circle?", includeDepthMax)
		return false
	}
	defer func() { p.level-- }()
	for _, name := range names {
		data, err := p.o.Files.Read(name)
		if err != nil {
			p.r.errorAt(t.Pos, "include: %v", err)
			return false
		}
		if !p.file(name, data, b) {
			return false
		}
	}
	return true
}

// assignment reads = := or += and a value; var.x is kept for later lines.
func (p *lighttpdParser) assignment(key lighttpdToken, b *lighttpdBlock) bool {
	op := p.take()
	if op.kind != lighttpdOperator || op.text != "=" && op.text != ":=" && op.text != "+=" {
		p.r.errorAt(op.Pos, "%s: =, := or += is expected behind an option", key.text)
		return false
	}
	value, ok := p.expression()
	if !ok {
		return false
	}
	if p.options++; p.options > directivesMax {
		p.r.errorAt(key.Pos, "more than %d options", directivesMax)
		return false
	}
	value.Pos = key.Pos
	if strings.HasPrefix(key.text, "var.") {
		return p.assign(key, op.text, value)
	}
	for i := range b.options {
		if o := &b.options[i]; o.key == key.text {
			if op.text == "+=" {
				return p.join(key.Pos, &o.value, value)
			}
			o.Pos, o.value = key.Pos, value
			return true
		}
	}
	b.options = append(b.options, lighttpdOption{key.Pos, key.text, value})
	return true
}

func (p *lighttpdParser) assign(key lighttpdToken, op string, value lighttpdValue) bool {
	if len(p.variables) >= definesMax {
		p.r.errorAt(key.Pos, "more than %d variables", definesMax)
		return false
	}
	p.variables = maps.Clone(p.variables)
	if old, known := p.variables[key.text]; known && op == "+=" {
		if !p.join(key.Pos, &old, value) {
			return false
		}
		value = old
	}
	p.variables[key.text] = value
	return true
}

// expression reads values joined by +.
func (p *lighttpdParser) expression() (lighttpdValue, bool) {
	v, ok := p.value()
	for ok && p.isOperator("+") {
		p.next++
		var more lighttpdValue
		if more, ok = p.value(); ok {
			ok = p.join(more.Pos, &v, more)
		}
	}
	return v, ok
}

// join appends more to v, as lighttpd's + does: lists get longer, and anything
// else becomes text.
func (p *lighttpdParser) join(at Pos, v *lighttpdValue, more lighttpdValue) bool {
	switch {
	case v.list() != more.list():
		p.r.errorAt(at, "a list and a string cannot be joined")
		return false
	case v.list():
		v.items = append(v.items[:len(v.items):len(v.items)], more.items...)
	case v.kind == lighttpdInteger && more.kind == lighttpdInteger:
		a, _ := strconv.Atoi(v.text)
		b, _ := strconv.Atoi(more.text)
		v.text = strconv.Itoa(a + b)
	default:
		v.kind, v.text = lighttpdString, v.text+more.text
	}
	if len(v.text) > lineBytesMax || len(v.items) > listItemsMax {
		p.r.errorAt(at, "the value is too long: at most %d bytes or %d elements", lineBytesMax, listItemsMax)
		return false
	}
	return true
}

func (p *lighttpdParser) value() (lighttpdValue, bool) {
	t := p.take()
	v := lighttpdValue{Pos: t.Pos, kind: t.kind, text: t.text}
	switch {
	case t.kind == lighttpdString || t.kind == lighttpdInteger:
		return v, true
	case t.kind == lighttpdKey:
		if known, ok := p.variables[t.text]; ok {
			known.Pos = t.Pos
			return known, true
		}
		p.r.errorAt(t.Pos, "%s is not known; assign it before, or give it by --define; strings stand in double quotes", t.text)
		return v, false
	case t.kind == lighttpdOperator && t.text == "(":
		return p.items(v)
	}
	p.r.errorAt(t.Pos, "a value is expected here: a string in double quotes, a number or a list in parentheses")
	return v, false
}

// items reads a list behind its parenthesis.
func (p *lighttpdParser) items(v lighttpdValue) (lighttpdValue, bool) {
	v.kind, v.text = lighttpdOperator, ""
	if p.level++; p.level > sectionDepthMax {
		p.r.errorAt(v.Pos, "lists stand more than %d deep", sectionDepthMax)
		return v, false
	}
	defer func() { p.level-- }()
	for {
		if p.isOperator(")") {
			p.next++
			return v, true
		}
		if len(v.items) == listItemsMax {
			p.r.errorAt(v.Pos, "the list has more than %d elements", listItemsMax)
			return v, false
		}
		if p.peek().kind == lighttpdEnd {
			return v, p.unclosed(v)
		}
		first, ok := p.expression()
		if !ok {
			return v, false
		}
		item := lighttpdItem{value: first}
		if p.isOperator("=>") {
			p.next++
			item.key, item.keyed = first.text, true
			if item.value, ok = p.expression(); !ok {
				return v, false
			}
		}
		v.items = append(v.items, item)
		if p.peek().kind == lighttpdEnd {
			return v, p.unclosed(v)
		}
		if !p.isOperator(",") && !p.isOperator(")") {
			p.r.errorAt(p.peek().Pos, "a comma or ) is expected behind an element of a list")
			return v, false
		}
		if p.isOperator(",") {
			p.next++
		}
	}
}

// unclosed reports a list that goes on to the end of the file.
func (p *lighttpdParser) unclosed(v lighttpdValue) (ok bool) {
	p.r.errorAt(v.Pos, "the list is not closed; add a ) where it ends")
	return false
}
