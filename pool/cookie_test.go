package pool

import (
	"bytes"
	"slices"
	"testing"

	"wsplice/internal/sys"
)

// cookieUpstream has the routes a, b.c and d, the latter draining, and one
// server without.
func cookieUpstream(t testing.TB, insert bool) *Upstream {
	t.Helper()
	list := members(t, 1, 1, 1, 1)
	list[0].Route, list[1].Route, list[2].Route, list[2].Status = "a", "b.c", "d", StatusDrain
	return build(t, Config{Balance: RoundRobin, Members: list, DisableTime: 1, Cookie: Cookie{Name: "sid", Insert: insert}})
}

func cookieKey(u *Upstream, value string) Key { return u.KeyOf(&Request{Cookie: []byte(value)}) }

func TestCookieNamesTheServer(t *testing.T) {
	u := cookieUpstream(t, false)
	for value, want := range map[string]int{
		"8f1e.a": 0, ".a": 0, "a": 0,
		"8f1e.b.c": 1, "b.c": 1,
		"x.y.a":  0, // a dot in the identifier
		"8f1e.d": 2, "d": 2,
	} {
		for range 3 {
			if got := pickOne(u, cookieKey(u, value)); got != want {
				t.Errorf("%q leads to server %d, want %d", value, got, want)
			}
		}
	}
	for _, value := range []string{"", ".", "A", "8f1e.", "8f1e.A", "a.8f1e", "8f1e.b", "c", "a ", "\"a\"", "8f1e,a"} {
		if key := cookieKey(u, value); key.route != 0 {
			t.Errorf("%q names route %d", value, key.route)
		}
	}
}

// A client whose server cannot be picked goes to another one, and no further
// than the others.
func TestCookieOfALostServer(t *testing.T) {
	u := cookieUpstream(t, true)
	key := cookieKey(u, "a")
	u.Servers()[0].SetHealthy(false)
	order := pickAll(u, key)
	slices.Sort(order)
	if !slices.Equal(order, []int{1, 3}) {
		t.Errorf("picked %v, want the others that do not drain", order)
	}
	if got := u.SetCookie(u.Servers()[1], key); got != "sid=b.c; Path=/; HttpOnly; SameSite=Lax" {
		t.Errorf("its new cookie is %q", got)
	}
}

// A failed server's own clients do not crowd it either, but they go there when
// another request tries it.
func TestCookieOfAFailedServer(t *testing.T) {
	u := cookieUpstream(t, false)
	clock := stopClock(u)
	u.disableTime = 100
	u.Servers()[0].Failed(sys.ECONNREFUSED)
	if got := pickOne(u, cookieKey(u, "a")); got == 0 {
		t.Error("a server that is out was picked")
	}
	clock.pass(100)
	for range 2 {
		if got := pickOne(u, cookieKey(u, "a")); got != 0 {
			t.Errorf("server %d instead of its own, which may be back", got)
		}
	}
}

func TestCookieOfAStandby(t *testing.T) {
	list := members(t, 1, 1, 1)
	list[0].Route, list[1].Route, list[2].Route = "a", "a", "x"
	list[0].Status, list[2].Status = StatusStandby, StatusDisabled
	u := build(t, Config{Members: list, Cookie: Cookie{Name: "sid"}})
	if got := pickAll(u, cookieKey(u, "a")); !slices.Equal(got, []int{1, 0}) {
		t.Errorf("picked %v, want the standby of the route last", got)
	}
	if got := pickAll(u, cookieKey(u, "x")); slices.Contains(got, 2) {
		t.Errorf("picked %v: a disabled server was among them", got)
	}
}

func TestSetCookie(t *testing.T) {
	const line = "sid=a; Path=/; HttpOnly; SameSite=Lax"
	u := cookieUpstream(t, true)
	a, bare := u.Servers()[0], u.Servers()[3]
	for value, want := range map[string]string{"": line, "b.c": line, "nonsense": line, "a": "", "id.a": ""} {
		if got := u.SetCookie(a, cookieKey(u, value)); got != want {
			t.Errorf("with cookie %q: %q, want %q", value, got, want)
		}
	}
	if got := u.SetCookie(bare, Key{}); got != "" {
		t.Errorf("a server without a route: %q", got)
	}
	quiet := cookieUpstream(t, false)
	if got := quiet.SetCookie(quiet.Servers()[0], Key{}); got != "" {
		t.Errorf("without insert: %q", got)
	}
	if quiet.CookieName() != "sid" {
		t.Error("the cookie's name is lost")
	}
}

// Whatever a cookie says, the route it names stands at its end.
func FuzzCookie(f *testing.F) {
	for _, value := range []string{"a", "id.a", "x.b.c", "b.c", ".", "..", "a.", "d.a.b.c"} {
		f.Add([]byte(value))
	}
	u := cookieUpstream(f, true)
	names := map[uint16]string{}
	for route, number := range u.routes {
		names[number] = route
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		number := u.routeIn(value)
		route := names[number]
		front, ok := bytes.CutSuffix(value, []byte(route))
		switch {
		case number == 0:
			for _, known := range names {
				if string(value) == known || bytes.Equal(value, []byte("id."+known)) {
					t.Errorf("%q names no route", value)
				}
			}
		case !ok || len(front) > 0 && front[len(front)-1] != '.':
			t.Errorf("%q names %q, which is not at its end", value, route)
		}
	})
}
