package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A node is one value of the file. Only what the schema can use gets this
// far: tree refuses anchors, aliases, merge keys, tags and odd keys.
type node struct {
	Pos
	kind nodeKind

	text    string // of a scalar, unquoted and unescaped
	entries []entry
	items   []*node

	// How to name the node in an error: parent.label, or parent[label].
	parent *node
	label  string
}

type entry struct {
	key   string
	pos   Pos
	value *node
}

type nodeKind uint8

const (
	nullNode    nodeKind = iota // nothing, or ~
	quotedNode                  // text in quotes or a block: surely a string
	plainNode                   // text that YAML takes for a string
	numberNode                  // text that YAML takes for a number
	booleanNode                 // true or false
	listNode
	mappingNode
	brokenNode // already reported; the schema passes over it
)

// String returns the kind with its article, for "…, but this is …".
func (k nodeKind) String() string {
	return [...]string{"empty", "text", "text", "a number", "a boolean", "a list", "a mapping", "broken"}[k]
}

// path returns the dotted name of n, such as routes[0].to, or "the file".
func (n *node) path() string {
	if n.parent == nil {
		return "the file"
	}
	if n.parent.kind == listNode {
		return n.parent.path() + "[" + n.label + "]"
	}
	if n.parent.parent == nil {
		return n.label
	}
	return n.parent.path() + "." + n.label
}

func (n *node) scalar() bool { return n.kind >= quotedNode && n.kind <= booleanNode }

// get returns the value of key in a mapping, or nil.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// tree returns the mapping at the top of data, or nil after reporting why
// there is none. Whatever it reports below the top is broken in the result, so
// that the schema does not complain about it a second time.
func (d *decoder) tree(data []byte) *node {
	start := Pos{File: d.file, Line: 1, Column: 1}
	if !d.readable(data) {
		return nil
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff"))
	if !d.shallow(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			d.errorAt(d.pos(doc.Body, start), "a second document begins here: a configuration is one document; remove the line --- or ...")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		d.errorAt(start, "the file is empty: it needs at least listeners and routes")
		return nil
	}
	root := &node{Pos: start}
	d.convert(root, body)
	if root.kind != mappingNode {
		if len(d.errs) == 0 {
			d.errorAt(root.Pos, "the file must be a mapping (lines of `key: value`), but this is %v", root.kind)
		}
		return nil
	}
	return root
}

// readable reports what no YAML file may contain. It runs before the lexer,
// which lets control characters pass.
func (d *decoder) readable(data []byte) bool {
	at := func(i int) Pos {
		line := 1 + bytes.Count(data[:i], []byte{'\n'})
		head := data[bytes.LastIndexByte(data[:i], '\n')+1 : i]
		return Pos{File: d.file, Line: line, Column: 1 + utf8.RuneCount(head)}
	}
	if len(data) > fileBytesMax {
		d.errorAt(at(0), "the file is larger than %d MiB", fileBytesMax>>20)
		return false
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			d.errorAt(at(i), "the file is not UTF-8: byte %#02x; save it as UTF-8", data[i])
			return false
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			d.errorAt(at(i), `control character %U: remove it, or write it as an escape ("\x%02x")`, r, r)
			return false
		}
		i += size
	}
	return true
}

// shallow reports nesting that would make the parser, which recurses, run out
// of stack: brackets, and what can nest again and again within one line.
func (d *decoder) shallow(tokens token.Tokens) bool {
	flow, inline, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, inline = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			inline++
		}
		if flow > depthMax || inline > depthMax {
			d.errorAt(d.tokenPos(t), "nested more than %d deep: the configuration needs 5 levels", depthMax)
			return false
		}
	}
	return true
}

// syntax reports the one error at which the parser stopped.
func (d *decoder) syntax(err error) {
	pos, text := Pos{File: d.file, Line: 1, Column: 1}, err.Error()
	var located yaml.Error
	if errors.As(err, &located) {
		text = located.GetMessage()
		if t := located.GetToken(); t != nil {
			pos = d.tokenPos(t)
		}
	}
	d.errorAt(pos, "not valid YAML: %s", clean(text))
}

