package route

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// expand returns the target of a request for path and query on a route, and
// whether it has one.
func expand(t testing.TB, p Pattern, to, path, query string) (target string, ok bool) {
	t.Helper()
	rule, err := NewTarget(&p, to)
	if err != nil {
		t.Fatal(err)
	}
	var s Subject
	if mustCompile(t, p).First(&s, get("h", path)) != 0 {
		t.Fatalf("%+v does not match %s", p, path)
	}
	out, ok := rule.Append([]byte("..."), &s, []byte(query))
	if !strings.HasPrefix(string(out), "...") || !ok && len(out) > 3 {
		t.Fatalf("%s made %q of what was there", path, out)
	}
	return string(out[3:]), ok
}

func TestPrefixTarget(t *testing.T) {
	for _, c := range []struct{ prefix, to, path, query, want string }{
		{"/seg", "/base", "/seg/a", "?x=1", "/base/a?x=1"},
		{"/seg", "/base", "/seg", "", "/base"},
		{"/ws2/", "/", "/ws2/x", "", "/x"},
		{"/ws2/", "/", "/ws2/", "?", "/?"},
		{"/ws2", "/", "/ws2/x", "", "/x"},
		{"/ws2/", "/b", "/ws2/x", "", "/bx"},
		{"/ws", "", "/ws", "", "/"},
		{"/ws/", "", "/ws/evil.test/", "", "/evil.test/"},
		{"/ws", "", "/ws/a", "", "/a"},
		{"/", "/", "//evil.test/x", "", "/evil.test/x"},
		{"/ws", "", "/ws//evil.test/x", "", "/evil.test/x"},
		{"/ws", "/b", "/ws//x", "", "/b//x"},
		{"/ws/", "/b/", "//ws///x//y", "", "/b/x//y"},
		{"/a b", "/c", "/a%20b/%20%3F%2F..%2F", "?%0d", "/c/%20%3F%2F..%2F?%0d"},
		{"/", "/", "/x|y^z`{}[]", "", "/x|y^z`{}[]"},
	} {
		if got, ok := expand(t, prefix(c.prefix), c.to, c.path, c.query); !ok || got != c.want {
			t.Errorf("%s to %q: %s%s becomes %q %v, want %q", c.prefix, c.to, c.path, c.query, got, ok, c.want)
		}
	}
}

func TestKeptPath(t *testing.T) {
	var s Subject
	var keep Target
	for path, want := range map[string]string{"/a%2Fb//c": "/a%2Fb//c?q", "//evil.test/x": "/evil.test/x?q"} {
		s.Set(get("h", path))
		if got, ok := keep.Append(nil, &s, []byte("?q")); !ok || string(got) != want {
			t.Errorf("%s becomes %q, want %q", path, got, want)
		}
	}
	if got, ok := expand(t, Pattern{Suffix: ".ws"}, "/", "/a//x.ws", "?q"); !ok || got != "/a//x.ws?q" {
		t.Errorf("suffix: %q", got)
	}
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct{ expression, to, path, query, want string }{
		{`^/(myApp/ws)$`, "/$1", "/myApp/ws", "?q", "/myApp/ws?q"},
		{`^(/.*\.gif)$`, "$1", "/a/b.gif", "", "/a/b.gif"},
		{`\.gif$`, "", "/a/b.gif", "?q", "/a/b.gif?q"},
		{`\.gif$`, "/base", "/a/b.gif", "?q", "/base/a/b.gif?q"},
		{`\.gif$`, "/base?k=v", "/a/b.gif", "?q", "/base/a/b.gif?k=v&q"},
		{`^/(a)(b)?(c)(d)(e)(f)(g)(h)(i)`, "/$9$1$2-$0", "/acdefghi", "", "/ia-/acdefghi"},
		{`^/(.*)$`, "/x/$1", "/%20/%C3%A4/%2F/%3F%25", "", "/x/%20/%C3%A4/%2F/%3F%25"},
		{`^/(.*)$`, "/x?p=$1&r=1", "/a/b", "?q=2", "/x?p=a/b&r=1&q=2"},
		{`^/(.*)$`, "/x?$1", "/", "?q", "/x?q"},
		{`^/()`, "/x$1?", "/", "?", "/x?"},
		{`^/()`, "/x$1?", "/", "?q", "/x?q"},
		{`^/(.*)$`, "/x?p=$1", "/a&b=c+d;e%26%3D%2B%23%3F%2F", "", "/x?p=a%26b%3Dc%2Bd%3Be%26%3D%2B%23%3F%2F"},
		{`^/(.*)$`, "/$1/$x$", "/a", "", "/a/$x$"},
		{`^/([^/]+)//?(.*)$`, "/$2/$1", "/a///b", "", "/b/a"},
		// A group that ends within an escaped slash takes all of it or nothing.
		{`^/a%(.*)$`, "/$1", "/a%2Fb", "", "/b"},
		{`^/(a%)2Fb$`, "/x$141", "/a%2Fb", "", "/xa%2F41"},
		{`^/a%(2)Fb$`, "/x%25$1", "/a%2Fb", "", "/x%25"},
		// One byte of a character.
		{`^/(.)(.)$`, "/$2$1", "/%C3x", "", "/x%C3"},
		// What names a host somewhere stays a path here.
		{`^/(.*)$`, "$1", "/evil.test/x", "", "/evil.test/x"},
		{`^(/.*)$`, "$1", "//evil.test/x", "", "/evil.test/x"},
		{`^/(.*)$`, "$1", "/@evil.test:80/", "", "/@evil.test:80/"},
		{`^/(.*)$`, "/$1", "/http://evil.test/", "", "/http://evil.test/"},
		// CVE-2021-40438: a path that reads like a unix socket.
		{`^/(.*)$`, "$1", "/unix:/run/docker.sock|http://x/", "", "/unix:/run/docker.sock|http://x/"},
	} {
		if got, ok := expand(t, expression(c.expression), c.to, c.path, c.query); !ok || got != c.want {
			t.Errorf("%s to %q: %s%s becomes %q %v, want %q", c.expression, c.to, c.path, c.query, got, ok, c.want)
		}
	}
}

