package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"wsplice/bench/echo"
	"wsplice/internal/testutil"
)

func TestChurnAgainstTheEcho(t *testing.T) {
	s := mustBackend(t, echo.Options{})
	for _, size := range []int{1, 128, 100_000} {
		res := mustRun(t, s, Config{Scenario: Churn, Tunnels: 4, MessageBytes: size})
		// At the end of the window each of the four may be between the two counts.
		between := res.Connections - res.Messages
		if res.Connections == 0 || max(between, -between) > 4 || res.Bytes != res.Messages*int64(size) {
			t.Errorf("%d bytes: %+v", size, res)
		}
		l, u := res.Latency, res.Upgrade
		if u.P50 <= 0 || u.P50 > l.P50 || l.P50 > l.Max {
			t.Errorf("%d bytes: latency %+v, upgrade %+v", size, l, u)
		}
	}
	testutil.Eventually(t, 5*time.Second, "all connections are gone", func() bool { return s.Open() == 0 })
}

// TestChurnSpreadsOverAddresses counts who connects to whom.
func TestChurnSpreadsOverAddresses(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	var addresses []string
	for range 2 {
		addresses = append(addresses, serveUpgraded(t, func(c net.Conn) {
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			mu.Lock()
			seen[c.LocalAddr().String()+" from "+host]++
			mu.Unlock()
			answerOnce(c)
		}))
	}
	res, err := Run(t.Context(), Config{
		Scenario: Churn, Address: strings.Join(addresses, ","), Tunnels: 4, MessageBytes: 16, Sources: 3,
		Window: 200 * time.Millisecond,
	})
	if err != nil || res.Errors != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, to := range addresses {
		for source := range 3 {
			pair := fmt.Sprintf("%s from 127.1.0.%d", to, source+1)
			if n := seen[pair]; n < int(res.Connections)/6-4 {
				t.Errorf("%s: %d of %d connections, want a sixth", pair, n, res.Connections)
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("connections %v, want 2 addresses times 3 sources", seen)
	}
}

// answerOnce is a backend's part of one cycle.
func answerOnce(c net.Conn) {
	p, err := wsutil.ReadClientBinary(c)
	if err != nil || wsutil.WriteServerBinary(c, p) != nil {
		return
	}
	if f, err := ws.ReadFrame(c); err == nil && f.Header.OpCode == ws.OpClose {
		ws.MustWriteFrame(c, ws.NewCloseFrame(goodbye))
		_ = c.(*net.TCPConn).CloseWrite()
	}
}

// respond reads a request and answers it with a response of which it knows
// the right accept.
func respond(c net.Conn, response string) {
	key := ""
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != ""; {
		if name, value, _ := strings.Cut(lines.Text(), ": "); name == "Sec-WebSocket-Key" {
			key = value
		}
	}
	response = strings.ReplaceAll(response, "\n", "\r\n")
	_, _ = io.WriteString(c, strings.ReplaceAll(response, "ACCEPT", acceptOf(key)))
	_, _ = io.Copy(io.Discard, c)
}

func acceptOf(key string) string {
	var c challenge
	copy(c.key[:], key)
	c.answer()
	return string(c.accept[:])
}

const goodResponse = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: ACCEPT\n"

// TestFailedCyclesAreCounted has backends that fail at every step of a cycle.
func TestFailedCyclesAreCounted(t *testing.T) {
	responds := func(text string) func(net.Conn) { return func(c net.Conn) { respond(c, text) } }
	for want, serve := range map[string]func(net.Conn){
		"await response":                  func(net.Conn) {},
		"no end within":                   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		`answered with "HTTP/1.1 503 No"`: responds("HTTP/1.1 503 No\n\n"),
		"accepts another key":             responds(strings.Replace(goodResponse, "ACCEPT", "ACCEPT=", 1) + "\n"),
		"Extensions nobody asked for":     responds(goodResponse + "Sec-WebSocket-Extensions: permessage-deflate\n\n"),
		"Protocol nobody asked for":       responds(goodResponse + "Sec-WebSocket-Protocol: chat\n\n"),
		"upgrades to":                     responds(strings.Replace(goodResponse, "websocket", "h2c", 1) + "\n"),
		"lacks Upgrade":                   responds(strings.Replace(goodResponse, "Upgrade: websocket\n", "", 1) + "\n"),
		"or has one twice":                responds(goodResponse + "Upgrade: websocket\n\n"),
		"has the line":                    responds(goodResponse + "stray\n\n"),
		"without an end":                  responds(goodResponse + strings.Repeat("X: y\n", headBytesMax)),
		"message that answers nothing":    responds(goodResponse + "\n\x82\x01x"),
		"await Close": upgraded(func(c net.Conn) {
			p, _ := wsutil.ReadClientBinary(c)
			_ = wsutil.WriteServerBinary(c, p)
		}),
		"belongs to another message": upgraded(func(c net.Conn) {
			_, _ = wsutil.ReadClientBinary(c)
			_ = wsutil.WriteServerBinary(c, make([]byte, 128))
		}),
		"answered with 1001": upgraded(func(c net.Conn) {
			p, _ := wsutil.ReadClientBinary(c)
			_ = wsutil.WriteServerBinary(c, p)
			_, _ = ws.ReadFrame(c)
			ws.MustWriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "")))
		}),
		"bytes behind a Close": upgraded(func(c net.Conn) {
			answerOnceThen(c, "more")
		}),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			res, err := Run(t.Context(), Config{
				Scenario: Churn, Address: serveEach(t, serve), Tunnels: 2, MessageBytes: 128,
				Window: 50 * time.Millisecond, patience: 100 * time.Millisecond,
			})
			if err != nil || res.Errors == 0 || res.Connections != 0 || !strings.Contains(strings.Join(res.ErrorTexts, "\n"), want) {
				t.Fatalf("%+v, %v, want an error with %q", res, err, want)
			}
		})
	}
}

