package echo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/bench/wire"
)

// testTimeout bounds every wait of a test.
const testTimeout = 20 * time.Second

const requestHead = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// responseBytes is the length of gobwas/ws's answer to requestHead.
const responseAccept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

func mustStart(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start("tcp", "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustDial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	return c
}

// mustOpen upgrades over a fresh connection and returns what reads frames
// from it, bytes that came with the response included.
func mustOpen(t testing.TB, s *Server) (net.Conn, io.Reader) {
	t.Helper()
	c := mustDial(t, s)
	if _, err := io.WriteString(c, requestHead); err != nil {
		t.Fatal(err)
	}
	mustReadResponse(t, c)
	return c, c
}

// mustReadResponse reads byte by byte, so that it takes no frame.
func mustReadResponse(t testing.TB, c net.Conn) {
	t.Helper()
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			t.Fatalf("read response after %q: %v", head, err)
		}
		head = append(head, b[0])
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(responseAccept)) {
		t.Fatalf("response %q, want a 101 with the right accept", head)
	}
}

// masked returns one client frame.
func masked(op ws.OpCode, fin bool, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	return ws.MustCompileFrame(ws.MaskFrameWith(f, [4]byte{0xa1, 2, 0xc3, 4}))
}

// wantFrames reads the given frames and nothing between them.
func wantFrames(t testing.TB, r io.Reader, want ...ws.Frame) {
	t.Helper()
	for i, w := range want {
		got, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if got.Header != w.Header || !bytes.Equal(got.Payload, w.Payload) {
			t.Fatalf("frame %d = %+v %.60q, want %+v %.60q", i, got.Header, got.Payload, w.Header, w.Payload)
		}
	}
}

// wantClose reads a Close frame with code and then the end of the stream.
func wantClose(t testing.TB, r io.Reader, code ws.StatusCode) {
	t.Helper()
	f, err := ws.ReadFrame(r)
	if err != nil || f.Header.OpCode != ws.OpClose {
		t.Fatalf("got %+v, %v, want a Close", f.Header, err)
	}
	if got, _ := ws.ParseCloseFrameData(f.Payload); got != code {
		t.Fatalf("close code %d, want %d", got, code)
	}
	wantEnd(t, r)
}

func wantEnd(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d, %v after Close, want the end", n, err)
	}
}

