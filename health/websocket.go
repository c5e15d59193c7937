package health

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/gobwas/ws"
)

// askWebSocket opens a WebSocket over conn, pings, and closes it.
func (p *probe) askWebSocket(conn net.Conn) error {
	limited := &io.LimitedReader{R: conn, N: answerBytesMax}
	stream := struct {
		io.Reader
		io.Writer
	}{limited, conn}
	dialer := ws.Dialer{Host: p.host, Header: ws.HandshakeHeaderHTTP{"User-Agent": {userAgent}}}
	buffered, _, err := dialer.Upgrade(stream, p.url)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	from := io.Reader(limited)
	if buffered != nil {
		defer ws.PutReader(buffered)
		from = buffered
	}
	var payload [8]byte
	_, _ = rand.Read(payload[:]) // never fails
	if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewPingFrame(payload[:]))); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if err := awaitPong(conn, from, payload[:]); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	closeWebSocket(conn, from)
	return nil
}

// Errors of a WebSocket that was opened.
var (
	errClosed = errors.New("closed instead of answered by a pong")
	errNoPong = errors.New("answered by other frames than its pong")
)

// awaitPong reads frames until the pong with payload. Pings of the server are
// answered on the way, and messages dropped.
func awaitPong(to io.Writer, from io.Reader, payload []byte) error {
	state := ws.StateClientSide
	for range framesMax {
		header, err := ws.ReadHeader(from)
		if err == nil {
			err = ws.CheckHeader(header, state)
		}
		if err != nil {
			return err
		}
		if !header.OpCode.IsControl() {
			if _, err := io.CopyN(io.Discard, from, header.Length); err != nil {
				return err
			}
			if state = state.Set(ws.StateFragmented); header.Fin {
				state = state.Clear(ws.StateFragmented)
			}
			continue
		}
		body := make([]byte, header.Length)
		if _, err := io.ReadFull(from, body); err != nil {
			return err
		}
		switch {
		case header.OpCode == ws.OpClose:
			return errClosed
		case header.OpCode == ws.OpPong && bytes.Equal(body, payload):
			return nil
		case header.OpCode == ws.OpPing:
			if err := ws.WriteFrame(to, ws.MaskFrame(ws.NewPongFrame(body))); err != nil {
				return err
			}
		}
	}
	return errNoPong
}

// closeWebSocket does the closing handshake of RFC 6455 section 7.1.2. The
// server has passed: how it takes its leave does not count.
func closeWebSocket(to io.Writer, from io.Reader) {
	body := ws.NewCloseFrameBody(ws.StatusNormalClosure, "")
	if ws.WriteFrame(to, ws.MaskFrame(ws.NewCloseFrame(body))) != nil {
		return
	}
	for range framesMax {
		header, err := ws.ReadHeader(from)
		if err != nil || header.OpCode == ws.OpClose {
			return
		}
		if _, err := io.CopyN(io.Discard, from, header.Length); err != nil {
			return
		}
	}
}
