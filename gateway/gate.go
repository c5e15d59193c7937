package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/handshake"
)

// A gate is a connection as net/http sees it: with one request on it. It yields
// the head, then the body as handshake.Body counts it, and then it blocks, as a
// client does that waits for the answer. When net/http has answered and asks for
// another request, the connection ends. Bytes behind the request never pass; they
// are kept for the loop.
//
// While it blocks it reads, to notice a client that hangs up: its error there
// makes net/http cancel the request's context. A mere FIN counts as that, as it
// does for net/http: it is all that a client sends that closes while it waits.
//
// net/http reads from several goroutines, one at a time. It stops a read with a
// deadline in the past, and goes on with none; the gate sets the deadlines of
// progress itself.
type gate struct {
	gateway *Gateway
	job     Job
	conn    *os.File // set before the server knows of the gate

	// Reading. complete says that the request has passed to its end.
	reading  sync.Mutex // held during a Read
	opened   []byte     // by the layer, and not passed
	head     []byte     // still to pass
	behind   []byte     // received and not passed
	body     handshake.Body
	begun    atomic.Bool // some of the body has passed
	complete atomic.Bool

	// The server's wishes and the end.
	mu      sync.Mutex
	changed sync.Cond          // one of these has
	stop    bool               // net/http stops a read
	halted  bool               // no read succeeds any more
	cutOff  bool               // nor a write
	idle    bool               // net/http would keep the connection
	closed  bool               // by net/http
	cancel  context.CancelFunc // of the request; nil before there is one
	fault   *handshake.Refusal // what the client's body did wrong
	result  Result
}

var (
	_ net.Conn = (*gate)(nil)

	// past is a deadline that is over.
	past = time.Unix(1, 0)
)

func newGate(w *Gateway, job Job) *gate {
	g := &gate{gateway: w, job: job, head: job.Head, body: job.Body, behind: job.Behind[:len(job.Behind):len(job.Behind)]}
	g.changed.L = &g.mu
	if job.Body.Kind() == handshake.BodyNone {
		g.complete.Store(true)
	}
	return g
}

// begin hands the gate to the server.
func (g *gate) begin() {
	file := g.job.FD.File()
	g.mu.Lock()
	g.conn = file
	if g.cutOff {
		_ = file.SetDeadline(past)
	}
	g.mu.Unlock()
	g.gateway.handOver.give(g)
}

type gateKey struct{}

// gateOf returns the gate that a request came through.
func gateOf(ctx context.Context) *gate { return ctx.Value(gateKey{}).(*gate) }

// context returns what the request's context descends from.
func (g *gate) context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithValue(parent, gateKey{}, g))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancel = cancel
	if g.cutOff {
		cancel()
	}
	return ctx
}

// Read passes what is due of the request.
func (g *gate) Read(p []byte) (int, error) {
	g.reading.Lock()
	defer g.reading.Unlock()
	switch {
	case len(g.head) > 0:
		n := copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	case !g.complete.Load():
		return g.readBody(p)
	}
	return 0, g.watch()
}

func (g *gate) readBody(p []byte) (int, error) {
	if len(g.behind) > 0 {
		n, err := g.scan(g.behind[:min(len(p), len(g.behind))])
		copy(p, g.behind[:n])
		g.behind = g.behind[n:]
		return n, err
	}
	n, err := g.receive(p, g.gateway.config.Stall)
	if n == 0 {
		return 0, err
	}
	passed, err := g.scan(p[:n])
	g.behind = append(g.behind, p[passed:n]...)
	return passed, err
}

// scan counts b, of which n bytes belong to the body.
func (g *gate) scan(b []byte) (n int, err error) {
	n, done, err := g.body.Scan(b)
	g.begun.Store(true)
	if done {
		g.complete.Store(true)
	}
	if err != nil {
		g.blame(handshake.RefusalFraming)
	}
	return n, err
}

