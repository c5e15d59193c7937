package importer

import "time"

// A Document is a configuration of wsplice in the making.
type Document struct {
	Source    string   // the file it was made from
	Title     []string // comment lines at the top
	Timeouts  Timeouts
	Tunnel    Tunnel // defaults of all routes
	Trusted   []string
	Global    []Note // about none of the lists below
	Listeners []Listener
	Items     []Item // routes, in their order
	Upstreams []Upstream
	Leftovers []Note // reported once for each directive
}

// Timeouts are the keys of timeouts: that a source may set; 0 = not given.
type Timeouts struct{ Dial, Upgrade time.Duration }

// A Tunnel holds the keys of tunnel: that a source may set; nil = not given.
type Tunnel struct {
	Async       *bool
	AsyncDelay  *time.Duration
	IdleTimeout *time.Duration

	PingInterval, PongTimeout *time.Duration
}

// A Listener is one address.
type Listener struct {
	Address       string
	Comment       string // where it came from
	ProxyProtocol bool
	After         []string // comment lines below it, as deep as its keys
	Notes         []Note
}

// An Item of the list of routes is a heading, notes, a route, or all of them.
type Item struct {
	Heading string // a comment that begins a group of routes
	Notes   []Note
	Route   *Route
}

// A Route is one route. Path, Regex and Suffix exclude each other, as do To and
// Upstream; Mode deny needs neither.
type Route struct {
	Comments []string // where it came from, and what is worth knowing

	Path, Regex, Suffix string

	Hosts    []string
	Headers  []Header // regular expressions
	Upgrade  []string // any, none or names; nil = the default; empty = nothing
	Mode     string   // tunnel, endpoint, http or deny
	To       string
	Upstream string
	Rewrite  string

	FrameType    string // of mode endpoint, as are Subprotocols
	Subprotocols []string
	Origins      []string

	PreserveHost bool
	Set          []Header
	Remove       []string
	Tunnel       Tunnel
}

// A Header is one line of a head.
type Header struct{ Name, Value string }

// An Upstream is a named group of servers.
type Upstream struct {
	Name        string
	Comments    []string
	Balance     string
	Cookie      string // of sticky_cookie; "" = none
	Insert      bool   // sticky_cookie.insert
	Servers     []Server
	Retries     int           // 0 = not given
	DisableTime time.Duration // 0 = not given
	Health      []pair
	Notes       []Note
}

// A Server is one server of an Upstream, by URL or Socket.
type Server struct {
	URL, Socket string
	Weight      int // 0 = not given
	Route       string
	Set         int
	Status      string

	Command []string // that is started
	Spawn   []pair   // what goes with it
}

// routeCount returns how many routes d has.
func (d *Document) routeCount() int {
	n := 0
	for _, item := range d.Items {
		if item.Route != nil {
			n++
		}
	}
	return n
}

// notes returns every note of d, in the order of the result.
func (d *Document) notes() []Note {
	all := append([]Note(nil), d.Global...)
	for _, l := range d.Listeners {
		all = append(all, l.Notes...)
	}
	for _, item := range d.Items {
		all = append(all, item.Notes...)
	}
	for _, u := range d.Upstreams {
		all = append(all, u.Notes...)
	}
	return append(all, d.Leftovers...)
}
