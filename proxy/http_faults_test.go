package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// What the backend is told when the client goes away in the middle.
func TestClientLeaves(t *testing.T) {
	leave := map[string]func(c *rawClient){
		"close":      func(c *rawClient) { c.Close() },
		"reset":      func(c *rawClient) { reset(t, c.TCPConn) },
		"half-close": func(c *rawClient) { closeWrite(t, c.TCPConn) },
	}
	moments := map[string]struct {
		request string
		begin   func(w http.ResponseWriter)
	}{
		"before the answer":  {get("/"), func(http.ResponseWriter) {}},
		"behind its request": {get("/") + get("/next"), func(http.ResponseWriter) {}},
		"in the answer":      {get("/"), func(w http.ResponseWriter) { flush(w) }},
		"in the body": {
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123",
			func(http.ResponseWriter) {},
		},
	}
	for how, end := range leave {
		for when, m := range moments {
			t.Run(how+" "+when, func(t *testing.T) {
				in, out := make(chan struct{}), make(chan struct{})
				r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
					defer close(out)
					m.begin(w)
					in <- struct{}{}
					if drop(q.Body) == nil {
						<-q.Context().Done()
					}
				}, nil)
				c := r.raw()
				c.send(m.request)
				<-in
				end(c)
				select {
				case <-out:
				case <-time.After(patience):
					t.Fatal("the backend still waits")
				}
				r.took(stateAway, stateClosing)
			})
		}
	}
}

// A backend that dies in the middle of an answer: what the client gets never
// seems complete.
func TestBackendDiesInItsAnswer(t *testing.T) {
	for name, c := range map[string]struct{ version, answer string }{
		"length":      {"1.1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart"},
		"chunked":     {"1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"},
		"until close": {"1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, modeHTTP)
			client := r.raw()
			client.send("GET / HTTP/" + c.version + "\r\nHost: h\r\n\r\n")
			backend, _ := r.accept()
			write(t, backend, c.answer)
			answer := client.head("GET")
			part := make([]byte, 4)
			if _, err := io.ReadFull(answer.Body, part); err != nil || string(part) != "part" {
				t.Fatalf("got %q, %v", part, err)
			}
			backend.Close()
			if rest, err := io.ReadAll(answer.Body); err == nil || len(rest) > 0 {
				t.Errorf("then %q and an orderly end", rest)
			}
		})
	}
}

// An idle connection to a backend that has closed it is not used for a request.
func TestIdleBackendCloses(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	c := r.raw()
	for range 5 {
		c.send(get("/x"))
		c.answer(200, "GET /x")
		r.web.CloseClientConnections()
	}
}

// A flood behind a request is not read without bound, and is answered in time.
func TestFloodBehindARequest(t *testing.T) {
	wait := make(chan struct{})
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			<-wait
		}
		echoPath(w, q)
	}, nil)
	c := r.raw()
	const count = 20000
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(append([]byte(get("/slow")), bytes.Repeat([]byte(get("/x")), count)...))
		sent <- err
	}()
	select {
	case err := <-sent: // the sockets hold it
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(100 * time.Millisecond): // they do not
	}
	close(wait)
	c.answer(200, "GET /slow")
	for range 200 { // the rest would only take long
		c.answer(200, "GET /x")
	}
	c.Close()
}

