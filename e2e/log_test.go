package e2e

import (
	"strings"
	"syscall"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestTunnelLogLines reads the two lines of a tunnel.
func TestTunnelLogLines(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	mark := proxy.Logs.Mark()
	client, server := rig.Open(proxy, backend, "/ws/x")
	proxy.WaitLog(mark, "the tunnel is open", isMsg("tunnel open"))
	client.Put("12345")
	server.Want("12345")
	transfer(t, server, client, 40, 3<<20)
	_ = client.Close()
	server.WantEnd()
	_ = server.Close()
	line := proxy.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
	t.Logf("%v", line)
	if up, down := line.Number("up_bytes"), line.Number("down_bytes"); up != 5 || down != 3<<20 {
		t.Errorf("up_bytes=%v down_bytes=%v, want 5 and %d", up, down, 3<<20)
	}
	if line["duration"] == nil || line.Number("duration") == 0 {
		t.Errorf("duration=%v", line["duration"])
	}
	if who := line.Text("ended_by"); who != "client" {
		t.Errorf("ended_by=%q, want client", who)
	}
	if line.Text("why") == "" {
		t.Error("the line does not say why")
	}
}

// TestTunnelEndsInTheLog has each side end a tunnel in each way.
func TestTunnelEndsInTheLog(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	for name, c := range map[string]struct {
		who string
		end func(*rig.Client, *rig.BackendConn)
	}{
		"client closes":  {"client", func(c *rig.Client, _ *rig.BackendConn) { _ = c.Close() }},
		"client resets":  {"client", func(c *rig.Client, _ *rig.BackendConn) { c.Reset() }},
		"backend closes": {"backend", func(_ *rig.Client, s *rig.BackendConn) { _ = s.Close() }},
		"backend resets": {"backend", func(_ *rig.Client, s *rig.BackendConn) { s.Reset() }},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := rig.Open(proxy.In(t), backend.In(t), "/ws/x")
			client.Put("a")
			server.Want("a")
			mark := proxy.Logs.Mark()
			c.end(client, server)
			if c.who == "client" {
				server.WantGone()
				_ = server.Close()
			} else {
				client.WantGone()
				_ = client.Close()
			}
			wantEnded(t, proxy.In(t), mark, c.who)
		})
	}
}

func TestLogTunnelsSetting(t *testing.T) {
	for setting, want := range map[string]string{
		"both": "tunnel open, tunnel closed", "close": "tunnel closed", "off": "",
	} {
		t.Run(setting, func(t *testing.T) {
			backend := rig.EchoBackend(t)
			proxy := startToBackend(t, backend, rig.Config{LogTunnel: setting})
			mark := proxy.Logs.Mark()
			_ = rig.MustOpenEcho(t, proxy, "/ws/x").Close()
			proxy.WaitTunnels(0)
			// The line of the reload comes after all that concern the tunnel.
			proxy.Signal(syscall.SIGHUP)
			proxy.WaitLog(mark, "the answer to SIGHUP", func(l rig.Line) bool {
				return strings.Contains(l.Msg(), "reload")
			})
			var got []string
			for _, line := range proxy.Logs.Since(mark) {
				if strings.HasPrefix(line.Msg(), "tunnel ") {
					got = append(got, line.Msg())
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("logged %q, want %q", got, want)
			}
		})
	}
}

// nastyRequests carry what would forge a log line, or a terminal's commands,
// if it were written as it came.
func nastyRequests() []string {
	return []string{
		upgradeTo("/ws/a\nlevel=ERROR msg=forged"),
		upgradeTo("/ws/a\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}"),
		upgradeTo("/ws/\x1b[2J\x1b]0;title\x07"),
		upgradeTo("/ws/\x00\x01\x7f\xff\xfe"),
		upgradeTo("/ws/\u2028\u2029\u0085"),
		upgradeTo("/ws/%0d%0alevel=ERROR%20msg=forged%1b"),
		upgradeTo("/ws/\"quoted\"\\back\\slash\""),
		upgradeTo("/ws/{{.}}${x}%s%n"),
		upgradeTo("/ws/" + strings.Repeat("long", 2000)),
		strings.Replace(upgradeTo("/ws/x"), "example.test", "a\x1b[31m\nmsg=forged", 1),
		strings.Replace(upgradeTo("/ws/x"), "GET", "G\x1bET\nmsg=forged", 1),
		rig.UpgradeRequest("/ws/x", "User-Agent: \x1b[2J\nmsg=forged"),
		rig.UpgradeRequest("/origin/x", "Origin: https://x\x1b.test\"\nmsg=forged"),
		upgradeTo("/garbage/x"),
	}
}

// TestLogInjection sends them all. The rig itself fails a test whose log has a
// line that is none; here it is left to look for forged ones.
func TestLogInjection(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			bench := rig.NewBackend(t, playNasty)
			needsWsplice(t)
			proxy := rig.Start(t, rig.Config{LogFormat: format, LogLevel: "debug", Routes: `
- {path: /ws/, to: "` + bench.URL() + `/"}
- {path: /garbage/, to: "` + bench.URL() + `/garbage/"}
- {path: /origin/, to: "` + bench.URL() + `/", origins: [x.test]}`})
			for i, request := range nastyRequests() {
				client := rig.Dial(t, proxy.Addr(0))
				client.Offer(request, 0)
				if _, err := client.AnswerErr(); err != nil {
					t.Errorf("request %d, %.60q: %v", i, request, err)
				}
				_ = client.Close()
			}
			proxy.WaitTunnels(0)
			for _, line := range proxy.Logs.Since(0) {
				if line.Msg() == "forged" {
					t.Errorf("a client has forged a log line: %v", line)
				}
			}
			if tail := proxy.Logs.Tail(1 << 20); strings.ContainsAny(strings.ReplaceAll(tail, "\n", ""), "\x1b\x00\x07\x7f\r") {
				t.Errorf("the log has raw control bytes: %q", tail)
			}
		})
	}
}

// playNasty answers like a backend that attacks the log in its turn.
func playNasty(c *rig.BackendConn) {
	if c.ReadHead() != nil {
		return
	}
	if strings.HasPrefix(c.Head.Target, "/garbage/") {
		_ = c.Answer("HTTP/1.1 200 \x1b[2J\nmsg=forged\r\n\r\n")
		return
	}
	_ = c.Upgrade()
	c.Echo()
}
