package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// The conformance runner speaks to an endpoint as RFC 6455 says, and as it does
// not. Behind the endpoint, a server echoes bytes. The cases stand in
// conformance_cases_test.go, by the sections of the RFC.

// A conformance is one connection: what the client sends, and what it must see.
type conformance struct {
	section string
	name    string
	route   string   // default /text
	frames  []string // as they go over the wire
	echo    string   // payload that comes back, in whatever messages
	pongs   []string // payloads, in order
	code    ws.StatusCode
}

// stillOpen is the code of a case after which the connection goes on; the runner
// closes it then with 1000.
const stillOpen ws.StatusCode = 0

// noCode stands for a Close without a code (RFC 6455 section 7.1.5).
const noCode = ws.StatusNoStatusRcvd

const (
	conformanceMessageMax = 16 << 20
	conformanceFrameMax   = 1 << 20
)

// piecesBytesMax bounds the cases that are sent byte by byte too.
const piecesBytesMax = 400

func TestConformance(t *testing.T) {
	echo := rig.NewBackend(t, (*rig.BackendConn).Echo)
	proxy := startWith(t, rig.Config{Warned: true}, fmt.Sprintf(`
- {path: /text, mode: endpoint, to: "tcp://%%[1]s"}
- {path: /binary, mode: endpoint, frame_type: binary, to: "tcp://%%[1]s"}
- {path: /limited, mode: endpoint, frame_type: binary, to: "tcp://%%[1]s", tunnel: {message_bytes: %d, frame_bytes: %d}}`,
		conformanceMessageMax, conformanceFrameMax), echo)
	named := map[string]bool{}
	for _, c := range allConformance() {
		name := c.section + "/" + c.name
		if named[name] {
			t.Fatalf("two cases %s", name)
		}
		named[name] = true
		t.Run(name, func(t *testing.T) { c.run(t, proxy.In(t), 0) })
		if size := len(strings.Join(c.frames, "")); size > 1 && size <= piecesBytesMax {
			t.Run(name+"/in pieces", func(t *testing.T) { c.run(t, proxy.In(t), 1) })
		}
	}
	proxy.WaitTunnels(0)
}

// run plays the case, sent in pieces of step bytes.
func (c conformance) run(t *testing.T, proxy *rig.Proxy, step int) {
	client := openEndpoint(t, proxy, or(c.route, "/text"))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		client.Offer(strings.Join(c.frames, ""), step)
	}()
	seen := c.listen(t, client)
	<-sent
	if c.code == stillOpen {
		client.Put(closeFrame(client, ws.StatusNormalClosure, ""))
		wantClose(t, client, ws.StatusNormalClosure)
	}
	client.WantEnd()
	_ = client.Close()
	if whole := c.code == stillOpen; whole && seen.echo.String() != c.echo || !strings.HasPrefix(c.echo, seen.echo.String()) {
		t.Errorf("echo of %d bytes %.60q, want %d bytes %.60q", seen.echo.Len(), seen.echo.String(), len(c.echo), c.echo)
	}
	if strings.Join(seen.pongs, "|") != strings.Join(c.pongs, "|") {
		t.Errorf("pongs %q, want %q", seen.pongs, c.pongs)
	}
}

// A heard is what a client has got.
type heard struct {
	echo  strings.Builder
	pongs []string
}

// listen reads until the case is over: its Close has come, or all that is to come
// otherwise.
func (c conformance) listen(t *testing.T, client *rig.Client) *heard {
	seen := &heard{}
	for c.code != stillOpen || seen.echo.Len() < len(c.echo) || len(seen.pongs) < len(c.pongs) {
		f := nextFrame(t, client)
		if f.Header.Rsv != 0 || !f.Header.Fin {
			t.Fatalf("a frame %+v", f.Header)
		}
		switch f.Header.OpCode {
		case ws.OpText, ws.OpBinary:
			if text := or(c.route, "/text") == "/text"; text != (f.Header.OpCode == ws.OpText) {
				t.Fatalf("a message with opcode %d", f.Header.OpCode)
			}
			seen.echo.Write(f.Payload)
		case ws.OpPong:
			seen.pongs = append(seen.pongs, string(f.Payload))
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			if len(f.Payload) == 0 {
				code = noCode
			}
			if code != c.code {
				t.Fatalf("Close %d %q, want %d", code, reason, c.code)
			}
			return seen
		default:
			t.Fatalf("a frame with opcode %d", f.Header.OpCode)
		}
	}
	return seen
}

// openEndpoint opens a WebSocket whose other end is wsplice.
func openEndpoint(t *testing.T, proxy *rig.Proxy, target string, lines ...string) *rig.Client {
	t.Helper()
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(rig.UpgradeRequest(target, lines...))
	if a := client.Answer(); a.Status != 101 || a.Header.Get("Sec-WebSocket-Accept") != rig.Accept(rig.Key) {
		t.Fatalf("answer %q, want a 101", a.Raw)
	}
	return client
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
