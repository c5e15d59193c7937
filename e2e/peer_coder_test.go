package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"wsplice/e2e/internal/rig"
)

type coderConn struct {
	inbox
	c       *websocket.Conn
	deflate bool
}

func coderLibrary() library {
	return library{name: "coder", dial: dialCoder, serve: serveCoder}
}

func dialCoder(ctx context.Context, url string, o offer) (peerConn, error) {
	options := &websocket.DialOptions{Subprotocols: o.protocols}
	if o.deflate {
		options.CompressionMode = websocket.CompressionContextTakeover
		options.CompressionThreshold = 1
	}
	c, res, err := websocket.Dial(ctx, url, options)
	if err != nil {
		return nil, err
	}
	return newCoderConn(c, negotiatedDeflate(res.Header)), nil
}

func negotiatedDeflate(h http.Header) bool {
	return strings.Contains(h.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
}

func serveCoder(t *testing.T) string {
	return serveHTTP(t, serveCoderSession)
}

func serveCoderSession(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:         serverProtocols,
		CompressionMode:      websocket.CompressionContextTakeover,
		CompressionThreshold: 1,
	})
	if err != nil {
		return
	}
	serveSession(newCoderConn(c, false), r.URL.Query())
}

// listenAndServe serves handler on a free port for as long as this process
// lives, and returns the address.
func listenAndServe(handler http.HandlerFunc) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	ln = rig.SecureListener(ln)
	go func() { _ = http.Serve(ln, handler) }()
	return ln.Addr().String(), nil
}

// serveHTTP serves handler on a free port until the test ends.
func serveHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = rig.SecureListener(ln)
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}

func newCoderConn(c *websocket.Conn, deflate bool) *coderConn {
	c.SetReadLimit(-1)
	p := &coderConn{inbox: newInbox(), c: c, deflate: deflate}
	go p.read()
	return p
}

func (p *coderConn) read() {
	for {
		kind, data, err := p.c.Read(context.Background())
		if err != nil {
			p.finish(coderClosing(err))
			return
		}
		p.in <- message{kind == websocket.MessageText, data}
	}
}

func coderClosing(err error) closing {
	var ce websocket.CloseError
	if errors.As(err, &ce) {
		return closing{code: int(ce.Code), reason: ce.Reason}
	}
	return closing{err: err}
}

func (p *coderConn) send(m message, fragments int) error {
	kind := websocket.MessageBinary
	if m.text {
		kind = websocket.MessageText
	}
	if fragments == 1 {
		return p.c.Write(context.Background(), kind, m.data)
	}
	w, err := p.c.Writer(context.Background(), kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces(m.data, fragments) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

func (p *coderConn) ping() error {
	ctx, cancel := pongWait()
	defer cancel()
	return p.c.Ping(ctx)
}

func (p *coderConn) close(code int, reason string) error {
	return p.c.Close(websocket.StatusCode(code), reason)
}

func (p *coderConn) subprotocol() string { return p.c.Subprotocol() }
func (p *coderConn) deflates() bool      { return p.deflate }