// upgraded puts the handshake before serve.
func upgraded(serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := ws.Upgrade(c); err == nil {
			serve(c)
		}
	}
}

// answerOnceThen is answerOnce with something behind the Close.
func answerOnceThen(c net.Conn, more string) {
	p, _ := wsutil.ReadClientBinary(c)
	_ = wsutil.WriteServerBinary(c, p)
	_, _ = ws.ReadFrame(c)
	end := append(ws.MustCompileFrame(ws.NewCloseFrame(goodbye)), more...)
	_, _ = c.Write(end)
	_, _ = io.Copy(io.Discard, c)
}

func TestRefusedCyclesAreCounted(t *testing.T) {
	res, err := Run(t.Context(), Config{
		Scenario: Churn, Address: closedPort(t), Tunnels: 3, MessageBytes: 1, Window: 50 * time.Millisecond,
	})
	if err != nil || res.Errors < 3 || !strings.Contains(res.ErrorTexts[0], "connection refused") {
		t.Fatalf("%+v, %v, want refused connections", res, err)
	}
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	return ln.Addr().String()
}

func TestStormBringsAllBack(t *testing.T) {
	const clients = 300
	s := mustBackend(t, echo.Options{})
	opened := 0
	res := mustRun(t, s, Config{
		Scenario: Storm, Tunnels: clients, MessageBytes: 16, Sources: 2,
		OnOpen: func(open int, _ int64) { opened = open },
	})
	if opened != clients || res.Connections != clients || res.Messages != clients {
		t.Errorf("%d opened, %+v", opened, res)
	}
	if res.Recovery <= 0 || res.Recovery != res.Window || res.Latency.Max > res.Recovery*101/100 ||
		res.CPU["load"].Sched <= 0 {
		t.Errorf("recovery in %v, %+v", res.Recovery, res)
	}
}

// TestStormCutsWithReset looks at how the first generation ends, and has some
// of the second turned away at first.
func TestStormCutsWithReset(t *testing.T) {
	const clients = 20
	var mu sync.Mutex
	var connections, resets int
	address := serveEach(t, func(c net.Conn) {
		mu.Lock()
		connections++
		number := connections
		mu.Unlock()
		if number > clients && number <= clients+5 {
			return
		}
		if _, err := ws.Upgrade(c); err != nil {
			return
		}
		if number > clients {
			answerOnce(c)
			return
		}
		_, err := c.Read(make([]byte, 1))
		mu.Lock()
		defer mu.Unlock()
		if err != nil && strings.Contains(err.Error(), "reset by peer") {
			resets++
		}
	})
	res, err := Run(t.Context(), Config{
		Scenario: Storm, Address: address, Tunnels: clients, MessageBytes: 16, Warmup: 20 * time.Millisecond,
	})
	if err != nil || res.Connections != clients || res.Errors != 5 {
		t.Fatalf("%+v, %v, want all back and 5 errors", res, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if resets != clients {
		t.Errorf("%d of %d clients were cut by a reset", resets, clients)
	}
}

// BenchmarkCheckResponse is what verifying an upgrade costs each cycle.
func BenchmarkCheckResponse(b *testing.B) {
	c := newChallenge()
	head := []byte(strings.ReplaceAll(strings.Replace(goodResponse+"\n", "ACCEPT", string(c.accept[:]), 1), "\n", "\r\n"))
	b.ReportAllocs()
	for b.Loop() {
		if err := checkResponse(head, &c); err != nil {
			b.Fatal(err)
		}
	}
}
