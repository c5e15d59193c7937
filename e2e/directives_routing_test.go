package e2e

import (
	"strings"
	"testing"
)

// The tests of directives_*_test.go bear the names of what the documents of
// mod_proxy_wstunnel describe. Each says the same in a configuration of ours.

// TestProxyPass is `ProxyPass /ws2/ ws://echo.websocket.org/` and what the
// prefix and the rest of the path do to each other.
func TestProxyPass(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /ws2/, to: "ws://%[1]s/"}
- {path: /seg, to: "ws://%[1]s/base"}
- {path: /glued/, to: "ws://%[1]s/base"}
- {path: /bare/, to: "ws://%[1]s"}
- {path: /doubled, to: "ws://%[1]s/base/"}
- {path: /Case, to: "ws://%[1]s/case"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"the prefix is replaced":                        seen(upgradeTo("/ws2/x"), "b", "/x"),
		"the query is appended":                         seen(upgradeTo("/seg/a?x=1&y=%20"), "b", "/base/a?x=1&y=%20"),
		"an empty query stays one":                      seen(upgradeTo("/seg/a?"), "b", "/base/a?"),
		"a prefix with a slash needs it":                refused(upgradeTo("/ws2"), 404),
		"a prefix without a slash ends with a segment":  refused(upgradeTo("/segment"), 404),
		"a prefix without a slash alone":                seen(upgradeTo("/seg"), "b", "/base"),
		"a prefix without a slash before a slash":       seen(upgradeTo("/seg/"), "b", "/base/"),
		"nothing is put between":                        seen(upgradeTo("/glued/x"), "b", "/basex"),
		"the slash of the target is not doubled away":   seen(upgradeTo("/doubled/x"), "b", "/base//x"),
		"what follows the host begins with a slash":     seen(upgradeTo("/bare/x"), "b", "/x"),
		"what follows never names a host":               seen(upgradeTo("/ws2//evil.test/x"), "b", "/evil.test/x"),
		"a run of slashes matches one":                  seen(upgradeTo("//ws2//x"), "b", "/x"),
		"the prefix is compared decoded":                seen(upgradeTo("/%77s2/x"), "b", "/x"),
		"an encoded slash ends no segment":              refused(upgradeTo("/seg%2Fa"), 404),
		"what follows stays encoded":                    seen(upgradeTo("/seg/a%2Fb%20c%3fd"), "b", "/base/a%2Fb%20c%3Fd"),
		"case matters":                                  refused(upgradeTo("/case/x"), 404),
		"what is not ASCII is passed on encoded":        seen(upgradeTo("/seg/%C3%A4"), "b", "/base/%C3%A4"),
		"a path parameter is a part of the segment":     refused(upgradeTo("/seg;x=1"), 404),
		"what follows may have parameters":              seen(upgradeTo("/seg/a;x=1,2"), "b", "/base/a;x=1,2"),
		"a prefix in the query is none":                 refused(upgradeTo("/?/seg/"), 404),
		"the whole URL of this host is the path of it":  seen(upgradeTo("http://example.test/seg/a"), "b", "/base/a"),
		"an encoded control character":                  refused(upgradeTo("/seg/a%0d%0ab"), 400),
		"dots that climb above the root":                refused(upgradeTo("/seg/../../etc"), 400),
		"encoded dots that climb above the root":        refused(upgradeTo("/seg/%2e%2e/%2e%2e/etc"), 400),
		"dots do not lead from one prefix into another": refused(upgradeTo("/seg/../hidden/x"), 404),
	})
}

