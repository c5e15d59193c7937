package rig

import (
	"fmt"
	"testing"
)

// Open opens a tunnel through listener 0 of p to a backend whose connections
// are handed out by Next, and returns both ends of it.
func Open(p *Proxy, b *Backend, target string, lines ...string) (*Client, *BackendConn) {
	p.t.Helper()
	return Join(Dial(p.t, p.Addr(0)), b, target, lines...)
}

// Join is Open over a connection that exists already.
func Join(c *Client, b *Backend, target string, lines ...string) (*Client, *BackendConn) {
	c.t.Helper()
	c.Put(UpgradeRequest(target, lines...))
	s := b.Next()
	s.WantHead()
	if err := s.Upgrade(); err != nil {
		c.t.Fatalf("backend answers 101: %v", err)
	}
	if a := c.Answer(); a.Status != 101 {
		c.t.Fatalf("the proxy answered %q, want 101", a.Raw)
	}
	return c, s
}

// OpenEcho opens a tunnel to a backend that answers by itself, and may be
// called from any goroutine.
func OpenEcho(address, target string) (*Client, error) {
	c, err := DialErr(address)
	if err != nil {
		return nil, err
	}
	c.Offer(UpgradeRequest(target), 0)
	a, err := c.AnswerErr()
	if err == nil && a.Status != 101 {
		err = fmt.Errorf("the proxy answered %q, want 101", a.Raw)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// MustOpenEcho is OpenEcho for the test's own goroutine. The end of the test
// closes the connection.
func MustOpenEcho(t testing.TB, p *Proxy, target string) *Client {
	t.Helper()
	c, err := OpenEcho(p.Addr(0), target)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// WantEcho sends text and ends the test unless the same comes back.
func (c *Client) WantEcho(text string) {
	c.t.Helper()
	c.Put(text)
	c.Want(text)
}