// watch reads on until the client hangs up or the server stops it.
func (g *gate) watch() error {
	var b [watchBytes]byte
	for {
		g.mu.Lock()
		for len(g.behind) >= behindBytesMax && !g.stop && !g.halted && !g.idle && !g.closed {
			g.changed.Wait()
		}
		idle := g.idle
		g.mu.Unlock()
		if idle {
			return io.EOF
		}
		n, err := g.receive(b[:], 0)
		g.behind = append(g.behind, b[:n]...)
		if err != nil {
			return err
		}
	}
}

// receive reads from the client, for at most limit if that is not 0.
func (g *gate) receive(p []byte, limit time.Duration) (int, error) {
	g.mu.Lock()
	if g.stop || g.halted || g.closed {
		g.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	_ = g.conn.SetReadDeadline(deadline) // fails once it is closed, as the read will
	g.mu.Unlock()
	n, err := g.readConn(p)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	g.mu.Lock()
	stalled := !g.stop && !g.halted
	g.mu.Unlock()
	if stalled {
		g.blame(handshake.RefusalBodyTimeout)
	}
	return n, os.ErrDeadlineExceeded // net/http looks for a net.Error
}

// blame notes what is wrong with the client's body; the first counts.
func (g *gate) blame(fault *handshake.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fault == nil {
		g.fault = fault
	}
}

// Write sends to the client.
func (g *gate) Write(p []byte) (int, error) {
	if g.job.Layer != nil {
		return g.writeLayer(p)
	}
	return writePaced(g.conn, p, g.armWrite)
}

// armWrite sets the deadline of the next write.
func (g *gate) armWrite() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cutOff {
		return os.ErrDeadlineExceeded
	}
	return g.conn.SetWriteDeadline(time.Now().Add(g.gateway.config.Stall))
}

// writePaced writes p, as long as some of it goes each time that arm has set the
// deadline.
func writePaced(w io.Writer, p []byte, arm func() error) (n int, err error) {
	for n < len(p) {
		if err := arm(); err != nil {
			return n, err
		}
		went, err := w.Write(p[n:])
		n += went
		if err != nil && (went == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, nil
}

// setIdle notes that net/http has answered and would serve another request.
func (g *gate) setIdle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle = true
	g.changed.Broadcast()
}

// halt makes every further Read fail. What has not come of the request does not
// matter any more.
func (g *gate) halt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.halted = true
	_ = g.conn.SetReadDeadline(past)
	g.changed.Broadcast()
}

// cut ends the request at once. The socket is not shut down: a FIN would make a
// body seem complete that ends with the connection.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.halted, g.cutOff, g.result.Aborted = true, true, true
	if g.conn != nil {
		_ = g.conn.SetDeadline(past)
	}
	if g.cancel != nil {
		g.cancel()
	}
	g.changed.Broadcast()
}

// SetReadDeadline stops a Read, and all that follow, or lets them go on: net/http
// without timeouts of its own uses no other deadlines.
func (g *gate) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = !t.IsZero()
	g.changed.Broadcast()
	if g.halted {
		return nil
	}
	return g.conn.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: Write sets its own.
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (g *gate) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }

// LocalAddr and RemoteAddr are of no use to anybody here.
func (g *gate) LocalAddr() net.Addr { return anyAddr{} }

// RemoteAddr names nobody: the head says who the client is.
func (g *gate) RemoteAddr() net.Addr { return anyAddr{} }

// Close ends the use of the connection. After a failed write net/http calls it
// while the handler still runs; report waits for both.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	cancel := g.cancel
	g.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return g.conn.Close() // which ends a Read and waits for it
}

// report says how the visit ended, once net/http is done with the closed gate.
func (g *gate) report() {
	g.reading.Lock()
	behind := append(g.behind, g.opened...)
	g.reading.Unlock()
	g.mu.Lock()
	result := g.result
	result.Keep = g.idle && g.complete.Load() && !g.halted
	g.mu.Unlock()
	if result.Keep {
		result.Leftover = behind
	}
	g.job.Done(result)
}
