package configs

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oneRoute parses the text of a route, beside an upstream u, and returns it
// without what all routes have alike.
func oneRoute(t *testing.T, text string) Route {
	t.Helper()
	c := mustParse(t, "listeners: [{address: ':80'}]\nroutes: [{"+text+"}]\nupstreams: {u: {servers: [{url: ws://b}]}}\n")
	r := c.Routes[0]
	r.Pos, r.Tunnel = Pos{}, Tunnel{}
	return r
}

func TestRoutesArrive(t *testing.T) {
	ws := Upgrade{Protocols: []string{"websocket"}}
	to := func(path, query string) *Target {
		return &Target{Scheme: "ws", Network: "tcp", Address: "b:80", Host: "b", Path: path, Query: query}
	}
	http := &Target{Scheme: "http", Network: "tcp", Address: "b:80", Host: "b"}
	re := regexp.MustCompile
	tests := map[string]Route{
		`to: "ws://b/$1", regex: ^/(myApp/ws)$`: {Regex: re(`^/(myApp/ws)$`), Mode: "tunnel", Upgrade: ws, To: to("/$1", "")},
		`regex: ^/x/(.*), to: "ws://b/e?q=$1&r=$0 %2f"`: {
			Regex: re(`^/x/(.*)`), Mode: "tunnel", Upgrade: ws, To: to("/e", "q=$1&r=$0%20%2f"),
		},
		`regex: ^/(x), to: "ws://b?$1"`:              {Regex: re(`^/(x)`), Mode: "tunnel", Upgrade: ws, To: to("/", "$1")},
		`regex: ^/(x), to: "ws://b/?$1"`:             {Regex: re(`^/(x)`), Mode: "tunnel", Upgrade: ws, To: to("/", "$1")},
		`regex: x, to: "ws://b/"`:                    {Regex: re(`x`), Mode: "tunnel", Upgrade: ws, To: to("", "")},
		`regex: x, to: "ws://b/y%24"`:                {Regex: re(`x`), Mode: "tunnel", Upgrade: ws, To: to("/y%24", "")},
		`regex: x, to: "ws://b/y?z"`:                 {Regex: re(`x`), Mode: "tunnel", Upgrade: ws, To: to("/y", "z")},
		`regex: (x), upstream: u, rewrite: /a/$1`:    {Regex: re(`(x)`), Mode: "tunnel", Upgrade: ws, Upstream: "u", Rewrite: "/a/$1"},
		`regex: x, upstream: u, rewrite: /`:          {Regex: re(`x`), Mode: "tunnel", Upgrade: ws, Upstream: "u"},
		`suffix: .ws, to: "ws://b/"`:                 {Suffix: ".ws", Mode: "tunnel", Upgrade: ws, To: to("", "")},
		`suffix: "a b/%7e", upstream: u, rewrite: /`: {Suffix: "a%20b/~", Mode: "tunnel", Upgrade: ws, Upstream: "u"},
		`path: /, to: "ws://b/a$"`:                   {Path: "/", Mode: "tunnel", Upgrade: ws, To: to("/a$", "")},
		`path: /, to: "http://b"`:                    {Path: "/", Mode: "http", Upgrade: ws, To: http},
		`path: /, to: "http://b", upgrade: []`:       {Path: "/", Mode: "http", To: http},
		`path: /, to: "http://b", mode: tunnel`:      {Path: "/", Mode: "tunnel", Upgrade: ws, To: http},
		`path: /, to: "ws://b", mode: http`:          {Path: "/", Mode: "http", Upgrade: ws, To: to("", "")},
		`path: /, upstream: u, mode: http`:           {Path: "/", Mode: "http", Upgrade: ws, Upstream: "u"},
		`path: /, mode: deny`:                        {Path: "/", Mode: "deny"},
		`path: /, to: "ws://b", upgrade: ANY`:        {Path: "/", Mode: "tunnel", Upgrade: Upgrade{Any: true}, To: to("", "")},
		`path: /, to: "ws://b", upgrade: None`:       {Path: "/", Mode: "tunnel", Upgrade: Upgrade{None: true}, To: to("", "")},
		`path: /, to: "ws://b", upgrade: [WebSocket, Foo/2]`: {
			Path: "/", Mode: "tunnel", Upgrade: Upgrade{Protocols: []string{"websocket", "foo/2"}}, To: to("", ""),
		},
		`path: /, to: "unix:/s|HTTP://b"`: {
			Path: "/", Mode: "http", Upgrade: ws, To: &Target{Scheme: "http", Network: "unix", Address: "/s", Host: "b"},
		},
		`path: /, to: "ws://b", headers: {Upgrade: (?i)websocket, connection: ^$}`: {
			Path: "/", Mode: "tunnel", Upgrade: ws, To: to("", ""),
			Headers: []HeaderMatch{{"Upgrade", re(`(?i)websocket`)}, {"connection", re(`^$`)}},
		},
		`path: /, to: "ws://b", request_headers: {remove: [X-B, Sec-WebSocket-Extensions], set: {X-C: "a b", X-A: ""}}`: {
			Path: "/", Mode: "tunnel", Upgrade: ws, To: to("", ""), RequestHeaders: RequestHeaders{
				Set: []Header{{"X-C", "a b"}, {"X-A", ""}}, Remove: []string{"X-B", "Sec-WebSocket-Extensions"},
			},
		},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			if got := oneRoute(t, text); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestOursCannotBeChanged holds that no field which frames, upgrades or
// attributes a request can be set, however it is written.
func TestOursCannotBeChanged(t *testing.T) {
	names := append(slices.Clone(hopFields), "forwarded", "x-forwarded-for", "x-forwarded-anything", "sec-websocket-key",
		"sec-websocket-version", "sec-websocket-accept")
	for _, name := range names {
		for _, spelled := range []string{name, strings.ToUpper(name)} {
			for _, change := range []string{"set: {" + spelled + ": a}", "remove: [" + spelled + "]"} {
				text := strings.Replace(minimal, "path: /", "path: /, request_headers: {"+change+"}", 1)
				if _, _, err := Parse("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "is written by wsplice") {
					t.Errorf("%s: got %v", change, err)
				}
			}
		}
	}
}

// TestCompileNamesTheColumn has the errors whose text occurs twice in the
// pattern, so that the column is not known.
func TestCompileNamesTheColumn(t *testing.T) {
	tests := map[string]string{
		`é(?=a)`:        `in column 2 of it`,
		`a\++b++`:       `invalid nested repetition operator "++"; RE2 never`,
		`(?>a)`:         `RE2 never backtracks`,
		`(a)\k<name>`:   `RE2 has no backreferences`,
		"a" + `[[:x:]]`: `in column 3 of it`,
	}
	for pattern, want := range tests {
		if _, err := compile(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", pattern, err, want)
		}
	}
	if _, err := compile(strings.Repeat("a", regexBytesMax+1)); err == nil {
		t.Error("a pattern of any length is taken")
	}
}

// FuzzTarget holds that a target which is accepted names one server, has only
// groups of its regex, and is in normal form: written out, it reads the same.
func FuzzTarget(f *testing.F) {
	f.Add("ws://b/$1?x=$2#y", 2)
	f.Add("http://b:80/%7e/%24?%zz", 1)
	f.Add("unix:/run/s|ws://[::1]:9/$0", 0)
	f.Add("ws://b$1/../$%31", -1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		g := groups(max(-1, min(n, 9)))
		r := &Route{}
		if g != noGroups {
			r.Regex = regexp.MustCompile(strings.Repeat("()", int(g)))
		} else {
			r.Path = "/"
		}
		read := func(s string) *Target {
			return newDecoder("f.yaml").target(&node{kind: quotedNode, text: s}, r, g)
		}
		first := read(text)
		if first == nil {
			return
		}
		r.To = first
		checkTemplate(t, r)
		if g == noGroups && strings.Contains(text, "$") {
			return // $%30 is no group, and its normal form $0 is refused as if it were one
		}
		if 3*len(text) > pathBytesMax {
			return // escapes may make the normal form too long to be read
		}
		if again := read(first.String()); again == nil || *again != *first {
			t.Errorf("%q is %+v, but %q is %+v", text, first, first.String(), again)
		}
	})
}
