package route

import (
	"regexp"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// A testRequest is a request that handshake might have judged.
type testRequest struct {
	path, host []byte
	fields     [][2]string
}

func (r *testRequest) Path() []byte { return r.path }
func (r *testRequest) Host() []byte { return r.host }

func (r *testRequest) AppendField(dst []byte, name string) []byte {
	first := true
	for i := range r.fields {
		if !strings.EqualFold(r.fields[i][0], name) {
			continue
		}
		if !first {
			dst = append(dst, ", "...)
		}
		dst, first = append(dst, r.fields[i][1]...), false
	}
	return dst
}

func get(host, path string, fields ...[2]string) *testRequest {
	return &testRequest{path: []byte(path), host: []byte(host), fields: fields}
}

func mustCompile(t testing.TB, patterns ...Pattern) *Table {
	t.Helper()
	table, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func prefix(p string, hosts ...string) Pattern { return Pattern{Prefix: p, Hosts: hosts} }

func expression(e string) Pattern { return Pattern{Regexp: regexp.MustCompile(e)} }

// all returns every route that matches, in the order they are given.
func (t *Table) all(s *Subject, r Request) (list []int) {
	for i := t.First(s, r); i >= 0; i = t.Next(s) {
		list = append(list, i)
	}
	return list
}

// validPath reports whether handshake could have returned the path: its
// characters, complete escapes, no dot segments.
func validPath(path string) bool {
	if path == "" || path[0] != '/' || hasDotSegment([]byte(path)) {
		return false
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"#<>?\`, c) >= 0 {
			return false
		}
		if c != '%' {
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return false
		}
		// An escape that is not needed, or of a control character or a backslash,
		// does not come out of handshake.
		d := unhex(path[i+1])<<4 | unhex(path[i+2])
		if d < ' ' || d == 0x7f || d == '\\' || d != '/' && byteClasses[d]&classQuery != 0 {
			return false
		}
		if strings.ToUpper(path[i:i+3]) != path[i:i+3] {
			return false
		}
	}
	return true
}
