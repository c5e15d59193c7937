package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"wsplice/e2e/internal/rig"
)

// TestInterop sends every kind of message between every pair of libraries:
// what arrives must be, byte for byte, what was sent.
func TestInterop(t *testing.T) {
	targets := map[string]string{}
	for _, server := range libraries() {
		targets["/"+server.name+"/"] = server.serve(t)
	}
	base := relay(t, targets)
	for _, client := range libraries() {
		for _, server := range libraries() {
			pair := interopPair{client: client, url: base + "/" + server.name + "/"}
			t.Run(client.name+" to "+server.name, pair.run)
		}
	}
}

// relay starts the proxy under test, with the given prefixes and backends. It
// returns the beginning of the URLs that lead through it.
func relay(t *testing.T, targets map[string]string) string {
	t.Helper()
	if nginxInstead() {
		return "ws://" + rig.Nginx(t, targets)
	}
	var routes strings.Builder
	for prefix, backend := range targets {
		fmt.Fprintf(&routes, "- {path: %s, to: \"ws://%s/\"}\n", prefix, backend)
	}
	return rig.Start(t, rig.Config{Routes: routes.String()}).URL(0)
}

// An interopPair is a client and the URL of a server of another library.
type interopPair struct {
	client library
	url    string
}

func (p interopPair) run(t *testing.T) {
	t.Run("text and binary of all sizes", p.sizes)
	t.Run("16 MiB", p.large)
	t.Run("fragmented", p.fragmented)
	t.Run("many in flight", p.manyInFlight)
	t.Run("pings", p.pings)
	t.Run("subprotocol", p.subprotocols)
	t.Run("permessage-deflate", p.deflate)
	t.Run("close codes", p.closeCodes)
}

// lastSession gives each session an id of its own.
var lastSession atomic.Int64

// open opens a session; the id names it at the server.
func (p interopPair) open(t *testing.T, query string, o offer) (c peerConn, id string) {
	t.Helper()
	id = fmt.Sprint(lastSession.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), rig.Soon)
	defer cancel()
	c, err := p.client.dial(ctx, p.url+"?id="+id+"&"+query, o)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = c.close(1000, "") })
	return c, id
}

// wantMessage ends the test unless the next message is m.
func wantMessage(t *testing.T, c peerConn, m message) {
	t.Helper()
	got := rig.Receive(t, c.messages(), fmt.Sprintf("the echo of %d bytes", len(m.data)))
	if got.text != m.text {
		t.Fatalf("sent text=%v, came back text=%v", m.text, got.text)
	}
	if !bytes.Equal(got.data, m.data) {
		t.Fatalf("sent %d bytes, other %d bytes came back", len(m.data), len(got.data))
	}
}

func echo(t *testing.T, c peerConn, m message, fragments int) {
	t.Helper()
	if err := c.send(m, fragments); err != nil {
		t.Fatalf("send %d bytes: %v", len(m.data), err)
	}
	wantMessage(t, c, m)
}

func binaryMessage(size int) message { return message{false, []byte(pattern(uint64(size), size))} }

// textMessage has characters of one to four bytes, and exactly size bytes.
func textMessage(size int) message {
	text := strings.Repeat("a\u00e4\u20ac\U0001f980", size/10)
	return message{true, []byte(text + strings.Repeat("x", size-len(text)))}
}

// sizes crosses each border of the frame length's encoding.
func (p interopPair) sizes(t *testing.T) {
	c, _ := p.open(t, "", offer{})
	for _, size := range []int{0, 1, 125, 126, 127, 4096, 65535, 65536, 65537, 1 << 20} {
		echo(t, c, binaryMessage(size), 1)
		echo(t, c, textMessage(size), 1)
	}
}

func (p interopPair) large(t *testing.T) {
	c, _ := p.open(t, "", offer{})
	echo(t, c, binaryMessage(16<<20), 1)
	echo(t, c, message{true, []byte("small, after the large one")}, 1)
}

