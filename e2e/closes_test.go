package e2e

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// farewellConfig ends silent tunnels, in the words of the protocol where those
// can still be understood.
var farewellConfig = rig.Config{Tunnel: rig.Settings{"idle_timeout": "700ms"}}

// A farewellCase brings a tunnel into a state in which wsplice must not say a
// word of its own to the second end: what it would say could not be understood,
// or something was said already.
type farewellCase struct {
	name string
	// reach returns what each end is told when the tunnel then ends: a code, or
	// 0 for the end of the stream alone.
	reach func(t *testing.T, first, second end) (toFirst, toSecond ws.StatusCode)
}

var farewellCases = []farewellCase{
	{"between two messages", func(t *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		say(t, first, second, "one")
		say(t, second, first, "two")
		return ws.StatusGoingAway, ws.StatusGoingAway
	}},
	{"inside a frame", func(_ *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		half := frameOf(first, ws.OpText, "a message that breaks off")[:15]
		first.Put(half)
		second.Want(half)
		return ws.StatusGoingAway, 0
	}},
	{"inside the head of a frame", func(t *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		say(t, first, second, "one")
		half := frameOf(first, ws.OpBinary, pattern(1, 300))[:3]
		first.Put(half)
		second.Want(half)
		return ws.StatusGoingAway, 0
	}},
	{"between two frames of a message", func(_ *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		part := rawFrame(first, ws.NewFrame(ws.OpText, false, []byte("to be ")))
		first.Put(part)
		second.Want(part)
		return ws.StatusGoingAway, ws.StatusGoingAway
	}},
	{"after one Close", func(t *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		first.Put(closeFrame(first, 4000, ""))
		wantClose(t, second, 4000)
		return ws.StatusGoingAway, 0
	}},
	{"after both Closes", func(t *testing.T, first, second end) (toFirst, toSecond ws.StatusCode) {
		first.Put(closeFrame(first, 4000, ""))
		wantClose(t, second, 4000)
		second.Put(closeFrame(second, 4000, ""))
		wantClose(t, first, 4000)
		return 0, 0
	}},
}

// TestFarewellsFitIntoTheStream ends tunnels in every state of their frames, all
// at the same time.
func TestFarewellsFitIntoTheStream(t *testing.T) {
	onEachService(t, farewellConfig, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		type waiting struct {
			what string
			end  end
			code ws.StatusCode
		}
		var all []waiting
		for _, c := range farewellCases {
			for _, way := range []string{"from the client", "from the backend"} {
				client, server := rig.Open(p, b, "/ws/x")
				first, second := end(client), end(server)
				if way == "from the backend" {
					first, second = second, first
				}
				toFirst, toSecond := c.reach(t, first, second)
				name := c.name + ", " + way
				all = append(all, waiting{name + ", second", second, toSecond}, waiting{name + ", first", first, toFirst})
			}
		}
		for _, w := range all {
			if err := endErr(w.end, w.code); err != nil {
				t.Errorf("%s: %v", w.what, err)
			}
		}
	})
}

// endErr returns an error unless a Close with that code, or with 0 none, is the
// last that e hears before the end of the stream.
func endErr(e end, code ws.StatusCode) error {
	defer func() { _ = e.Close() }()
	if code != 0 {
		f, err := readFrame(e)
		if err != nil {
			return fmt.Errorf("waiting for Close %d: %w", code, err)
		}
		if got, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || got != code {
			return fmt.Errorf("opcode %x with %q, want Close %d", f.Header.OpCode, f.Payload, code)
		}
	}
	_ = e.SetReadDeadline(time.Now().Add(rig.Soon))
	rest, err := io.ReadAll(e)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%q comes behind", rest)
	}
	return err
}

// TestLossInsideAFrame has one end vanish in the middle of what it says: the
// other gets what was said, and the end of the stream, which is no Close.
func TestLossInsideAFrame(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		eachWay(t, p, b, func(t *testing.T, _ *rig.Proxy, first, second end) {
			half := frameOf(first, ws.OpText, "a message that breaks off")[:15]
			first.Put(half)
			second.Want(half)
			first.Reset()
			second.WantEnd()
		})
	})
}

// TestCompressedFramesAreFollowed agrees on permessage-deflate, whose bit is then
// no violation; our own frames are not compressed.
func TestCompressedFramesAreFollowed(t *testing.T) {
	cfg := rig.Config{Tunnel: rig.Settings{"idle_timeout": "400ms", "ping_interval": "50ms"}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client := rig.Dial(t, p.Addr(0))
		client.Put(rig.UpgradeRequest("/ws/x", "Sec-WebSocket-Extensions: permessage-deflate"))
		server := b.Next()
		server.WantHead()
		if err := server.Upgrade("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"); err != nil {
			t.Fatal(err)
		}
		if a := client.Answer(); a.Status != 101 {
			t.Fatalf("answer %q, want 101", a.Raw)
		}
		compressed := ws.NewTextFrame([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00")) // RFC 7692 section 7.2.3.1
		compressed.Header.Rsv = ws.Rsv(true, false, false)
		for _, way := range [][2]end{{client, server}, {server, client}} {
			raw := rawFrame(way[0], compressed)
			way[0].Put(raw)
			way[1].Want(raw)
		}
		for _, e := range []end{client, server} {
			f, pings := answerPings(t, e)
			if code, _ := ws.ParseCloseFrameData(f.Payload); pings == 0 || code != ws.StatusGoingAway || f.Header.Rsv != 0 {
				t.Errorf("%T gets %d pings and then %+v %q, want Close 1001", e, pings, f.Header, f.Payload)
			}
			e.WantEnd()
		}
		_, _ = client.Close(), server.Close()
		wantFields(t, closedLine(p, mark), map[string]any{"frames": "followed", "up_messages": 1, "down_messages": 1})
		if n := p.Metrics().Sum("wsplice_frame_violations_total"); n != 0 {
			t.Errorf("%v violations", n)
		}
	})
}