// TestProxyPassOfHTTP is the same for ordinary requests.
func TestProxyPassOfHTTP(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /seg, to: "http://%[1]s/base"}
- {path: /dir/, to: "http://%[1]s/"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"the query is appended":                served(getRequest("/seg/a?x=1&y=%20"), "b", "/base/a?x=1&y=%20"),
		"an empty query stays one":             served(getRequest("/seg/a?"), "b", "/base/a?"),
		"a prefix ends with a segment":         refused(getRequest("/segment"), 404),
		"a prefix with a slash needs it":       refused(getRequest("/dir"), 404),
		"what follows stays encoded":           served(getRequest("/seg/a%2Fb%20c%3Fd"), "b", "/base/a%2Fb%20c%3Fd"),
		"what follows never names a host":      served(getRequest("/dir//evil.test/x"), "b", "/evil.test/x"),
		"runs of slashes stay in what follows": served(getRequest("/seg/a//b"), "b", "/base/a//b"),
		"what is not ASCII":                    served(getRequest("/dir/%C3%A4"), "b", "/%C3%A4"),
		"odd characters":                       served(getRequest("/dir/a;b=c,d@e:f!$&'()*+|"), "b", "/a;b=c,d@e:f!$&'()*+|"),
		"an encoded control character":         refused(getRequest("/seg/a%0d%0ab"), 400),
		"dots that climb above the root":       refused(getRequest("/seg/../../etc"), 400),
	})
}

