package handshake

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// scanBody feeds p to a chunked body in two pieces and, if it is not done,
// reports n as -1.
func scanBody(p string, i int) (n int, err error) {
	b := Body{kind: BodyChunked}
	n, done, err := b.Scan([]byte(p[:i]))
	if err == nil && !done {
		var m int
		m, done, err = b.Scan([]byte(p[i:]))
		n += m
	}
	if err == nil && !done {
		return -1, nil
	}
	return n, err
}

func TestBodyChunked(t *testing.T) {
	long := strings.Repeat("e", chunkLineBytesMax)
	for name, c := range map[string]struct {
		body string
		n    int // -1: not done
		err  error
	}{
		"empty":                   {"0\r\n\r\n", 5, nil},
		"bytes behind":            {"0\r\n\r\nHTTP/1.1", 5, nil},
		"two chunks":              {"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nX", 30, nil},
		"leading zeros":           {"0005\r\nhello\r\n00\r\n\r\n", 19, nil},
		"extension":               {"5;a=\"b c\xff\t\";d\r\nhello\r\n0;x\r\n\r\n", 29, nil},
		"trailers":                {"0\r\nA: b\r\nC:\r\n\r\nX", 15, nil},
		"CRLF in the data":        {"4\r\n\r\n\r\n\r\n0\r\n\r\n", 14, nil},
		"not done: size":          {"5", -1, nil},
		"not done: data":          {"5\r\nhell", -1, nil},
		"not done: end":           {"5\r\nhello\r\n0\r\n\r", -1, nil},
		"not done: trailer":       {"0\r\nA: b\r\n", -1, nil},
		"no size":                 {"\r\n", 0, ErrChunkSize},
		"no size but extension":   {";a\r\n", 0, ErrChunkSize},
		"space before size":       {" 5\r\n", 0, ErrChunkSize},
		"space after size":        {"5 \r\n", 0, ErrChunkSize},
		"tab after size":          {"5\t;a\r\n", 0, ErrChunkSize},
		"0x":                      {"0x5\r\n", 0, ErrChunkSize},
		"sign":                    {"+5\r\n", 0, ErrChunkSize},
		"no hexadecimal":          {"g\r\n", 0, ErrChunkSize},
		"bare LF after size":      {"5\nhello\r\n", 0, ErrChunkSize},
		"bare CR after size":      {"5\rhello\r\n", 0, ErrChunkSize},
		"CR CR LF":                {"5\r\r\nhello\r\n", 0, ErrChunkSize},
		"LF in an extension":      {"5;a\nhello", 0, ErrChunkSize},
		"NUL in an extension":     {"5;\x00\r\n", 0, ErrChunkSize},
		"size of 64 bits":         {"FFFFFFFFFFFFFFFF\r\n", 0, ErrChunkSize},
		"long extension":          {"5;" + long + "\r\n", 0, ErrChunkSize},
		"data too long":           {"5\r\nhello!\r\n", 0, ErrChunkEnd},
		"data ends in bare LF":    {"5\r\nhello\n0\r\n\r\n", 0, ErrChunkEnd},
		"data ends in bare CR":    {"5\r\nhello\r0\r\n\r\n", 0, ErrChunkEnd},
		"trailer without colon":   {"0\r\nA\r\n\r\n", 0, ErrTrailer},
		"trailer with fold":       {"0\r\nA: b\r\n c\r\n\r\n", 0, ErrTrailer},
		"trailer with space":      {"0\r\nA : b\r\n\r\n", 0, ErrTrailer},
		"trailer with bare LF":    {"0\r\nA: b\n\r\n", 0, ErrTrailer},
		"trailer with NUL":        {"0\r\nA: \x00\r\n\r\n", 0, ErrTrailer},
		"trailer with empty name": {"0\r\n: b\r\n\r\n", 0, ErrTrailer},
		"end in bare LF":          {"0\r\n\n", 0, ErrTrailer},
		"end in CR CR":            {"0\r\n\r\r", 0, ErrTrailer},
		"long trailer":            {"0\r\nA: " + strings.Repeat("x", trailerBytesMax) + "\r\n\r\n", 0, ErrTrailer},
		"nothing but extensions":  {strings.Repeat("1;"+long[:1000]+"\r\nx\r\n", 20), 0, ErrChunkSize},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range len(c.body) + 1 {
				if len(c.body) > 5000 && i%101 > 0 {
					continue
				}
				n, err := scanBody(c.body, i)
				if !errors.Is(err, c.err) || c.err == nil && n != c.n {
					t.Fatalf("split at %d: %d %v, want %d %v", i, n, err, c.n, c.err)
				}
			}
			b := Body{kind: BodyChunked}
			var err error
			done, total := false, 0
			for i := 0; i < len(c.body) && err == nil && !done; i++ {
				var n int
				n, done, err = b.Scan([]byte{c.body[i]})
				total += n
			}
			if !errors.Is(err, c.err) || c.err == nil && done != (c.n >= 0) || done && total != c.n {
				t.Fatalf("byte by byte: %d %v %v", total, done, err)
			}
		})
	}
}

func TestBodyOtherKinds(t *testing.T) {
	var none Body
	if n, done, err := none.Scan([]byte("x")); n != 0 || !done || err != nil {
		t.Errorf("none: %d %v %v", n, done, err)
	}
	length := Body{kind: BodyLength, remain: 5}
	if n, done, _ := length.Scan([]byte("abc")); n != 3 || done || length.Length() != 2 {
		t.Errorf("length: %d %v", n, done)
	}
	if n, done, _ := length.Scan([]byte("defg")); n != 2 || !done {
		t.Errorf("length: %d %v", n, done)
	}
	if n, done, _ := length.Scan([]byte("x")); n != 0 || !done {
		t.Errorf("length, after its end: %d %v", n, done)
	}
	closes := Body{kind: BodyUntilClose}
	if n, done, _ := closes.Scan([]byte("abc")); n != 3 || done {
		t.Errorf("until close: %d %v", n, done)
	}
	chunked := Body{kind: BodyChunked}
	if n, done, err := chunked.Scan([]byte("0\r\n\r\n")); n != 5 || !done || err != nil {
		t.Errorf("chunked: %d %v %v", n, done, err)
	}
	if n, done, _ := chunked.Scan([]byte("x")); n != 0 || !done {
		t.Errorf("chunked, after its end: %d %v", n, done)
	}
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\r\n\r\nrest", "1;x=\"y\"\r\n\n\r\n0\r\n\r\n", "ffffffffffffffff\r\n",
		"3\r\n\r\n\r\r\n0\r\n\r\n", "5 \r\n", "0\r\n\r", "00000000000000005\r\n", "a\r\n0123456789\r\n0;\r\n\r\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		n, err := scanBody(string(p), len(p))
		if at < 0 || at > len(p) {
			at = len(p) / 2
		}
		if m, splitErr := scanBody(string(p), at); m != n && err == nil || !errors.Is(splitErr, err) {
			t.Fatalf("%q split at %d: %d %v, whole: %d %v", p, at, m, splitErr, n, err)
		}
		if err != nil || n < 0 {
			return
		}
		// What we take for a body is one to net/http, and to no byte less.
		reader := bytes.NewReader(p[:n])
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(reader)); err != nil {
			t.Fatalf("%q: net/http says %v", p[:n], err)
		}
		if m, err := scanBody(string(p[:n-1]), 0); m != -1 || err != nil {
			t.Fatalf("%q: done with less: %d %v", p[:n-1], m, err)
		}
	})
}
