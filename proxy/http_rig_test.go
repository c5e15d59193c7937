package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"wsplice/internal/testutil"
	"wsplice/route"
)

// An httpRig is a rig that serves ordinary HTTP at a net/http server, while /ws/
// is for tunnels only.
type httpRig struct {
	*rig
	web *httptest.Server
}

func newHTTPRig(t *testing.T, handler http.HandlerFunc, change func(c *Config)) *httpRig {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	r := newRig(t, func(c *Config) {
		c.Routes[0] = newRoute(t, route.Pattern{Prefix: "/ws/"}, "/", c.Routes[0].Upstream)
		// A tunnel route passes plain requests over, to a route like / that takes all.
		rest := route.Pattern{Regexp: regexp.MustCompile("^/([^w]|$)")}
		served := newRoute(t, rest, "", (&rig{t: t}).upstream(web.Listener.Addr().String()))
		served.Mode = ModeHTTP
		c.Routes = append(c.Routes, served)
		if change != nil {
			change(c)
		}
	})
	return &httpRig{r, web}
}

// newHTTPRoute sends every path below prefix to address, without the prefix.
func newHTTPRoute(t testing.TB, prefix, address string) Route {
	r := newRoute(t, route.Pattern{Prefix: prefix}, "/", (&rig{t: t}).upstream(address))
	r.Mode = ModeHTTP
	return r
}

// A rawClient reads answers from a connection of the test's own.
type rawClient struct {
	*net.TCPConn
	t      testing.TB
	reader *bufio.Reader
}

func (r *rig) raw() *rawClient {
	conn := r.dial()
	return &rawClient{conn, r.t, bufio.NewReader(conn)}
}

func (c *rawClient) send(text string) {
	c.t.Helper()
	write(c.t, c.TCPConn, text)
}

// head reads the head of an answer to a request of method.
func (c *rawClient) head(method string) *http.Response {
	c.t.Helper()
	answer, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return answer
}

// answer reads an answer and expects its status and body.
func (c *rawClient) answer(status int, body string) *http.Response {
	c.t.Helper()
	answer := c.head("GET")
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status || string(got) != body {
		c.t.Fatalf("answer %d %.200q, %v; want %d %.200q", answer.StatusCode, got, err, status, body)
	}
	return answer
}

// ends expects the end of the connection, with nothing before.
func (c *rawClient) ends() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.reader); err != nil || len(rest) > 0 {
		c.t.Fatalf("got %.200q, %v; want the end", rest, err)
	}
}

// get is a request for a path.
func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }

// echoPath answers with the method and the target.
func echoPath(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
}

// counted waits until the proxy has counted so many requests of a class.
func (r *rig) counted(class string, want uint64) {
	r.t.Helper()
	testutil.Eventually(r.t, patience, class+" counted", func() bool { return r.server.Stats().HTTP[class] == want })
}

// lines makes a head of lines.
func lines(list ...string) string { return strings.Join(list, "\r\n") + "\r\n\r\n" }

// What the handlers of the tests do; a failure shows at the client.

func fullDuplex(w http.ResponseWriter) { _ = http.NewResponseController(w).EnableFullDuplex() }

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// drop reads a body to its end.
func drop(body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}