// script is a conversation: what a client sends and what it gets back.
func script() (in []byte, want []ws.Frame) {
	long := strings.Repeat("long ", 200)
	in = slicesConcat(
		masked(ws.OpText, true, "hello"),
		masked(ws.OpBinary, true, ""),
		masked(ws.OpText, false, "frag"),
		masked(ws.OpPing, true, "are you there"),
		masked(ws.OpContinuation, false, ""),
		masked(ws.OpPong, true, "unasked"),
		masked(ws.OpContinuation, true, "ment"),
		masked(ws.OpPing, true, ""),
		masked(ws.OpBinary, true, long),
		masked(ws.OpClose, true, "\x03\xe9bye"),
	)
	want = []ws.Frame{
		ws.NewTextFrame([]byte("hello")),
		ws.NewBinaryFrame(nil),
		ws.NewFrame(ws.OpText, false, []byte("frag")),
		ws.NewPongFrame([]byte("are you there")),
		ws.NewFrame(ws.OpContinuation, false, nil),
		ws.NewFrame(ws.OpContinuation, true, []byte("ment")),
		ws.NewPongFrame(nil),
		ws.NewBinaryFrame([]byte(long)),
		ws.NewCloseFrame([]byte("\x03\xe9bye")),
	}
	return in, want
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestEchoConversationInOneWrite(t *testing.T) {
	c := mustDial(t, mustStart(t, Options{}))
	in, want := script()
	if _, err := c.Write(append([]byte(requestHead), in...)); err != nil {
		t.Fatal(err)
	}
	mustReadResponse(t, c)
	wantFrames(t, c, want...)
	wantEnd(t, c)
}

func TestEchoConversationByteByByte(t *testing.T) {
	c := mustDial(t, mustStart(t, Options{}))
	in, want := script()
	sent := make(chan error, 1)
	go func() {
		for _, b := range append([]byte(requestHead), in...) {
			if _, err := c.Write([]byte{b}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	mustReadResponse(t, c)
	wantFrames(t, c, want...)
	wantEnd(t, c)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// TestFeedSplitAtEveryByte cuts the conversation in two at every byte and
// compares what the session queues, without a socket between.
func TestFeedSplitAtEveryByte(t *testing.T) {
	in, want := script()
	in = append([]byte(requestHead), in...)
	var frames bytes.Buffer
	for _, f := range want {
		ws.MustWriteFrame(&frames, f)
	}
	for cut := range len(in) + 1 {
		s, out := newDetachedSession(t, Options{})
		for _, part := range [][]byte{in[:cut], in[cut:]} {
			if err := s.feed(bytes.Clone(part)); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		got := out.bytes(t)
		_, got, ok := bytes.Cut(got, []byte("\r\n\r\n"))
		if !ok || !bytes.Equal(got, frames.Bytes()) || s.phase != ending {
			t.Fatalf("cut at %d: got %q, want %q, phase %d", cut, got, frames.Bytes(), s.phase)
		}
	}
}

func TestEchoLargeMessage(t *testing.T) {
	for _, frames := range []int{1, 7} {
		const size = 16<<20 + 3
		c, r := mustOpen(t, mustStart(t, Options{}))
		message := make([]byte, size)
		rng := rand.NewChaCha8([32]byte{1})
		_, _ = rng.Read(message)
		sent := make(chan error, 1)
		go func() { sent <- writeFragmented(c, message, frames) }()
		rd := wsutil.NewReader(r, ws.StateClientSide)
		if _, err := rd.NextFrame(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rd)
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d frames: got %d bytes, %v, equal %v", frames, len(got), err, bytes.Equal(got, message))
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// writeFragmented sends message in n frames, in writes of uneven size.
func writeFragmented(w io.Writer, message []byte, n int) error {
	per := (len(message) + n - 1) / n
	op := ws.OpBinary
	for i := range n {
		payload := bytes.Clone(message[min(i*per, len(message)):min((i+1)*per, len(message))])
		f := ws.MaskFrameInPlace(ws.NewFrame(op, i == n-1, payload))
		b := ws.MustCompileFrame(f)
		for len(b) > 0 {
			cut := min(len(b), 1+rand.IntN(300_000))
			if _, err := w.Write(b[:cut]); err != nil {
				return err
			}
			b = b[cut:]
		}
		op = ws.OpContinuation
	}
	return nil
}

func TestEchoSlowReaderLosesNothing(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{}))
	const messages, size = 200, 64 << 10
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			p := make([]byte, size)
			binary.BigEndian.PutUint64(p, uint64(i))
			if err := wsutil.WriteClientBinary(c, p); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	if err := <-sent; err != nil { // nothing was read until all was written
		t.Fatal(err)
	}
	for i := range messages {
		p, err := wsutil.ReadServerBinary(struct {
			io.Reader
			io.Writer
		}{r, c})
		if err != nil || len(p) != size || binary.BigEndian.Uint64(p) != uint64(i) {
			t.Fatalf("message %d: %d bytes, %v", i, len(p), err)
		}
	}
}

func TestViolationsCloseWith1002(t *testing.T) {
	for name, in := range map[string][]byte{
		"unmasked":                ws.MustCompileFrame(ws.NewTextFrame([]byte("x"))),
		"reserved bits":           setByte(masked(ws.OpText, true, "x"), 0, 0xc1),
		"reserved opcode":         setByte(masked(ws.OpText, true, "x"), 0, 0x83),
		"fragmented ping":         masked(ws.OpPing, false, "x"),
		"long ping":               masked(ws.OpPing, true, strings.Repeat("x", 126)),
		"continuation of nothing": masked(ws.OpContinuation, true, "x"),
		"text inside fragments":   append(masked(ws.OpText, false, "x"), masked(ws.OpText, true, "y")...),
		"length not minimal":      {0x82, 0x80 | 126, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0},
		"close of one byte":       masked(ws.OpClose, true, "x"),
		"close code 1005":         masked(ws.OpClose, true, "\x03\xed"),
		"close reason not UTF-8":  masked(ws.OpClose, true, "\x03\xe8\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			c, r := mustOpen(t, mustStart(t, Options{}))
			if _, err := c.Write(in); err != nil {
				t.Fatal(err)
			}
			if name == "text inside fragments" {
				wantFrames(t, r, ws.NewFrame(ws.OpText, false, []byte("x")))
			}
			wantClose(t, r, ws.StatusProtocolError)
		})
	}
}

func setByte(b []byte, at int, v byte) []byte {
	b[at] = v
	return b
}

func TestMessageBeyondLimitClosesWith1009(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{}))
	var b [ws.MaxHeaderSize]byte
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: messageBytesMax + 1}
	if _, err := c.Write(b[:wire.PutHeader(b[:], &h)]); err != nil {
		t.Fatal(err)
	}
	wantClose(t, r, ws.StatusMessageTooBig)
}

// TestCloseArrivesAtClientThatStillSends has a client violate the protocol
// and go on sending: the Close frame must not be destroyed by a reset.
func TestCloseArrivesAtClientThatStillSends(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{}))
	in := append(ws.MustCompileFrame(ws.NewTextFrame([]byte("unmasked"))), make([]byte, 1<<20)...)
	go func() { _, _ = c.Write(in) }()
	wantClose(t, r, ws.StatusProtocolError)
}

