package handshake

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

func TestNormalizePath(t *testing.T) {
	for path, want := range map[string]string{ // "" is refused
		"/":                  "/",
		"/a/b":               "/a/b",
		"/a//b/":             "/a//b/",
		"/.well-known/x":     "/.well-known/x",
		"/...":               "/...",
		"/a/.":               "/a/",
		"/a/./b":             "/a/b",
		"/a/..":              "/",
		"/a/../":             "/",
		"/a/b/../c":          "/a/c",
		"/a/b/..":            "/a/",
		"/a//..":             "/a/",
		"/a//../b":           "/a/b",
		"//..":               "/",
		"/./":                "/",
		"/.":                 "/",
		"/a/%2e%2e/b":        "/b",
		"/a/.%2E/b":          "/b",
		"/%2e/a":             "/a",
		"/%7Euser/%41%2d":    "/~user/A-",
		"/a%2fb":             "/a%2Fb",
		"/a%2f..%2fb":        "/a%2F..%2Fb",
		"/a%20b%c3%a4":       "/a%20b%C3%A4",
		"/%25%32%65":         "/%252e",
		"/%3f%23":            "/%3F%23",
		"/a;x/..;y/b":        "/a;x/..;y/b",
		"/..":                "",
		"/../a":              "",
		"/a/../..":           "",
		"/a/../../b":         "",
		"/%2e%2e/%2e%2e/etc": "",
		"/./..":              "",
		"//../..":            "",
		"/a\\b":              "",
		"/a%5Cb":             "",
		"/%00":               "",
		"/%0a":               "",
		"/%1F":               "",
		"/%7f":               "",
	} {
		var r Request
		got, refusal := r.normalizePath([]byte(path))
		if (refusal != nil) != (want == "") || string(got) != want {
			t.Errorf("%q: %q %v, want %q", path, got, refusal, want)
		}
	}
}

func TestPathStaysPartOfTheHead(t *testing.T) {
	head := []byte(good + "\r\n")
	var r Request
	if refusal := r.Parse(head); refusal != nil {
		t.Fatal(refusal)
	}
	if &r.Path()[0] != &head[4] {
		t.Error("a normal path was copied")
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e", "/a%2Fb/./%7e", "//..//", "/%252e/..", "/a/..%2f..", "/.%2e;/"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		if len(path) == 0 || path[0] != '/' || !validTarget(path) || bytes.IndexByte(path, '?') >= 0 {
			return
		}
		var r Request
		normal, refusal := r.normalizePath(path)
		if refusal != nil {
			return
		}
		if normal[0] != '/' || len(normal) > len(path) || !validTarget(normal) {
			t.Fatalf("%q: %q", path, normal)
		}
		for _, segment := range strings.Split(string(normal), "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q: dot segment in %q", path, normal)
			}
		}
		var again Request
		if twice, refusal := again.normalizePath(normal); refusal != nil || !bytes.Equal(twice, normal) {
			t.Fatalf("%q: %q, then %q (%v)", path, normal, twice, refusal)
		}
		if want := removeDotSegments(decodeUnreserved(string(path))); want != string(normal) {
			t.Fatalf("%q: %q, RFC 3986 has %q", path, normal, want)
		}
	})
}

// removeDotSegments is RFC 3986 section 5.2.4, word for word. net/url cannot
// be asked: it makes "/" of "/a/..//".
func removeDotSegments(in string) string {
	out := ""
	for in != "" {
		switch {
		case strings.HasPrefix(in, "/./"):
			in = in[2:]
		case in == "/.":
			in = "/"
		case strings.HasPrefix(in, "/../"), in == "/..":
			in = "/" + strings.TrimPrefix(in[3:], "/")
			out = out[:max(0, strings.LastIndexByte(out, '/'))]
		default:
			end := strings.IndexByte(in[1:], '/') + 1
			if end == 0 {
				end = len(in)
			}
			out += in[:end]
			in = in[end:]
		}
	}
	return out
}

// decodeUnreserved decodes what RFC 3986 section 6.2.2.2 says to decode.
func decodeUnreserved(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			out.WriteByte(path[i])
			continue
		}
		escape := path[i : i+3]
		i += 2
		plain, err := url.PathUnescape(escape)
		if err == nil && strings.Trim(plain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") == "" {
			out.WriteString(plain)
		} else {
			out.WriteString(strings.ToUpper(escape))
		}
	}
	return out.String()
}
