package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// pingInterval is short, so that a test sees many; pongs have longer, since a
// library may be slow on a busy machine.
const pingInterval = 60 * time.Millisecond

func pinging(more rig.Settings) rig.Config {
	settings := rig.Settings{"ping_interval": pingInterval.String(), "pong_timeout": "2s"}
	for key, value := range more {
		settings[key] = value
	}
	return rig.Config{Tunnel: settings}
}

// startLibraries runs a proxy with a server of every library behind it.
func startLibraries(t *testing.T, cfg rig.Config) *rig.Proxy {
	t.Helper()
	needsWsplice(t)
	var routes strings.Builder
	for _, server := range libraries() {
		fmt.Fprintf(&routes, "- {path: /%s/, to: \"ws://%s/\"}\n", server.name, server.serve(t))
	}
	cfg.Routes = routes.String()
	return rig.Start(t, cfg)
}

// librarySessions opens a session between every client and some server.
func librarySessions(t *testing.T, p *rig.Proxy) map[string]librarySession {
	t.Helper()
	sessions := map[string]librarySession{}
	all := libraries()
	for i, client := range all {
		server := all[(i+1)%len(all)]
		pair := interopPair{client: client, url: p.URL(0) + "/" + server.name + "/"}
		c, id := pair.open(t, "", offer{})
		sessions[client.name+" to "+server.name] = librarySession{c, id}
	}
	return sessions
}

type librarySession struct {
	peerConn
	id string // names it at the server
}

// TestPingsAreAnsweredByLibraries keeps quiet for many intervals and longer
// than a pong may take: real clients and servers answer while they read, and
// hear nothing of it.
func TestPingsAreAnsweredByLibraries(t *testing.T) {
	t.Parallel()
	proxy := startLibraries(t, pinging(rig.Settings{"pong_timeout": "1s"}))
	sessions := librarySessions(t, proxy)
	rig.Lapse(1500 * time.Millisecond)
	for name, s := range sessions {
		t.Run(name, func(t *testing.T) {
			echo(t, s, textMessage(200), 1)
			if err := s.ping(); err != nil {
				t.Errorf("the client's own ping: %v", err)
			}
			echo(t, s, message{true, []byte("echo")}, 1)
			if err := s.send(message{true, []byte("ping")}, 1); err != nil {
				t.Fatal(err)
			}
			got := rig.Receive(t, s.messages(), "the server's report of its own ping")
			if text := string(got.data); text != "pong" && text != "pong from the server" {
				t.Errorf("the server says %q of its own ping", text)
			}
		})
	}
}

// TestClosesOfOursReachLibraries has tunnels end of age: both libraries report
// a proper close with our code, and no lost connection.
func TestClosesOfOursReachLibraries(t *testing.T) {
	t.Parallel()
	proxy := startLibraries(t, rig.Config{Tunnel: rig.Settings{"idle_timeout": "300ms"}})
	for name, s := range librarySessions(t, proxy) {
		t.Run(name, func(t *testing.T) {
			for range s.messages() {
				t.Error("a message came from nowhere")
			}
			if got := s.end(); got.code != 1001 {
				t.Errorf("the client saw %v, want 1001", got)
			}
			if got := rig.Receive(t, serverEnds.of(s.id), "the end at the server"); got.code != 1001 {
				t.Errorf("the server saw %v, want 1001", got)
			}
		})
	}
}

// answerPings reads at e, answering pings, until something else comes.
func answerPings(t *testing.T, e end) (other ws.Frame, pings int) {
	t.Helper()
	for until := time.Now().Add(rig.Soon); time.Now().Before(until); pings++ {
		f := nextFrame(t, e)
		if f.Header.OpCode != ws.OpPing {
			return f, pings
		}
		e.Put(frameOf(e, ws.OpPong, string(f.Payload)))
	}
	t.Fatalf("%T reads nothing but pings for %v", e, rig.Soon)
	return other, pings
}

// TestPongTimeoutEndsTheTunnel has one end stop answering, and the other live:
// both are told.
func TestPongTimeoutEndsTheTunnel(t *testing.T) {
	cfg := pinging(rig.Settings{"pong_timeout": "400ms"})
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		eachWay(t, p, b, func(t *testing.T, p *rig.Proxy, dead, alive end) {
			mark := p.Logs.Mark()
			say(t, dead, alive, "for now")
			start := time.Now()
			f, pings := answerPings(t, alive)
			if took := time.Since(start); took < 400*time.Millisecond {
				t.Errorf("it ended after %v", took)
			}
			if pings < 2 {
				t.Errorf("the living end got %d pings", pings)
			}
			if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != ws.StatusInternalServerError {
				t.Fatalf("the living end reads opcode %x with %q, want Close 1011", f.Header.OpCode, f.Payload)
			}
			alive.WantEnd()
			wantPingsAndClose(t, dead)
			_, _ = alive.Close(), dead.Close()
			who := "client"
			if isBackend(dead) {
				who = "backend"
			}
			wantFields(t, closedLine(p, mark), map[string]any{
				"ended_by": who, "sent_close_code": 1011, "closed_first": "proxy",
			})
		})
	})
}