func (p interopPair) fragmented(t *testing.T) {
	c, _ := p.open(t, "fragments=7", offer{})
	for _, size := range []int{0, 3, 100, 100_000} {
		echo(t, c, binaryMessage(size), 5)
		echo(t, c, textMessage(size), 5)
	}
	echo(t, c, binaryMessage(4<<20), 50)
}

// manyInFlight sends a number of messages before it reads the first echo.
func (p interopPair) manyInFlight(t *testing.T) {
	const count = 500
	c, _ := p.open(t, "", offer{})
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			if err := c.send(binaryMessage(i*7), 1); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range count {
		wantMessage(t, c, binaryMessage(i*7))
	}
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}

func (p interopPair) pings(t *testing.T) {
	c, _ := p.open(t, "", offer{})
	for range 3 {
		if err := c.ping(); err != nil {
			t.Fatalf("ping to the server: %v", err)
		}
	}
	if err := c.send(message{true, []byte("ping")}, 1); err != nil {
		t.Fatal(err)
	}
	got := rig.Receive(t, c.messages(), "the server's report of its pong")
	if !strings.HasPrefix(string(got.data), "pong") {
		t.Fatalf("ping from the server: %q", got.data)
	}
}

func (p interopPair) subprotocols(t *testing.T) {
	for _, c := range []struct {
		offered []string
		want    string
	}{{[]string{"alpha", "beta"}, "beta"}, {[]string{"gamma"}, "gamma"}, {nil, ""}} {
		conn, _ := p.open(t, "", offer{protocols: c.offered})
		if got := conn.subprotocol(); got != c.want {
			t.Errorf("offered %q, agreed on %q, want %q", c.offered, got, c.want)
		}
		echo(t, conn, textMessage(50), 1)
	}
}

func (p interopPair) deflate(t *testing.T) {
	c, _ := p.open(t, "fragments=3", offer{deflate: true})
	if !c.deflates() {
		t.Fatal("both libraries have permessage-deflate, and it was not agreed on")
	}
	for _, size := range []int{1, 1000, 70_000, 1 << 20} {
		echo(t, c, textMessage(size), 1)
		echo(t, c, binaryMessage(size), 1)
		echo(t, c, textMessage(size), 4)
	}
}

func (p interopPair) closeCodes(t *testing.T) {
	long := strings.Repeat("r", 123) // the longest that a control frame holds
	for _, want := range []closing{{code: 1000, reason: "bye"}, {code: 1008, reason: "policy"}, {code: 4001, reason: long}} {
		c, id := p.open(t, "", offer{})
		echo(t, c, textMessage(20), 1)
		if err := c.close(want.code, want.reason); err != nil {
			t.Errorf("client closes with %v: %v", want, err)
		}
		if got := rig.Receive(t, serverEnds.of(id), "the end at the server"); got != want {
			t.Errorf("client closes with %v, the server sees %v", want, got)
		}
	}
	for _, want := range []closing{{code: 1000, reason: "bye"}, {code: 1011, reason: "failure"}, {code: 4999, reason: "mine"}} {
		c, _ := p.open(t, "", offer{})
		text := fmt.Sprintf("close %d %s", want.code, want.reason)
		if err := c.send(message{true, []byte(text)}, 1); err != nil {
			t.Fatal(err)
		}
		if !rig.Poll(rig.Soon, func() bool { return drained(c) }) {
			t.Fatal("the client does not see the end")
		}
		if got := c.end(); got != want {
			t.Errorf("server closes with %v, the client sees %v", want, got)
		}
	}
}

// pingAndClose has c pinged and closed, and told what it said.
func pingAndClose(t *testing.T, c peerConn) {
	t.Helper()
	if err := c.ping(); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.close(4002, "done"); err != nil {
		t.Errorf("close: %v", err)
	}
	if !rig.Poll(rig.Soon, func() bool { return drained(c) }) {
		t.Fatal("the client does not see the end")
	}
	if got := c.end(); got.code != 4002 {
		t.Errorf("the client was told %v, want 4002", got)
	}
}

// drained reports whether the connection has ended.
func drained(c peerConn) bool {
	select {
	case _, more := <-c.messages():
		return !more
	default:
		return false
	}
}
