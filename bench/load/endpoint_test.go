package load

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/bench/echo"
)

// endpoint accepts WebSockets and speaks plain bytes to a backend, one connection
// for each. Its messages to the client are of at most cut bytes, whatever the
// backend wrote at once.
func endpoint(t *testing.T, backend *echo.Server, cut int) string {
	t.Helper()
	upgrader := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == endpointProtocol }}
	return serveEach(t, func(client net.Conn) {
		plain, err := net.Dial("tcp", backend.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		down := make(chan struct{})
		defer func() { <-down }()
		defer func() { _ = plain.Close() }()
		if _, err := upgrader.Upgrade(client); err != nil {
			close(down)
			return
		}
		go func() {
			defer close(down)
			buf := make([]byte, cut)
			for {
				n, err := plain.Read(buf)
				if err != nil || wsutil.WriteServerBinary(client, buf[:n]) != nil {
					return
				}
			}
		}()
		for {
			payload, err := wsutil.ReadClientBinary(client)
			if err != nil {
				return
			}
			if _, err := plain.Write(payload); err != nil {
				return
			}
		}
	})
}

// TestEndpointsMayCutAndJoinMessages runs each load through an endpoint whose
// messages are smaller and greater than those that were sent.
func TestEndpointsMayCutAndJoinMessages(t *testing.T) {
	for _, cut := range []int{5, 1000, 100_000} {
		for _, test := range []struct {
			load Scenario
			mode echo.Mode
		}{{Echo, echo.Echo}, {Open, echo.Echo}, {Down, echo.Source}, {Up, echo.Sink}} {
			c := Config{
				Scenario: test.load, Tunnels: 3, MessageBytes: 128, Endpoint: true,
				Address: endpoint(t, mustBackend(t, echo.Options{Mode: test.mode, Raw: true, FrameBytes: 128}), cut),
				Warmup:  10 * time.Millisecond, Window: 150 * time.Millisecond,
			}
			if test.load == Open {
				c.Rate = 1000
			}
			res := runWithout(t, c)
			if res.Messages == 0 || res.Bytes < (res.Messages-3)*128 || res.Bytes > (res.Messages+3)*128 {
				t.Errorf("%s, cut at %d: %d messages, %d bytes", test.load, cut, res.Messages, res.Bytes)
			}
		}
	}
}

// TestWrongStreamsAreErrors has endpoints that answer with what was not sent.
func TestWrongStreamsAreErrors(t *testing.T) {
	for want, answer := range map[string]func(c net.Conn, payload []byte){
		"belongs to another message": func(c net.Conn, p []byte) {
			_ = wsutil.WriteServerBinary(c, append(p, 0xff)) // what answers the next one cannot be here
		},
		"differs from what was sent": func(c net.Conn, p []byte) {
			p[60]++
			_ = wsutil.WriteServerBinary(c, p[:32])
			_ = wsutil.WriteServerBinary(c, p[32:])
		},
		"text, where binary": func(c net.Conn, p []byte) { _ = wsutil.WriteServerText(c, p) },
	} {
		t.Run(want, func(t *testing.T) {
			address := serveUpgraded(t, func(c net.Conn) {
				if p, err := wsutil.ReadClientBinary(c); err == nil {
					answer(c, p)
				}
			})
			res, err := Run(t.Context(), Config{
				Scenario: Echo, Address: address, Tunnels: 1, MessageBytes: 64, Endpoint: true,
				Warmup: 200 * time.Millisecond, Window: time.Millisecond,
			})
			if err != nil || res.Errors == 0 || !strings.Contains(strings.Join(res.ErrorTexts, "\n"), want) {
				t.Fatalf("%+v, %v, want an error with %q", res, err, want)
			}
		})
	}
}

// TestOnlyTheOfferedSubprotocolIsTaken judges responses to both kinds of request.
func TestOnlyTheOfferedSubprotocolIsTaken(t *testing.T) {
	for _, test := range []struct {
		offered, answered string
		taken             bool
	}{
		{"", "", true}, {"", "binary", false}, {"binary", "binary", true}, {"binary", "", true}, {"binary", "base64", false},
	} {
		c := newChallenge()
		c.protocol = test.offered
		head := strings.ReplaceAll(strings.Replace(goodResponse+"\n", "ACCEPT", string(c.accept[:]), 1), "\n", "\r\n")
		if test.answered != "" {
			head = strings.TrimSuffix(head, "\r\n") + "Sec-WebSocket-Protocol: " + test.answered + "\r\n\r\n"
		}
		if err := checkResponse([]byte(head), &c); (err == nil) != test.taken {
			t.Errorf("offered %q, answered %q: %v", test.offered, test.answered, err)
		}
	}
}

func TestTreesAreWatched(t *testing.T) {
	res := mustRun(t, mustBackend(t, echo.Options{}), Config{
		Scenario: Echo, Tunnels: 5, MessageBytes: 16, WatchTrees: map[string][]int{"proxy": {os.Getpid()}},
	})
	if tree, load := res.CPU["proxy"].Best(), res.CPU["load"].Best(); tree < load*9/10 || tree == 0 {
		t.Errorf("%v used by this process with its descendants, %v by itself", tree, load)
	}
}
