package configs

import (
	"cmp"
	"regexp"
)

// A Route says what becomes of the requests it matches. A request is for the
// first route that matches it, except that a tunnel route lets a request pass
// that is no upgrade to a protocol it accepts.
type Route struct {
	// What it matches: exactly one of Path, Regex and Suffix, and the others.
	Path    string         // prefix in RFC 3986 normal form, begins with '/'; matched by whole segments
	Regex   *regexp.Regexp // over the decoded path, unanchored as written
	Suffix  string         // end of the path in RFC 3986 normal form; does not begin with '/'
	Hosts   []string       // lower case; "*.example.com" stands for every name below; empty = any
	Headers []HeaderMatch  // all must match, in the order of the file; empty = any

	// What it does.
	Mode    string  // "tunnel", "endpoint", "http" or "deny"; where not given, "http" for a To of http://, else "tunnel"
	Upgrade Upgrade // default websocket; on an http route it may be empty, on a deny route it is

	// Where it sends to: exactly one of To and Upstream, but neither to deny.
	To       *Target // nil where Upstream is set
	Upstream string  // a Name in Config.Upstreams, or ""
	Rewrite  string  // with Upstream: the base path, as Target.Path; "" = the request's path unchanged

	// How it behaves.
	Origins        []string // as written; empty = any
	Lenient        bool     // handshake: lenient; default false (strict)
	PreserveHost   bool     // send the client's Host instead of Target.Host; default false
	RequestHeaders RequestHeaders
	FrameType      string   // of an endpoint: "text" (default) or "binary"; else ""
	Deflate        bool     // of an endpoint: permessage-deflate is accepted
	Subprotocols   []string // of an endpoint, which accepts them; default binary, base64; else none
	Tunnel         Tunnel   // inherited from Config.Tunnel, then overridden

	Pos Pos
}

// A HeaderMatch is a condition on a request's field. A field that is not there
// is matched as an empty one, as in Apache's RewriteCond.
type HeaderMatch struct {
	Name  string         // as written; fields compare without case
	Match *regexp.Regexp // over the value, unanchored as written
}

// An Upgrade says which protocols a route opens a tunnel for. The zero value
// is none at all.
type Upgrade struct {
	Any       bool     // upgrade: any: whichever the client asks for
	None      bool     // upgrade: none: websocket, whether or not the client asks
	Protocols []string // otherwise: names, or name/version, lower case, each once
}

func (u Upgrade) empty() bool { return !u.Any && !u.None && len(u.Protocols) == 0 }

// RequestHeaders change the fields that the backend sees. They never name a
// field that frames, upgrades or attributes the request.
type RequestHeaders struct {
	Set    []Header // in place of the client's fields of that name; in the order of the file
	Remove []string // names as written; fields compare without case
}

// A Header is one field. Name is a token, Value has no control characters and
// no space at its ends; it may be empty.
type Header struct{ Name, Value string }

// A Target is one backend address.
type Target struct {
	Scheme  string // "ws" or "http" as written, the same on the wire; "wss", "https"; "tcp" of an endpoint; "" = bare unix
	Secured bool   // a "tcp" one is spoken to by TLS: its upstream has `tls`
	Network string // "tcp" or "unix"
	Address string // host:port with the port always given, or a socket path

	// Host is the value of the Host header at the backend: the authority
	// without the scheme's default port. It is "" = bare unix,
	// where the client's own Host is kept.
	Host string

	// Path is the base path in RFC 3986 normal form: "", or it begins with
	// '/'. What follows a route's prefix is appended to it.
	//
	// Of a regex route it is a template where it or Query has a '$': each is
	// then followed by the digit of a group that the regex has, and nothing
	// is appended. Without a '$' the whole path is appended. Of a suffix
	// route it is "".
	Path string

	// Query is what a regex route puts before the client's query: without the
	// '?', and a template like Path; "" = nothing. Of other routes it is "".
	Query string
}

// String returns t as it is written in the file.
func (t Target) String() string {
	if t.Network == "unix" && t.Host == "" {
		return "unix:" + t.Address
	}
	url := cmp.Or(t.Scheme, "ws") + "://" + t.Host + t.Path
	if t.Query != "" {
		url += "?" + t.Query
	}
	if t.Network == "unix" {
		return "unix:" + t.Address + "|" + url
	}
	return url
}
