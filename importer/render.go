package importer

import (
	"strconv"
	"strings"
)

// render returns d as a file.
func (d *Document) render() []byte {
	w := &writer{}
	for _, line := range d.Title {
		w.comment(0, line)
	}
	if notes := d.Global; len(notes) > 0 {
		w.blank()
		d.notesTo(w, 0, notes)
	}
	d.settings(w)
	d.listeners(w)
	d.routes(w)
	d.upstreams(w)
	if len(d.Leftovers) > 0 {
		w.blank()
		w.comment(0, "Not carried over; each directive is named once:")
		for _, n := range d.Leftovers {
			w.comment(0, "  "+n.short(d.Source)+": "+n.Text)
		}
	}
	return []byte(w.String())
}

func (d *Document) notesTo(w *writer, indent int, notes []Note) {
	for _, n := range notes {
		w.comment(indent, n.comment(d.Source))
	}
}

// settings writes what holds for all routes.
func (d *Document) settings(w *writer) {
	var timeouts []pair
	if d.Timeouts.Dial > 0 {
		timeouts = append(timeouts, pair{"dial", duration(d.Timeouts.Dial)})
	}
	if d.Timeouts.Upgrade > 0 {
		timeouts = append(timeouts, pair{"upgrade", duration(d.Timeouts.Upgrade)})
	}
	tunnel := d.Tunnel.pairs()
	if len(timeouts)+len(tunnel)+len(d.Trusted) == 0 {
		return
	}
	w.blank()
	if len(timeouts) > 0 {
		w.line(0, "timeouts:")
		for _, t := range timeouts {
			w.line(2, "%-26s   # %s", t.key+": "+t.value, timeoutComments[t.key])
		}
	}
	if len(tunnel) > 0 {
		w.line(0, "tunnel: %s", mapping(tunnel))
	}
	if len(d.Trusted) > 0 {
		w.line(0, "trusted_networks: %s", list(d.Trusted))
	}
}

// timeoutComments say what a timeout is made of: Apache has one for each route.
var timeoutComments = map[string]string{
	"dial":    "the longest of all routes",
	"upgrade": "the longest Timeout, ProxyTimeout or timeout= of all routes; Apache's default is 60s",
}

func (t Tunnel) pairs() []pair {
	var pairs []pair
	if t.Async != nil {
		pairs = append(pairs, pair{"async", onOff(*t.Async)})
	}
	if t.AsyncDelay != nil {
		pairs = append(pairs, pair{"async_delay", duration(*t.AsyncDelay)})
	}
	if t.IdleTimeout != nil {
		pairs = append(pairs, pair{"idle_timeout", duration(*t.IdleTimeout)})
	}
	if t.PingInterval != nil {
		pairs = append(pairs, pair{"ping_interval", duration(*t.PingInterval)})
	}
	if t.PongTimeout != nil {
		pairs = append(pairs, pair{"pong_timeout", duration(*t.PongTimeout)})
	}
	return pairs
}

func (d *Document) listeners(w *writer) {
	w.blank()
	w.line(0, "listeners:")
	for _, l := range d.Listeners {
		d.notesTo(w, 2, l.Notes)
		w.line(2, "- address: %-17s %s", scalar(l.Address), "# "+printable(l.Comment))
		if l.ProxyProtocol {
			w.line(4, "proxy_protocol: required")
		}
		for _, line := range l.After {
			w.comment(4, line)
		}
	}
}

func (d *Document) routes(w *writer) {
	w.blank()
	w.line(0, "routes:                        # first match wins, in this order")
	for i, item := range d.Items {
		if i > 0 && (item.Heading != "" || item.Route != nil || d.Items[i-1].Route != nil) {
			w.WriteByte('\n')
		}
		if item.Heading != "" {
			w.comment(2, item.Heading)
		}
		if item.Route != nil {
			for _, line := range item.Route.Comments {
				w.comment(2, line)
			}
		}
		d.notesTo(w, 2, item.Notes)
		if item.Route != nil {
			item.Route.write(w)
		}
	}
}

