package gateway

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
	"wsplice/secure"
)

// A refusedError is an error that has its answer.
type refusedError struct {
	refusal *handshake.Refusal
	dial    bool // no byte was sent: another server may do
	cause   error
}

// Error says what went wrong.
func (e *refusedError) Error() string {
	if e.cause == nil {
		return "gateway: " + e.refusal.Reason
	}
	return "gateway: " + e.refusal.Reason + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *refusedError) Unwrap() error { return e.cause }

// balancer is the Gateway as a transport that finds the backend.
type balancer Gateway

// RoundTrip sends a request to the first server of its upstream that can be
// connected to. The lease on the server lasts until the handler has ended, or
// here if there is no answer.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	g := gateOf(r.Context())
	d := &dialing{}
	defer func() {
		g.mu.Lock()
		g.result.DialFailures = int(d.failures.Load())
		g.mu.Unlock()
	}()
	upstream := g.job.Upstream
	var tried pool.Tried
	none := &refusedError{refusal: handshake.RefusalNoBackend}
	for range upstream.Retries() + 1 {
		server := upstream.Pick(&tried, g.job.Key)
		if server == nil {
			break
		}
		answer, err := b.send(r, d, server)
		if err == nil {
			server.Connected() // by a connection that was kept, which tells as much
			answer.Body = &leasedBody{ReadCloser: answer.Body, server: server}
			if cookie := upstream.SetCookie(server, g.job.Key); cookie != "" {
				answer.Header.Add("Set-Cookie", cookie)
			}
			return answer, nil
		}
		server.Release()
		var refused *refusedError
		if !errors.As(err, &refused) || !refused.dial || r.Context().Err() != nil {
			return nil, err
		}
		none = refused
	}
	return nil, none
}

// A leasedBody is the body of an answer, which ends the lease on its server.
type leasedBody struct {
	io.ReadCloser
	server *pool.Server
	once   sync.Once
}

// Close ends the body. The ReverseProxy always calls it, sometimes twice.
func (l *leasedBody) Close() error {
	l.once.Do(l.server.Release)
	return l.ReadCloser.Close()
}

// send makes one try, at one server.
func (b *balancer) send(r *http.Request, d *dialing, server *pool.Server) (*http.Response, error) {
	job := &gateOf(r.Context()).job
	to := &dialTo{dialing: d, server: server, upstream: job.Upstream}
	out := r.WithContext(context.WithValue(r.Context(), dialKey{}, to))
	target := *r.URL
	target.Host = poolKey(job.Upstream, server)
	out.URL = &target
	if !job.PreserveHost && server.Host() != "" {
		out.Host = server.Host()
	}
	if out.Host == "" {
		out.Host = "localhost" // HTTP/1.0 without Host, at a server without a name
	}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = keptBody{r.Body}
	}
	answer, err := b.transport.RoundTrip(out)
	if err == nil && answer.StatusCode == http.StatusSwitchingProtocols {
		answer.Body.Close()
		return nil, &refusedError{refusal: handshake.RefusalAnswerUnasked}
	}
	return answer, err
}

// A keptBody survives a failed try, which closes it.
type keptBody struct{ io.Reader }

// Close does nothing.
func (keptBody) Close() error { return nil }

// poolKey names server for the transport, which keeps idle connections by host.
// It is never looked up. Two upstreams that name one server share none: each
// counts its own bytes, and has a source of its own.
func poolKey(upstream *pool.Upstream, server *pool.Server) string {
	key := upstream.Name() + " " + server.Name()
	if config := server.TLS(); config != nil {
		key += " " + config.ServerName
	}
	return hex.EncodeToString([]byte(key))
}

type dialKey struct{}

// dialTo tells dial, by the request's context, where to connect to.
type dialTo struct {
	*dialing
	server   *pool.Server
	upstream *pool.Upstream
}

// dialing counts over all servers of a request.
type dialing struct {
	attempts, failures atomic.Int32
}

