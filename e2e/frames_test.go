package e2e

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// goodbye has both ends of a tunnel close as RFC 6455 says.
func goodbye(t *testing.T, client *rig.Client, server *rig.BackendConn) {
	t.Helper()
	client.Put(closeFrame(client, ws.StatusNormalClosure, ""))
	wantClose(t, server, ws.StatusNormalClosure)
	server.Put(closeFrame(server, ws.StatusNormalClosure, ""))
	wantClose(t, client, ws.StatusNormalClosure)
	_ = server.Close()
	client.WantEnd()
	_ = client.Close()
}

// TestFramesAreCounted reads in the log what was said, fragments and control
// frames not counted for themselves.
func TestFramesAreCounted(t *testing.T) {
	onEachService(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		for _, f := range []ws.Frame{
			ws.NewFrame(ws.OpText, false, []byte("one, ")),
			ws.NewPingFrame([]byte("in between")),
			ws.NewFrame(ws.OpContinuation, false, nil),
			ws.NewFrame(ws.OpContinuation, true, []byte("in parts")),
			ws.NewBinaryFrame(nil),
			ws.NewPongFrame(nil),
			ws.NewTextFrame([]byte("three")),
		} {
			raw := rawFrame(client, f)
			client.Put(raw)
			server.Want(raw)
		}
		say(t, server, client, "one")
		goodbye(t, client, server)
		wantFields(t, closedLine(p, mark), map[string]any{
			"frames": "followed", "up_messages": 3, "down_messages": 1, "closed_first": "client",
			"client_close_code": 1000, "backend_close_code": 1000, "ended_by": "backend",
		})
	})
}

// TestCloseWithoutACode has nothing to report.
func TestCloseWithoutACode(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	mark := proxy.Logs.Mark()
	client, server := rig.Open(proxy, backend, "/ws/x")
	server.Put(frameOf(server, ws.OpClose, ""))
	wantFrame(t, client, ws.OpClose, "")
	client.Put(frameOf(client, ws.OpClose, ""))
	wantFrame(t, server, ws.OpClose, "")
	_ = server.Close()
	client.WantEnd()
	_ = client.Close()
	line := closedLine(proxy, mark)
	wantFields(t, line, map[string]any{"closed_first": "backend", "frames": "followed"})
	wantAbsent(t, line, "sent_close_code")
	for _, key := range []string{"client_close_code", "backend_close_code"} {
		if code, ok := line[key]; ok && code != 1005.0 {
			t.Errorf("%s=%v", key, code)
		}
	}
}

// TestFramesOff knows no frames: nothing is counted, and the end of an idle
// tunnel is the end of the stream alone.
func TestFramesOff(t *testing.T) {
	cfg := rig.Config{Tunnel: rig.Settings{"frames": "off", "idle_timeout": "300ms"}}
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		say(t, client, server, "a message")
		client.WantEnd()
		server.WantEnd()
		_, _ = client.Close(), server.Close()
		line := closedLine(p, mark)
		wantFields(t, line, map[string]any{"frames": "off", "why": "idle timeout"})
		wantAbsent(t, line, "up_messages", "down_messages", "closed_first", "sent_close_code")
	})
}

// TestFramesOfOtherProtocols are none, so nothing is said in frames.
func TestFramesOfOtherProtocols(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startWith(t, rig.Config{Tunnel: rig.Settings{"frames": "always", "idle_timeout": "300ms"}, Warned: true},
		`- {path: /, upgrade: [tcp], to: "ws://%[1]s/"}`, backend)
	mark := proxy.Logs.Mark()
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(asking("POST", "/x", "tcp"))
	server := backend.Next()
	server.WantHead()
	server.Put(switchingTo("tcp", ""))
	if a := client.Answer(); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
	client.Put("\x88\x00 is no Close here")
	server.Want("\x88\x00 is no Close here")
	client.WantEnd()
	server.WantEnd()
	_, _ = client.Close(), server.Close()
	wantFields(t, closedLine(proxy, mark), map[string]any{"frames": "off"})
	if n := proxy.Metrics().Sum("wsplice_frame_violations_total"); n != 0 {
		t.Errorf("%v violations of a protocol that has no frames", n)
	}
}