// wantPingsAndClose reads what waits at an end that has not read for long.
func wantPingsAndClose(t *testing.T, e end) {
	t.Helper()
	for {
		f := nextFrame(t, e)
		if f.Header.OpCode == ws.OpPing {
			continue
		}
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != ws.StatusInternalServerError {
			t.Fatalf("reads opcode %x with %q, want Close 1011", f.Header.OpCode, f.Payload)
		}
		e.WantEnd()
		return
	}
}

// TestWhatTalksNeedsNoPong lets any byte count as a sign of life.
func TestWhatTalksNeedsNoPong(t *testing.T) {
	cfg := pinging(rig.Settings{"pong_timeout": "600ms"})
	onEachService(t, cfg, func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		client, server := rig.Open(p, b, "/ws/x")
		pace := time.NewTicker(100 * time.Millisecond)
		defer pace.Stop()
		for i := range 15 {
			<-pace.C
			client.Put(frameOf(client, ws.OpText, fmt.Sprint(i)))
			f, _ := answerPings(t, server)
			if string(f.Payload) != fmt.Sprint(i) {
				t.Fatalf("the backend reads opcode %x with %q, want message %d", f.Header.OpCode, f.Payload, i)
			}
		}
	})
}

// TestPingsDoNotKeepIdleTunnels has both ends answer: pings of ours and their
// answers are no traffic, and do not reach the other end.
func TestPingsDoNotKeepIdleTunnels(t *testing.T) {
	onEachService(t, pinging(rig.Settings{"idle_timeout": "600ms"}), func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		mark := p.Logs.Mark()
		client, server := rig.Open(p, b, "/ws/x")
		ends := make(chan ws.Frame, 1)
		go func() {
			f, _ := answerPings(t, server)
			ends <- f
		}()
		f, _ := answerPings(t, client)
		for _, f := range []ws.Frame{f, rig.Receive(t, ends, "the end at the backend")} {
			if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != ws.StatusGoingAway {
				t.Errorf("opcode %x with %q, want Close 1001", f.Header.OpCode, f.Payload)
			}
		}
		_, _ = client.Close(), server.Close()
		wantFields(t, closedLine(p, mark), map[string]any{"why": "idle timeout", "up_bytes": 0, "down_bytes": 0})
	})
}

// TestPingsOfPeersPass has pings and pongs of the peers' own go through, byte
// for byte, while wsplice pings too.
func TestPingsOfPeersPass(t *testing.T) {
	onEachService(t, pinging(nil), func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		eachWay(t, p, b, func(t *testing.T, _ *rig.Proxy, first, second end) {
			for i, op := range []ws.OpCode{ws.OpPing, ws.OpPong, ws.OpPing} {
				payload := fmt.Sprintf("of a peer %d", i)
				first.Put(frameOf(first, op, payload))
				wantOwn(t, second, op, payload)
				// It answers, if that was a ping, and the answer arrives.
				second.Put(frameOf(second, ws.OpPong, payload))
				wantOwn(t, first, ws.OpPong, payload)
			}
		})
	})
}

// wantOwn skips pings of ours, answering them.
func wantOwn(t *testing.T, e end, op ws.OpCode, payload string) {
	t.Helper()
	for until := time.Now().Add(rig.Soon); time.Now().Before(until); {
		f := nextFrame(t, e)
		if f.Header.OpCode == op && string(f.Payload) == payload {
			return
		}
		if f.Header.OpCode != ws.OpPing || strings.HasPrefix(string(f.Payload), "of a peer") {
			t.Fatalf("%T reads opcode %x with %q, want %x with %q", e, f.Header.OpCode, f.Payload, op, payload)
		}
		e.Put(frameOf(e, ws.OpPong, string(f.Payload)))
	}
	t.Fatalf("%T reads nothing but pings for %v, want %x with %q", e, rig.Soon, op, payload)
}

// TestPingsGoBetweenFrames stops in the middle of a frame for many intervals:
// nothing of ours may come in between, and it comes afterwards.
func TestPingsGoBetweenFrames(t *testing.T) {
	onEachService(t, pinging(rig.Settings{"pong_timeout": "0s"}), func(t *testing.T, p *rig.Proxy, b *rig.Backend) {
		eachWay(t, p, b, func(t *testing.T, _ *rig.Proxy, first, second end) {
			whole := frameOf(first, ws.OpBinary, pattern(7, 5000))
			first.Put(whole[:3000])
			var got strings.Builder
			for got.Len() < 3000 {
				got.WriteString(readSome(t, second))
			}
			// What came in front of it was pings, and now there is silence.
			at := strings.Index(got.String(), whole[:100])
			if at < 0 {
				t.Fatalf("the frame does not arrive: %.200q", got.String())
			}
			for got.Len() < at+3000 {
				got.WriteString(readSome(t, second))
			}
			wantSilence(t, second)
			first.Put(whole[3000:])
			second.Want(whole[3000:])
			if f := nextFrame(t, second); f.Header.OpCode != ws.OpPing {
				t.Errorf("opcode %x comes behind it, want a ping", f.Header.OpCode)
			}
		})
	})
}

func readSome(t *testing.T, e end) string {
	t.Helper()
	var b [4096]byte
	_ = e.SetReadDeadline(time.Now().Add(rig.Soon))
	n, err := e.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
