package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"wsplice/e2e/internal/rig"
)

// gobwasConn works on single frames: the library leaves messages to its user.
type gobwasConn struct {
	inbox
	conn     net.Conn
	r        *bufio.Reader
	client   bool
	protocol string
	deflate  bool
	pongs    chan string
	mu       sync.Mutex // held while a message is written
	closed   bool       // our Close frame was sent; protected by mu
}

func gobwasLibrary() library {
	return library{name: "gobwas", dial: dialGobwas, serve: serveGobwas}
}

func dialGobwas(ctx context.Context, url string, o offer) (peerConn, error) {
	dialer := ws.Dialer{Protocols: o.protocols}
	if o.deflate {
		dialer.Extensions = []httphead.Option{wsflate.DefaultParameters.Option()}
	}
	conn, r, hs, err := dialer.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	if r == nil { // nothing came together with the 101
		r = bufio.NewReader(conn)
	}
	p := newGobwasConn(conn, r, hs)
	p.client = true
	go p.read()
	return p, nil
}

func newGobwasConn(conn net.Conn, r *bufio.Reader, hs ws.Handshake) *gobwasConn {
	deflate := slices.ContainsFunc(hs.Extensions, func(o httphead.Option) bool {
		return string(o.Name) == wsflate.ExtensionName
	})
	return &gobwasConn{
		inbox: newInbox(), conn: conn, r: r, protocol: hs.Protocol,
		deflate: deflate, pongs: make(chan string, 1),
	}
}

func serveGobwas(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = rig.SecureListener(ln)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go upgradeGobwas(conn)
		}
	}()
	return ln.Addr().String()
}

func upgradeGobwas(conn net.Conn) {
	var target *url.URL
	extension := wsflate.Extension{Parameters: wsflate.DefaultParameters}
	upgrader := ws.Upgrader{
		Negotiate: extension.Negotiate,
		Protocol:  func(p []byte) bool { return slices.Contains(serverProtocols, string(p)) },
		OnRequest: func(uri []byte) (err error) {
			target, err = url.ParseRequestURI(string(uri))
			return err
		},
	}
	hs, err := upgrader.Upgrade(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	p := newGobwasConn(conn, bufio.NewReader(conn), hs)
	go p.read()
	serveSession(p, target.Query())
}

func (p *gobwasConn) read() {
	defer func() { _ = p.conn.Close() }()
	var whole []byte // of the message in progress
	var first ws.Header
	for {
		h, payload, err := p.readFrame()
		if err != nil {
			p.finish(closing{err: err})
			return
		}
		if h.OpCode.IsControl() {
			if p.control(h.OpCode, payload) {
				return
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			first, whole = h, nil
		}
		whole = append(whole, payload...)
		if !h.Fin {
			continue
		}
		if whole, err = inflated(first, whole); err != nil {
			p.finish(closing{err: err})
			return
		}
		p.in <- message{first.OpCode == ws.OpText, whole}
	}
}

// inflated undoes permessage-deflate when the message's first frame says so.
func inflated(first ws.Header, whole []byte) ([]byte, error) {
	if !first.Rsv1() {
		return whole, nil
	}
	f := ws.NewFrame(first.OpCode, true, whole)
	f.Header.Rsv = first.Rsv
	f, err := wsflate.DecompressFrame(f)
	return f.Payload, err
}

func (p *gobwasConn) readFrame() (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(p.r)
	if err != nil {
		return h, nil, err
	}
	if h.Masked == p.client {
		return h, nil, errors.New("a frame is masked that must not be, or the other way round")
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.r, payload); err != nil {
		return h, nil, err
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	return h, payload, nil
}

// control answers a control frame and reports whether it was the Close.
func (p *gobwasConn) control(op ws.OpCode, payload []byte) bool {
	switch op {
	case ws.OpPing:
		_ = p.write(ws.NewPongFrame(payload))
	case ws.OpPong:
		p.pongs <- string(payload)
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		_ = p.close(int(code), "")
		p.finish(closing{code: int(code), reason: reason})
		return true
	}
	return false
}

func (p *gobwasConn) write(f ws.Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeLocked(f)
}

func (p *gobwasConn) writeLocked(f ws.Frame) error {
	if p.client {
		f = ws.MaskFrame(f)
	}
	return ws.WriteFrame(p.conn, f)
}

func (p *gobwasConn) send(m message, fragments int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	op := ws.OpBinary
	if m.text {
		op = ws.OpText
	}
	whole := ws.NewFrame(op, true, m.data)
	if p.deflate {
		var err error
		if whole, err = wsflate.CompressFrame(whole); err != nil {
			return err
		}
	}
	for i, piece := range pieces(whole.Payload, fragments) {
		f := ws.NewFrame(ws.OpContinuation, i == fragments-1, piece)
		if i == 0 {
			f.Header.OpCode, f.Header.Rsv = op, whole.Header.Rsv
		}
		if err := p.writeLocked(f); err != nil {
			return err
		}
	}
	return nil
}

func (p *gobwasConn) ping() error {
	if err := p.write(ws.NewPingFrame([]byte("knock"))); err != nil {
		return err
	}
	return awaitPong(p.pongs, "knock")
}

// close sends our Close frame, once.
func (p *gobwasConn) close(code int, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.writeLocked(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (p *gobwasConn) subprotocol() string { return p.protocol }
func (p *gobwasConn) deflates() bool      { return p.deflate }
