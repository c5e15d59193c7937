package secure

// A meter counts how many bytes of an unfinished record have come.
type meter struct {
	held   int // of the record, its header among them
	length int // of the record's content, once the header has come
}

// left returns how many bytes may be looked at before the meter knows more: the
// rest of the header, or of the record.
func (m *meter) left() int {
	if m.held < headerBytes {
		return headerBytes - m.held
	}
	return headerBytes + m.length - m.held
}

// add counts b.
func (m *meter) add(b []byte) {
	for len(b) > 0 {
		if m.held < headerBytes {
			if m.held >= 3 {
				m.length = m.length<<8 | int(b[0])
			} else {
				m.length = 0
			}
			m.held++
			b = b[1:]
		} else {
			n := min(m.left(), len(b))
			m.held += n
			b = b[n:]
		}
		if m.held >= headerBytes && m.left() == 0 {
			m.held = 0
		}
	}
}
