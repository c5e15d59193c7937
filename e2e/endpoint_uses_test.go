package e2e

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/e2e/internal/rig"
)

// startServer runs a server that is installed, until the test ends, and waits
// until it listens.
func startServer(t *testing.T, program, address string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program) // where not everybody looks
	}
	if err != nil {
		missing(t, "needs %s: run bench/install-peers %[1]s", program)
	}
	rig.Serve(t, exec.Command(path, args...), func() bool { return rig.Listens(address) }, func() string { return "" })
}

// A payloads reads what is in the messages of a client, as one stream.
type payloads struct {
	t      *testing.T
	client *rig.Client
	rest   []byte
}

func (p *payloads) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		f := nextFrame(p.t, p.client)
		if f.Header.OpCode != ws.OpBinary {
			return 0, fmt.Errorf("a frame with opcode %d and %q", f.Header.OpCode, f.Payload)
		}
		p.rest = f.Payload
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *payloads) want(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.t.Fatalf("got %.80q, %v; want %.80q", got[:n], err, want)
	}
}

// TestRedisThroughEndpoint speaks Redis's protocol through a WebSocket.
func TestRedisThroughEndpoint(t *testing.T) {
	needsWsplice(t)
	socket := filepath.Join(t.TempDir(), "redis.sock")
	startServer(t, "redis-server", "unix:"+socket,
		"--port", "0", "--unixsocket", socket, "--save", "", "--dir", filepath.Dir(socket))
	proxy := rig.Start(t, rig.Config{Warned: true, Routes: fmt.Sprintf(
		`- {path: /redis, mode: endpoint, frame_type: binary, to: "unix:%s"}`, socket)})
	client := openEndpoint(t, proxy, "/redis")
	answers := &payloads{t: t, client: client}
	client.Put(binaryFrame("PING\r\n"))
	answers.want("+PONG\r\n")
	value := string(binaryMessage(1 << 20).data)
	command := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n", len(value), value)
	client.Put(strings.Join(binaryFragments(inFragments(command, 100_000)), ""))
	answers.want("+OK\r\n")
	client.Put(binaryFrame("GET key\r\n") + binaryFrame("DEL key\r\n"))
	answers.want(fmt.Sprintf("$%d\r\n%s\r\n:1\r\n", len(value), value))
	client.Put(binaryFrame("QUIT\r\n"))
	answers.want("+OK\r\n")
	wantFarewell(t, client, goingAway)
}

// TestMosquittoThroughEndpoint speaks MQTT 3.1.1 through WebSockets of that
// subprotocol: one client publishes what another one gets.
func TestMosquittoThroughEndpoint(t *testing.T) {
	needsWsplice(t)
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	startServer(t, "mosquitto", address, "-p", port) //nolint:misspell // it is called so
	proxy := rig.Start(t, rig.Config{Warned: true, Routes: fmt.Sprintf(
		`- {path: /mqtt, mode: endpoint, frame_type: binary, subprotocols: [mqtt], to: "tcp://%s"}`, address)})
	connect := func(name string) (*rig.Client, *payloads) {
		client := openEndpoint(t, proxy, "/mqtt", "Sec-WebSocket-Protocol: mqtt")
		client.Put(binaryFrame("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01" + name))
		p := &payloads{t: t, client: client}
		p.want("\x20\x02\x00\x00")
		return client, p
	}
	reader, got := connect("r")
	reader.Put(binaryFrame("\x82\x06\x00\x01\x00\x01t\x00"))
	got.want("\x90\x03\x00\x01\x00")
	writer, _ := connect("w")
	publish := "\x30\x08\x00\x01thello"
	writer.Put(maskedFrame(ws.OpBinary, false, publish[:3]) + finished(publish[3:]))
	got.want(publish)
	writer.Put(binaryFrame("\xe0\x00")) // DISCONNECT
	wantFarewell(t, writer, goingAway)
	begin := time.Now()
	reader.Put(binaryFrame("\xc0\x00")) // PINGREQ
	got.want("\xd0\x00")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("an answer took %v", took)
	}
}
