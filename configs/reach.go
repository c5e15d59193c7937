package configs

import (
	"slices"
	"strings"
)

// unreachable warns of routes behind one that takes all they could match. It
// says nothing where that cannot be told, as of two different regexes.
func (d *decoder) unreachable(routes []Route) {
	for i := range routes {
		later := &routes[i]
		j := slices.IndexFunc(routes[:i], func(earlier Route) bool { return earlier.covers(later) })
		if j < 0 {
			continue
		}
		what := later.Path
		if what == "" {
			what = "all that it matches"
		}
		d.warn(later.Pos, "routes[%d]: never reached: routes[%d] in line %d takes %s first; put it below",
			i, j, routes[j].Pos.Line, what)
	}
}

// covers reports whether no request that later would take gets past r.
func (r *Route) covers(later *Route) bool {
	return r.coversPath(later) && coversHosts(r.Hosts, later.Hosts) &&
		coversHeaders(r.Headers, later.Headers) && r.coversUpgrade(later)
}

// passesOver reports whether r lets requests pass that are no upgrade it accepts.
func (r *Route) passesOver() bool { return r.Mode == "tunnel" || r.Mode == endpointMode }

// coversPath reports whether r matches every path that later matches. Every
// path begins with a slash. A route whose match is broken covers nothing and
// is covered by nothing.
func (r *Route) coversPath(later *Route) bool {
	switch {
	case later.Path != "":
		return r.Path != "" && coversPrefix(r.Path, later.Path)
	case later.Suffix != "":
		return r.Path == "/" || r.Suffix != "" && strings.HasSuffix(later.Suffix, r.Suffix)
	case later.Regex != nil:
		return r.Path == "/" || r.Regex != nil && r.Regex.String() == later.Regex.String()
	}
	return false
}

// coversPrefix reports whether every path that begins with later, by whole
// segments, begins with earlier.
func coversPrefix(earlier, later string) bool {
	rest, ok := strings.CutPrefix(later, earlier)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(earlier, "/"))
}

func coversHosts(earlier, later []string) bool {
	if len(earlier) == 0 {
		return true
	}
	return len(later) > 0 && !slices.ContainsFunc(later, func(host string) bool {
		return !slices.ContainsFunc(earlier, func(pattern string) bool {
			suffix, wild := strings.CutPrefix(pattern, "*")
			return host == pattern || wild && strings.HasSuffix(host, suffix)
		})
	})
}

// coversHeaders reports whether each condition of earlier is one of later too.
func coversHeaders(earlier, later []HeaderMatch) bool {
	return !slices.ContainsFunc(earlier, func(e HeaderMatch) bool {
		return !slices.ContainsFunc(later, func(l HeaderMatch) bool {
			return strings.EqualFold(e.Name, l.Name) && e.Match.String() == l.Match.String()
		})
	})
}

// coversUpgrade compares which requests pass the two modes. Routes that serve
// HTTP or deny take every request; a tunnel or endpoint route only upgrades that
// it accepts, and with upgrade: none every GET without a body.
func (r *Route) coversUpgrade(later *Route) bool {
	switch {
	case !r.passesOver():
		return true
	case !later.passesOver():
		return false
	}
	earlier, wanted := r.Upgrade, later.Upgrade
	switch {
	case wanted.None:
		return earlier.None
	case wanted.Any:
		return earlier.Any
	case earlier.None: // a websocket upgrade is a GET; other protocols may come with any method
		return slices.Equal(wanted.Protocols, []string{websocket})
	}
	return earlier.Any || !slices.ContainsFunc(wanted.Protocols, func(protocol string) bool {
		return !slices.Contains(earlier.Protocols, protocol)
	})
}
