package frame

import "unicode/utf8"

// A text checks that the bytes of a stream are UTF-8 (RFC 3629), in any pieces.
// The zero value is at the beginning of a character.
type text struct {
	due    uint8 // bytes that the character in progress still wants
	seen   uint8 // bytes of it that have come: 0 between characters, at most 3
	lo, hi byte  // what the next of them may be
}

// take looks at b, which follows what it was shown before. It returns how many
// bytes come before the first one that no UTF-8 could have there, and whether
// that is all of them.
func (t *text) take(b []byte) (n int, ok bool) {
	for n < len(b) && t.due > 0 {
		if !t.step(b[n]) {
			return n, false
		}
		n++
	}
	// Where something is wrong, the steps find the place.
	if whole := n + wholeCharacters(b[n:]); utf8.Valid(b[n:whole]) {
		n = whole
	}
	for ; n < len(b); n++ {
		if !t.step(b[n]) {
			return n, false
		}
	}
	return n, true
}

// wholeCharacters returns how many bytes of b come before a character at its end
// that is not complete.
func wholeCharacters(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		at := len(b) - back
		if !utf8.RuneStart(b[at]) {
			continue
		}
		if utf8.FullRune(b[at:]) {
			return len(b)
		}
		return at
	}
	return len(b)
}

// step takes one byte. The ranges are those of the table in RFC 3629 section 4:
// what would be too long, a surrogate, or beyond U+10FFFF shows in the second.
func (t *text) step(c byte) bool {
	if t.due > 0 {
		if c < t.lo || c > t.hi {
			return false
		}
		t.seen++
		if t.due--; t.due == 0 {
			t.seen = 0
		}
		t.lo, t.hi = 0x80, 0xbf
		return true
	}
	t.lo, t.hi = 0x80, 0xbf
	switch {
	case c < utf8.RuneSelf:
		return true
	case c < 0xc2 || c > 0xf4:
		return false
	case c < 0xe0:
		t.due = 1
	case c < 0xf0:
		t.due = 2
	default:
		t.due = 3
	}
	switch c {
	case 0xe0:
		t.lo = 0xa0
	case 0xed:
		t.hi = 0x9f
	case 0xf0:
		t.lo = 0x90
	case 0xf4:
		t.hi = 0x8f
	}
	t.seen = 1
	return true
}
