package importer

import (
	"fmt"
	"strings"
)

// A lighttpdToken is one word of lighttpd's language (configfile.c).
type lighttpdToken struct {
	Pos
	kind lighttpdKind
	text string // a key's or a string's; of an operator itself
}

type lighttpdKind uint8

const (
	lighttpdEnd      lighttpdKind = iota // of the file
	lighttpdLineEnd                      // outside of parentheses
	lighttpdKey                          // server.port, else, include, global
	lighttpdString                       // "…"
	lighttpdInteger                      // digits
	lighttpdOperator                     // one of lighttpdOperators
)

// lighttpdOperators are all others than words, the longer ones first.
var lighttpdOperators = []string{
	"=>", "==", "=~", "=^", "=$", "!=", "!~", "+=", ":=", "=", "(", ")", "{", "}", "[", "]", "$", "+", ",",
}

// A lighttpdScanner cuts a file into tokens.
type lighttpdScanner struct {
	r      *report
	file   string
	data   string
	at     int
	line   int
	start  int // of the line, in data
	depth  int // of parentheses: line ends inside mean nothing
	failed bool
}

// scanLighttpd returns the tokens of a file; the last is lighttpdEnd. ok is false
// after an error was reported.
func scanLighttpd(file, data string, r *report) (tokens []lighttpdToken, ok bool) {
	s := &lighttpdScanner{r: r, file: file, data: strings.TrimPrefix(data, "\ufeff"), line: 1}
	for {
		t := s.next()
		if s.failed {
			return nil, false
		}
		if len(tokens) == tokensMax {
			r.errorAt(t.Pos, "more than %d words; is this a configuration of lighttpd?", tokensMax)
			return nil, false
		}
		tokens = append(tokens, t)
		if t.kind == lighttpdEnd {
			return tokens, true
		}
	}
}

func (s *lighttpdScanner) pos() Pos {
	return Pos{File: s.file, Line: s.line, Column: s.at - s.start + 1}
}

// fail reports the one error of the file: what follows cannot be trusted.
func (s *lighttpdScanner) fail(pos Pos, format string, args ...any) lighttpdToken {
	s.r.errorAt(pos, format, args...)
	s.failed = true
	return lighttpdToken{}
}

// newLine counts the line that begins behind the byte at s.at.
func (s *lighttpdScanner) newLine() {
	s.at++
	s.line++
	s.start = s.at
}

func (s *lighttpdScanner) next() lighttpdToken {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '\n':
			t := lighttpdToken{Pos: s.pos(), kind: lighttpdLineEnd}
			s.newLine()
			if s.depth == 0 {
				return t
			}
		case isSpace(c):
			s.at++
		case c == '#':
			end := strings.IndexByte(s.data[s.at:], '\n')
			if end < 0 {
				end = len(s.data) - s.at
			}
			s.at += end
		case c == '"':
			return s.quoted()
		default:
			return s.word()
		}
	}
	return lighttpdToken{Pos: s.pos(), kind: lighttpdEnd}
}

// quoted reads a string. A backslash means something before a quote only, so that
// regular expressions keep theirs.
func (s *lighttpdScanner) quoted() lighttpdToken {
	t := lighttpdToken{Pos: s.pos(), kind: lighttpdString}
	var text strings.Builder
	for s.at++; s.at < len(s.data); {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			t.text = text.String()
			return t
		case c == '\\' && strings.HasPrefix(s.data[s.at:], `\"`):
			text.WriteByte('"')
			s.at += 2
		case c == '\n':
			text.WriteByte(c)
			s.newLine()
		case c == 0:
			return s.fail(s.pos(), "the line holds a NUL byte: this is not a configuration")
		default:
			text.WriteByte(c)
			s.at++
		}
		if text.Len() > lineBytesMax {
			return s.fail(t.Pos, "the string is longer than %d bytes", lineBytesMax)
		}
	}
	return s.fail(t.Pos, "the string is not closed; add a quote where it ends")
}

func (s *lighttpdScanner) word() lighttpdToken {
	t, rest := lighttpdToken{Pos: s.pos()}, s.data[s.at:]
	for _, op := range lighttpdOperators {
		if strings.HasPrefix(rest, op) {
			t.kind, t.text = lighttpdOperator, op
			s.at += len(op)
			switch op {
			case "(":
				s.depth++
			case ")":
				s.depth = max(s.depth-1, 0)
			}
			return t
		}
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !lighttpdWord(r) })
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return s.fail(t.Pos, "%s is not expected here; strings stand in double quotes", quoteByte(rest[0]))
	}
	t.kind, t.text = lighttpdKey, rest[:end]
	if strings.Trim(t.text, "0123456789") == "" {
		t.kind = lighttpdInteger
	}
	s.at += end
	return t
}

func lighttpdWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}

// quoteByte shows a byte of a source in an error.
func quoteByte(c byte) string {
	if c == 0 {
		return "a NUL byte"
	}
	return fmt.Sprintf("%q", string(rune(c)))
}
