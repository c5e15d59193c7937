package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// maskedFrame is a frame as a client sends it.
func maskedFrame(op ws.OpCode, fin bool, payload string) string {
	f := ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0x9c, 0x00, 0xff, 0x31})
	return string(ws.MustCompileFrame(f))
}

func textFrame(payload string) string   { return maskedFrame(ws.OpText, true, payload) }
func binaryFrame(payload string) string { return maskedFrame(ws.OpBinary, true, payload) }
func pingFrame(payload string) string   { return maskedFrame(ws.OpPing, true, payload) }
func pongFrame(payload string) string   { return maskedFrame(ws.OpPong, true, payload) }
func begun(payload string) string       { return maskedFrame(ws.OpText, false, payload) }
func onward(payload string) string      { return maskedFrame(ws.OpContinuation, false, payload) }
func finished(payload string) string    { return maskedFrame(ws.OpContinuation, true, payload) }

// closing is a Close with this body.
func closingFrame(body string) string { return maskedFrame(ws.OpClose, true, body) }

func codeBody(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

// rawHeader is a masked header written as no library would, with a key of zeros.
func rawHeader(first, length byte, extended ...byte) string {
	return string(append(append([]byte{first, length | 0x80}, extended...), 0, 0, 0, 0))
}

func allConformance() []conformance {
	return slices.Concat(framingCases(), reservedCases(), lengthCases(), fragmentCases(), controlCases(),
		utf8Cases(), closeCases(), limitCases())
}

// carries is a case whose payload comes back.
func carries(section, name, echo string, frames ...string) conformance {
	return conformance{section: section, name: name, frames: frames, echo: echo}
}

// ends is a case that ends with a Close of this code.
func ends(section, name string, code ws.StatusCode, frames ...string) conformance {
	return conformance{section: section, name: name, frames: frames, code: code}
}

// on is the case on another route than /text.
func (c conformance) on(route string) conformance {
	c.route = route
	return c
}

// behind is the case with what may come back before its Close.
func (c conformance) behind(echo string) conformance {
	c.echo = echo
	return c
}

func (c conformance) ponged(pongs ...string) conformance {
	c.pongs = pongs
	return c
}

// framingCases are of section 5.2 and 5.6: messages of all sizes, in both opcodes.
func framingCases() (list []conformance) {
	const section = "5.2 framing"
	for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20, 16 << 20} {
		text, binary := string(textMessage(size).data), string(binaryMessage(size).data)
		list = append(list,
			carries(section, fmt.Sprint("text of ", size), text, textFrame(text)),
			carries(section, fmt.Sprint("binary of ", size), binary, binaryFrame(binary)).on("/binary"))
	}
	many := strings.Repeat("x", 300)
	return append(list,
		carries(section, "many messages in one segment", strings.Repeat(many, 100), slices.Repeat([]string{textFrame(many)}, 100)...),
		carries(section, "text and binary in turn", "abc", textFrame("a"), binaryFrame("b"), textFrame("c")),
		ends("5.1 masking", "a frame that is not masked", 1002, textFrame("a"), "\x81\x01b").behind("a"),
		ends("5.1 masking", "a ping that is not masked", 1002, "\x89\x00"),
		ends("5.1 masking", "a close that is not masked", 1002, "\x88\x02\x03\xe8"),
		carries("5.3 masking", "a key of zeros", "Hello", rawHeader(0x81, 5)+"Hello"))
}

// reservedCases are of section 5.2: bits and opcodes without a meaning.
func reservedCases() (list []conformance) {
	for bits := 1; bits < 8; bits++ {
		const section = "5.2 reserved bits"
		first := byte(0x80 | bits<<4)
		list = append(list,
			ends(section, fmt.Sprint("text with ", bits), 1002, textFrame("a"), rawHeader(first|1, 1)+"b").behind("a"),
			ends(section, fmt.Sprint("ping with ", bits), 1002, rawHeader(first|9, 0)),
			ends(section, fmt.Sprint("close with ", bits), 1002, rawHeader(first|8, 2)+"\x03\xe8"))
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		const section = "5.2 opcodes"
		list = append(list,
			ends(section, fmt.Sprintf("%x", opcode), 1002, textFrame("a"), rawHeader(0x80|opcode, 0)).behind("a"),
			ends(section, fmt.Sprintf("%x with payload", opcode), 1002, rawHeader(0x80|opcode, 3)+"abc", pingFrame("")))
	}
	return list
}