// TestFrameViolationsPassAndAreCounted has peers break RFC 6455: it is theirs
// to settle, so the bytes pass; ours is to count, and to say nothing in frames
// any more.
func TestFrameViolationsPassAndAreCounted(t *testing.T) {
	violations := map[string]struct {
		backend bool
		bytes   string
	}{
		"a client that does not mask":      {false, string(ws.MustCompileFrame(ws.NewTextFrame([]byte("naked"))))},
		"a backend that masks":             {true, string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("veiled")))))},
		"a reserved opcode":                {true, "\x83\x00"},
		"a reserved bit without extension": {true, "\xc1\x02hi"},
		"a control frame in parts":         {true, "\x09\x00"},
		"a control frame that is too long": {true, "\x89\x7e\x00\x7e" + strings.Repeat("x", 126)},
		"a length with its highest bit":    {true, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"},
		"a continuation of nothing":        {true, "\x80\x02hi"},
		"a message inside a message":       {true, "\x01\x02hi\x81\x02ho"},
		"what is no WebSocket at all":      {true, "GET / HTTP/1.1\r\n\r\n"},
	}
	cfg := rig.Config{Tunnel: rig.Settings{"idle_timeout": "250ms"}}
	needsWsplice(t)
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, cfg)
	for name, c := range violations {
		t.Run(name, func(t *testing.T) {
			p := proxy.In(t)
			mark, before := p.Logs.Mark(), p.Metrics().Sum("wsplice_frame_violations_total")
			client, server := rig.Open(p, backend.In(t), "/ws/x")
			say(t, client, server, "well-formed")
			say(t, server, client, "well-formed")
			from, to := end(client), end(server)
			if c.backend {
				from, to = to, from
			}
			from.Put(c.bytes)
			to.Want(c.bytes)
			to.WantEnd() // no Close of ours into what is no stream of frames
			wantFarewell(t, from, ws.StatusGoingAway)
			_ = to.Close()
			wantFields(t, closedLine(p, mark), map[string]any{"frames": "violation", "why": "idle timeout"})
			if n := p.Metrics().Sum("wsplice_frame_violations_total") - before; n != 1 {
				t.Errorf("%v violations counted, want 1", n)
			}
		})
	}
}

// bulkFrames is so much in small frames that `frames: auto` stops looking.
const (
	bulkFrames  = 512
	bulkPayload = 128 << 10
)

// TestFramesAlways follows bulk too; TestFramesAuto gives it up.
func TestFramesAlways(t *testing.T) { testFramesInBulk(t, "always", "followed") }

func TestFramesAuto(t *testing.T) {
	report := "blind"
	if !rig.Splices() {
		report = "followed" // it costs nothing where bytes are copied anyway
	}
	testFramesInBulk(t, "auto", report)
}

func testFramesInBulk(t *testing.T, setting, report string) {
	onEachService(t, rig.Config{Tunnel: rig.Settings{"frames": setting}}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		frame := frameOf(server, ws.OpBinary, pattern(9, bulkPayload))
		sent := make(chan error, 1)
		go func() {
			var err error
			for range bulkFrames {
				if err = server.Answer(frame); err != nil {
					break
				}
			}
			sent <- err
		}()
		for range bulkFrames {
			if f := nextFrame(t, client); len(f.Payload) != bulkPayload {
				t.Fatalf("a frame of %d bytes", len(f.Payload))
			}
		}
		if err := rig.Receive(t, sent, "all is sent"); err != nil {
			t.Fatal(err)
		}
		goodbye(t, client, server)
		line := closedLine(p, mark)
		wantFields(t, line, map[string]any{"frames": report, "client_close_code": 1000})
		if report == "followed" {
			wantFields(t, line, map[string]any{"down_messages": bulkFrames, "backend_close_code": 1000})
		}
		if blind := p.Metrics().Sum("wsplice_blind_total"); (blind > 0) != (report == "blind") {
			t.Errorf("%v directions are blind", blind)
		}
	})
}

// TestLargeFramesAreSplicedAndFollowed has frames of many MiB go by the pipe,
// and what stands between them be seen all the same.
func TestLargeFramesAreSplicedAndFollowed(t *testing.T) {
	const large = 8 << 20
	for _, setting := range []string{"auto", "always"} {
		t.Run(setting, func(t *testing.T) {
			onEachService(t, rig.Config{Tunnel: rig.Settings{"frames": setting}}, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
				eachWay(t, p, b, func(t *testing.T, p *rig.Proxy, first, second end) {
					mark := p.Logs.Mark()
					payload := pattern(11, large)
					for range 3 {
						frame := frameOf(first, ws.OpBinary, payload)
						sent := make(chan error, 1)
						go func() {
							_, err := first.Write([]byte(frame))
							sent <- err
						}()
						second.Want(frame)
						if err := rig.Receive(t, sent, "all is sent"); err != nil {
							t.Fatal(err)
						}
						say(t, first, second, "in between")
					}
					first.Put(closeFrame(first, 4002, ""))
					wantClose(t, second, 4002)
					_, _ = second.Close(), first.Close()
					line := closedLine(p, mark)
					messages, code := "up_messages", "client_close_code"
					if isBackend(first) {
						messages, code = "down_messages", "backend_close_code"
					}
					wantFields(t, line, map[string]any{"frames": "followed", "spliced": rig.Splices(), messages: 6, code: 4002})
				})
			})
		})
	}
}
