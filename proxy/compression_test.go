package proxy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

const deflateAnswer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"

// deflateRoute makes the rig's route an endpoint that compresses.
func deflateRoute(change func(r *Route)) func(*Config) {
	return endpointRoute(func(r *Route) {
		r.Endpoint.Deflate = true
		if change != nil {
			change(r)
		}
	})
}

// deflateTunnel opens one, with the compression agreed on.
func (r *rig) deflateTunnel(more ...string) (client, backend *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	write(r.t, client, withLines(upgradeRequest, append(more, "Sec-WebSocket-Extensions: permessage-deflate")...))
	backend = r.acceptBytes()
	answer := strings.TrimSuffix(upgradeAnswer, "\r\n")
	for _, line := range more {
		answer += line + "\r\n"
	}
	expect(r.t, client, answer+deflateAnswer+"\r\n")
	return client, backend
}

// shrunk is the payload of a compressed message.
func shrunk(t testing.TB, b []byte) []byte {
	t.Helper()
	out, err := wsflate.DefaultHelper.Compress(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// compressedMessage is a compressed message of a client, in as many frames as parts
// says.
func compressedMessage(t testing.TB, opcode ws.OpCode, b []byte, parts int) []byte {
	t.Helper()
	payload := shrunk(t, b)
	var out []byte
	for i := range parts {
		f := ws.NewFrame(opcode, i == parts-1, payload[len(payload)*i/parts:len(payload)*(i+1)/parts])
		if i == 0 {
			f.Header.Rsv = ws.Rsv(true, false, false)
		} else {
			f.Header.OpCode = ws.OpContinuation
		}
		out = append(out, masked(f)...)
	}
	return out
}

// rsv1 sets the bit in a frame.
func rsv1(frame []byte) []byte {
	frame[0] |= 0x40
	return frame
}

// expectInflated reads a message that may be compressed.
func expectInflated(t testing.TB, conn net.Conn, opcode ws.OpCode) (payload []byte, compressed bool) {
	t.Helper()
	f, err := ws.ReadFrame(conn)
	if err != nil {
		t.Fatal(err)
	}
	compressed, _, _ = ws.RsvBits(f.Header.Rsv)
	if f.Header.OpCode != opcode || !f.Header.Fin || f.Header.Masked || f.Header.Rsv&^0x4 != 0 {
		t.Fatalf("a frame %+v, want opcode %d", f.Header, opcode)
	}
	if compressed {
		if f.Payload, err = wsflate.DefaultHelper.Decompress(f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return f.Payload, compressed
}

// jsonText is text that compresses well.
func jsonText(size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, `{"id":%d,"name":"é %x"},`, i*7919%1000, i*31)
	}
	return bytes.ToValidUTF8(b[:size], []byte("?"))
}

// What clients offer, and what they are answered.
func TestDeflateIsNegotiated(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: "
	for name, c := range map[string]struct {
		route  func(*Config)
		offer  string
		answer string
	}{
		"browser":     {deflateRoute(nil), offer + "permessage-deflate; client_max_window_bits", deflateAnswer},
		"none":        {deflateRoute(nil), "X: y", ""},
		"small":       {deflateRoute(nil), offer + "permessage-deflate; server_max_window_bits=9", ""},
		"off":         {endpointRoute(nil), offer + "permessage-deflate", ""},
		"second best": {deflateRoute(nil), offer + "permessage-deflate; x, permessage-deflate", deflateAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.route)
			client := r.dial()
			write(t, client, withLines(upgradeRequest, c.offer))
			backend := r.acceptBytes()
			expect(t, client, strings.TrimSuffix(upgradeAnswer, "\r\n")+c.answer+"\r\n")
			long := jsonText(4000)
			write(t, backend, string(long))
			if _, compressed := expectInflated(t, client, ws.OpText); compressed != (c.answer != "") {
				t.Errorf("compressed: %v", compressed)
			}
			send(t, client, rsv1(masked(ws.NewTextFrame(shrunk(t, long)))))
			if c.answer == "" {
				expectClose(t, client, ws.StatusProtocolError)
				return
			}
			expect(t, backend, string(long))
		})
	}
}

