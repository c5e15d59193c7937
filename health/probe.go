package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"wsplice/internal/sys"
	"wsplice/pool"
)

// userAgent tells the server's log who asks.
const userAgent = "wsplice-health"

// A probe asks one server, again and again.
type probe struct {
	server  *pool.Server
	kind    Kind
	url     *url.URL // of HTTP and WebSocket
	host    string
	timeout time.Duration
}

func newProbe(t Target) (*probe, error) {
	p := &probe{server: t.Server, kind: t.Check.Kind, host: t.Server.Host(), timeout: t.Check.Timeout}
	if p.kind == TCP {
		return p, nil
	}
	if p.host == "" {
		p.host = "localhost" // a unix socket, which has no name of its own
	}
	raw, query, _ := strings.Cut(t.Check.Path, "?")
	path, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(raw, "/") || strings.ContainsFunc(t.Check.Path, unsendable) {
		return nil, fmt.Errorf("health: the path for %s must begin with a slash and be percent-encoded", t.Server.Name())
	}
	p.url = &url.URL{Scheme: "http", Host: p.host, Path: path, RawPath: raw, RawQuery: query}
	if p.kind == WebSocket {
		p.url.Scheme = "ws"
	}
	return p, nil
}

// unsendable reports what cannot stand in a request line.
func unsendable(r rune) bool { return r <= ' ' || r >= 0x7f }

// run makes one check. ctx ends it, with whatever it is doing.
func (p *probe) run(ctx context.Context) error {
	conn, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The deadline covers all that follows, and a monitor that is closed too.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	switch p.kind {
	case HTTP:
		return p.askHTTP(ctx, conn)
	case WebSocket:
		return p.askWebSocket(conn)
	default:
		return nil
	}
}

// dial connects to the first address that lets it. Each gets its share of the
// time that is left.
func (p *probe) dial(ctx context.Context) (net.Conn, error) {
	err := pool.ErrNoAddress
	addresses := p.server.Addresses()
	for i := range addresses {
		deadline, _ := ctx.Deadline()
		share := time.Until(deadline) / time.Duration(len(addresses)-i)
		dialer := net.Dialer{Timeout: max(share, time.Millisecond), KeepAlive: -1}
		network, address := addresses[i].Dial()
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, address); err == nil {
			return p.secured(ctx, conn)
		}
		if shortage(err) {
			break
		}
	}
	return nil, fmt.Errorf("connect: %w", err)
}

// secured speaks TLS over conn where the server wants that.
func (p *probe) secured(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := p.server.TLS()
	if config == nil {
		return conn, nil
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return client, nil
}

// reason is what the log says of a failed check.
func (p *probe) reason(err error) string {
	text := err.Error()
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		phase, _, _ := strings.Cut(text, ":")
		return fmt.Sprintf("%s: no answer within %v", phase, p.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		phase, _, _ := strings.Cut(text, ":")
		return phase + ": the connection ended before the answer"
	}
	if len(text) > reasonBytesMax {
		return strings.ToValidUTF8(text[:reasonBytesMax], "") + "…"
	}
	return text
}

// shortage reports whether a check failed for our own lack of ports, descriptors
// or memory, which says nothing about the server.
func shortage(err error) bool {
	for _, errno := range [...]error{
		errShortage, sys.EADDRNOTAVAIL, sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
