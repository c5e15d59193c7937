//lint:file-ignore SA1019 net/http speaks HTTP/2 without TLS only for http URLs, and the Lane takes only https

package h2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// A browser is a client of golang.org/x/net.
type browser = http2.ClientConn //nolint:staticcheck // as above

// browse connects one to a handler of net/http.
func browse(t *testing.T, handler http.HandlerFunc) *browser {
	t.Helper()
	_, conn := start(t, &house{serve: serving(t, handler)})
	transport := &http2.Transport{DisableCompression: true, StrictMaxConcurrentStreams: true} //nolint:staticcheck // as above
	client, err := transport.NewClientConn(conn)                                              //nolint:staticcheck // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// ask makes a request that ends with the test's patience.
func ask(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "https://a.test"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// trip returns the answer with its whole body.
func trip(t *testing.T, client *browser, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: after %d bytes: %v", r.Method, r.URL, len(body), err)
	}
	return response, string(body)
}

func TestOrdinaryRequest(t *testing.T) {
	client := browse(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "x=1")
		w.Header().Add("Set-Cookie", "y=2")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "here")
		w.Header().Set("Keep-Alive", "timeout=5")
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %q %q %s %v", r.Method, r.RequestURI, r.Host, r.Header.Get("Cookie"), r.Header.Get("X-A"), body, err)
	})
	r := ask(t, http.MethodPut, "/p/../q?x=%20", strings.NewReader("body"))
	r.Header = http.Header{"Cookie": {"a=1; b=2"}, "X-A": {"1"}}
	response, body := trip(t, client, r)
	if want := `PUT /p/../q?x=%20 a.test "a=1; b=2" "1" body <nil>`; body != want {
		t.Errorf("the house saw %s", body)
	}
	if got := response.Header["Set-Cookie"]; len(got) != 2 || got[0] != "x=1" || got[1] != "y=2" {
		t.Errorf("cookies %q", got)
	}
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Transfer-Encoding"} {
		if response.Header.Get(name) != "" {
			t.Errorf("the answer has %s", name)
		}
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	client := browse(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello") // of HEAD it sends nothing
		}
	})
	cases := []struct {
		method, path string
		status       int
		length       int64
	}{
		{http.MethodHead, "/", 200, 5},
		{http.MethodGet, "/204", 204, 0},
		{http.MethodGet, "/304", 304, 0},
	}
	for _, c := range cases {
		response, body := trip(t, client, ask(t, c.method, c.path, nil))
		if response.StatusCode != c.status || body != "" || response.ContentLength != c.length {
			t.Errorf("%s %s: %s, %d bytes, body %q", c.method, c.path, response.Status, response.ContentLength, body)
		}
	}
}

func TestTrailersBothWays(t *testing.T) {
	client := browse(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum")+"!")
	})
	r := ask(t, http.MethodPost, "/", io.MultiReader(strings.NewReader("abc"))) // no length is known
	r.Trailer = http.Header{"X-Sum": {"6"}}
	response, body := trip(t, client, r)
	if got := response.Trailer.Get("X-Sum"); body != "abc" || got != "6!" {
		t.Errorf("body %q, trailer %q", body, got)
	}
}

func TestContinueAndHints(t *testing.T) {
	client := browse(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body) // says 100
	})
	r := ask(t, http.MethodPost, "/", strings.NewReader("body"))
	r.Header.Set("Expect", "100-continue")
	var hints []int
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
	}))
	response, body := trip(t, client, r)
	if response.StatusCode != http.StatusOK || body != "body" || len(hints) != 2 || hints[0] != 103 || hints[1] != 100 {
		t.Errorf("%s, %q, %v", response.Status, body, hints)
	}
}

// echoBody sends the body back as it comes.
func echoBody(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
	_, _ = io.Copy(w, r.Body)                            // the client sees whether all came
}

func TestBigBodiesBothWays(t *testing.T) {
	client := browse(t, echoBody)
	big := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB
	for name, body := range map[string]io.Reader{"length": bytes.NewReader(big), "chunked": io.MultiReader(bytes.NewReader(big))} {
		if _, got := trip(t, client, ask(t, http.MethodPost, "/", body)); got != string(big) {
			t.Errorf("%s: %d bytes of %d came back, or others", name, len(got), len(big))
		}
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	client := browse(t, echoBody)
	var group sync.WaitGroup
	for i := range 4 * streamsMax { // REFUSED_STREAM would be an error
		r := ask(t, http.MethodPost, "/", strings.NewReader(strings.Repeat(string(rune('a'+i%26)), 10000)))
		group.Go(func() {
			response, err := client.RoundTrip(r)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); len(body) != 10000 || body[0] != byte('a'+i%26) || err != nil {
				t.Errorf("request %d: %d bytes, %v", i, len(body), err)
			}
		})
	}
	group.Wait()
}

// An answer that comes before its request has ended is an answer.
func TestAnswerBeforeTheBodyEnds(t *testing.T) {
	client := browse(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	r, w := io.Pipe()
	defer w.Close()
	response, _ := trip(t, client, ask(t, http.MethodPost, "/", r))
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", response.Status)
	}
}

func TestAnswersThatBreakOff(t *testing.T) {
	type answer struct {
		what  string
		serve func(*guest)
	}
	sends := func(s string) func(*guest) {
		return func(g *guest) { answering(s)(g); g.lost.Store(strings.Contains(s, "close-delimited")) }
	}
	for _, a := range []answer{
		{"short", sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")},
		{"chunk", sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")},
		{"last chunk", sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")},
		{"reset", sends("HTTP/1.1 200 OK\r\n\r\nclose-delimited")},
	} {
		t.Run(a.what, func(t *testing.T) {
			_, p := meet(t, &house{serve: a.serve})
			p.headers(1, true, get...)
			p.answered(1, "200")
			p.wasReset(1, http2.ErrCodeInternal)
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, answer := range []string{
		"", "junk\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
	} {
		_, p := meet(t, &house{serve: answering(answer)})
		p.headers(1, true, get...)
		p.answered(1, "502")
		p.ends(1)
		p.pinged()
	}
}

// Requests that wsplice answers by itself here are not passed on.
func TestRefusals(t *testing.T) {
	cases := []struct {
		status string
		head   []string
	}{
		{"400", with(get, ":scheme", "http")},
		{"501", []string{":method", "CONNECT", ":authority", "a"}},
		{"501", with(open, ":protocol", "connect-udp")},
		{"431", with(get, "x-large", strings.Repeat("x", 15<<10), "x-more", strings.Repeat("x", 2<<10))},
	}
	h := &house{serve: echo}
	_, p := meet(t, h)
	for i, c := range cases {
		id := uint32(2*i + 1)
		p.headers(id, true, c.head...)
		p.answered(id, c.status)
		if body := p.ends(id); len(body) == 0 {
			t.Errorf("%s has no text", c.status)
		}
	}
	p.headers(99, true, with(get, ":scheme", "http", ":method", "HEAD")...)
	p.answered(99, "400")
	if body := p.ends(99); len(body) > 0 {
		t.Errorf("HEAD is answered with %q", body)
	}
	if n := h.entered.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}
