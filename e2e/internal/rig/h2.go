package rig

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// h2WindowBytes is how much a stream may receive that nobody has read yet,
	// unless a test says it.
	h2WindowBytes = 256 << 10
	// h2ConnBytes is what the connection may receive beyond what it acknowledges at
	// once: streams that are not read must not hold up others.
	h2ConnBytes = 1 << 30
	h2FrameMax  = 16 << 10 // SETTINGS_MAX_FRAME_SIZE as it is without a word
	h2FirstSend = 1<<16 - 1
)

// An H2 is a client's connection that speaks HTTP/2, frame by frame, and knows
// extended CONNECT (RFC 8441). It acknowledges SETTINGS and PING by itself.
type H2 struct {
	*h2Conn
	t testing.TB
}

// An h2Conn is what every view of an H2 shares.
type h2Conn struct {
	conn   net.Conn
	window int64 // of each stream, for what is received

	wmu   sync.Mutex // protects what writes, and the order of streams
	fr    *http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer
	next  uint32 // number of the next stream

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced when something below changes
	settings   map[http2.SettingID]uint32
	told       bool  // the peer's first SETTINGS have come
	sendWindow int64 // of the connection
	streams    map[uint32]*H2Stream
	farewell   *H2Farewell
	pongs      int
	replies    []func(*http2.Framer) error
	err        error // why nothing is received any more

	replying chan struct{} // tells of replies
}

// An H2Farewell is what a GOAWAY says.
type H2Farewell struct {
	Last  uint32 // the last stream that may be answered
	Code  http2.ErrCode
	Debug string
}

// H2Options are what a test may want otherwise.
type H2Options struct {
	Window int64 // SETTINGS_INITIAL_WINDOW_SIZE
}

// DialH2 connects to address by TLS, as config says, and ends the test unless
// HTTP/2 is agreed on. The end of the test closes the connection.
func DialH2(t testing.TB, address string, config *tls.Config, options H2Options) *H2 {
	t.Helper()
	c, err := DialH2Err(address, config, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return &H2{c.h2Conn, t}
}

// DialH2Err is DialH2 for other goroutines than the test's. Only what returns
// errors may be called.
func DialH2Err(address string, config *tls.Config, options H2Options) (*H2, error) {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	raw, err := net.DialTimeout("tcp", address, Soon)
	if err != nil {
		return nil, err
	}
	return newH2(tls.Client(raw, config), options)
}

// newH2 begins to speak HTTP/2 over conn, which it closes if that is not agreed on.
func newH2(conn *tls.Conn, options H2Options) (*H2, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Soon)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	if agreed := conn.ConnectionState().NegotiatedProtocol; err == nil && agreed != "h2" {
		err = fmt.Errorf("the protocol agreed on is %q, want h2", agreed)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &h2Conn{
		conn: conn, window: h2WindowBytes, fr: http2.NewFramer(conn, conn), next: 1,
		replying: make(chan struct{}, 1),
		changed:  make(chan struct{}), settings: map[http2.SettingID]uint32{},
		sendWindow: h2FirstSend, streams: map[uint32]*H2Stream{},
	}
	if options.Window > 0 {
		c.window = options.Window
	}
	c.enc = hpack.NewEncoder(&c.block)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	c.fr.SetMaxReadFrameSize(h2FrameMax)
	c.fr.AllowIllegalWrites = true
	if err = c.greet(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.receive()
	go c.reply()
	return &H2{h2Conn: c}, nil
}

// greet sends what a client says first (RFC 9113 section 3.4).
func (c *h2Conn) greet() error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(Soon))
	defer func() { _ = c.conn.SetWriteDeadline(time.Time{}) }()
	if _, err := c.conn.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	err := c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(c.window)},
	)
	return errors.Join(err, c.fr.WriteWindowUpdate(0, h2ConnBytes))
}

// In returns the same connection for a sub-test; see Proxy.In.
func (c *H2) In(t testing.TB) *H2 { return &H2{c.h2Conn, t} }

// Close ends the connection without a word.
func (c *h2Conn) Close() { _ = c.conn.Close() }

// Abort closes the connection so that the other side receives RST.
func (c *h2Conn) Abort() { reset(c.conn) }

// Write gives the framer to a test that has something of its own to send.
func (c *h2Conn) Write(send func(*http2.Framer) error) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(Soon))
	return send(c.fr)
}

// Encode returns the header block of fields, for frames of a test's own. It must be
// sent before anything else is encoded.
func (c *h2Conn) Encode(fields ...Field) []byte {
	c.block.Reset()
	for _, f := range fields {
		_ = c.enc.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}) // to memory
	}
	return bytes.Clone(c.block.Bytes())
}

// Send opens a stream with fields, pseudo-header fields among them, as they are.
func (c *h2Conn) Send(end bool, fields ...Field) (*H2Stream, error) {
	if err := c.awaitSettings(); err != nil {
		return nil, err
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	s := &H2Stream{c: c, ID: c.next, changed: make(chan struct{})}
	c.next += 2
	c.mu.Lock()
	s.sendWindow = h2FirstSend
	if initial, ok := c.settings[http2.SettingInitialWindowSize]; ok {
		s.sendWindow = int64(initial)
	}
	c.streams[s.ID] = s
	c.mu.Unlock()
	block := c.Encode(fields...)
	_ = c.conn.SetWriteDeadline(time.Now().Add(Soon))
	first := block[:min(len(block), h2FrameMax)]
	err := c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: s.ID, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block),
	})
	for block = block[len(first):]; len(block) > 0 && err == nil; block = block[len(first):] {
		first = block[:min(len(block), h2FrameMax)]
		err = c.fr.WriteContinuation(s.ID, len(first) == len(block), first)
	}
	return s, err
}