// lengthCases are of section 5.2: lengths must take as few bytes as they can, and
// have 63 bits.
func lengthCases() []conformance {
	bad := func(name, header string) conformance {
		return ends("5.2 lengths", name, 1002, textFrame("a"), header).behind("a")
	}
	return []conformance{
		bad("0 in 2 bytes", rawHeader(0x82, 126, 0, 0)),
		bad("125 in 2 bytes", rawHeader(0x82, 126, 0, 125)),
		bad("0 in 8 bytes", rawHeader(0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0)),
		bad("65535 in 8 bytes", rawHeader(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff)),
		bad("2^63", rawHeader(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0)),
		bad("2^64-1", rawHeader(0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
	}
}

// fragmentCases are of section 5.4.
func fragmentCases() []conformance {
	const section = "5.4 fragmentation"
	bad := func(name string, frames ...string) conformance {
		return ends(section, name, 1002, frames...).behind("fragment")
	}
	megabyte := strings.Repeat("0123456789abcdef", 1<<16)
	return []conformance{
		carries(section, "two", "fragments", begun("frag"), finished("ments")),
		carries(section, "a letter each", "abcde", begun("a"), onward("b"), onward("c"), onward("d"), finished("e")),
		carries(section, "empty ones", "x", begun(""), onward(""), onward("x"), finished("")),
		carries(section, "all empty", "", begun(""), onward(""), finished(""), pingFrame("!")).ponged("!"),
		carries(section, "a ping between", "fragments", begun("frag"), pingFrame("?"), finished("ments")).ponged("?"),
		carries(section, "pings and pongs between", "abc",
			begun("a"), pingFrame("1"), pongFrame("x"), onward("b"), pingFrame("2"), finished("c")).ponged("1", "2"),
		carries(section, "of 64 bytes, 1 MiB", megabyte, inFragments(megabyte, 64)...),
		carries(section, "of 1 KiB, 1 MiB", megabyte, inFragments(megabyte, 1<<10)...),
		carries(section, "of 64 KiB, 1 MiB", megabyte, inFragments(megabyte, 64<<10)...),
		bad("a continuation of nothing", finished("x")),
		bad("an unfinished continuation of nothing", onward("x"), finished("y")),
		bad("a continuation behind a message", textFrame("frag"), textFrame("ment"), finished("x")),
		bad("a continuation behind the last one", begun("frag"), finished("ment"), onward("x")),
		bad("text within text", begun("frag"), textFrame("x")),
		bad("binary within text", begun("frag"), onward("ment"), binaryFrame("x")),
		bad("a new one within one", begun("frag"), begun("x"), finished("y")),
		bad("text within text behind a ping", begun("frag"), onward(""), pingFrame(""), textFrame("x")).ponged(""),
	}
}

func inFragments(text string, size int) (frames []string) {
	for at := 0; at < len(text); at += size {
		op := ws.OpContinuation
		if at == 0 {
			op = ws.OpText
		}
		frames = append(frames, maskedFrame(op, at+size >= len(text), text[at:min(at+size, len(text))]))
	}
	return frames
}

// controlCases are of section 5.5.
func controlCases() []conformance {
	const section = "5.5 control frames"
	longest := strings.Repeat("p", 125)
	answered := func(name, payload string) conformance {
		return carries(section, name, "", pingFrame(payload)).ponged(payload)
	}
	bad := func(name string, frames ...string) conformance { return ends(section, name, 1002, frames...) }
	var ten, answers []string
	for i := range 10 {
		ten, answers = append(ten, pingFrame(fmt.Sprint("ping ", i))), append(answers, fmt.Sprint("ping ", i))
	}
	return []conformance{
		answered("a ping", ""),
		answered("a ping with payload", "Hello, world!"),
		answered("a ping with bytes that are no text", "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"),
		answered("a ping of 125 bytes", longest),
		carries(section, "ten pings in one segment", "", ten...).ponged(answers...),
		carries(section, "pongs that nobody asked for", "",
			pongFrame(""), pongFrame("x"), pongFrame(longest), pingFrame("!")).ponged("!"),
		bad("a ping of 126 bytes", rawHeader(0x89, 126, 0, 126)+longest+"p"),
		bad("a pong of 126 bytes", rawHeader(0x8a, 126, 0, 126)+longest+"p"),
		bad("a close of 126 bytes", rawHeader(0x88, 126, 0, 126)+longest+"p"),
		bad("a ping with a length of 8 bytes", rawHeader(0x89, 127, 0, 0, 0, 0, 0, 1, 0, 0)),
		bad("a fragmented ping", maskedFrame(ws.OpPing, false, "frag"), finished("ment")),
		bad("a fragmented pong", maskedFrame(ws.OpPong, false, "")),
		bad("a fragmented close", maskedFrame(ws.OpClose, false, "")),
	}
}

// utf8Cases are of section 8.1: text is UTF-8, whatever it is cut into.
func utf8Cases() (list []conformance) {
	const section = "8.1 UTF-8"
	for name, text := range map[string]string{
		"letters": "Hello-µ@ßöäüàá-UTF-8!!", "kosme": "κόσμε", "signs": "日本語", "emoji": "😀🦀",
		"boundaries of 1": "\x00\x7f", "boundaries of 2": "\u0080\u07ff", "boundaries of 3": "\u0800\uffff",
		"boundaries of 4": "\U00010000\U0010ffff", "around the surrogates": "\ud7ff\ue000",
		"non-characters": "\ufffe\uffff\U0001fffe", "a byte order mark": "\ufeffx",
	} {
		half := len(text) / 2
		letters := []string{begun(text[:1])}
		for i := 1; i < len(text); i++ {
			letters = append(letters, onward(text[i:i+1]))
		}
		list = append(list,
			carries(section, name, text, textFrame(text)),
			carries(section, name+" in two fragments", text, begun(text[:half]), finished(text[half:])),
			carries(section, name+" byte by byte", text, append(letters, pingFrame("!"), finished(""))...).ponged("!"))
	}
	for name, text := range map[string]string{
		"a lone continuation": "\x80", "a continuation behind a letter": "a\xbf", "C0": "\xc0\xaf", "C1": "\xc1\xbf",
		"overlong of 3": "\xe0\x9f\xbf", "overlong of 4": "\xf0\x8f\xbf\xbf", "overlong of 5": "\xf8\x80\x80\x80\xaf",
		"overlong of 6": "\xfc\x80\x80\x80\x80\xaf", "a surrogate": "\xed\xa0\x80", "the last surrogate": "\xed\xbf\xbf",
		"a pair of surrogates": "\xed\xa0\x80\xed\xb0\x80", "beyond U+10FFFF": "\xf4\x90\x80\x80",
		"F5": "\xf5\x80\x80\x80", "FE": "\xfe", "FF": "\xff", "a letter within a character": "\xe2\x82a",
		"kosme with a surrogate": "κόσμε\xed\xa0\x80edited",
	} {
		valid := text[:len(text)-len(strings.TrimLeft(text, "aκόσμε"))]
		list = append(list,
			ends(section, "not "+name, 1007, textFrame(text)).behind(valid),
			ends(section, "not "+name+", before the message ends", 1007, begun(text)).behind(valid))
	}
	return append(list,
		ends(section, "a message that ends in a character", 1007, textFrame("\xe2\x82")),
		ends(section, "fragments that end in a character", 1007, begun("\xf0\x9f"), finished("\x98")),
		carries(section, "binary may be anything", "\xff\x80\xc0", binaryFrame("\xff\x80\xc0")).on("/binary"))
}

// closeCases are of sections 5.5.1 and 7.4.
func closeCases() (list []conformance) {
	const codes, closes = "7.4 close codes", "5.5.1 close"
	sent := func(code int, reason string) string { return closingFrame(codeBody(code, reason)) }
	for _, code := range []int{
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
	} {
		list = append(list, ends(codes, fmt.Sprint(code), ws.StatusCode(code), sent(code, "")))
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		list = append(list, ends(codes, fmt.Sprint("not ", code), 1002, sent(code, "")))
	}
	return append(list,
		ends(closes, "without a code", noCode, closingFrame("")),
		ends(closes, "with half a code", 1002, closingFrame("\x03")),
		ends(closes, "with a reason", 1000, sent(1000, "bye")),
		ends(closes, "with the longest reason", 1000, sent(1000, strings.Repeat("r", 123))),
		ends(closes, "with a reason that is no UTF-8", 1007, sent(1000, "\xce\xba\xed\xa0\x80")),
		ends(closes, "with a reason that ends in a character", 1007, sent(1000, "x\xe2\x82")),
		ends(closes, "and a ping behind it", 1000, sent(1000, ""), pingFrame("!")),
		ends(closes, "and text behind it", 1000, sent(1000, ""), textFrame("late")),
		ends(closes, "and another behind it", 1000, sent(1000, ""), sent(1001, "")),
		ends(closes, "within a message", 1001, begun(""), sent(1001, "")))
}

// limitCases are of section 10.4: nothing is read of what is too large.
func limitCases() []conformance {
	const section, route = "10.4 limits", "/limited"
	most, frame := string(binaryMessage(conformanceMessageMax).data), string(binaryMessage(conformanceFrameMax).data)
	whole := binaryFragments(inFragments(most, conformanceFrameMax))
	last := len(whole) - 1
	onceMore := append(slices.Clone(whole[:last]), onward(most[len(most)-conformanceFrameMax:]), finished("x"))
	return []conformance{
		carries(section, "the largest frame", frame, binaryFrame(frame)).on(route),
		ends(section, "a byte more", 1009, binaryFrame(frame+"x")).on(route),
		ends(section, "a frame of 2^62 bytes", 1009, rawHeader(0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0)).on(route),
		carries(section, "the largest message", most, whole...).on(route),
		ends(section, "a byte more in the last fragment", 1009, onceMore...).behind(most).on(route),
		carries(section, "the next message starts anew", most+frame, append(slices.Clone(whole), binaryFrame(frame))...).on(route),
	}
}

// binaryFragments is inFragments for what is no text.
func binaryFragments(frames []string) []string {
	list := slices.Clone(frames)
	list[0] = "\x02" + list[0][1:]
	return list
}
