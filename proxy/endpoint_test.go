package proxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"

	"wsplice/internal/sys"
	"wsplice/loop"
	"wsplice/pool"
)

// endpointRoute makes the rig's route an endpoint, changed by change.
func endpointRoute(change func(r *Route)) func(*Config) {
	return func(c *Config) {
		c.Routes[0].Mode = ModeEndpoint
		c.Routes[0].Endpoint.Subprotocols = []string{"binary", "base64"}
		if change != nil {
			change(&c.Routes[0])
		}
	}
}

func binaryFrames(r *Route) { r.Endpoint.Binary = true }

// endpointTunnel opens one; the backend gets no head.
func (r *rig) endpointTunnel() (client, backend *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	write(r.t, client, upgradeRequest)
	backend = r.acceptBytes()
	expect(r.t, client, upgradeAnswer)
	return client, backend
}

// expectMessage reads frames of one opcode until their payload is want.
func expectMessage(t testing.TB, conn net.Conn, opcode ws.OpCode, want string) {
	t.Helper()
	got := ""
	for len(got) < len(want) {
		got += string(expectFrame(t, conn, opcode, false).Payload)
	}
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestEndpointCarriesBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Route)
		opcode ws.OpCode
	}{{"text", nil, ws.OpText}, {"binary", binaryFrames, ws.OpBinary}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, endpointRoute(c.change))
			client, backend := r.endpointTunnel()
			// Either opcode, fragments, and a ping between them.
			send(t, client, masked(ws.NewBinaryFrame([]byte("up"))))
			send(t, client, masked(text("é")))
			send(t, client, masked(ws.NewFrame(ws.OpText, false, []byte("frag"))))
			send(t, client, masked(ws.NewPingFrame([]byte("between"))))
			send(t, client, masked(ws.NewFrame(ws.OpContinuation, true, []byte("ments"))))
			expect(t, backend, "upéfragments")
			if got := expectFrame(t, client, ws.OpPong, false); string(got.Payload) != "between" {
				t.Errorf("the pong has %q", got.Payload)
			}
			send(t, client, masked(ws.NewPongFrame([]byte("unasked"))))
			write(t, backend, "down")
			expectMessage(t, client, c.opcode, "down")
			backend.Close()
			expectClose(t, client, ws.StatusGoingAway)
		})
	}
}

// A client sends its first messages together with its request: they wait for the
// backend.
func TestEndpointEarlyMessages(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	client := r.dial()
	early := slices.Concat(masked(text("first")), masked(ws.NewPingFrame([]byte("!"))), masked(text(" second")))
	send(t, client, append([]byte(upgradeRequest), early[:len(early)-3]...))
	backend := r.acceptBytes()
	expect(t, client, upgradeAnswer)
	expect(t, backend, "first sec")
	send(t, client, early[len(early)-3:])
	expect(t, backend, "ond")
	expectFrame(t, client, ws.OpPong, false)
}

// A character that the backend sends in pieces is one, and messages are whole
// text each.
func TestEndpointTextInPieces(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	client, backend := r.endpointTunnel()
	want := "é日本😀"
	for i := range len(want) {
		write(t, backend, want[i:i+1])
		r.awaitTunnel("the byte on its own", func(t *Tunnel) bool { return t.endpoint != nil && int(t.down.heard) > i })
	}
	for _, character := range want {
		if f := expectFrame(t, client, ws.OpText, false); string(f.Payload) != string(character) {
			t.Fatalf("a message %q, want %q", f.Payload, string(character))
		}
	}
}

func TestEndpointSubprotocols(t *testing.T) {
	for _, c := range []struct{ offered, chosen string }{
		{"binary, base64", "binary"}, {"base64, binary", "base64"}, {"mqtt, base64", "base64"}, {"mqtt", ""}, {"Binary", ""},
	} {
		t.Run(c.offered, func(t *testing.T) {
			r := newRig(t, endpointRoute(nil))
			client := r.dial()
			write(t, client, withLines(upgradeRequest, "Sec-WebSocket-Protocol: "+c.offered))
			backend := r.acceptBytes()
			answer := strings.TrimSuffix(upgradeAnswer, "\r\n")
			if c.chosen != "" {
				answer += "Sec-WebSocket-Protocol: " + c.chosen + "\r\n"
			}
			expect(t, client, answer+"\r\n")
			const binary = "\x00\xffbytes"
			encoded := base64.StdEncoding.EncodeToString([]byte(binary))
			switch c.chosen {
			case "base64":
				send(t, client, masked(text(encoded)))
				expect(t, backend, binary)
				write(t, backend, binary)
				expectMessage(t, client, ws.OpText, encoded)
				send(t, client, masked(text("no base64")))
				expectClose(t, client, ws.StatusInvalidFramePayloadData)
			case "binary":
				send(t, client, masked(ws.NewBinaryFrame([]byte(binary))))
				expect(t, backend, binary)
				write(t, backend, binary)
				expectMessage(t, client, ws.OpBinary, binary)
			default:
				write(t, backend, "text")
				expectMessage(t, client, ws.OpText, "text")
			}
		})
	}
}

