package proxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
)

// Chunked bodies with trailers, announced and not, arrive whole on both ways.
func TestTrailersBothWays(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s|%v|%v", body, err, q.Trailer)
		w.Header().Set("X-Sum", "7")
		w.Header().Set(http.TrailerPrefix+"X-Late", "8")
	}, nil)
	c := r.raw()
	for _, announce := range []string{"Trailer: X-One\r\n", ""} {
		c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + announce +
			"\r\n3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-One: 1\r\n\r\n")
		answer := c.answer(200, "abcdefg|<nil>|map[X-One:[1]]")
		if got := fmt.Sprint(answer.Trailer); got != "map[X-Late:[8] X-Sum:[7]]" {
			t.Errorf("client got trailers %v", got)
		}
	}
}

// The client is told to continue when the backend wants the body, and not before.
func TestExpectContinue(t *testing.T) {
	want := make(chan bool)
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		if <-want {
			echoed, _ := io.ReadAll(q.Body)
			_, _ = w.Write(echoed)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}, nil)
	head := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	c := r.raw()
	for range 2 {
		c.send(head)
		want <- true
		if answer := c.head("POST"); answer.StatusCode != 100 {
			t.Fatalf("got %d, want 100", answer.StatusCode)
		}
		c.send("body")
		c.answer(200, "body")
	}
	// Nobody knows whether the body comes after a refusal: the connection ends.
	c.send(head)
	want <- false
	if answer := c.answer(401, ""); !answer.Close {
		t.Error("the refusal does not close the connection")
	}
	c.ends()
}

// Other expectations are not met, by net/http.
func TestUnknownExpectation(t *testing.T) {
	r := newHTTPRig(t, echoPath, nil)
	client := r.dial()
	write(t, client, "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n")
	expectAnswer(t, client, "417")
}

// Each event arrives while the answer goes on, and so does an early head.
func TestEventsArriveOneByOne(t *testing.T) {
	next := make(chan string)
	r := newHTTPRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		for {
			flush(w)
			event, ok := <-next
			if !ok {
				return
			}
			_, _ = io.WriteString(w, event)
		}
	}, nil)
	c := r.raw()
	c.send(get("/events"))
	answer := c.head("GET")
	for i := range 5 {
		event := fmt.Sprintf("data: %d\n\n", i)
		next <- event
		got := make([]byte, len(event))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != event {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	close(next)
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) != 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	c.send(strings.Replace(get("/ws/x"), "GET", "POST", 1)) // the connection goes on
	if answer := c.head("POST"); answer.StatusCode != 426 {
		t.Errorf("got %d, want 426", answer.StatusCode)
	}
}

// Large bodies both ways at once, while the client sends and reads at its pace:
// the backend answers with what it reads before it has read all.
func TestLargeBodiesBothWays(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		fullDuplex(w)
		buffer := make([]byte, 32<<10)
		for {
			n, err := q.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			flush(w)
			if err != nil {
				return
			}
		}
	}, nil)
	body := make([]byte, 16<<20)
	rand.New(rand.NewSource(1)).Read(body)
	for _, chunked := range []bool{false, true} {
		c := r.raw()
		for range 2 { // on one connection
			sent := make(chan error, 1)
			go func() { sent <- sendBody(c, body, chunked) }()
			got := sha256.New()
			if n, err := io.Copy(got, c.head("POST").Body); err != nil || int(n) != len(body) {
				t.Fatalf("chunked=%v: got %d bytes, %v", chunked, n, err)
			}
			if want := sha256.Sum256(body); !bytes.Equal(got.Sum(nil), want[:]) {
				t.Errorf("chunked=%v: other bytes came back", chunked)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
		c.Close()
	}
}

func sendBody(c *rawClient, body []byte, chunked bool) error {
	w := bufio.NewWriterSize(c, 64<<10)
	if !chunked {
		fmt.Fprintf(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body))
		_, _ = w.Write(body)
		return w.Flush()
	}
	_, _ = io.WriteString(w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for size := 1; len(body) > 0; size = size*3%100000 + 1 {
		n := min(size, len(body))
		fmt.Fprintf(w, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	_, _ = io.WriteString(w, "0\r\n\r\n")
	return w.Flush()
}

// A head and a body that arrive byte by byte.
func TestRequestByteByByte(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, q *http.Request) {
		echoed, _ := io.ReadAll(q.Body)
		_, _ = w.Write(echoed)
	}, nil)
	c := r.raw()
	if err := c.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	request := "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n" + get("/ws/")
	for i := range request {
		c.send(request[i : i+1])
	}
	c.answer(200, "abc")
	if answer := c.head("GET"); answer.StatusCode != 426 {
		t.Errorf("behind it: %d", answer.StatusCode)
	}
}

func shortStall(c *Config) { c.Timeouts.Stall = 100 * time.Millisecond }

// A body that stops coming ends the request, and what is answered then says so.
func TestBodyStopsComing(t *testing.T) {
	r := newHTTPRig(t, func(_ http.ResponseWriter, q *http.Request) { _ = drop(q.Body) }, shortStall)
	for _, framing := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		client := r.dial()
		write(t, client, "POST / HTTP/1.1\r\nHost: h\r\n"+framing+"\r\n\r\n5\r\n")
		expectAnswer(t, client, "408")
	}
	if n := r.server.Stats().Refusals["body_timeout"]; n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}

func TestBodyIsMalformed(t *testing.T) {
	r := newHTTPRig(t, func(_ http.ResponseWriter, q *http.Request) { _ = drop(q.Body) }, nil)
	for _, body := range []string{"x\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "0\r\n bad: 1\r\n\r\n"} {
		client := r.dial()
		write(t, client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+body+get("/never"))
		expectAnswer(t, client, "400")
	}
}

// An answer that the client does not take is given up.
func TestClientDoesNotRead(t *testing.T) {
	ended := make(chan struct{})
	r := newHTTPRig(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<20))
		}
	}, shortStall)
	c := r.raw()
	c.send(get("/"))
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the backend still writes")
	}
	r.took(stateAway, stateClosing)
}

// One that takes it slowly gets all of it.
func TestClientReadsSlowly(t *testing.T) {
	body := []byte(hex.EncodeToString(make([]byte, 4<<20)))
	r := newHTTPRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }, func(c *Config) {
		c.Timeouts.Stall = time.Second
	})
	c := r.raw()
	if err := c.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	c.send(get("/"))
	answer := c.head("GET")
	begin, got := time.Now(), 0
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for buffer := make([]byte, 64<<10); ; <-pace.C {
		n, err := io.ReadFull(answer.Body, buffer)
		if got += n; err != nil {
			break
		}
	}
	if got != len(body) || time.Since(begin) < time.Second {
		t.Errorf("%d bytes in %v, want %d in more than the stall time", got, time.Since(begin), len(body))
	}
	c.send(get("/ws/"))
	if answer := c.head("GET"); answer.StatusCode != 426 {
		t.Errorf("behind it: %d", answer.StatusCode)
	}
}

// A backend that answers before it has the body: the client sees the answer at
// once, and the connection ends.
func TestEarlyAnswer(t *testing.T) {
	r := newHTTPRig(t, func(w http.ResponseWriter, _ *http.Request) {
		fullDuplex(w)
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}, nil)
	for _, framing := range []string{"Content-Length: 10000000", "Content-Length: 10", "Transfer-Encoding: chunked"} {
		c := r.raw()
		c.send("POST / HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n\r\n5\r\n")
		c.answer(413, "too large\n")
		c.ends()
	}
	testutil.Eventually(t, patience, "all counted", func() bool { return r.server.Stats().HTTP["4xx"] == 3 })
}