// write writes r as an item of the list, its match before its target.
func (r *Route) write(w *writer) {
	switch {
	case r.Regex != "":
		w.line(2, "- regex: %s", scalar(r.Regex))
	case r.Suffix != "":
		w.line(2, "- suffix: %s", scalar(r.Suffix))
	default:
		w.line(2, "- path: %s", scalar(r.Path))
	}
	if len(r.Hosts) > 0 {
		w.line(4, "hosts: %s", list(r.Hosts))
	}
	if len(r.Headers) > 0 {
		w.line(4, "headers: %s", headers(r.Headers))
	}
	w.line(4, "mode: %s", r.Mode)
	switch {
	case r.Upgrade == nil:
	case len(r.Upgrade) == 1 && (r.Upgrade[0] == "any" || r.Upgrade[0] == "none"):
		w.line(4, "upgrade: %s", r.Upgrade[0])
	default:
		w.line(4, "upgrade: %s", list(r.Upgrade))
	}
	for _, p := range []pair{{"to", r.To}, {"upstream", r.Upstream}, {"rewrite", r.Rewrite}, {"frame_type", r.FrameType}} {
		if p.value != "" {
			w.line(4, "%s: %s", p.key, scalar(p.value))
		}
	}
	if len(r.Subprotocols) > 0 {
		w.line(4, "subprotocols: %s", list(r.Subprotocols))
	}
	if len(r.Origins) > 0 {
		w.line(4, "origins: %s", list(r.Origins))
	}
	if r.PreserveHost {
		w.line(4, "preserve_host: true")
	}
	var change []pair
	if len(r.Set) > 0 {
		change = append(change, pair{"set", headers(r.Set)})
	}
	if len(r.Remove) > 0 {
		change = append(change, pair{"remove", list(r.Remove)})
	}
	if len(change) > 0 {
		w.line(4, "request_headers: %s", mapping(change))
	}
	if tunnel := r.Tunnel.pairs(); len(tunnel) > 0 {
		w.line(4, "tunnel: %s", mapping(tunnel))
	}
}

func headers(all []Header) string {
	pairs := make([]pair, len(all))
	for i, h := range all {
		pairs[i] = pair{h.Name, scalar(h.Value)}
	}
	return mapping(pairs)
}

func (d *Document) upstreams(w *writer) {
	if len(d.Upstreams) == 0 {
		return
	}
	w.blank()
	w.line(0, "upstreams:")
	for _, u := range d.Upstreams {
		for _, line := range u.Comments {
			w.comment(2, line)
		}
		d.notesTo(w, 2, u.Notes)
		w.line(2, "%s:", scalar(u.Name))
		w.line(4, "balance: %s", u.Balance)
		if u.Cookie != "" {
			w.line(4, "sticky_cookie: %s", mapping([]pair{{"name", scalar(u.Cookie)}, {"insert", strconv.FormatBool(u.Insert)}}))
		}
		w.line(4, "servers:")
		for _, s := range u.Servers {
			w.line(6, "- %s", mapping(s.pairs()))
		}
		if u.DisableTime > 0 {
			w.line(4, "disable_time: %s", duration(u.DisableTime))
		}
		if u.Retries > 0 {
			w.line(4, "retries: %d", u.Retries)
		}
		if len(u.Health) > 0 {
			w.line(4, "health: %s", mapping(u.Health))
		}
	}
}

func (s Server) pairs() []pair {
	var pairs []pair
	if s.URL != "" {
		pairs = append(pairs, pair{"url", scalar(s.URL)})
	} else {
		pairs = append(pairs, pair{"socket", scalar(s.Socket)})
	}
	if s.Weight > 0 {
		pairs = append(pairs, pair{"weight", strconv.Itoa(s.Weight)})
	}
	if s.Route != "" {
		pairs = append(pairs, pair{"route", scalar(s.Route)})
	}
	if s.Set > 0 {
		pairs = append(pairs, pair{"set", strconv.Itoa(s.Set)})
	}
	if s.Status != "" {
		pairs = append(pairs, pair{"status", s.Status})
	}
	if len(s.Command) > 0 {
		pairs = append(append(pairs, pair{"command", list(s.Command)}), s.Spawn...)
	}
	return pairs
}

// oneLine returns a line of the source as a comment shows it.
func oneLine(text string) string {
	return cut(strings.Join(strings.Fields(text), " "), commentRunesMax)
}
