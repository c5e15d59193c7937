package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bufferBytes is small, since a test may have thousands of connections; large
// reads go past it.
const bufferBytes = 4 << 10

// A Client is a raw connection to a proxy, which may send anything.
type Client struct {
	net.Conn
	R *bufio.Reader // everything that is read goes through it
	t testing.TB
}

// Dial connects to address, host:port or unix:/path, and ends the test when
// that fails. The end of the test closes the connection.
func Dial(t testing.TB, address string) *Client {
	t.Helper()
	c, err := DialErr(address)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// DialErr is Dial for other goroutines than the test's.
func DialErr(address string) (*Client, error) { return dial(address, 0) }

// DialNarrow is Dial with a receive buffer of about bytes, so that a client
// that does not read fills up soon.
func DialNarrow(t testing.TB, address string, bytes int) *Client {
	t.Helper()
	c, err := dial(address, bytes)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func dial(address string, receiveBytes int) (*Client, error) {
	network, address := SplitAddress(address)
	ctx, cancel := context.WithTimeout(context.Background(), Soon)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	if receiveBytes > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			return setReceiveBuffer(raw, receiveBytes)
		}
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn = secureClient(conn, address)
	return &Client{Conn: conn, R: bufio.NewReaderSize(conn, bufferBytes)}, nil
}

func setReceiveBuffer(raw syscall.RawConn, bytes int) error {
	var inner error
	err := raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	})
	return errors.Join(err, inner)
}

// SplitAddress returns what net.Dial and net.Listen want for an address of
// the configuration.
func SplitAddress(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// Read reads from the connection through R.
func (c *Client) Read(p []byte) (int, error) { return c.R.Read(p) }

// Put sends data, all of it, or ends the test.
func (c *Client) Put(data string) {
	c.t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(Soon))
	if _, err := io.WriteString(c.Conn, data); err != nil {
		c.t.Fatalf("client sends %d bytes: %v", len(data), err)
	}
}

// Offer sends data in pieces of step bytes (0 = in one), each a segment of
// its own, and gives up silently when the other side has closed: it may have
// answered already.
func (c *Client) Offer(data string, step int) {
	_ = c.SetWriteDeadline(time.Now().Add(Soon))
	if step <= 0 {
		step = len(data)
	}
	// Without a pause the kernel merges the pieces before they are read.
	pace := time.NewTicker(500 * time.Microsecond)
	defer pace.Stop()
	for len(data) > 0 {
		n := min(step, len(data))
		if _, err := io.WriteString(c.Conn, data[:n]); err != nil {
			return
		}
		if data = data[n:]; len(data) > 0 {
			<-pace.C
		}
	}
}

// Answer reads one response, or ends the test.
func (c *Client) Answer() *Answer {
	c.t.Helper()
	a, err := c.AnswerErr()
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// AnswerErr reads one response.
func (c *Client) AnswerErr() (*Answer, error) {
	_ = c.SetReadDeadline(time.Now().Add(Soon))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	return readAnswer(c.R)
}

// Want reads exactly len(want) bytes and ends the test unless they are want.
func (c *Client) Want(want string) {
	c.t.Helper()
	wantBytes(c.t, "client", c, want)
}

// WantEnd ends the test unless the other side closes in good order, without
// another byte: a reset could have destroyed what was sent just before.
func (c *Client) WantEnd() {
	c.t.Helper()
	if err := endErr(c); err != nil {
		c.t.Fatalf("client waits for the end of the connection: %v", err)
	}
}

// WantGone ends the test unless the connection ends, in good order or by a
// reset. What still comes is discarded.
func (c *Client) WantGone() {
	c.t.Helper()
	wantGone(c.t, "client", c)
}

// CloseWrite shuts the connection down for writing.
func (c *Client) CloseWrite() {
	c.t.Helper()
	closeWrite(c.t, c.Conn)
}

// Reset closes the connection so that the other side receives RST.
func (c *Client) Reset() { reset(c.Conn) }

type deadlineReader interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

func wantBytes(t testing.TB, who string, r deadlineReader, want string) {
	t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(Soon))
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if err != nil {
		t.Fatalf("%s reads %q, then: %v; want %q", who, got[:n], err, want)
	}
	if string(got) != want {
		t.Fatalf("%s reads %q, want %q", who, got, want)
	}
}

func endErr(r deadlineReader) error {
	_ = r.SetReadDeadline(time.Now().Add(Soon))
	var b [512]byte
	n, err := r.Read(b[:])
	switch {
	case n > 0:
		return fmt.Errorf("it sent %q", b[:n])
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func wantGone(t testing.TB, who string, r deadlineReader) {
	t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(Soon))
	_, err := io.Copy(io.Discard, r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("%s: the connection is still open after %v", who, Soon)
	}
}

func closeWrite(t testing.TB, conn net.Conn) {
	t.Helper()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T cannot half-close", conn)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatalf("half-close: %v", err)
	}
}

func reset(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
