package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A peer is a client that says what it is told to, frame by frame.
type peer struct {
	tb      testing.TB
	conn    net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
}

// meet connects a peer to a Lane at h, and exchanges prefaces.
func meet(tb testing.TB, h *house, settings ...http2.Setting) (*Lane, *peer) {
	tb.Helper()
	l, conn := start(tb, h)
	return l, newPeer(tb, conn, settings...)
}

func newPeer(tb testing.TB, conn net.Conn, settings ...http2.Setting) *peer {
	tb.Helper()
	p := &peer{tb: tb, conn: conn, framer: http2.NewFramer(conn, conn)}
	p.encoder = hpack.NewEncoder(&p.block)
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.framer.AllowIllegalWrites = true
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	first := bytes.NewBufferString(http2.ClientPreface)
	p.said(http2.NewFramer(first, nil).WriteSettings(settings...))
	p.raw(first.Bytes()) // at once: the preface may be enough to be sent away
	return p
}

// said fails the test if something could not be said.
func (p *peer) said(err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatalf("the Lane takes nothing more: %v", err)
	}
}

func (p *peer) raw(b []byte) {
	p.tb.Helper()
	_, err := p.conn.Write(b)
	p.said(err)
}

// fields encodes names and values, in turn.
func (p *peer) fields(list ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(list); i += 2 {
		p.said(p.encoder.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]}))
	}
	return p.block.Bytes()
}

// headers sends a header block whole.
func (p *peer) headers(id uint32, end bool, list ...string) {
	p.tb.Helper()
	p.said(p.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: p.fields(list...), EndStream: end, EndHeaders: true,
	}))
}

// get, post and open are heads of requests.
var (
	get  = []string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a"}
	post = []string{":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a"}
	open = []string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/chat", ":authority", "a",
		"sec-websocket-version", "13",
	}
)

// with returns head and more, or with other values of what head has.
func with(head []string, more ...string) []string {
	list := append([]string(nil), head...)
next:
	for i := 0; i < len(more); i += 2 {
		for at := 0; at < len(list); at += 2 {
			if list[at] == more[i] && strings.HasPrefix(more[i], ":") {
				list[at+1] = more[i+1]
				continue next
			}
		}
		list = append(list, more[i], more[i+1])
	}
	return list
}

// without returns head without a name.
func without(head []string, name string) (list []string) {
	for i := 0; i < len(head); i += 2 {
		if head[i] != name {
			list = append(list, head[i], head[i+1])
		}
	}
	return list
}

// data sends DATA.
func (p *peer) data(id uint32, end bool, b []byte) {
	p.tb.Helper()
	p.said(p.framer.WriteData(id, end, b))
}

// next returns the next frame that is not about settings or windows.
func (p *peer) next() http2.Frame {
	p.tb.Helper()
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			p.tb.Fatalf("no frame: %v", err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// answered returns the next frame, which is a head with that status.
func (p *peer) answered(id uint32, status string) *http2.MetaHeadersFrame {
	p.tb.Helper()
	f, ok := p.next().(*http2.MetaHeadersFrame)
	if !ok || f.StreamID != id || f.PseudoValue("status") != status {
		p.tb.Fatalf("%v came instead of status %s of stream %d", f, status, id)
	}
	return f
}

// brings returns n bytes that stream id brings, in DATA alone.
func (p *peer) brings(id uint32, n int) []byte {
	p.tb.Helper()
	var got []byte
	for len(got) < n {
		f, ok := p.next().(*http2.DataFrame)
		if !ok || f.StreamID != id || f.StreamEnded() {
			p.tb.Fatalf("%v came after %d of %d bytes of stream %d", f, len(got), n, id)
		}
		got = append(got, f.Data()...)
	}
	return got
}

// ends reads what stream id brings to its END_STREAM.
func (p *peer) ends(id uint32) (got []byte) {
	p.tb.Helper()
	for {
		switch f := p.next().(type) {
		case *http2.DataFrame:
			got = append(got, f.Data()...)
			if f.StreamID == id && f.StreamEnded() {
				return got
			}
		default:
			p.tb.Fatalf("%v came instead of the end of stream %d", f, id)
		}
	}
}

// wasReset awaits a RST_STREAM, behind what else is said of the stream.
func (p *peer) wasReset(id uint32, code http2.ErrCode) {
	p.tb.Helper()
	for {
		switch f := p.next().(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID != id || f.ErrCode != code {
				p.tb.Fatalf("%v came instead of RST_STREAM %v of stream %d", f, code, id)
			}
			return
		case *http2.GoAwayFrame:
			p.tb.Fatalf("%v came instead of RST_STREAM %v of stream %d", f, code, id)
		}
	}
}

// wasDismissed awaits a GOAWAY, and the end of the connection.
func (p *peer) wasDismissed(code http2.ErrCode) {
	p.tb.Helper()
	for {
		f, ok := p.next().(*http2.GoAwayFrame)
		if !ok {
			continue
		}
		if f.ErrCode != code {
			p.tb.Fatalf("%v came instead of %v", f, code)
		}
		p.wasLeft()
		return
	}
}

// wasLeft awaits the end of the connection.
func (p *peer) wasLeft() {
	p.tb.Helper()
	_, err := io.Copy(io.Discard, p.conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.tb.Fatal("the connection goes on")
	}
}

// pinged reports that all said so far was read: a PING comes back.
func (p *peer) pinged() {
	p.tb.Helper()
	p.said(p.framer.WritePing(false, [8]byte{1}))
	for {
		if f, ok := p.next().(*http2.PingFrame); ok && f.IsAck() {
			return
		}
	}
}
