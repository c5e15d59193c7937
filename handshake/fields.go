package handshake

// A fieldKind names a field this room has a rule for.
type fieldKind uint8

const (
	fieldOther fieldKind = iota
	fieldHost
	fieldConnection
	fieldUpgrade
	fieldContentLength
	fieldTransferEncoding
	fieldOrigin
	fieldCookie
	fieldUserAgent
	fieldKey
	fieldVersion
	fieldSubprotocol
	fieldExtensions
	fieldAccept
	fieldForwarded
	fieldForwardedFor
	fieldForwardedProto
	fieldForwardedHost
	fieldForwardedOther // any further X-Forwarded-*
	fieldTrailer
	fieldHop // other hop-by-hop fields, which are never passed on
	numFieldKinds
)

// A field is one line of a head, as offsets into it. The line ends, CRLF
// included, where the next one starts.
type field struct {
	start, nameEnd       uint32
	valueStart, valueEnd uint32
	kind                 fieldKind
	underscore           bool // the name contains '_'
	nominated            bool // named by Connection; valid after nominate
}

// A fieldTable holds the field lines of one head. It is reused from head to
// head; only what parse wrote is valid.
type fieldTable struct {
	head   []byte
	fields [fieldsMax]field
	n      int
	end    int                  // where the last line ends
	first  [numFieldKinds]uint8 // index+1 of the first field of a kind, or 0
	many   [numFieldKinds]bool  // there is more than one of the kind
	tokens connectionTokens
}

const _ = uint8(fieldsMax + 1) // an index+1 fits first

// connectionTokens is what the Connection fields of a head say.
type connectionTokens struct {
	close, keepAlive, upgrade bool
	others                    bool // names further fields: see nominate
}

// parse splits the lines of head from pos on, and checks them byte by byte:
// that a HeadScanner accepted head is not relied on. What is, and what the
// caller has checked: head ends in CRLFCRLF, beyond pos. So there is a CR
// ahead of every index below, and no loop runs past the end.
func (t *fieldTable) parse(head []byte, pos int) fault {
	t.head, t.n = head, 0
	t.first = [numFieldKinds]uint8{}
	t.many = [numFieldKinds]bool{}
	for head[pos] != '\r' {
		if t.n == fieldsMax {
			return faultTooMany
		}
		f := &t.fields[t.n]
		next, bad := f.parse(head, pos)
		if bad != faultNone {
			return bad
		}
		pos = next
		t.n++
		if t.first[f.kind] == 0 {
			t.first[f.kind] = uint8(t.n)
		} else {
			t.many[f.kind] = true
		}
	}
	t.end = pos
	if pos+2 != len(head) {
		return faultIncomplete // an empty line before the last one
	}
	return t.parseConnection()
}

// parse reads the field line at pos and returns where the next one starts.
func (f *field) parse(head []byte, pos int) (next int, bad fault) {
	i := pos
	var classes uint8
	for {
		class := byteClasses[head[i]]
		if class&classToken == 0 {
			break
		}
		classes |= class
		i++
	}
	switch {
	case head[i] == ':' && i > pos:
	case i == pos && isBlank(head[i]):
		return 0, faultFold // RFC 9112 section 5.2
	default:
		return 0, faultName // white space before the colon: section 5.1
	}
	start := i + 1
	for isBlank(head[start]) {
		start++
	}
	end := skipText(head, start)
	for head[end] == '\t' {
		end = skipText(head, end+1)
	}
	if head[end] != '\r' {
		return 0, faultControl
	}
	if head[end+1] != '\n' {
		return 0, faultLineEnding
	}
	next = end + 2
	for end > start && isBlank(head[end-1]) {
		end--
	}
	*f = field{
		start: uint32(pos), nameEnd: uint32(i),
		valueStart: uint32(start), valueEnd: uint32(end),
		kind: kindOf(head[pos:i]), underscore: classes&classUnderscore != 0,
	}
	return next, faultNone
}

// parseConnection reads all Connection fields (RFC 9110 section 7.6.1).
func (t *fieldTable) parseConnection() fault {
	t.tokens = connectionTokens{}
	count := 0
	for i := int(t.first[fieldConnection]); i > 0; i = t.next(i, fieldConnection) {
		for list := t.value(i - 1); len(list) > 0; {
			var token []byte
			token, list = cutList(list)
			if len(token) == 0 {
				continue
			}
			count++
			if !isToken(token) || count > connectionTokensMax {
				return faultConnection
			}
			switch {
			case equalFold(token, "upgrade"):
				t.tokens.upgrade = true
			case equalFold(token, "keep-alive"):
				t.tokens.keepAlive = true
			case equalFold(token, "close"):
				t.tokens.close = true
			default:
				t.tokens.others = true
			}
		}
	}
	return faultNone
}

// nominate marks the fields that Connection names, which therefore end with
// this hop.
func (t *fieldTable) nominate() {
	if !t.tokens.others {
		return
	}
	for i := int(t.first[fieldConnection]); i > 0; i = t.next(i, fieldConnection) {
		for list := t.value(i - 1); len(list) > 0; {
			var token []byte
			token, list = cutList(list)
			for j := range t.n {
				if name := t.name(j); len(name) == len(token) && equalFoldBytes(name, token) {
					t.fields[j].nominated = true
				}
			}
		}
	}
}

