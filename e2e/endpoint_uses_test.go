package e2e

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	speakRedis(t, proxy)
}

// TestRedisByTLSThroughEndpoint does so where Redis speaks TLS, also with connections
// that have shaken hands ahead of need. A server whose certificate does not fit gets
// nothing.
func TestRedisByTLSThroughEndpoint(t *testing.T) {
	needsWsplice(t)
	authority := newAuthority(t)
	authority.MustIssue(t, "redis", []string{"localhost"}, nil)
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	startServer(t, "redis-server", address,
		"--port", "0", "--tls-port", port, "--tls-auth-clients", "no", "--save", "", "--dir", t.TempDir(),
		"--tls-cert-file", authority.Dir+"/redis.pem", "--tls-key-file", authority.Dir+"/redis-key.pem",
		"--tls-ca-cert-file", authority.CA())
	for name, settings := range map[string]string{"cold": "", "warm": ", warm: 2"} {
		t.Run(name, func(t *testing.T) {
			proxy := startRedisByTLS(t, "localhost:"+port, authority, settings)
			if settings != "" {
				wantWarm(t, proxy, 2)
			}
			speakRedis(t, proxy)
		})
	}
	t.Run("wrong name", func(t *testing.T) {
		proxy := startRedisByTLS(t, address, authority, "")
		client := rig.Dial(t, proxy.Addr(0))
		client.Put(rig.UpgradeRequest("/redis"))
		if a := client.Answer(); a.Status != 502 {
			t.Errorf("answer %q, want 502", a.Raw)
		}
		line := proxy.WaitLog(0, "TLS handshake failed", func(l rig.Line) bool { return l.Msg() == "TLS handshake failed" })
		if because := line.Text("because"); !strings.Contains(because, "127.0.0.1") {
			t.Errorf("the log says %v", line)
		}
	})
}

func startRedisByTLS(t *testing.T, address string, authority *rig.Authority, settings string) *rig.Proxy {
	t.Helper()
	return rig.Start(t, rig.Config{
		Warned: true, Routes: `- {path: /redis, mode: endpoint, frame_type: binary, upstream: u}`,
		Upstreams: fmt.Sprintf(`  u: {disable_time: 0s, servers: [{url: "tcp://%s"}], tls: {ca: %s}%s}`,
			address, authority.CA(), settings),
	})
}

// speakRedis has a client at /redis store, read and remove what is large, and leave.
func speakRedis(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
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

// TestMQTTThroughEndpoint has MQTT.js speak to mosquitto's plain port, with MQTT
// 3.1.1 and 5: the subprotocol is the route's, and what is retained is larger than
// what is parked for a client.
func TestMQTTThroughEndpoint(t *testing.T) {
	needsWsplice(t)
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	startServer(t, "mosquitto", address, "-p", port) //nolint:misspell // it is called so
	proxy := rig.Start(t, rig.Config{Warned: true, Routes: fmt.Sprintf(
		`- {path: /mqtt, mode: endpoint, frame_type: binary, subprotocols: [mqtt], to: "tcp://%s"}`, address)})
	for topic, version := range map[string]string{"a": "4", "b": "5"} {
		got := runNode(t, "mqtt.js", proxy.URL(0)+"/mqtt", version, topic)
		want := strings.ReplaceAll(`granted: T/# qos 1
message: T/hello qos 1 retain false 13 bytes hello, wörld
message: T/retained qos 1 retain false 204800 bytes All work and no play
late: T/retained qos 1 retain true 204800 bytes All work and no play
retained is what was published: true
ended
`, "T", topic)
		if got != want {
			t.Errorf("version %s: got\n%s\nwant\n%s", version, got, want)
		}
	}
	proxy.WaitTunnels(0)
}
