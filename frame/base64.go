package frame

// base64Text takes base64 (RFC 4648 section 4) off a stream, in any pieces. The
// zero value is at the beginning.
type base64Text struct {
	bits   uint32 // of digits that have not made a byte yet
	digits uint8  // in the group of four in progress, padding included
	ended  uint8  // signs of padding seen
}

// take decodes b in place. It returns what became of it, which lies at the
// beginning of b, and whether all of b could follow what it was shown before.
func (t *base64Text) take(b []byte) (decoded []byte, ok bool) {
	out := 0
	for _, c := range b {
		value := base64Values[c]
		switch {
		case c == '=' && (t.digits == 2 && t.bits&0xf == 0 || t.digits == 3 && (t.ended > 0 || t.bits&0x3 == 0)):
			t.ended++
			t.digits++
			continue
		case value == base64Not || t.ended > 0:
			return b[:out], false
		}
		t.bits = t.bits<<6 | uint32(value)
		switch t.digits++; t.digits {
		case 2:
			b[out] = byte(t.bits >> 4)
			out++
		case 3:
			b[out] = byte(t.bits >> 2)
			out++
		case 4:
			b[out] = byte(t.bits)
			out++
			t.digits, t.bits = 0, 0
		}
	}
	return b[:out], true
}

// whole reports whether the text may end here: every group has its four signs.
func (t *base64Text) whole() bool { return t.digits%4 == 0 }

const base64Not = 0xff

// base64Values has the value of each digit.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = base64Not
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(digits) {
		values[digits[i]] = byte(i)
	}
	return values
}()