func (d *decoder) tokenPos(t *token.Token) Pos {
	pos := Pos{File: d.file, Line: 1, Column: 1}
	if t.Position != nil {
		pos.Line, pos.Column = max(1, t.Position.Line), max(1, t.Position.Column)
	}
	return pos
}

// pos returns where v begins, or fallback where the parser does not know.
// A mapping begins at its first key, though its own token is the first colon.
func (d *decoder) pos(v ast.Node, fallback Pos) Pos {
	switch m := v.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			v = m.Values[0].Key
		}
	case *ast.MappingValueNode:
		v = m.Key
	}
	if v == nil || v.GetToken() == nil {
		return fallback
	}
	return d.tokenPos(v.GetToken())
}

// convert fills n, whose Pos is that of its key, from v.
func (d *decoder) convert(n *node, v ast.Node) {
	if v == nil {
		return
	}
	if t := v.GetToken(); t == nil || t.Type != token.ImplicitNullType {
		n.Pos = d.pos(v, n.Pos)
	}
	switch v := v.(type) {
	case *ast.NullNode:
		n.kind = nullNode
	case *ast.StringNode:
		n.kind, n.text = plainNode, v.Value
		if t := v.GetToken().Type; t == token.SingleQuoteType || t == token.DoubleQuoteType {
			n.kind = quotedNode
		}
	case *ast.LiteralNode:
		n.kind, n.text = quotedNode, v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = numberNode, v.GetToken().Value
	case *ast.BoolNode:
		n.kind, n.text = booleanNode, v.GetToken().Value
	case *ast.SequenceNode:
		n.kind = listNode
		d.convertList(n, v)
	case *ast.MappingNode:
		n.kind = mappingNode
		d.convertMapping(n, v.Values)
	case *ast.MappingValueNode:
		n.kind = mappingNode
		d.convertMapping(n, []*ast.MappingValueNode{v})
	default:
		d.errorAt(n.Pos, "%s: wsplice's configuration does without %s; write the value out", n.path(), oddity(v))
		n.kind = brokenNode
	}
}

func oddity(v ast.Node) string {
	switch v.(type) {
	case *ast.AnchorNode:
		return "anchors (&name)"
	case *ast.AliasNode:
		return "aliases (*name)"
	case *ast.TagNode:
		return "tags (!name)"
	}
	return "this kind of YAML (" + v.Type().String() + ")"
}

func (d *decoder) convertList(n *node, v *ast.SequenceNode) {
	for i, item := range v.Values {
		child := &node{Pos: n.Pos, parent: n, label: fmt.Sprint(i)}
		d.convert(child, item)
		n.items = append(n.items, child)
	}
}

func (d *decoder) convertMapping(n *node, values []*ast.MappingValueNode) {
	seen := make(map[string]Pos, len(values))
	for _, value := range values {
		pos := d.pos(value, n.Pos)
		key, ok := d.key(n, pos, value.Key)
		if !ok {
			continue
		}
		if first, dup := seen[key]; dup {
			d.errorAt(pos, "the key %q stands twice, first in line %d: remove one", key, first.Line)
			continue
		}
		seen[key] = pos
		child := &node{Pos: pos, parent: n, label: key}
		d.convert(child, value.Value)
		n.entries = append(n.entries, entry{key: key, pos: pos, value: child})
	}
}

// key returns the text of a mapping's key. Numbers and the like are taken as
// they are written: the schema does not know them, and says so.
func (d *decoder) key(n *node, pos Pos, k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.MergeKeyNode:
		d.errorAt(pos, "%s: wsplice's configuration does without merge keys (<<); write the values out", n.path())
		return "", false
	case *ast.MappingKeyNode:
		d.errorAt(pos, "%s: wsplice's configuration does without complex keys (?); write `key: value`", n.path())
		return "", false
	}
	if k == nil || k.GetToken() == nil {
		d.errorAt(pos, "%s: a key is missing; write `key: value`", n.path())
		return "", false
	}
	return k.GetToken().Value, true
}

// clean returns s fit for one line of a terminal: control characters quoted,
// and cut where it is long.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '�'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
