package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
)

// A Budget counts descriptors. The gateway takes one for each connection to a
// backend, idle ones among them.
type Budget interface {
	Take(n int) bool
	Give(n int)
}

// Config is what a Gateway needs to know of the process it serves.
type Config struct {
	Dial   time.Duration // one backend address
	Answer time.Duration // request sent → head of the answer; 0 = no limit
	Stall  time.Duration // see stallTime (60 s), which 0 means
	Head   int           // bytes of an answer's head

	Keepalive   time.Duration // of connections to backends; see internal/sys
	UserTimeout time.Duration

	Budget Budget
	Log    *slog.Logger // what net/http has to say, at level debug
}

// A Gateway serves requests for all loops.
type Gateway struct {
	config    Config
	server    http.Server
	proxy     httputil.ReverseProxy
	transport http.Transport
	dialer    net.Dialer
	handOver  handOver
	ended     chan struct{} // the server's goroutine has ended
	buffers   sync.Pool
}

// A Job is one request, on a connection that nobody else reads or writes until
// Done is called.
type Job struct {
	FD sys.FD // non-blocking; the gateway's from Serve on

	// Layer stands between FD and the bytes of HTTP; nil = nothing does. Open and
	// Seal are called side by side. It goes back with Done.
	Layer Layer

	// Head is what net/http is to see (handshake.Request.AppendOrdinary): its
	// target is the backend's. Body is the scanner of what follows, and Behind
	// what came already. Both slices must stay as they are until Done.
	Head   []byte
	Body   handshake.Body
	Behind []byte

	Upstream     *pool.Upstream
	Key          pool.Key // of the request, at Upstream
	PreserveHost bool     // keep the Host of Head instead of the server's

	// Done is called exactly once, from a goroutine, after FD was closed.
	Done func(Result)
}

// A Result says how a request ended.
type Result struct {
	Keep         bool               // the client may send another request
	Leftover     []byte             // what it has sent of it, the caller's to keep
	Aborted      bool               // what was sent of the answer is not whole
	Status       int                // of the answer; 0 when there was none
	Refusal      *handshake.Refusal // the answer was ours
	DialFailures int
}

// New starts a Gateway; Close ends it.
func New(c Config) *Gateway {
	if c.Stall == 0 {
		c.Stall = stallTime
	}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	errorLog := slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	w := &Gateway{config: c, ended: make(chan struct{}), handOver: newHandOver()}
	w.buffers.New = func() any { b := make([]byte, copyBytes); return &b }
	w.dialer = net.Dialer{Timeout: c.Dial, KeepAlive: -1, Control: w.setOptions}
	w.transport = http.Transport{
		DialContext:            w.dial,
		Protocols:              &http1,
		DisableCompression:     true, // an answer goes on as it came
		MaxIdleConns:           idleMax,
		MaxIdleConnsPerHost:    idlePerServerMax,
		IdleConnTimeout:        idleTime,
		ResponseHeaderTimeout:  c.Answer,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: int64(c.Head),
	}
	w.proxy = httputil.ReverseProxy{
		Rewrite: rewrite, Transport: (*balancer)(w), FlushInterval: -1,
		BufferPool: (*bufferPool)(w), ErrorHandler: handleError, ErrorLog: errorLog,
	}
	w.server = http.Server{
		Handler: http.HandlerFunc(w.serveHTTP), ErrorLog: errorLog, DisableGeneralOptionsHandler: true, Protocols: &http1,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return c.(*gate).context(ctx) },
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateIdle:
				c.(*gate).setIdle()
			case http.StateClosed:
				c.(*gate).report()
			}
		},
	}
	go func() {
		defer close(w.ended)
		if err := w.server.Serve(&w.handOver); !errors.Is(err, http.ErrServerClosed) {
			c.Log.Error("gateway ended", "error", err) // its listener does not fail
		}
	}()
	return w
}

// Serve serves job. cut ends that early: the backend is told, and Done is called
// soon. It may be called at any time, from any goroutine.
func (w *Gateway) Serve(job Job) (cut func()) {
	g := newGate(w, job)
	go g.begin()
	return g.cut
}

// Drain makes answers say Connection: close from now on.
func (w *Gateway) Drain() { w.server.SetKeepAlivesEnabled(false) }

// Close ends the Gateway after its last job is done. ctx bounds the wait for
// jobs that are not.
func (w *Gateway) Close(ctx context.Context) {
	if w.server.Shutdown(ctx) != nil {
		_ = w.server.Close() // the listener, which has no error to report, and the connections
	}
	<-w.ended
	w.transport.CloseIdleConnections()
}

// bufferPool is the Gateway as the ReverseProxy's source of buffers.
type bufferPool Gateway

// Get returns a buffer.
func (p *bufferPool) Get() []byte { return *p.buffers.Get().(*[]byte) }

// Put takes a buffer back.
func (p *bufferPool) Put(b []byte) { p.buffers.Put(&b) }

// handOver is the listener that the server accepts from.
type handOver struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newHandOver() handOver {
	return handOver{conns: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
}

// give hands c to the server, unless that has ended.
func (h *handOver) give(g *gate) {
	select {
	case h.conns <- g:
	case <-h.closed:
		_ = g.Close() // a socket has nothing to flush
		g.report()
	}
}

// Accept returns the next connection.
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr names the listener, which has no address.
func (h *handOver) Addr() net.Addr { return anyAddr{} }

type anyAddr struct{}

func (anyAddr) Network() string { return "wsplice" }
func (anyAddr) String() string  { return "gateway" }