// Messages with and without compression, whole and in fragments, with control
// frames between, empty ones, and what a client sends with its request.
func TestDeflateUp(t *testing.T) {
	r := newRig(t, deflateRoute(nil))
	client, backend := r.deflateTunnel()
	long := jsonText(20_000)
	var stream []byte
	want := ""
	add := func(frames []byte, text []byte) {
		stream = append(stream, frames...)
		want += string(text)
	}
	for _, parts := range []int{1, 2, 3, 50} {
		add(compressedMessage(t, ws.OpText, long, parts), long)
		add(masked(text("plain")), []byte("plain"))
		add(compressedMessage(t, ws.OpBinary, nil, parts), nil)
		add(rsv1(masked(ws.NewBinaryFrame([]byte{0}))), nil) // RFC 7692 section 7.2.3.6
	}
	payload := shrunk(t, long)
	first := masked(ws.NewFrame(ws.OpText, false, bytes.Clone(payload[:20])))
	add(rsv1(first), nil)
	add(masked(ws.NewPingFrame([]byte("between"))), nil)
	add(masked(ws.NewFrame(ws.OpContinuation, false, nil)), nil)
	add(masked(ws.NewFrame(ws.OpContinuation, false, bytes.Clone(payload[20:]))), nil)
	add(masked(ws.NewFrame(ws.OpContinuation, true, nil)), long)
	add(masked(text("the end")), []byte("the end"))
	for _, size := range []int{len(stream), 1, 7, 1000} {
		go func() {
			for piece := range slices.Chunk(stream, size) {
				if _, err := client.Write(piece); err != nil {
					return
				}
			}
		}()
		expect(t, backend, want)
		if got := expectFrame(t, client, ws.OpPong, false); string(got.Payload) != "between" {
			t.Errorf("the pong has %q", got.Payload)
		}
	}
	if n := r.count(func(t *Tunnel) bool { return t.endpoint != nil && t.endpoint.aside.inflation != nil }); n > 0 {
		t.Error("an idle tunnel has an inflation")
	}
}

// A client sends a compressed message together with its request, more than is
// expanded in one turn.
func TestDeflateEarly(t *testing.T) {
	r := newRig(t, deflateRoute(nil))
	client := r.dial()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	message := compressedMessage(t, ws.OpBinary, big, 1)
	request := withLines(upgradeRequest, "Sec-WebSocket-Extensions: permessage-deflate")
	send(t, client, slices.Concat([]byte(request), message, masked(text("behind"))))
	backend := r.acceptBytes()
	expect(t, backend, string(big)+"behind")
}

// Each chunk of a backend is one message, compressed where that helps.
func TestDeflateDown(t *testing.T) {
	noise := make([]byte, 4000)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(noise)
	for name, c := range map[string]struct {
		change     func(*Route)
		opcode     ws.OpCode
		sent       []byte
		compressed bool
	}{
		"text":      {nil, ws.OpText, jsonText(4000), true},
		"short":     {nil, ws.OpText, jsonText(compressMin - 1), false},
		"not short": {nil, ws.OpText, jsonText(compressMin), true},
		"binary":    {binaryFrames, ws.OpBinary, make([]byte, 4000), true},
		"noise":     {binaryFrames, ws.OpBinary, noise, false},
		"large":     {binaryFrames, ws.OpBinary, make([]byte, 30_000), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deflateRoute(c.change))
			client, backend := r.deflateTunnel()
			for range 3 {
				send(t, backend, c.sent)
				for rest := c.sent; len(rest) > 0; {
					got, compressed := expectInflated(t, client, c.opcode)
					if !bytes.HasPrefix(rest, got) || len(got) == 0 || compressed != c.compressed {
						t.Fatalf("%d bytes, compressed %v", len(got), compressed)
					}
					rest = rest[len(got):]
				}
			}
		})
	}
}

// A character that was held back goes into the compressed message of the rest.
func TestDeflateTextInPieces(t *testing.T) {
	r := newRig(t, deflateRoute(nil))
	client, backend := r.deflateTunnel()
	write(t, backend, "x\xc3")
	if got, _ := expectInflated(t, client, ws.OpText); string(got) != "x" {
		t.Errorf("first %q", got)
	}
	rest := "\xa9" + strings.Repeat("abc", 500)
	write(t, backend, rest)
	if got, compressed := expectInflated(t, client, ws.OpText); string(got) != "\xc3"+rest || !compressed {
		t.Errorf("then %.20q, compressed %v", got, compressed)
	}
}

// base64 is inside, compression outside.
func TestDeflateBase64(t *testing.T) {
	r := newRig(t, deflateRoute(nil))
	client, backend := r.deflateTunnel("Sec-WebSocket-Protocol: base64")
	binary := bytes.Repeat([]byte("\x00\xffbytes\x01"), 2000)
	encoded := []byte(base64.StdEncoding.EncodeToString(binary))
	for _, parts := range []int{1, 3} {
		send(t, client, compressedMessage(t, ws.OpText, encoded, parts))
		expect(t, backend, string(binary))
	}
	send(t, backend, binary)
	got := []byte{}
	for len(got) < len(encoded) {
		part, compressed := expectInflated(t, client, ws.OpText)
		if !compressed {
			t.Error("not compressed")
		}
		decoded, err := base64.StdEncoding.DecodeString(string(part))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, decoded...)
		if len(got) == len(binary) {
			break
		}
	}
	if !bytes.Equal(got, binary) {
		t.Error("the client got other bytes")
	}
	send(t, client, compressedMessage(t, ws.OpText, []byte("no base64"), 1))
	expectClose(t, client, ws.StatusInvalidFramePayloadData)
}