// CVE-2023-25690: a decoded path in the target of the backend let a request
// write a second one. handshake refuses the escaped CR and LF before; here
// they would stay escaped.
func TestNoRequestIsSplit(t *testing.T) {
	const path = "/here/a%20HTTP/1.1%0D%0AX:%201%0D%0A%0D%0AGET%20/smug%3Fa%23b"
	for to, want := range map[string]string{
		"/elsewhere?$1": "/elsewhere?a%20HTTP/1.1%0D%0AX%3A%201%0D%0A%0D%0AGET%20/smug%3Fa%23b",
		"/elsewhere/$1": "/elsewhere/a%20HTTP/1.1%0D%0AX:%201%0D%0A%0D%0AGET%20/smug%3Fa%23b",
		"/elsewhere/$1?$1": "/elsewhere/a%20HTTP/1.1%0D%0AX:%201%0D%0A%0D%0AGET%20/smug%3Fa%23b?" +
			"a%20HTTP/1.1%0D%0AX%3A%201%0D%0A%0D%0AGET%20/smug%3Fa%23b",
	} {
		if got, ok := expand(t, expression("(?s)^/here/(.*)"), to, path, ""); !ok || got != want {
			t.Errorf("%s: %q %v, want %q", to, got, ok, want)
		}
	}
	// Bytes that no head can bring here are escaped all the same.
	if got, _ := expand(t, expression("(?s)^/here/(.*)"), "/$1?$1", "/here/a b\r\n?#\"%4", "?q"); got !=
		"/a%20b%0D%0A%3F%23%22%254?a%20b%0D%0A%3F%23%22%254&q" {
		t.Errorf("%q", got)
	}
}

// Groups may not add up to a dot segment, which a backend would resolve.
func TestNoDotSegmentAppears(t *testing.T) {
	for _, c := range []struct{ expression, to, path string }{
		{`^/x(\.)y(\.)$`, "/a/$1$2", "/x.y."},
		{`^/x(\.)y(\.)$`, "/a/$1$2/b", "/x.y."},
		{`^/x(\.)y$`, "/a/$1", "/x.y"},
		{`^/x(\.)y$`, "/a/.$1/b", "/x.y"},
		{`^/x(\.)y$`, "$1", "/x.y"},
		{`^/x(/\.)y(\.)`, "/a$1$2/b", "/x/.y."},
		{`^/x(\.\.)y$`, "/a/$1?b", "/x..y"},
	} {
		if got, ok := expand(t, expression(c.expression), c.to, c.path, "?q"); ok {
			t.Errorf("%s to %q: %s becomes %q", c.expression, c.to, c.path, got)
		}
	}
	// In a query dots mean nothing, and three of them nowhere.
	for to, want := range map[string]string{"/a?/$1$2": "/a?/..", "/a/$1$2.": "/a/..."} {
		if got, ok := expand(t, expression(`^/x(\.)y(\.)$`), to, "/x.y.", ""); !ok || got != want {
			t.Errorf("%s: %q %v", to, got, ok)
		}
	}
}

