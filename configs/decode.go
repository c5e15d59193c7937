package configs

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A decoder walks the tree of one file and collects what is wrong with it. It
// goes on after an error, so that all of them are reported together.
type decoder struct {
	file     string
	dir      string // of file; what relative paths are relative to
	errs     Errors
	warnings []Warning
}

// A decode reads one value into the place it was made for.
type decode func(n *node)

func newDecoder(file string) *decoder {
	return &decoder{file: file, dir: filepath.Dir(file)}
}

func (d *decoder) errorAt(pos Pos, format string, args ...any) {
	d.errs = append(d.errs, &Error{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// wrong reports an error in the value n: "path: text".
func (d *decoder) wrong(n *node, format string, args ...any) {
	d.errorAt(n.Pos, "%s: %s", n.path(), fmt.Sprintf(format, args...))
}

func (d *decoder) warn(pos Pos, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// show returns n as an error shows it: quoted, and cut where it is long.
func show(n *node) string {
	if !n.scalar() {
		return n.kind.String()
	}
	return quote(n.text)
}

func quote(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strconv.Quote(s)
}

// mapping hands every value of n to the decode of its key. A section without
// any key, as it is left when all its lines are commented out, is empty.
// It reports whether n is a mapping.
func (d *decoder) mapping(n *node, keys map[string]decode) bool {
	if n.kind == nullNode {
		return true
	}
	if n.kind != mappingNode {
		d.wrong(n, "must be a mapping (lines of `key: value`), but this is %v", n.kind)
		return false
	}
	for _, e := range n.entries {
		read, known := keys[e.key]
		switch {
		case !known:
			d.errorAt(e.pos, "unknown key %s in %s%s", quote(e.key), n.path(), suggest(e.key, keys))
		case e.value.kind != brokenNode:
			read(e.value)
		}
	}
	return true
}

// list hands every item of n to item. It reports whether n is a list of at
// most limit items.
func (d *decoder) list(n *node, limit int, item decode) bool {
	if n.kind != listNode {
		d.wrong(n, "must be a list (lines of `- value`, or [] for none), but this is %v", n.kind)
		return false
	}
	if len(n.items) > limit {
		d.wrong(n, "has %d entries; at most %d are allowed", len(n.items), limit)
		return false
	}
	for _, child := range n.items {
		if child.kind != brokenNode {
			item(child)
		}
	}
	return true
}

// text returns the text of n, which is not empty. Unquoted numbers and
// booleans are refused: YAML would have changed what was typed.
func (d *decoder) text(n *node) (string, bool) {
	switch {
	case n.kind == numberNode || n.kind == booleanNode:
		d.wrong(n, "must be text, but %s is %v in YAML; put it in quotes", n.text, n.kind)
		return "", false
	case n.kind == nullNode || n.scalar() && n.text == "":
		d.wrong(n, "must not be empty; remove the key or give it a value")
		return "", false
	case !n.scalar():
		d.wrong(n, "must be text, but this is %v", n.kind)
		return "", false
	}
	if i := strings.IndexFunc(n.text, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		d.wrong(n, "%s contains the control character %U; remove it", quote(n.text), n.text[i])
		return "", false
	}
	return n.text, true
}

// resolve returns path relative to the working directory; in the file it is
// relative to the file.
func (d *decoder) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(d.dir, path)
}

// boolean returns a decode for on and off, true and false.
func (d *decoder) boolean(to *bool) decode {
	return func(n *node) {
		switch n.text {
		case "on", "true":
			*to = true
		case "off", "false":
			*to = false
		default:
			d.wrong(n, "must be on or off, but this is %s", show(n))
		}
	}
}

// number returns a decode for a whole number from least to most.
func (d *decoder) number(to *int, least, most int) decode {
	return func(n *node) {
		value, err := strconv.Atoi(n.text)
		switch {
		case n.kind != numberNode:
			d.wrong(n, "must be a number from %d to %d, but this is %s", least, most, show(n))
		case err != nil || value < least || value > most || leadingZero(n.text):
			d.wrong(n, "must be a whole number from %d to %d, but this is %s", least, most, n.text)
		default:
			*to = value
		}
	}
}

// leadingZero reports a number that some take for octal.
func leadingZero(text string) bool { return len(text) > 1 && text[0] == '0' }

// size returns a decode for bytes. Zero is allowed where zero is not 0, and
// stands for it.
func (d *decoder) size(to *int, least, most, zero int) decode {
	return func(n *node) {
		value, ok := parseSize(n.text)
		switch {
		case !n.scalar() || !ok:
			d.wrong(n, "must be a size such as 64KiB, 1MiB or a number of bytes, but this is %s%s",
				show(n), sizeHint(n.text))
		case value == 0 && zero != 0:
			*to = zero
		case value < int64(least) || value > int64(most):
			d.wrong(n, "must be from %s to %s, but this is %s", formatSize(least), formatSize(most), n.text)
		default:
			*to = int(value)
		}
	}
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// parseSize returns the bytes that text stands for, at most 1<<53.
func parseSize(text string) (int64, bool) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		value, err := strconv.ParseUint(digits, 10, 53)
		if err != nil || leadingZero(digits) || value > 1<<53/uint64(unit.bytes) {
			return 0, false
		}
		return int64(value) * unit.bytes, true
	}
	return 0, false
}

// sizeHint names the unit that was probably meant: 64k, 64K, 64KB, 64kib.
func sizeHint(text string) string {
	digits := strings.TrimRight(text, "KMGIBkmgib")
	unit := strings.ToUpper(text[len(digits):])
	if _, err := strconv.ParseUint(digits, 10, 53); err != nil || unit == "" || !strings.Contains("KMG", unit[:1]) {
		return ""
	}
	if meant := digits + unit[:1] + "iB"; meant != text {
		return "; write " + meant
	}
	return ""
}

func formatSize(bytes int) string {
	for _, unit := range sizeUnits {
		if bytes != 0 && int64(bytes)%unit.bytes == 0 {
			return strconv.FormatInt(int64(bytes)/unit.bytes, 10) + unit.name
		}
	}
	return strconv.Itoa(bytes)
}

// duration returns a decode for a Go duration from least to most, or 0 where
// least is 0. It must be a multiple of step.
func (d *decoder) duration(to *time.Duration, least, most, step time.Duration) decode {
	return func(n *node) {
		value, err := time.ParseDuration(n.text)
		switch {
		case !n.scalar() || err != nil:
			d.wrong(n, "must be a duration such as 1500ms, 10s or 1h, but this is %s%s", show(n), durationHint(n.text))
		case value < 0:
			d.wrong(n, "must not be negative, but this is %s", n.text)
		case value < least && value == 0:
			d.wrong(n, "must be more than 0: there is no such thing as no limit here")
		case value < least || value > most:
			d.wrong(n, "must be from %v to %v, but this is %s", least, most, n.text)
		case value%step != 0:
			d.wrong(n, "must be a multiple of %v, but this is %s", step, n.text)
		default:
			*to = value
		}
	}
}

// durationHint names what was probably meant: 30 is 30s, and 2d is 48h.
func durationHint(text string) string {
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		return "; write " + text + "s"
	}
	digits, ok := strings.CutSuffix(text, "d")
	if days, err := strconv.ParseUint(digits, 10, 16); ok && err == nil {
		return fmt.Sprintf("; write %dh", days*24)
	}
	return ""
}

// enum returns a decode for one of the values; some of them do not work yet.
// Where off is one of them, false is taken for it, as in every switch.
func (d *decoder) enum(to *string, values []string, later ...string) decode {
	return func(n *node) {
		switch {
		case n.kind == booleanNode && n.text == "false" && slices.Contains(values, "off"):
			*to = "off"
		case n.scalar() && slices.Contains(values, n.text):
			*to = n.text
		case n.scalar() && slices.Contains(later, n.text):
			d.wrong(n, "%s is not supported yet; use %s", quote(n.text), orList(values))
		default:
			d.wrong(n, "must be %s, but this is %s", orList(values), show(n))
		}
	}
}

// later returns a decode for a key that does not work yet. It accepts the
// values that say what is in force anyway.
func (d *decoder) later(inForce func(n *node) bool, fix string) decode {
	return func(n *node) {
		if inForce == nil || !inForce(n) {
			d.wrong(n, "not supported yet; remove the key%s", fix)
		}
	}
}

// Values that say what is in force anyway.

func isZeroSize(n *node) bool {
	value, ok := parseSize(n.text)
	return n.scalar() && ok && value == 0
}

func isEmpty(n *node) bool {
	return (n.kind == listNode || n.kind == mappingNode) && len(n.items)+len(n.entries) == 0
}

func isText(want string) func(*node) bool {
	return func(n *node) bool { return n.scalar() && n.text == want }
}

func orList(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// suggest returns what to do about an unknown key.
func suggest(key string, keys map[string]decode) string {
	known := make([]string, 0, len(keys))
	for k := range keys {
		known = append(known, k)
	}
	slices.Sort(known)
	if len(key) <= keyBytesMax {
		nearest := slices.MinFunc(known, func(a, b string) int {
			return cmp.Compare(distance(key, a), distance(key, b))
		})
		if distance(key, nearest) <= max(1, min(len(key), len(nearest))/3) {
			return "; did you mean " + strconv.Quote(nearest) + "?"
		}
	}
	return "; it may hold " + orList(known)
}

// distance returns the number of letters to insert, remove, replace or swap
// with a neighbour to turn a into b, ignoring case and taking - for _.
func distance(a, b string) int {
	fold := strings.NewReplacer("-", "_").Replace
	a, b = fold(strings.ToLower(a)), fold(strings.ToLower(b))
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