// While the server stops, requests are answered, and their connections end.
func TestStopWaitsForRequests(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	r := newHTTPRig(t, func(w http.ResponseWriter, _ *http.Request) {
		in <- struct{}{}
		<-out
		_, _ = io.WriteString(w, "done")
	}, nil)
	c := r.raw()
	c.send(get("/"))
	<-in
	stopped := make(chan int)
	go func() { stopped <- r.close(patience) }()
	testutil.Eventually(t, patience, "the server stops to listen", func() bool {
		conn, err := net.Dial("tcp", r.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(out)
	if answer := c.answer(200, "done"); !answer.Close {
		t.Error("the answer does not say that the connection ends")
	}
	c.ends()
	if cut := <-stopped; cut != 0 {
		t.Errorf("%d cut", cut)
	}
}

// After the drain time requests are cut, and that shows on both sides.
func TestStopCutsRequests(t *testing.T) {
	for name, body := range map[string]string{"whole": "", "body due": "Content-Length: 9\r\n"} {
		t.Run(name, func(t *testing.T) {
			in, out := make(chan struct{}), make(chan struct{})
			r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
				defer close(out)
				fullDuplex(w)
				_, _ = io.WriteString(w, "part")
				flush(w)
				in <- struct{}{}
				if drop(q.Body) == nil {
					<-q.Context().Done()
				}
			}, nil)
			client := r.dial()
			write(t, client, "GET / HTTP/1.0\r\n"+body+"\r\n")
			<-in
			if cut := r.close(50 * time.Millisecond); cut != 1 {
				t.Errorf("%d cut, want 1", cut)
			}
			<-out
			if got, err := io.ReadAll(client); err == nil {
				t.Errorf("client got %q and an orderly end", got)
			}
		})
	}
}

// A kept-alive connection is closed when the server stops.
func TestStopClosesIdleConnections(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	c := r.raw()
	c.send(get("/"))
	c.answer(200, "GET /")
	r.took(stateAway, stateReading)
	if cut := r.close(patience); cut != 0 {
		t.Errorf("%d cut", cut)
	}
	c.ends()
}

// Whoever sends something hostile as the second request is answered as for the
// first, and the backend never hears of it.
func TestHostileSecondRequest(t *testing.T) {
	upgrade := func(change ...string) string {
		return strings.NewReplacer(change...).Replace(strings.Replace(upgradeRequest, "GET /x", "GET /ws/x", 1))
	}
	cases := map[string]struct{ request, want string }{
		"T2: version 1777":        {upgrade("Version: 13", "Version: 1777") + get("/internal"), "426"},
		"T7: no key":              {upgrade("Sec-WebSocket-Key: "+testKey+"\r\n", "") + get("/internal"), "400"},
		"T8: POST":                {upgrade("GET", "POST"), "400"},
		"T9: h2c on a tunnel":     {upgrade("Upgrade: websocket", "Upgrade: h2c"), "426"},
		"T13: body":               {upgrade("Host: h", "Host: h\r\nContent-Length: 5") + "12345", "400"},
		"T15: HTTP/1.0":           {upgrade("HTTP/1.1", "HTTP/1.0"), "400"},
		"T16: without Connection": {upgrade("Connection: Upgrade\r\n", ""), "400"},
		"T19: plain GET":          {get("/ws/x"), "426"},
		"T20: length and chunked": {
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
		},
		"bare LF":                {"GET / HTTP/1.1\nHost: h\n\n", "400"},
		"NUL":                    {"GET / HTTP/1.1\r\nHost: h\r\nX: \x00\r\n\r\n", "400"},
		"folded line":            {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400"},
		"space before the colon": {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
		"two Hosts":              {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "400"},
		"fragment":               {"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		"large head":             {"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 17<<10) + "\r\n\r\n", "431"},
		"HTTP/2":                 {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path != "/first" {
					t.Errorf("the backend saw %s", q.RequestURI)
				}
				echoPath(w, q)
			}, nil)
			first := r.dial()
			write(t, first, c.request)
			want := expectEnd(t, first)
			if !strings.HasPrefix(want, "HTTP/1.1 "+c.want) {
				t.Fatalf("as the first: %.100q, want %s", want, c.want)
			}
			for _, pipelined := range []bool{true, false} {
				if got := second(t, r.rig, c.request, pipelined); got != want {
					t.Errorf("pipelined=%v: %.200q, as the first: %.200q", pipelined, got, want)
				}
			}
		})
	}
}

// second sends request as the second one of a connection and returns all that
// follows the first answer.
func second(t *testing.T, r *rig, request string, pipelined bool) string {
	t.Helper()
	c := &rawClient{r.dial(), t, nil}
	c.reader = bufio.NewReader(c)
	if pipelined {
		c.send(get("/first") + request)
		c.answer(200, "GET /first")
	} else {
		c.send(get("/first"))
		c.answer(200, "GET /first")
		c.send(request)
	}
	rest, err := io.ReadAll(c.reader)
	if err != nil {
		t.Errorf("after %.100q: %v", rest, err)
	}
	return string(rest)
}
