package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
	"wsplice/splice"
)

func TestKeptAliveRequests(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	c := r.raw()
	for i := range 3 {
		path := fmt.Sprintf("/a%d?q=%d", i, i)
		c.send(get(path))
		if answer := c.answer(200, "GET "+path); answer.Close {
			t.Errorf("answer %d closes the connection", i)
		}
	}
	r.took(stateAway, stateReading)
	r.counted("2xx", 3)
	if n := r.server.Stats().Accepted; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	c := r.raw()
	var all string
	for i := range 20 {
		all += fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", i, i, strings.Repeat("x", i))
	}
	c.send(all)
	for i := range 20 {
		c.answer(200, fmt.Sprintf("POST /%d", i))
	}
}

// An upgrade behind a request becomes a tunnel like any first one, and what the
// client sent early reaches the backend behind the 101.
func TestUpgradeBehindARequest(t *testing.T) {
	upgrade := strings.Replace(upgradeRequest, "GET /x", "GET /ws/x", 1)
	for _, pipelined := range []bool{true, false} {
		t.Run(fmt.Sprintf("pipelined=%v", pipelined), func(t *testing.T) {
			r := newHTTPRig(t, echoPath, nil)
			c := r.raw()
			if pipelined {
				c.send(get("/first") + upgrade + "early bytes")
				c.answer(200, "GET /first")
			} else {
				c.send(get("/first"))
				c.answer(200, "GET /first")
				c.send(upgrade + "early bytes")
			}
			backend, request := r.accept()
			if request.RequestURI != "/x" {
				t.Errorf("backend was asked for %s", request.RequestURI)
			}
			write(t, backend, upgradeAnswer)
			expect(t, backend, "early bytes")
			write(t, backend, "late bytes")
			got := make([]byte, len(upgradeAnswer+"late bytes"))
			if _, err := io.ReadFull(c.reader, got); err != nil || string(got) != upgradeAnswer+"late bytes" {
				t.Errorf("client got %q, %v", got, err)
			}
		})
	}
}

// An upgrade on the route that serves HTTP is a tunnel too.
func TestUpgradeOnAnHTTPRoute(t *testing.T) {
	r := newRig(t, modeHTTP)
	client, backend := r.tunnel()
	write(t, client, "ping")
	expect(t, backend, "ping")
}

// The backend sees the target byte for byte, the client's fields, who the client
// is as the loop wrote it, and nothing that ends at this hop.
func TestRequestAtTheBackend(t *testing.T) {
	seen := make(chan *http.Request, 1)
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) { seen <- q }, func(c *Config) {
		named := newHTTPRoute(t, "/named/", c.Routes[1].Upstream.Servers()[0].Name())
		c.Routes[1].PreserveHost = true
		c.Routes = append([]Route{named}, c.Routes...)
	})
	c := r.raw()
	c.send(get("/named/x"))
	c.answer(200, "")
	if q := <-seen; q.Host != r.web.Listener.Addr().String() || q.RequestURI != "/x" {
		t.Errorf("backend saw %s at %s", q.RequestURI, q.Host)
	}
	for _, target := range []string{"/a%2Fb/%C3%A9;x=1?a=%20&b;c=|{}", "//double//slash?q", "/?", "/x|y{z}"} {
		c.send(lines("GET "+target+" HTTP/1.1", "Host: example.com:8080", "X-Custom: one", "X-Custom: two", "Accept: */*",
			"Connection: x-hop, keep-alive", "X-Hop: 1", "X_Under: 1", "Upgrade: h2c", "HTTP2-Settings: AA", "TE: trailers",
			"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6", "Proxy-Authorization: x"))
		c.answer(200, "")
		q := <-seen
		if want := strings.Replace(target, "//d", "/d", 1); q.RequestURI != want || q.Host != "example.com:8080" {
			t.Errorf("%s: backend saw %s at %s", target, q.RequestURI, q.Host)
		}
		want := http.Header{
			"X-Custom": {"one", "two"}, "Accept": {"*/*"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"},
			"X-Forwarded-Host": {"example.com:8080"}, "Forwarded": {`for=127.0.0.1;host="example.com:8080";proto=http`},
		}
		if got := fmt.Sprint(q.Header); got != fmt.Sprint(want) {
			t.Errorf("%s: backend saw %v, want %v", target, got, want)
		}
	}
}

// The client sees the backend's fields and no more.
func TestAnswerAtTheClient(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h["Date"], h["Content-Type"] = nil, nil
		h.Set("X-One", "1")
		h.Set("Keep-Alive", "timeout=5")
		if status := q.URL.Query().Get("status"); status != "" {
			var code int
			_, _ = fmt.Sscan(status, &code) // it is ours
			w.WriteHeader(code)
			return
		}
		_, _ = io.WriteString(w, "<html>")
	}, nil)
	c := r.raw()
	c.send(get("/"))
	if answer := c.answer(200, "<html>"); fmt.Sprint(answer.Header) != "map[Content-Length:[6] X-One:[1]]" {
		t.Errorf("answer's fields: %v", answer.Header)
	}
	for _, status := range []int{204, 304, 404, 500} {
		c.send(get(fmt.Sprintf("/?status=%d", status)))
		if answer := c.answer(status, ""); answer.Header.Get("X-One") != "1" || answer.Close {
			t.Errorf("%d: %v", status, answer.Header)
		}
	}
	c.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if answer := c.head("HEAD"); answer.ContentLength != 6 || answer.StatusCode != 200 {
		t.Errorf("HEAD: %d, %d bytes", answer.StatusCode, answer.ContentLength)
	}
	c.send(get("/?status=404")) // nothing of a body came before
	c.answer(404, "")
	r.counted("4xx", 2)
	r.counted("5xx", 1)
}