func TestTargetErrors(t *testing.T) {
	group := expression("^/(a)$")
	for _, c := range []struct {
		pattern Pattern
		to      string
		want    error
	}{
		{Pattern{}, "/", ErrPath},
		{prefix("/"), "b", ErrBase},
		{prefix("/"), "/a b", ErrBase},
		{prefix("/"), "/a\r\n", ErrBase},
		{prefix("/"), "/a%0d", ErrBase},
		{prefix("/"), "/a%4", ErrBase},
		{prefix("/"), "/a#b", ErrBase},
		{prefix("/"), "/a/..", ErrBase},
		{prefix("/"), "/a/%2e/", ErrBase},
		{prefix("/"), "/\u00e4", ErrBase},
		{prefix("/"), "/a?b", ErrBaseQuery},
		{Pattern{Suffix: "x"}, "/a", ErrSuffixBase},
		{group, "/$2", ErrGroup},
		{group, "/a?$9", ErrGroup},
		{group, "a$1", ErrBase},
		{group, "/%4$1", ErrBase},
		{group, "/%$1", ErrBase},
		{group, "/a#$1", ErrBase},
		{group, "/a?b#$1", ErrBase},
		{group, "/../$1", ErrBase},
		{group, "/$1 x", ErrBase},
	} {
		if _, err := NewTarget(&c.pattern, c.to); !errors.Is(err, c.want) {
			t.Errorf("%+v to %q: %v, want %v", c.pattern, c.to, err, c.want)
		}
	}
}

func TestTargetDoesNotAllocate(t *testing.T) {
	p := prefix("/ws/")
	appended, err := NewTarget(&p, "/base/")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 0, 256)
	for _, target := range []*Target{{}, &appended} {
		for _, path := range []string{"/ws/room", "//ws/a%20b"} {
			var s Subject
			r := get("h", path)
			s.Set(r)
			if n := testing.AllocsPerRun(100, func() {
				s.Set(r)
				out, _ = target.Append(out[:0], &s, []byte("?q=1"))
			}); n != 0 {
				t.Errorf("%s: %v allocations", out, n)
			}
		}
	}
}

// originForm is RFC 9112 section 3.2.1 with the characters that handshake lets
// through, and one slash at the beginning.
var originForm = regexp.MustCompile(`^/([!$-.0-;=@-\[\]-~][!$-;=@-\[\]-~]*)?(\?[!$-;=?-\[\]-~]*)?$`)

func FuzzTarget(f *testing.F) {
	f.Add(`^/here/(.*)`, "/elsewhere?$1", "/here/a%20b%3F&c", "?x=1")
	f.Add(`^/x(.*)y(.*)$`, "/a/$1$2", "/x.y.", "")
	f.Add(`^(/.*)$`, "$1", "//evil.test/%2F", "?")
	f.Add(`2F|.`, "/%41$0", "/a%2F2", "")
	f.Add(``, "/a/$0?b=$0&$0", "/", "?q?q")
	f.Fuzz(func(t *testing.T, source, to, path, query string) {
		regular, err := regexp.Compile(source)
		if err != nil || !validPath(path) || query != "" && (query[0] != '?' || !validLiteral(query)) {
			return
		}
		p := Pattern{Regexp: regular}
		target, err := NewTarget(&p, to)
		if err != nil || !regular.MatchString(decode(path)) {
			return
		}
		var s Subject
		s.Set(get("h", path))
		out, ok := target.Append(nil, &s, []byte(query))
		if !ok {
			return
		}
		got := string(out)
		if !originForm.MatchString(got) || !validLiteral(got) {
			t.Fatalf("%q to %q: %q becomes %q", source, to, path, got)
		}
		// The groups bring no '?': they are all the template's and the client's.
		client := strings.TrimPrefix(query, "?")
		if marks := strings.Count(to, "?"); strings.Count(got, "?") > max(marks, min(1, len(query)))+strings.Count(client, "?") {
			t.Fatalf("%q to %q: %q becomes %q", source, to, path, got)
		}
		if before, _, _ := strings.Cut(got, "?"); hasDotSegment([]byte(before)) {
			t.Fatalf("%q to %q: %q becomes %q", source, to, path, got)
		}
	})
}