func TestCloseWithoutCodeIsEchoedEmpty(t *testing.T) {
	c, r := mustOpen(t, mustStart(t, Options{}))
	if _, err := c.Write(masked(ws.OpClose, true, "")); err != nil {
		t.Fatal(err)
	}
	wantFrames(t, r, ws.NewCloseFrame(nil))
	wantEnd(t, r)
}

func TestBadHandshakes(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		status   string
	}{
		"bare LF":             {"Host: a\r\n", "Host: a\n", "400"},
		"key not base64":      {"dGhlIHNhbXBsZSBub25jZQ==", "!GhlIHNhbXBsZSBub25jZQ==", "400"},
		"no key":              {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400"},
		"version 12":          {"Version: 13", "Version: 12", "426"},
		"body":                {"Host: a", "Host: a\r\nContent-Length: 5", "400"},
		"not an upgrade":      {"Upgrade: websocket\r\n", "", "400"},
		"garbage":             {"GET /chat HTTP/1.1", "\x16\x03\x01", "400"},
		"head without an end": {"Host: a", "Host: " + strings.Repeat("a", headBytesMax), "431"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := mustDial(t, mustStart(t, Options{}))
			head := strings.Replace(requestHead, c.old, c.new, 1)
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 "+c.status+" ")) {
				t.Fatalf("got %q, %v, want status %s", got, err, c.status)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo.sock")
	s, err := Start("unix", path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, r := mustOpen(t, s)
	if _, err := c.Write(masked(ws.OpText, true, "hello")); err != nil {
		t.Fatal(err)
	}
	wantFrames(t, r, ws.NewTextFrame([]byte("hello")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Fatal("the socket still answers after Close")
	}
}

func TestCloseCutsOpenTunnels(t *testing.T) {
	s := mustStart(t, Options{})
	_, r := mustOpen(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil || errors.Is(err, errTimeout(err)) {
		t.Fatalf("read after Close: %v, want the end", err)
	}
	if n := s.Open(); n != 0 {
		t.Fatalf("%d sessions left", n)
	}
}

// errTimeout returns err when it is a timeout, and otherwise an error that is
// none of err.
func errTimeout(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return err
	}
	return errors.New("not a timeout")
}