// Random traffic in both directions at once, in random pieces, comes out as it
// went in.
func TestEndpointCarriesEverything(t *testing.T) {
	const total = 24 << 20
	noise := make([]byte, total)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(noise)
	r := newRig(t, endpointRoute(binaryFrames))
	client, backend := r.endpointTunnel()
	random := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	for rest, begun := noise, false; len(rest) > 0; {
		size := min(len(rest), 1+random.IntN(1<<random.IntN(22)))
		opcode, fin := ws.OpBinary, random.IntN(3) > 0
		if begun {
			opcode = ws.OpContinuation
		}
		begun = !fin
		stream = append(stream, masked(ws.NewFrame(opcode, fin, bytes.Clone(rest[:size])))...)
		rest = rest[size:]
	}
	go writePieces(client, stream, rand.New(rand.NewPCG(3, 4)))
	go writePieces(backend, noise, rand.New(rand.NewPCG(5, 6)))
	done := make(chan error, 1)
	go func() {
		got := make([]byte, total)
		_, err := io.ReadFull(backend, got)
		if err == nil && !bytes.Equal(got, noise) {
			err = errors.New("the backend got other bytes")
		}
		done <- err
	}()
	for at := 0; at < total; {
		f := expectFrame(t, client, ws.OpBinary, false)
		if !bytes.HasPrefix(noise[at:], f.Payload) || len(f.Payload) == 0 {
			t.Fatalf("the client got other bytes at %d", at)
		}
		at += len(f.Payload)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// writePieces writes b in random pieces; a failure shows at the reader.
func writePieces(conn net.Conn, b []byte, random *rand.Rand) {
	for len(b) > 0 {
		n := min(len(b), 1+random.IntN(1<<random.IntN(20)))
		_, _ = conn.Write(b[:n])
		b = b[n:]
	}
}

// A client that pings and does not read costs no memory, and gets the answer to
// its latest ping once it reads.
func TestEndpointPingFlood(t *testing.T) {
	r := newRig(t, endpointRoute(binaryFrames))
	client, backend := r.endpointTunnel()
	full := make(chan struct{})
	go func() { // fills what is between the backend and the client
		defer close(full)
		_ = backend.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		chunk := make([]byte, 1<<20)
		for {
			if _, err := backend.Write(chunk); err != nil {
				return
			}
		}
	}()
	<-full
	const pings = 20_000
	for i := range pings {
		send(t, client, masked(ws.NewPingFrame(fmt.Appendf(nil, "%0100d", i))))
	}
	send(t, client, masked(text("behind")))
	expect(t, backend, "behind")
	if n := r.count(func(t *Tunnel) bool { return t.endpoint != nil && t.down.pump.Parked() > 2*64<<10 }); n > 0 {
		t.Error("pongs wait in memory")
	}
	last := fmt.Sprintf("%0100d", pings-1)
	for {
		f, err := ws.ReadFrame(client)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpPong && string(f.Payload) == last {
			return
		}
	}
}

// A backend that does not read holds the client back, and a client that does not
// read the backend, with bounded memory; nothing is lost.
func TestEndpointSlowSides(t *testing.T) {
	for _, slow := range []string{"backend", "client"} {
		t.Run(slow, func(t *testing.T) {
			r := newRig(t, endpointRoute(binaryFrames))
			client, backend := r.endpointTunnel()
			source, sink := client, backend
			message := masked(ws.NewBinaryFrame(make([]byte, 100_000)))
			if slow == "client" {
				source, sink = backend, client
				message = message[:100_000]
			}
			var sent atomic.Int64
			stuck := make(chan struct{})
			go func() {
				defer close(stuck)
				for {
					_ = source.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
					n, err := source.Write(message)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			}()
			<-stuck
			if n := r.count(func(t *Tunnel) bool {
				return t.endpoint != nil && max(t.up.pump.Parked(), t.down.pump.Parked()) > 2*64<<10
			}); n > 0 {
				t.Error("more waits in memory than is allowed")
			}
			closeWrite(t, source)
			got, err := io.Copy(io.Discard, sink)
			if err != nil {
				t.Fatal(err)
			}
			payload := sent.Load() / int64(len(message)) * 100_000 // whole messages
			if got < payload {
				t.Errorf("%d bytes came of %d", got, payload)
			}
		})
	}
}

// A backend that cannot be reached is an ordinary refusal.
func TestEndpointBackendDown(t *testing.T) {
	r := newRig(t, func(c *Config) {
		endpointRoute(nil)(c)
		c.Routes[0].Upstream.Servers()[0].Addresses()[0] = sys.TCPAddr(closedPort(), 0)
	})
	client := r.dial()
	write(t, client, upgradeRequest)
	expectAnswer(t, client, "503")
}

// A server that cannot be reached costs the client nothing where another can.
func TestEndpointTriesTheNextServer(t *testing.T) {
	r := newRig(t, func(c *Config) {
		endpointRoute(nil)(c)
		c.Routes[0].Upstream = pairOf(t, closedPort().String(), c.Routes[0].Upstream.Servers()[0].Name())
	})
	for range 4 { // each of the two is the first one in turn
		client, backend := r.endpointTunnel()
		send(t, client, masked(text("hello")))
		expect(t, backend, "hello")
	}
	if r.server.Stats().DialFailures == 0 {
		t.Error("the server that is down was never tried")
	}
}

// pairOf is an upstream of two servers, in turn.
func pairOf(t *testing.T, addresses ...string) *pool.Upstream {
	return (&rig{t: t}).upstream(addresses...)
}

// An endpoint's tunnel is no goroutine.
func TestEndpointIsNoGoroutine(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	r.endpointTunnel()
	before := runtime.NumGoroutine()
	for range 100 {
		r.endpointTunnel()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines with 100 further tunnels, %d without", after, before)
	}
}

// Nothing is allocated for a message.
func TestEndpointDoesNotAllocate(t *testing.T) {
	r := newRig(t, endpointRoute(nil))
	client, backend := r.endpointTunnel()
	payload := make([]byte, 128)
	up, down := masked(text(string(payload))), plain(text(string(payload)))
	ping, pong := masked(ws.NewPingFrame([]byte("ping"))), plain(ws.NewPongFrame([]byte("ping")))
	room := make([]byte, len(down))
	pass := func(from *net.TCPConn, message []byte, to *net.TCPConn, want []byte) {
		if _, err := from.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, room[:len(want)]); err != nil || !bytes.Equal(room[:len(want)], want) {
			t.Fatalf("got %x, %v, want %x", room[:len(want)], err, want)
		}
	}
	allocs := testing.AllocsPerRun(300, func() {
		pass(client, up, backend, payload)
		pass(backend, payload, client, down)
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per echo, want 0", allocs)
	}
	pass(client, ping, client, pong)
}

// An idle endpoint's tunnel stays within the 1,024 bytes that one may cost.
func TestEndpointSize(t *testing.T) {
	const table = 2 * 16 // of the loop, for both sockets
	whole := 32768/tunnelsPerChunk + int(unsafe.Sizeof(endpoint{})) + table
	if tunnelsPerChunk*unsafe.Sizeof(Tunnel{}) > 32768 || whole > 1024 {
		t.Errorf("a tunnel has %d bytes, an endpoint %d", unsafe.Sizeof(Tunnel{}), unsafe.Sizeof(endpoint{}))
	}
}

// A client that is held back for a slow backend cannot be heard, and so is not
// taken for dead.
func TestEndpointHeldBackClientIsAlive(t *testing.T) {
	const total, timeout = 32 << 20, 150 * time.Millisecond
	r := newRig(t, endpointRoute(func(r *Route) { r.PingInterval, r.PongTimeout = 50*time.Millisecond, timeout }))
	client, backend := r.endpointTunnel()
	message := masked(ws.NewBinaryFrame(make([]byte, 1<<20)))
	go func() {
		for range total >> 20 {
			_, _ = client.Write(message) // a failure shows at the backend
		}
	}()
	r.awaitTunnel("the client is held back", func(t *Tunnel) bool { return t.client.In.Kind == loop.PollHangup })
	<-time.After(4 * timeout)
	if got, err := io.CopyN(io.Discard, backend, total); err != nil {
		t.Errorf("the backend got %d bytes of %d: %v", got, total, err)
	}
	client.Close()
	backend.Close()
}