// dial connects to the server that the context names, for the transport.
func (w *Gateway) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	to := ctx.Value(dialKey{}).(*dialTo)
	if !w.config.Budget.Take(1) {
		w.transport.CloseIdleConnections() // they are only there to save time
		if !w.config.Budget.Take(1) {
			return nil, &refusedError{refusal: handshake.RefusalShortage}
		}
	}
	err := pool.ErrNoAddress
	addresses := to.server.Addresses()
	turn := to.server.Turn(addresses)
	for i := range addresses {
		if to.attempts.Add(1) > dialAttemptsMax && i > 0 { // one is always tried
			break
		}
		var conn net.Conn
		if conn, err = w.dialOne(ctx, to, &addresses[turn.Index(i)]); err == nil {
			conn, err = w.secureConn(ctx, to, conn)
		}
		if err == nil {
			to.server.Connected()
			return &backendConn{Conn: conn, gateway: w, to: to}, nil
		}
		if shortage(err) {
			w.config.Budget.Give(1)
			return nil, &refusedError{refusal: handshake.RefusalShortage, cause: err}
		}
		to.failures.Add(1)
	}
	if ctx.Err() == nil { // else it is not the server's fault
		to.server.Failed(err)
	}
	w.config.Budget.Give(1)
	refusal := handshake.RefusalNoBackend
	if errors.Is(err, errTLS) {
		refusal = handshake.RefusalBackendTLS
	}
	return nil, &refusedError{refusal: refusal, dial: true, cause: err}
}

// errTLS says that a handshake of TLS has failed.
var errTLS = errors.New("gateway: TLS handshake failed")

// secureConn speaks TLS over a connection to a server that wants that, within the
// time for a dial. It closes conn if that fails.
func (w *Gateway) secureConn(ctx context.Context, to *dialTo, conn net.Conn) (net.Conn, error) {
	config := to.server.TLS()
	if config == nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Dial)
	defer cancel()
	secured := tls.Client(conn, config)
	err := secured.HandshakeContext(ctx)
	if err == nil {
		return secured, nil
	}
	conn.Close()
	if ctx.Err() == nil {
		w.config.Log.Warn("TLS handshake failed", "backend", to.server.Name(), "because", secure.Explain(err))
	}
	return nil, fmt.Errorf("%w: %w", errTLS, err)
}

// dialOne connects to one address, from the upstream's next source.
func (w *Gateway) dialOne(ctx context.Context, to *dialTo, addr *sys.Sockaddr) (net.Conn, error) {
	dialer := w.dialer
	dialer.Control = func(network, address string, raw syscall.RawConn) error {
		if err := w.setOptions(network, address, raw); err != nil {
			return err
		}
		return to.upstream.BindSource(network, raw)
	}
	network, address := addr.Dial()
	return dialer.DialContext(ctx, network, address)
}

// shortage reports whether a failed dial is our own lack of ports, descriptors or
// memory: another server would not help.
func shortage(err error) bool {
	for _, errno := range [...]sys.Errno{sys.EADDRNOTAVAIL, sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// setOptions sets the socket options of a connection to a backend.
func (w *Gateway) setOptions(network, _ string, raw syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	return raw.Control(func(fd uintptr) {
		sys.FD(fd).Keepalive(w.config.Keepalive)
		sys.FD(fd).UserTimeout(w.config.UserTimeout)
	})
}

// A backendConn is a connection to a backend, and its place in the budget.
type backendConn struct {
	net.Conn
	gateway *Gateway
	to      *dialTo
	once    sync.Once
}

// Read counts what comes.
func (c *backendConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.count(n)
	return n, err
}

func (c *backendConn) count(n int) {
	if n > 0 && c.to.upstream.ByTraffic() {
		c.to.server.AddTraffic(uint64(n))
	}
}

// Write fails when the backend takes nothing for too long.
func (c *backendConn) Write(p []byte) (int, error) {
	n, err := writePaced(c.Conn, p, func() error {
		return c.SetWriteDeadline(time.Now().Add(c.gateway.config.Stall))
	})
	c.count(n)
	return n, err
}

// Close gives the descriptor back.
func (c *backendConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.gateway.config.Budget.Give(1) })
	return err
}
