package e2e

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// isBackend reports whether e is the server of the WebSocket: what it sends is
// not masked, and what it receives is (RFC 6455 section 5.1).
func isBackend(e end) bool {
	_, ok := e.(*rig.BackendConn)
	return ok
}

// frameOf is a frame as e sends it.
func frameOf(e end, op ws.OpCode, payload string) string {
	return rawFrame(e, ws.NewFrame(op, true, []byte(payload)))
}

func rawFrame(e end, f ws.Frame) string {
	if !isBackend(e) {
		f = ws.MaskFrameWith(f, [4]byte{0x12, 0x34, 0x56, 0x78})
	}
	return string(ws.MustCompileFrame(f))
}

// closeFrame is a Close as e sends it.
func closeFrame(e end, code ws.StatusCode, reason string) string {
	return rawFrame(e, ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// readFrame reads one frame at e, unmasked.
func readFrame(e end) (ws.Frame, error) {
	_ = e.SetReadDeadline(time.Now().Add(rig.Soon))
	f, err := ws.ReadFrame(e)
	if err == nil && f.Header.Masked {
		ws.Cipher(f.Payload, f.Header.Mask, 0)
	}
	return f, err
}

// wantFrame ends the test unless the next frame at e is that one.
func wantFrame(t *testing.T, e end, op ws.OpCode, payload string) {
	t.Helper()
	f := nextFrame(t, e)
	if f.Header.OpCode != op || !bytes.Equal(f.Payload, []byte(payload)) {
		t.Fatalf("%T reads a frame with opcode %x and %q, want %x and %q", e, f.Header.OpCode, f.Payload, op, payload)
	}
}

func nextFrame(t *testing.T, e end) ws.Frame {
	t.Helper()
	f, err := readFrame(e)
	if err != nil {
		t.Fatalf("%T waits for a frame: %v", e, err)
	}
	if f.Header.Masked != isBackend(e) {
		t.Fatalf("%T reads a frame with masked=%v", e, f.Header.Masked)
	}
	return f
}

// wantClose ends the test unless e is sent a Close with that code.
func wantClose(t *testing.T, e end, code ws.StatusCode) {
	t.Helper()
	f := nextFrame(t, e)
	if f.Header.OpCode != ws.OpClose {
		t.Fatalf("%T reads a frame with opcode %x and %q, want Close", e, f.Header.OpCode, f.Payload)
	}
	if got, reason := ws.ParseCloseFrameData(f.Payload); got != code {
		t.Fatalf("%T reads Close %d %q, want %d", e, got, reason, code)
	}
}

// wantFarewell ends the test unless e is told that the tunnel ends, and why,
// and then sees the end of the stream and no reset.
func wantFarewell(t *testing.T, e end, code ws.StatusCode) {
	t.Helper()
	wantClose(t, e, code)
	e.WantEnd()
	_ = e.Close()
}

// say sends a text message from one end and wants it at the other.
func say(t *testing.T, from, to end, text string) {
	t.Helper()
	from.Put(frameOf(from, ws.OpText, text))
	wantFrame(t, to, ws.OpText, text)
}

// onEachService runs a test with a process of its own for every service, at the
// same time: these tests mostly wait for timeouts.
func onEachService(t *testing.T, cfg rig.Config, test func(t *testing.T, p *rig.Proxy, b *rig.Backend)) {
	t.Helper()
	needsWsplice(t)
	for _, service := range services {
		t.Run(service.name, func(t *testing.T) {
			t.Parallel()
			own := cfg
			own.Tunnel = rig.Settings{}
			for _, settings := range []rig.Settings{cfg.Tunnel, service.tunnel} {
				for key, value := range settings {
					own.Tunnel[key] = value
				}
			}
			backend := rig.NewBackend(t, nil)
			test(t, startToBackend(t, backend, own), backend)
		})
	}
}

// closedLine waits for the line of a tunnel's end.
func closedLine(p *rig.Proxy, mark int) rig.Line {
	return p.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
}

// wantFields compares fields of a log line: numbers, and anything else as text.
func wantFields(t *testing.T, line rig.Line, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if number, ok := value.(int); ok {
			value = float64(number)
		}
		if line[key] != value {
			t.Errorf("%s=%v, want %v; line %v", key, line[key], value, line)
		}
	}
}

// wantAbsent ends the test when a log line has one of the fields.
func wantAbsent(t *testing.T, line rig.Line, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if value, ok := line[key]; ok {
			t.Errorf("%s=%v, want no such field; line %v", key, value, line)
		}
	}
}
