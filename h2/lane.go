package h2

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"wsplice/internal/sys"
)

// A Lane serves connections of HTTP/2.
type Lane struct {
	base    http.Server
	server  http2.Server //nolint:staticcheck // net/http takes no connection whose TLS is not crypto/tls's
	log     *slog.Logger
	serving sync.WaitGroup
}

// An Entrance is a connection to the proxy, for one request.
type Entrance struct {
	FD sys.FD // a non-blocking stream socket, whoever gets it closes it

	// Cut ends what became of the request at once: the client has given it up.
	Cut func()
	// WasCut reports, at the end of what FD brings, that it is not all there was.
	WasCut func() bool
	// Done is called once, after FD was closed.
	Done func()
}

// A Client is who has a connection.
type Client interface {
	// Enter begins a request.
	Enter() (*Entrance, error)
}

// New returns a Lane whose requests may have heads of so many bytes.
func New(head int, log *slog.Logger) (*Lane, error) {
	l := &Lane{log: log}
	l.base = http.Server{
		Handler: http.HandlerFunc(l.serveHTTP), MaxHeaderBytes: head, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	l.server = http2.Server{ //nolint:staticcheck // as above
		MaxConcurrentStreams: streamsMax, MaxReadFrameSize: frameMax, IdleTimeout: idleTime,
		MaxUploadBufferPerStream: streamWindow, MaxUploadBufferPerConnection: connectionWindow,
	}
	return l, http2.ConfigureServer(&l.base, &l.server) //nolint:staticcheck // as above
}

type clientKey struct{}

// Serve serves conn, and closes it. If it has a ConnectionState, as a tls.Conn has,
// that must fulfil RFC 9113 section 9.2. done is called at the end, from a
// goroutine. cut, which may be called at any time, ends it soon.
func (l *Lane) Serve(conn net.Conn, client Client, done func()) (cut func()) {
	l.serving.Add(1)
	go func() {
		defer l.serving.Done()
		defer done()
		ctx := context.WithValue(context.Background(), clientKey{}, client)
		l.server.ServeConn(conn, &http2.ServeConnOpts{Context: ctx, BaseConfig: &l.base}) //nolint:staticcheck // as above
	}()
	return func() {
		time.AfterFunc(cutGrace, func() { _ = conn.Close() }) // it may be closed already
	}
}

// Drain tells clients to send no further requests here (GOAWAY, RFC 9113 section
// 6.8). A connection ends with its last request.
func (l *Lane) Drain() { _ = l.base.Shutdown(context.Background()) } // it has no listener that could fail

// Close waits until all connections have ended.
func (l *Lane) Close() { l.serving.Wait() }
