package pool

import "bytes"

// A Cookie tells which server a client was at before.
type Cookie struct {
	Name   string // "" = none
	Insert bool   // we set it; its value is the server's route
}

// line returns the field value that sets the cookie for a route (RFC 6265bis
// section 4.1). It ends with the browser's session.
func (c *Cookie) line(route string) string {
	if c.Name == "" || !c.Insert || route == "" {
		return ""
	}
	return c.Name + "=" + route + "; Path=/; HttpOnly; SameSite=Lax"
}

// numberRoute returns the number of a route; servers may share one.
func (u *Upstream) numberRoute(route string) uint16 {
	if route == "" {
		return 0
	}
	number, known := u.routes[route]
	if !known {
		number = uint16(len(u.routes) + 1)
		u.routes[route] = number
	}
	return number
}

// routeIn returns the number of the route that a cookie's value names, or 0.
// Apache httpd takes what follows the first dot, behind a session's identifier
// that the application made. Our own value is the route alone. A route or an
// identifier may have dots itself; what names a server counts.
func (u *Upstream) routeIn(value []byte) uint16 {
	if i := bytes.IndexByte(value, '.'); i >= 0 {
		if number := u.routes[string(value[i+1:])]; number != 0 {
			return number
		}
	}
	if number := u.routes[string(value)]; number != 0 {
		return number
	}
	return u.routes[string(value[bytes.LastIndexByte(value, '.')+1:])]
}

// CookieName returns the name of the cookie to look for in requests, or "".
func (u *Upstream) CookieName() string { return u.cookie.Name }

// SetCookie returns the value of the Set-Cookie field that an answer of s is to
// have, or "" when it is to have none: the request with that key had the right
// cookie, or setting it is left to others.
func (u *Upstream) SetCookie(s *Server, key Key) string {
	if s.route == key.route {
		return ""
	}
	return s.cookie
}
