package rig

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// HTTP2Clients reports whether clients ask for WebSockets by HTTP/2 where a test
// says nothing about that: WSPLICE_TLS=h2.
func HTTP2Clients() bool { return os.Getenv("WSPLICE_TLS") == "h2" }

// An h2Client has a test that speaks HTTP/1.1 speak HTTP/2: the upgrade that is
// written becomes an extended CONNECT on a connection of its own, whose answer is
// read as a 101. What follows is the stream's.
type h2Client struct {
	raw    net.Conn
	config *tls.Config

	mu     sync.Mutex
	head   []byte // written, up to the end of the request
	asked  bool
	closed bool
	readBy time.Time

	opened chan struct{} // closed when stream or err is set
	stream *H2Stream
	err    error
	key    string
	answer io.Reader // the head of the answer, once there is one
}

func newH2Client(raw net.Conn, config *tls.Config) *h2Client {
	config.NextProtos = []string{"h2"}
	return &h2Client{raw: raw, config: config, opened: make(chan struct{})}
}

// Write takes the request, and then what goes through the tunnel. As with a plain
// connection, nobody waits for an answer here.
func (c *h2Client) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.asked {
		c.mu.Unlock()
		<-c.opened
		if c.err != nil {
			return 0, c.err
		}
		return c.stream.Write(p)
	}
	defer c.mu.Unlock()
	c.head = append(c.head, p...)
	if head, early, whole := strings.Cut(string(c.head), "\r\n\r\n"); whole {
		c.asked = true
		go func() {
			defer close(c.opened)
			c.err = c.ask(head+"\r\n\r\n", early)
		}()
	}
	return len(p), nil
}

// ask opens the stream.
func (c *h2Client) ask(text, early string) error {
	head, err := parseHead(text)
	if err != nil {
		return err
	}
	conn, err := newH2(tls.Client(c.raw, c.config), H2Options{})
	if err != nil {
		return err
	}
	c.key = head.Get("Sec-WebSocket-Key")
	if c.stream, err = conn.Send(false, fieldsOf(head)...); err != nil {
		return err
	}
	go c.hangUp()
	_, _ = io.WriteString(c.stream, early) // a refusal may come first, which is read
	return nil
}

// fieldsOf makes an extended CONNECT of an upgrade.
func fieldsOf(head *Head) []Field {
	fields := []Field{
		{":method", http.MethodConnect},
		{":protocol", head.Get("Upgrade")},
		{":scheme", "https"},
		{":path", head.Target},
		{":authority", head.Get("Host")},
	}
	for _, f := range head.Fields {
		switch name := strings.ToLower(f.Name); name {
		case "host", "upgrade", "connection", "sec-websocket-key":
		default:
			fields = append(fields, Field{name, f.Value})
		}
	}
	return fields
}

// hangUp closes the connection when its only stream is over.
func (c *h2Client) hangUp() {
	var never time.Time
	s := c.stream
	_ = s.wait(&never, func() bool { return s.over && s.ended || s.reset != nil })
	_ = c.raw.Close()
}

// Read returns the answer, and then what comes through the tunnel.
func (c *h2Client) Read(p []byte) (int, error) {
	if c.answer == nil {
		if err := c.awaitAnswer(); err != nil {
			return 0, err
		}
	}
	if n, _ := c.answer.Read(p); n > 0 {
		return n, nil
	}
	return c.stream.Read(p)
}

func (c *h2Client) awaitAnswer() error {
	c.mu.Lock()
	by := c.readBy
	c.mu.Unlock()
	var late <-chan time.Time
	if !by.IsZero() {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.opened:
	case <-late:
		return os.ErrDeadlineExceeded
	}
	if c.err != nil {
		return c.err
	}
	var answer *Answer
	var reset *H2Reset
	s := c.stream
	err := s.wait(&s.readBy, func() bool {
		answer, reset = s.answer, s.reset
		return answer != nil || reset != nil
	})
	switch {
	case answer != nil:
		c.answer = strings.NewReader(c.headOf(answer))
		return nil
	case reset != nil:
		return reset
	}
	return err
}

// headOf is the answer in HTTP/1.1.
func (c *h2Client) headOf(a *Answer) string {
	var b strings.Builder
	if a.Status == http.StatusOK {
		fmt.Fprintf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\n", Accept(c.key))
	} else {
		fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	}
	for name, values := range a.Header {
		for _, value := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// CloseWrite ends what is sent.
func (c *h2Client) CloseWrite() error {
	if !c.begun() {
		return c.raw.Close()
	}
	<-c.opened
	if c.err != nil {
		return c.err
	}
	return c.stream.CloseWriteErr()
}

func (c *h2Client) begun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Close ends the stream as the end of a connection does, and leaves it to the other
// side to end it too.
func (c *h2Client) Close() error {
	c.mu.Lock()
	before := c.closed
	c.closed = true
	asked := c.asked
	c.mu.Unlock()
	if before || !asked {
		return c.raw.Close()
	}
	go func() {
		<-c.opened
		if c.err != nil || c.stream.CloseWriteErr() != nil {
			_ = c.raw.Close()
			return
		}
		time.AfterFunc(Soon, func() { _ = c.raw.Close() })
		// What still comes is taken, as a kernel does that answers RST.
		_, _ = io.Copy(io.Discard, c.stream)
		c.stream.ResetWith(http2.ErrCodeCancel)
	}()
	return nil
}

// NetConn is the connection below, which may be reset.
func (c *h2Client) NetConn() net.Conn { return c.raw }

// SetReadDeadline bounds reads.
func (c *h2Client) SetReadDeadline(by time.Time) error {
	c.mu.Lock()
	c.readBy = by
	c.mu.Unlock()
	return c.onStream(func(s *H2Stream) error { return s.SetReadDeadline(by) })
}

// SetWriteDeadline bounds writes.
func (c *h2Client) SetWriteDeadline(by time.Time) error {
	return c.onStream(func(s *H2Stream) error { return s.SetWriteDeadline(by) })
}

// SetDeadline is both.
func (c *h2Client) SetDeadline(by time.Time) error {
	_ = c.SetReadDeadline(by)
	return c.SetWriteDeadline(by)
}

func (c *h2Client) onStream(do func(*H2Stream) error) error {
	if c.begun() {
		<-c.opened
		if c.err == nil {
			return do(c.stream)
		}
	}
	return nil
}

// LocalAddr is the connection's.
func (c *h2Client) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the connection's.
func (c *h2Client) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }
