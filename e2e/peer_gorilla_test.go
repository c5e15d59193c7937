package e2e

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"wsplice/e2e/internal/rig"
)

type gorillaConn struct {
	inbox
	c       *websocket.Conn
	deflate bool
	pongs   chan string
	mu      sync.Mutex // held by the one writer that the library allows
}

func gorillaLibrary() library {
	return library{name: "gorilla", dial: dialGorilla, serve: serveGorilla}
}

func dialGorilla(ctx context.Context, url string, o offer) (peerConn, error) {
	dialer := websocket.Dialer{Subprotocols: o.protocols, EnableCompression: o.deflate}
	c, res, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	return newGorillaConn(c, negotiatedDeflate(res.Header)), nil
}

func serveGorilla(t *testing.T) string {
	upgrader := websocket.Upgrader{
		Subprotocols: serverProtocols, EnableCompression: true,
		CheckOrigin: func(*http.Request) bool { return true },
	}
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		serveSession(newGorillaConn(c, false), r.URL.Query())
	})
}

func newGorillaConn(c *websocket.Conn, deflate bool) *gorillaConn {
	p := &gorillaConn{inbox: newInbox(), c: c, deflate: deflate, pongs: make(chan string, 1)}
	c.SetPongHandler(func(payload string) error {
		p.pongs <- payload
		return nil
	})
	go p.read()
	return p
}

func (p *gorillaConn) read() {
	defer func() { _ = p.c.Close() }()
	for {
		kind, data, err := p.c.ReadMessage()
		if err != nil {
			p.finish(gorillaClosing(err))
			return
		}
		p.in <- message{kind == websocket.TextMessage, data}
	}
}

func gorillaClosing(err error) closing {
	var ce *websocket.CloseError
	// The library reports a lost connection as 1006, which nobody sent.
	if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return closing{code: ce.Code, reason: ce.Text}
	}
	return closing{err: err}
}

func (p *gorillaConn) send(m message, fragments int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := websocket.BinaryMessage
	if m.text {
		kind = websocket.TextMessage
	}
	if fragments == 1 {
		return p.c.WriteMessage(kind, m.data)
	}
	// The library begins a frame whenever its buffer of 4 KiB is full.
	w, err := p.c.NextWriter(kind)
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

func (p *gorillaConn) ping() error {
	deadline := time.Now().Add(rig.Soon)
	if err := p.c.WriteControl(websocket.PingMessage, []byte("knock"), deadline); err != nil {
		return err
	}
	return awaitPong(p.pongs, "knock")
}

// awaitPong waits for a pong that carries payload.
func awaitPong(pongs <-chan string, payload string) error {
	ctx, cancel := pongWait()
	defer cancel()
	select {
	case got := <-pongs:
		if got != payload {
			return errors.New("the pong has another payload: " + got)
		}
		return nil
	case <-ctx.Done():
		return errors.New("no pong")
	}
}

func (p *gorillaConn) close(code int, reason string) error {
	text := websocket.FormatCloseMessage(code, reason)
	return p.c.WriteControl(websocket.CloseMessage, text, time.Now().Add(rig.Soon))
}

func (p *gorillaConn) subprotocol() string { return p.c.Subprotocol() }
func (p *gorillaConn) deflates() bool      { return p.deflate }