// next returns the index+1 of the next field of kind after index+1 i, or 0.
func (t *fieldTable) next(i int, kind fieldKind) int {
	if !t.many[kind] {
		return 0
	}
	for ; i < t.n; i++ {
		if t.fields[i].kind == kind {
			return i + 1
		}
	}
	return 0
}

func (t *fieldTable) name(i int) []byte {
	f := &t.fields[i]
	return t.head[f.start:f.nameEnd]
}

func (t *fieldTable) value(i int) []byte {
	f := &t.fields[i]
	return t.head[f.valueStart:f.valueEnd]
}

// framesTrailer reports whether Trailer announces a field that would change
// how the message is framed (RFC 9110 section 6.5.1).
func (t *fieldTable) framesTrailer() bool {
	for i := int(t.first[fieldTrailer]); i > 0; i = t.next(i, fieldTrailer) {
		for list := t.value(i - 1); len(list) > 0; {
			var name []byte
			name, list = cutList(list)
			switch kindOf(name) {
			case fieldContentLength, fieldTransferEncoding, fieldTrailer:
				return true
			}
		}
	}
	return false
}

// get returns the value of the first field of kind, and whether there is one.
func (t *fieldTable) get(kind fieldKind) ([]byte, bool) {
	if i := t.first[kind]; i > 0 {
		return t.value(int(i) - 1), true
	}
	return nil, false
}

// lookup returns the value of the first field called name, in any case.
func (t *fieldTable) lookup(name string) ([]byte, bool) {
	for i := range t.n {
		f := &t.fields[i]
		if int(f.nameEnd-f.start) == len(name) && equalFoldString(t.head[f.start:f.nameEnd], name) {
			return t.value(i), true
		}
	}
	return nil, false
}

// appendLines appends the lines that keep accepts, byte for byte; runs of
// lines that stay together are copied at once.
func (t *fieldTable) appendLines(dst []byte, keep func(i int) bool) []byte {
	run := -1
	for i := range t.n {
		switch kept := keep(i); {
		case kept && run < 0:
			run = int(t.fields[i].start)
		case !kept && run >= 0:
			dst = append(dst, t.head[run:t.fields[i].start]...)
			run = -1
		}
	}
	if run >= 0 {
		dst = append(dst, t.head[run:t.end]...)
	}
	return dst
}

// kindOf classifies a field name, which consists of token bytes.
func kindOf(name []byte) fieldKind {
	switch len(name) {
	case 2:
		return kindIf(name, "te", fieldHop)
	case 4:
		return kindIf(name, "host", fieldHost)
	case 6:
		if name[0]|0x20 == 'o' {
			return kindIf(name, "origin", fieldOrigin)
		}
		return kindIf(name, "cookie", fieldCookie)
	case 7:
		if name[0]|0x20 == 'u' {
			return kindIf(name, "upgrade", fieldUpgrade)
		}
		return kindIf(name, "trailer", fieldTrailer)
	case 9:
		return kindIf(name, "forwarded", fieldForwarded)
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return kindIf(name, "connection", fieldConnection)
		case 'u':
			return kindIf(name, "user-agent", fieldUserAgent)
		}
		return kindIf(name, "keep-alive", fieldHop)
	case 14:
		if name[0]|0x20 == 'c' {
			return kindIf(name, "content-length", fieldContentLength)
		}
		return kindIf(name, "http2-settings", fieldHop)
	}
	if len(name) > 11 {
		return kindOfLong(name)
	}
	return fieldOther
}

func kindOfLong(name []byte) fieldKind {
	switch name[0] | 0x20 {
	case 's':
		if len(name) >= 17 && equalName(name[:14], "sec-websocket-") {
			return kindOfWebSocket(name[14:])
		}
	case 't':
		return kindIf(name, "transfer-encoding", fieldTransferEncoding)
	case 'p':
		if equalName(name[:6], "proxy-") {
			return kindOfProxy(name[6:])
		}
	case 'x':
		if equalName(name[:12], "x-forwarded-") {
			return kindOfForwarded(name[12:])
		}
	}
	return fieldOther
}

func kindOfWebSocket(rest []byte) fieldKind {
	switch len(rest) {
	case 3:
		return kindIf(rest, "key", fieldKey)
	case 6:
		return kindIf(rest, "accept", fieldAccept)
	case 7:
		return kindIf(rest, "version", fieldVersion)
	case 8:
		return kindIf(rest, "protocol", fieldSubprotocol)
	case 10:
		return kindIf(rest, "extensions", fieldExtensions)
	}
	return fieldOther
}

func kindOfProxy(rest []byte) fieldKind {
	for _, hop := range [...]string{"connection", "authenticate", "authorization", "authentication-info"} {
		if equalName(rest, hop) {
			return fieldHop
		}
	}
	return fieldOther
}

func kindOfForwarded(rest []byte) fieldKind {
	switch {
	case equalName(rest, "for"):
		return fieldForwardedFor
	case equalName(rest, "proto"):
		return fieldForwardedProto
	case equalName(rest, "host"):
		return fieldForwardedHost
	}
	return fieldForwardedOther
}

func kindIf(name []byte, want string, kind fieldKind) fieldKind {
	if equalName(name, want) {
		return kind
	}
	return fieldOther
}