// TestProxyPassOrder has the first line that matches win, however long another
// one's prefix is.
func TestProxyPassOrder(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /long/special/, to: "ws://%[2]s/special/"}
- {path: /long/, to: "ws://%[1]s/long/"}
- {path: /short/, to: "ws://%[1]s/short/"}
- {path: /short/special/, to: "ws://%[2]s/special/"}
- {regex: ^/short, to: "ws://%[2]s/regex"}
- {regex: ^/expr, to: "ws://%[1]s/regex"}
- {path: /expr/, to: "ws://%[2]s/prefix/"}`, newMirror(t, "first"), newMirror(t, "second"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"the special one stands first": seen(upgradeTo("/long/special/x"), "second", "/special/x"),
		"the general one takes a rest": seen(upgradeTo("/long/x"), "first", "/long/x"),
		"the general one stands first": seen(upgradeTo("/short/special/x"), "first", "/short/special/x"),
		"an expression before":         seen(upgradeTo("/expr/x"), "first", "/regex/expr/x"),
		"an expression behind":         seen(upgradeTo("/shorter"), "second", "/regex/shorter"),
	})
}

// TestProxyPassExclamationMark is `ProxyPass /ws/private !`.
func TestProxyPassExclamationMark(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /ws/private, mode: deny}
- {regex: '\.bak$', mode: deny}
- {path: /ws/, to: "ws://%[1]s/"}
- {path: /ws/late, mode: deny}
- {path: /, hosts: [closed.test], mode: deny}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"an upgrade":                  refused(upgradeTo("/ws/private/x"), 403),
		"an ordinary request":         refused(getRequest("/ws/private"), 403),
		"by another spelling":         refused(upgradeTo("/ws/%70rivate"), 403),
		"by more slashes":             refused(upgradeTo("//ws///private/x"), 403),
		"by dots":                     refused(upgradeTo("/ws/x/../private/x"), 403),
		"by encoded dots":             refused(upgradeTo("/ws/x/%2e%2e/private"), 403),
		"by an expression":            refused(upgradeTo("/ws/x.bak"), 403),
		"by an expression, encoded":   refused(upgradeTo("/ws/x%2ebak"), 403),
		"what only begins the same":   seen(upgradeTo("/ws/privateer"), "b", "/privateer"),
		"a line that stands too late": seen(upgradeTo("/ws/late"), "b", "/late"),
		"for a host":                  refused(withHost("closed.test", upgradeTo("/other")), 403),
		"not for another host":        refused(upgradeTo("/other"), 404),
	})
}

// TestProxyPassMatch is `ProxyMatch ^/(myApp/ws)$ ws://backend:9080/$1`, as the
// document has it, with other expressions beside it.
func TestProxyPassMatch(t *testing.T) {
	proxy := startRoutes(t, `
- {regex: ^/(myApp/ws)$, to: "ws://%[1]s/$1"}
- {regex: '\.sock$', to: "ws://%[1]s"}
- {regex: '^/below/.*\.chat$', to: "ws://%[1]s/base"}
- {regex: '^/room/([0-9]+)(?:/(\w+))?$', to: "ws://%[1]s/rooms/$1?as=$2&from=$0"}
- {regex: '(?i)^/any/', to: "ws://%[1]s/folded"}
- {regex: '^/swap/([^/]+)/([^/]+)$', to: "ws://%[1]s/$2/$1"}
- {regex: '^/cost/(\w+)$', to: "ws://%[1]s/%%24$1"}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"^/(myApp/ws)$ to /$1":           seen(upgradeTo("/myApp/ws"), "b", "/myApp/ws"),
		"the query is appended":          seen(upgradeTo("/myApp/ws?token=1"), "b", "/myApp/ws?token=1"),
		"the expression reads no query":  refused(upgradeTo("/?/myApp/ws"), 404),
		"$ is the end":                   refused(upgradeTo("/myApp/ws/more"), 404),
		"^ is the beginning":             refused(upgradeTo("/x/myApp/ws"), 404),
		"encoded is the same path":       seen(upgradeTo("/my%41pp/ws"), "b", "/myApp/ws"),
		"without groups the path stays":  seen(upgradeTo("/deep/down.sock?x"), "b", "/deep/down.sock?x"),
		"without groups it is appended":  seen(upgradeTo("/below/a.chat"), "b", "/base/below/a.chat"),
		"groups in a query":              seen(upgradeTo("/room/7/ann"), "b", "/rooms/7?as=ann&from=/room/7/ann"),
		"a group that took no part":      seen(upgradeTo("/room/7"), "b", "/rooms/7?as=&from=/room/7"),
		"the client's query comes after": seen(upgradeTo("/room/7/ann?x=1"), "b", "/rooms/7?as=ann&from=/room/7/ann&x=1"),
		"case by a flag":                 seen(upgradeTo("/ANY/x"), "b", "/folded/ANY/x"),
		"groups in another order":        seen(upgradeTo("/swap/a/b"), "b", "/b/a"),
		"a dollar sign of its own":       seen(upgradeTo("/cost/7"), "b", "/%247"),
	})
}

// TestProxyPassMatchSplitsNothing is CVE-2023-25690 and its kin: what a group
// caught never becomes more than a part of a path or of a query.
func TestProxyPassMatchSplitsNothing(t *testing.T) {
	proxy := startRoutes(t, `
- {regex: '^/here/(.*)', to: "http://%[1]s/elsewhere?$1"}
- {regex: '^/path/(.*)', to: "http://%[1]s/below/$1"}
- {regex: '^/root(.*)', to: "http://%[1]s/$1"}
- {regex: '^/two/([^/]*)/([^/]*)$', to: "http://%[1]s/x/$1$2/y"}`, newMirror(t, "b"))
	const split = "a%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0aGET%20/smuggled"
	cases := map[string]mirrorCase{
		"a request into the query":          refused(upgradeTo("/here/"+split), 400),
		"a request into the path":           refused(upgradeTo("/path/"+split), 400),
		"a line end alone":                  refused(upgradeTo("/path/a%0ab"), 400),
		"a raw line end":                    refused(upgradeTo("/path/a\nb"), 400),
		"a NUL":                             refused(upgradeTo("/path/a%00b"), 400),
		"a space into the query":            seen(upgradeTo("/here/a%20HTTP/1.1"), "b", "/elsewhere?a%20HTTP/1.1"),
		"a space into the path":             seen(upgradeTo("/path/a%20HTTP/1.1"), "b", "/below/a%20HTTP/1.1"),
		"a question mark into the path":     seen(upgradeTo("/path/a%3fadmin=1"), "b", "/below/a%3Fadmin=1"),
		"a number sign into the path":       seen(upgradeTo("/path/a%23b"), "b", "/below/a%23b"),
		"a parameter into the query":        seen(upgradeTo("/here/a&admin=1"), "b", "/elsewhere?a%26admin%3D1"),
		"an encoded parameter into a query": seen(upgradeTo("/here/a%26admin%3d1"), "b", "/elsewhere?a%26admin%3D1"),
		"a host into the path":              seen(upgradeTo("/root//evil.test/x"), "b", "/evil.test/x"),
		"a host with a user into the path":  seen(upgradeTo("/root@evil.test/x"), "b", "/@evil.test/x"),
		"dots into the path":                refused(upgradeTo("/path/x/../../../admin"), 400),
		"encoded dots into the path":        refused(upgradeTo("/path/%2e%2e/%2e%2e/%2e%2e/admin"), 400),
		"dots of two groups":                refused(upgradeTo("/two/./."), 404),
		"half an escape":                    refused(upgradeTo("/path/%2"), 400),
		"encoded twice stays encoded once":  seen(upgradeTo("/path/%252e%252e/x"), "b", "/below/%252e%252e/x"),
		"unix: as a path (CVE-2021-40438)":  seen(upgradeTo("/path/unix:/x.sock|http://a/"), "b", "/below/unix:/x.sock|http://a/"),
	}
	t.Run("upgrades", func(t *testing.T) { checkMirrorCases(t, proxy.In(t), cases) })
	t.Run("ordinary requests", func(t *testing.T) { checkMirrorCases(t, proxy.In(t), ordinary(cases)) })
}

// TestHosts has virtual hosts share paths.
func TestHosts(t *testing.T) {
	proxy := startRoutes(t, `
- {path: /, hosts: [example.com, www.example.com], to: "ws://%[1]s/exact/"}
- {path: /, hosts: ["*.example.com"], to: "ws://%[1]s/wild/"}
- {path: /, hosts: ["[::1]", 192.0.2.7], to: "ws://%[1]s/address/"}
- {path: /any/, to: "ws://%[1]s/any/"}`, newMirror(t, "b"))
	at := func(host string) string { return withHost(host, upgradeTo("/x")) }
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"a name":                   seen(at("example.com"), "b", "/exact/x"),
		"a name with a port":       seen(at("example.com:8443"), "b", "/exact/x"),
		"a name in upper case":     seen(at("EXAMPLE.COM"), "b", "/exact/x"),
		"a name of the list":       seen(at("www.example.com"), "b", "/exact/x"),
		"a name below":             seen(at("a.example.com"), "b", "/wild/x"),
		"a name far below":         seen(at("a.b.example.com"), "b", "/wild/x"),
		"a name with the same end": refused(at("badexample.com"), 404),
		"a name above":             refused(at("com"), 404),
		"an IPv6 address":          seen(at("[::1]:80"), "b", "/address/x"),
		"an IPv4 address":          seen(at("192.0.2.7"), "b", "/address/x"),
		"any name where none is":   seen(withHost("other.test", upgradeTo("/any/x")), "b", "/any/x"),
		"a name of the request URL": seen(
			strings.Replace(at("example.com"), "GET /x", "GET http://example.com/x", 1), "b", "/exact/x"),
		"a name that the URL denies": refused(
			strings.Replace(at("example.com"), "GET /x", "GET http://other.test/x", 1), 400),
	})
}

// TestSuffix is lighttpd's extension: the end of the path chooses, and the path
// is passed on.
func TestSuffix(t *testing.T) {
	proxy := startRoutes(t, `
- {suffix: .ws, to: "ws://%[1]s"}
- {suffix: -socket, to: "ws://%[1]s/", hosts: [example.test]}`, newMirror(t, "b"))
	checkMirrorCases(t, proxy, map[string]mirrorCase{
		"at the end":            seen(upgradeTo("/a/chat.ws"), "b", "/a/chat.ws"),
		"with a query":          seen(upgradeTo("/chat.ws?a=.html"), "b", "/chat.ws?a=.html"),
		"encoded":               seen(upgradeTo("/chat%2ews"), "b", "/chat.ws"),
		"not in the middle":     refused(upgradeTo("/chat.ws/x"), 404),
		"not in the query":      refused(upgradeTo("/chat?x=.ws"), 404),
		"of a host":             seen(upgradeTo("/any/a-socket"), "b", "/any/a-socket"),
		"for another host":      refused(withHost("x.test", upgradeTo("/any/a-socket")), 404),
		"an ordinary request":   refused(getRequest("/chat.ws"), 426),
		"nothing but the end":   seen(upgradeTo("/.ws"), "b", "/.ws"),
		"another case":          refused(upgradeTo("/chat.WS"), 404),
		"the end twice is once": seen(upgradeTo("/chat.ws.ws"), "b", "/chat.ws.ws"),
	})
}