func TestHTTP10AndCloseEndTheConnection(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	for _, request := range []string{"GET /old HTTP/1.0\r\n\r\n", "GET /old HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"} {
		c := r.raw()
		c.send(request + get("/never"))
		c.answer(200, "GET /old")
		c.ends()
	}
	r.took(stateAway, stateLingering)
}

func TestWithoutBackend(t *testing.T) {
	free := closedPort().String()
	r := newHTTPRig(t, echoPath, func(c *Config) {
		up := c.Routes[1].Upstream.Servers()[0].Name()
		c.Routes[1].Upstream = (&rig{t: t}).upstream(free, up)
		c.Routes = append([]Route{newHTTPRoute(t, "/down/", free)}, c.Routes...)
	})
	c := r.raw()
	for range 4 { // every second time the first try fails
		c.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
		c.answer(200, "POST /x")
	}
	if n := r.server.Stats().DialFailures; n == 0 {
		t.Error("no dial has failed")
	}
	c.send(get("/down/x"))
	if answer := c.head("GET"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !answer.Close {
		t.Errorf("no backend: %d %v", answer.StatusCode, answer.Header)
	}
	if n := r.server.Stats().Refusals["no_backend"]; n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
}

// Backends that answer wrongly, or not at all.
func TestBackendFaults(t *testing.T) {
	for _, f := range []struct{ name, answer, want string }{
		{"T17: switches protocols unasked", upgradeAnswer, "502"},
		{"T18: closes before it answers", "", "502"},
		{"is no HTTP server", "SSH-2.0-OpenSSH_9.2\r\n", "502"},
		{"head too large", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "502"},
	} {
		t.Run(f.name, func(t *testing.T) {
			r := newRig(t, modeHTTP)
			client := r.dial()
			write(t, client, get("/"))
			backend, _ := r.accept()
			write(t, backend, f.answer)
			closeWrite(t, backend)
			expectAnswer(t, client, f.want)
		})
	}
	t.Run("never answers", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Routes[0].Mode = ModeHTTP; shortUpgrade(c) })
		client := r.dial()
		write(t, client, get("/"))
		r.accept()
		expectAnswer(t, client, "504")
	})
}

// No descriptor for a backend is our own shortage.
func TestHTTPWithoutDescriptors(t *testing.T) {
	web := newHTTPRig(t, echoPath, nil).web
	r := newRigWith(t, func(c *Config) {
		c.Routes[0].Mode = ModeHTTP
		c.Routes[0].Upstream = (&rig{t: t}).upstream(web.Listener.Addr().String())
	}, func(s *Server) {
		s.budget = splice.NewBudget(descriptorsPerTunnel, 0)
		for _, w := range s.workers {
			w.pipes = splice.NewPipes(s.budget)
		}
	})
	client := r.dial()
	write(t, client, get("/"))
	expectAnswer(t, client, "503")
	testutil.Eventually(t, patience, "all given back", func() bool { return r.server.budget.Left() == descriptorsPerTunnel })
}

// Everything that is reserved for requests is given back.
func TestHTTPGivesDescriptorsBack(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	room := r.server.budget.Left()
	c := r.raw()
	c.send(get("/"))
	c.answer(200, "GET /")
	if left := r.server.budget.Left(); left != room-descriptorsPerTunnel-1 {
		t.Errorf("%d descriptors taken, want those of the tunnel and an idle backend's", room-left)
	}
	c.Close()
	r.close(patience)
	if left := r.server.budget.Left(); left != room {
		t.Errorf("%d descriptors were not given back", room-left)
	}
}

// Ordinary requests are no tunnels: they are served when no more of those may
// be opened.
func TestHTTPIsNoTunnel(t *testing.T) {
	r := newHTTPRig(t, echoPath, func(c *Config) { c.Limits.Tunnels = 1 })
	up := strings.Replace(upgradeRequest, "/x", "/ws/x", 1)
	client := r.dial()
	write(t, client, up)
	backend, _ := r.accept()
	write(t, backend, upgradeAnswer)
	expect(t, client, upgradeAnswer)
	second := r.dial()
	write(t, second, up)
	expectAnswer(t, second, "503")
	c := r.raw()
	c.send(get("/"))
	c.answer(200, "GET /")
}

// Many connections at once, each with its own answers.
func TestHTTPInParallel(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body) // shorter than it says, it is not what is expected
		_, _ = io.WriteString(w, q.RequestURI+" ")
		_, _ = w.Write(body)
	}, nil)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}, Timeout: 2 * patience}
	defer client.CloseIdleConnections()
	failed := make(chan error, 50)
	for i := range cap(failed) {
		go func() {
			var err error
			for j := 0; j < 20 && err == nil; j++ {
				err = oneEcho(client, fmt.Sprintf("http://%s/%d-%d", r.address, i, j), strings.Repeat("x", i*j))
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func oneEcho(client *http.Client, url, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if want := q.URL.Path + " " + body; err == nil && string(got) != want {
		return fmt.Errorf("got %.100q, want %.100q", got, want)
	}
	return err
}
