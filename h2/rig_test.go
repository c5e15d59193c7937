package h2

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// quiet is a log that nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// A house stands for the proxy: it serves the connections of the requests that enter.
type house struct {
	tb    testing.TB
	serve func(g *guest) // on a goroutine of its own, until it is done with g

	hold    chan struct{} // unless nil, Enter waits for it to be closed
	refuses atomic.Bool   // Enter fails
	inside  atomic.Int64
	entered atomic.Int64
	doors   sync.WaitGroup
}

// A guest is one of them.
type guest struct {
	net.Conn
	cut  chan struct{} // closed when the Lane has cut it
	lost atomic.Bool   // what WasCut says
}

var errFull = errors.New("the house is full")

func (h *house) Enter() (*Entrance, error) {
	if h.hold != nil {
		<-h.hold
	}
	if h.refuses.Load() {
		return nil, errFull
	}
	inside, outside, err := sys.SocketPair()
	if err != nil {
		return nil, err
	}
	file := inside.File()
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		outside.Close()
		return nil, err
	}
	g, gone, once := &guest{Conn: conn, cut: make(chan struct{})}, make(chan struct{}), sync.Once{}
	h.entered.Add(1)
	h.inside.Add(1)
	h.doors.Go(func() {
		defer close(gone)
		defer conn.Close()
		h.serve(g)
	})
	return &Entrance{
		FD: outside, Gone: gone, WasCut: g.lost.Load, Done: func() { h.inside.Add(-1) },
		Cut: func() { once.Do(func() { close(g.cut); conn.Close() }) },
	}, nil
}

// reset ends g as a backend's reset makes the proxy do.
func (g *guest) reset() {
	g.lost.Store(true)
	g.Close()
}

// upgrade reads the request's head, and answers 101.
func (g *guest) upgrade() (*http.Request, *bufio.Reader) {
	from := bufio.NewReader(g)
	r, err := http.ReadRequest(from)
	if err != nil {
		return nil, from
	}
	_, _ = io.WriteString(g, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 0\r\n\r\n")
	return r, from
}

// echo answers a WebSocket, sends back what comes, and ends with the client.
func echo(g *guest) {
	if r, from := g.upgrade(); r != nil {
		_, _ = io.Copy(g, from) // the client may go
	}
}

// patient echoes what comes through a tunnel, and answers no other request.
func patient(g *guest) {
	from := bufio.NewReader(g)
	if head, err := from.Peek(4); err == nil && string(head) == "POST" {
		<-g.cut
		return
	}
	echo(&guest{Conn: &prefixed{g.Conn, from}, cut: g.cut})
}

// A prefixed connection has been read from.
type prefixed struct {
	net.Conn
	from io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.from.Read(b) }

// answering sends the same answer to every request, whose head it reads.
func answering(answer string) func(*guest) {
	return func(g *guest) {
		if _, err := http.ReadRequest(bufio.NewReader(g)); err == nil {
			_, _ = io.WriteString(g, answer)
		}
	}
}

// A doorway is a listener to which guests come.
type doorway struct {
	conns chan net.Conn
	shut  chan struct{}
}

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.shut:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Close() error   { return nil }
func (d *doorway) Addr() net.Addr { return &net.UnixAddr{} }

// A watched connection tells of its end.
type watched struct {
	net.Conn
	closed func()
}

func (w *watched) Close() error {
	defer w.closed()
	return w.Conn.Close()
}

// serving answers with a handler of net/http.
func serving(tb testing.TB, handler http.HandlerFunc) func(*guest) {
	d := &doorway{conns: make(chan net.Conn), shut: make(chan struct{})}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(d) // it ends with the doorway
	}()
	tb.Cleanup(func() { close(d.shut); <-ended })
	return func(g *guest) {
		over := make(chan struct{})
		d.conns <- &watched{g.Conn, sync.OnceFunc(func() { close(over) })}
		<-over
	}
}

// start serves one connection of a Lane at h, and returns the Lane and the client's
// end. Whatever was begun has ended when the test ends.
func start(tb testing.TB, h *house) (*Lane, net.Conn) {
	tb.Helper()
	l := New(Config{Head: 16 << 10, WebSockets: true, Log: quiet})
	client, _ := connect(tb, l, h, false)
	return l, client
}

// connect is one connection more. ended is closed when it has ended.
func connect(tb testing.TB, l *Lane, h *house, weak bool) (client net.Conn, ended <-chan struct{}) {
	tb.Helper()
	h.tb = tb
	near, far := pair(tb)
	over := make(chan struct{})
	l.Serve(far, weak, h, func() { close(over) })
	tb.Cleanup(func() {
		near.Close()
		within(tb, "the connection ends", over)
		l.Close()
		h.doors.Wait()
		if n := h.inside.Load(); n != 0 {
			tb.Errorf("%d entrances were not given back", n)
		}
	})
	return near, over
}

// pair returns the two ends of a connection. What was sent on it comes before its end,
// however that is.
func pair(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	a, b, err := sys.SocketPair()
	if err != nil {
		tb.Fatal(err)
	}
	var ends []net.Conn
	for _, fd := range []sys.FD{a, b} {
		file := fd.File()
		conn, err := net.FileConn(file)
		file.Close()
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { conn.Close() })
		ends = append(ends, conn)
	}
	return ends[0], ends[1]
}

// within waits for an event.
func within(tb testing.TB, what string, event <-chan struct{}) {
	tb.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		tb.Fatalf("after %v still not: %s", patience, what)
	}
}
