package frame

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// encode shows chunks to an Encoder and returns the payloads of its frames, which
// it reads with gobwas/ws.
func encode(t *testing.T, coding Coding, chunks ...[]byte) (payloads []string, valid, whole bool) {
	t.Helper()
	var s Scanner
	var e Encoder
	e.Init(&s, coding)
	var stream []byte
	valid = true
	for _, b := range chunks {
		if coding == Base64 {
			stream = e.AppendBase64(stream, b)
			continue
		}
		var prefix [PrefixBytesMax]byte
		m, n, ok := e.Frame(&prefix, b)
		if m > 0 {
			stream = append(append(stream, prefix[:m]...), b[:n]...)
		} else if n > 0 {
			t.Fatalf("%d bytes without a header", n)
		}
		if !ok {
			valid = false
			break
		}
	}
	for r := bytes.NewReader(stream); r.Len() > 0; {
		f, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatalf("%x: %v", stream, err)
		}
		want := ws.OpText
		if coding == Binary {
			want = ws.OpBinary
		}
		if err := ws.CheckHeader(f.Header, ws.StateClientSide); err != nil || f.Header.OpCode != want || !f.Header.Fin {
			t.Fatalf("%+v: %v", f.Header, err)
		}
		payloads = append(payloads, string(f.Payload))
	}
	if int(s.Messages()) != len(payloads) {
		t.Fatalf("%d messages of %d are counted", s.Messages(), len(payloads))
	}
	return payloads, valid, e.Whole()
}

// checkText holds that what comes out is as much of the chunks as is UTF-8 and
// complete, in messages that are UTF-8 each.
func checkText(t *testing.T, chunks ...[]byte) {
	t.Helper()
	all := bytes.Join(chunks, nil)
	good := len(all)
	for i := range all {
		if !viableUTF8(all[:i+1]) {
			good = i
			break
		}
	}
	want := all[:good]
	for len(want) > 0 && !utf8.Valid(want) {
		want = want[:len(want)-1]
	}
	payloads, valid, whole := encode(t, Text, chunks...)
	if got := strings.Join(payloads, ""); got != string(want) || valid != (good == len(all)) {
		t.Fatalf("%q: %q, valid %v; want %q, %v", chunks, got, valid, want, good == len(all))
	}
	if valid && whole != (len(want) == len(all)) {
		t.Fatalf("%q: whole %v", chunks, whole)
	}
	for _, p := range payloads {
		if p == "" || !utf8.ValidString(p) {
			t.Fatalf("%q: a message %q", chunks, p)
		}
	}
}

func TestEncoderText(t *testing.T) {
	for _, s := range []string{
		"Hello", "é", "日本語", "😀x😀", "a\xc0\xaf", "ab\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80",
		"x\xe2\x82", "\xe2\x82a", "\xf8", "", "\xf0\x9f\x98", "ok\xff",
	} {
		b := []byte(s)
		checkText(t, b)
		checkText(t, each(b, 1)...)
		for i := range b {
			checkText(t, b[:i], b[i:])
			for j := i; j < len(b); j++ {
				checkText(t, b[:i], b[i:j], b[j:])
			}
		}
	}
}

func FuzzEncoder(f *testing.F) {
	for _, s := range []string{"κόσμε", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "x\xe2\x82"} {
		f.Add([]byte(s), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, b, numbers []byte) {
		checkText(t, cuts(b, numbers)...)
		checkText(t, each(b, 1)...)
		for _, coding := range []Coding{Binary, Base64} {
			payloads, _, _ := encode(t, coding, cuts(b, numbers)...)
			got := strings.Join(payloads, "")
			if coding == Base64 {
				got = ""
				for _, p := range payloads {
					part, err := base64.StdEncoding.DecodeString(p)
					if err != nil {
						t.Fatal(err)
					}
					got += string(part)
				}
			}
			if got != string(b) {
				t.Fatalf("coding %d: %q, want %q", coding, got, b)
			}
		}
	})
}

func TestEncoderLengths(t *testing.T) {
	for _, n := range []int{1, 125, 126, 127, 65535, 65536, 70000} {
		for _, coding := range []Coding{Binary, Text} {
			payloads, valid, whole := encode(t, coding, bytes.Repeat([]byte("x"), n))
			if len(payloads) != 1 || len(payloads[0]) != n || !valid || !whole {
				t.Errorf("%d bytes: %d frames, valid %v, whole %v", n, len(payloads), valid, whole)
			}
		}
	}
}