// What ends a tunnel, and with which code; the backend gets what came before.
func TestDeflateViolations(t *testing.T) {
	bomb := func(size int) []byte { return compressedMessage(t, ws.OpBinary, make([]byte, size), 1) }
	part := func(bits byte, opcode ws.OpCode, fin bool) []byte {
		f := masked(ws.NewFrame(opcode, fin, []byte("ab")))
		f[0] |= bits
		return f
	}
	for name, c := range map[string]struct {
		bytes []byte
		code  ws.StatusCode
	}{
		"RSV1 on a continuation": {append(part(0, ws.OpText, false), part(0x40, ws.OpContinuation, true)...), 1002},
		"RSV1 on a later fragment of a compressed message": {
			append(part(0x40, ws.OpText, false), part(0x40, ws.OpContinuation, true)...), 1002,
		},
		"RSV1 on a ping":   {part(0x40, ws.OpPing, true), 1002},
		"RSV1 on a close":  {rsv1(masked(ws.NewCloseFrame(nil))), 1002},
		"RSV2":             {part(0x20, ws.OpText, true), 1002},
		"RSV1 and RSV3":    {part(0x50, ws.OpText, true), 1002},
		"reserved opcode":  {part(0x40, 3, true), 1002},
		"broken":           {rsv1(masked(ws.NewBinaryFrame([]byte{0x07, 1, 2, 3}))), 1007},
		"cut":              {rsv1(masked(ws.NewBinaryFrame(shrunk(t, jsonText(1000))[:50]))), 1007},
		"text":             {compressedMessage(t, ws.OpText, []byte("a\xff"), 1), 1007},
		"cut text":         {compressedMessage(t, ws.OpText, []byte("a\xe2\x82"), 2), 1007},
		"too large":        {bomb(100_001), 1009},
		"bomb":             {bomb(10 << 20), 1009},
		"bomb in parts":    {compressedMessage(t, ws.OpBinary, make([]byte, 10<<20), 30), 1009},
		"announced":        {[]byte{0xc2, 0xff, 0, 0, 0, 0, 0, 1, 0xc1, 0, 1, 2, 3, 4}, 1009},
		"frame too large":  {[]byte{0xc2, 0xff, 0, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3, 4}, 1009},
		"empty blocks":     {rsv1(masked(ws.NewBinaryFrame(bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 24_000)))), 1009},
		"bomb, then close": {append(bomb(10<<20), masked(ws.NewCloseFrame(nil))...), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deflateRoute(func(r *Route) { r.Endpoint.FrameBytes, r.Endpoint.MessageBytes = 1<<17, 100_000 }))
			client, backend := r.deflateTunnel()
			send(t, client, append(compressedMessage(t, ws.OpText, []byte("before"), 1), c.bytes...))
			type end struct {
				got []byte
				err error
			}
			ended := make(chan end, 1)
			go func() {
				got, err := io.ReadAll(backend)
				backend.Close()
				ended <- end{got, err}
			}()
			expectClose(t, client, c.code)
			client.Close()
			e := <-ended
			if e.err != nil || !bytes.HasPrefix(e.got, []byte("before")) || len(e.got) > len("before")+100_000 {
				t.Errorf("the backend got %d bytes: %.40q, %v", len(e.got), e.got, e.err)
			}
			r.took(stateParting, stateClosing)
			if n := r.server.Stats().Violations; n != 1 {
				t.Errorf("%d violations", n)
			}
		})
	}
}

// Messages of exactly the bound pass, also where compression makes them larger.
func TestDeflateBound(t *testing.T) {
	const bound = 100_000
	r := newRig(t, deflateRoute(func(r *Route) { r.Endpoint.MessageBytes = bound }))
	client, backend := r.deflateTunnel()
	noise := make([]byte, bound)
	_, _ = rand.NewChaCha8([32]byte{6}).Read(noise)
	for _, b := range [][]byte{noise, make([]byte, bound)} {
		send(t, client, compressedMessage(t, ws.OpBinary, b, 3))
		expect(t, backend, string(b))
	}
}

// Without a bound for messages, one may be large, but not a thousand times what
// has come.
func TestDeflateUnbounded(t *testing.T) {
	messages := slices.Concat(
		compressedMessage(t, ws.OpBinary, jsonText(20<<20), 10), compressedMessage(t, ws.OpBinary, make([]byte, 16<<20), 1))
	bomb := compressedMessage(t, ws.OpBinary, make([]byte, 40<<20), 1)
	r := newRig(t, deflateRoute(nil))
	client, backend := r.deflateTunnel()
	done := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, backend)
		backend.Close()
		done <- n
	}()
	send(t, client, messages)
	go func() { _, _ = client.Write(bomb) }()
	expectClose(t, client, ws.StatusMessageTooBig)
	client.Close()
	if n := <-done; n < 51<<20 || n > 53<<20 {
		t.Errorf("the backend got %d bytes", n)
	}
}
