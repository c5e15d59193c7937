package importer

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A writer writes YAML line by line, in block style with comments.
type writer struct{ strings.Builder }

// line writes one line at a depth of so many spaces.
func (w *writer) line(indent int, format string, args ...any) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", indent), strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// comment writes text as one comment, whatever it holds.
func (w *writer) comment(indent int, text string) { w.line(indent, "# %s", printable(text)) }

// blank separates two sections.
func (w *writer) blank() {
	if w.Len() > 0 {
		w.WriteByte('\n')
	}
}

// printable returns text without what could end a comment or confuse a
// terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// cut returns at most limit runes of text.
func cut(text string, limit int) string {
	for i := range text {
		if limit == 0 {
			return text[:i] + "…"
		}
		limit--
	}
	return text
}

// plainScalar is text that needs no quotes, in block and in flow style.
var plainScalar = regexp.MustCompile(`^[A-Za-z_/^$(\\][A-Za-z0-9_/^$().+*~\\=@;%-]*(:[A-Za-z0-9_/^$().+*~\\=@;%-]+)*$`)

// reserved is plain text that YAML takes for something else, in any version.
var reserved = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|~|\.?(inf|nan))$`)

// scalar returns text as a YAML string.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !reserved.MatchString(text) {
		return text
	}
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&out, `\x%02x`, r)
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// list returns items as a flow sequence.
func list(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = scalar(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// A pair is one key of a flow mapping with a value that is YAML already.
type pair struct{ key, value string }

// mapping returns pairs as a flow mapping.
func mapping(pairs []pair) string {
	items := make([]string, len(pairs))
	for i, p := range pairs {
		items[i] = scalar(p.key) + ": " + p.value
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// duration returns d as people write it: 24h, 90s, 1m30s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// onOff returns a boolean as the configuration writes it.
func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