// ConnectFields are those of an extended CONNECT for target, with more behind them.
func ConnectFields(target string, more ...Field) []Field {
	return append([]Field{
		{":method", "CONNECT"},
		{":protocol", "websocket"},
		{":scheme", "https"},
		{":path", target},
		{":authority", "example.test"},
		{"sec-websocket-version", "13"},
	}, more...)
}

// Connect asks for a WebSocket, or ends the test. The end of the test resets it.
func (c *H2) Connect(target string, more ...Field) *H2Stream {
	c.t.Helper()
	return c.Request(false, ConnectFields(target, more...)...)
}

// Request is Send, or ends the test.
func (c *H2) Request(end bool, fields ...Field) *H2Stream {
	c.t.Helper()
	s, err := c.Send(end, fields...)
	if err != nil {
		c.t.Fatal(err)
	}
	s.t = c.t
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

// Get asks for target in the ordinary way, or ends the test.
func (c *H2) Get(target string, more ...Field) *H2Stream {
	c.t.Helper()
	return c.Request(true, append([]Field{
		{":method", "GET"}, {":scheme", "https"}, {":path", target}, {":authority", "example.test"},
	}, more...)...)
}

// OpenH2 opens a tunnel over c to a backend whose connections are handed out by
// Next, and returns both ends of it.
func OpenH2(c *H2, b *Backend, target string, more ...Field) (*H2Stream, *BackendConn) {
	c.t.Helper()
	client := c.Connect(target, more...)
	server := b.Next()
	server.WantHead()
	if err := server.Upgrade(); err != nil {
		c.t.Fatalf("backend answers 101: %v", err)
	}
	if a := client.Answer(); a.Status != http.StatusOK {
		c.t.Fatalf("the proxy answered %q, want 200", a.Raw)
	}
	return client, server
}

// Setting returns what the peer has set, or ends the test when it says nothing.
func (c *H2) Setting(id http2.SettingID) (value uint32, set bool) {
	c.t.Helper()
	if err := c.awaitSettings(); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	value, set = c.settings[id]
	return value, set
}

func (c *h2Conn) awaitSettings() error {
	return c.await("the peer's SETTINGS", func() bool { return c.told })
}

// await waits until ok, which is called with the lock held, or nothing will come
// any more.
func (c *h2Conn) await(what string, ok func() bool) error {
	timer := time.NewTimer(Soon)
	defer timer.Stop()
	for {
		c.mu.Lock()
		done, err, changed := ok(), c.err, c.changed
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("not within %v: %s", Soon, what)
		}
	}
}

// Await ends the test unless ok, which is called with the lock held, becomes true.
func (c *H2) await(what string, ok func() bool) {
	c.t.Helper()
	if err := c.h2Conn.await(what, ok); err != nil {
		c.t.Fatal(err)
	}
}

// WantPong sends a PING and ends the test unless it is answered.
func (c *H2) WantPong() {
	c.t.Helper()
	c.mu.Lock()
	before := c.pongs
	c.mu.Unlock()
	if err := c.Write(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{1}) }); err != nil {
		c.t.Fatal(err)
	}
	c.await("an answer to PING", func() bool { return c.pongs > before })
}

// WantGoAway ends the test unless the peer says GOAWAY, and returns that.
func (c *H2) WantGoAway() *H2Farewell {
	c.t.Helper()
	c.await("GOAWAY", func() bool { return c.farewell != nil })
	return c.farewell
}

// WantGone ends the test unless the connection ends.
func (c *H2) WantGone() {
	c.t.Helper()
	c.await("the end of the connection", func() bool { return c.err != nil })
}

// Err returns why nothing is received any more; nil while the connection lives.
func (c *h2Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// notify tells everybody that waits for the connection or for a stream; the lock is
// held.
func (c *h2Conn) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
	for _, s := range c.streams {
		s.notify()
	}
}

// headerOf makes an Answer of a header block.
func headerOf(f *http2.MetaHeadersFrame) (*Answer, error) {
	a := &Answer{Header: http.Header{}}
	var raw strings.Builder
	for _, field := range f.Fields {
		fmt.Fprintf(&raw, "%s: %s\r\n", field.Name, field.Value)
		if field.Name == ":status" {
			status, err := strconv.Atoi(field.Value)
			if err != nil {
				return nil, fmt.Errorf(":status %q: %w", field.Value, err)
			}
			a.Status = status
			continue
		}
		if field.Name != strings.ToLower(field.Name) || connectionFields[field.Name] {
			return nil, fmt.Errorf("a field that HTTP/2 does not have: %s: %s", field.Name, field.Value)
		}
		a.Header.Add(field.Name, field.Value)
	}
	a.Raw = raw.String()
	return a, nil
}

// connectionFields must not be in a message (RFC 9113 section 8.2.2).
var connectionFields = map[string]bool{
	"connection": true, "upgrade": true, "keep-alive": true, "proxy-connection": true, "transfer-encoding": true,
}
