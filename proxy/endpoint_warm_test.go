package proxy

import (
	"encoding/base64"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
	"wsplice/pool"
)

// heard is what came on a connection of the backend.
type heard struct {
	conn *net.TCPConn
	text string
}

// A warmEndpoint is a rig whose route is an endpoint, with one warm connection.
type warmEndpoint struct {
	*rig
	conns chan *net.TCPConn // as they were accepted
	heard chan heard
}

// newWarmEndpoint says words on every connection to the backend.
func newWarmEndpoint(t *testing.T, words string, change func(c *Config)) *warmEndpoint {
	t.Helper()
	r := &warmEndpoint{conns: make(chan *net.TCPConn, 64), heard: make(chan heard, 64)}
	r.rig = newRig(t, func(c *Config) {
		endpointRoute(nil)(c)
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
		if change != nil {
			change(c)
		}
	})
	go r.serve(r.backend, words)
	testutil.Eventually(t, patience, "a connection is warm", func() bool { return r.server.Stats().WarmIdle == 1 })
	return r
}

// serve ends with the listener.
func (r *warmEndpoint) serve(listener *net.TCPListener, words string) {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			return
		}
		r.t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(2 * patience))
		_, _ = conn.Write([]byte(words)) // a failure shows at the client
		r.conns <- conn
		go func() {
			b := make([]byte, 4096)
			for {
				n, err := conn.Read(b)
				if n > 0 {
					r.heard <- heard{conn, string(b[:n])}
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// open opens an endpoint on the warm connection.
func (r *warmEndpoint) open(lines ...string) (client, backend *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	answer := strings.TrimSuffix(upgradeAnswer, "\r\n")
	for _, line := range lines {
		answer += line + "\r\n"
	}
	write(r.t, client, withLines(upgradeRequest, lines...))
	expect(r.t, client, answer+"\r\n")
	return client, receive(r.t, r.conns, "a connection")
}

func receive[T any](t testing.TB, from chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("no %s came", what)
	}
	return got
}

// gets returns the connection on which the backend gets want.
func (r *warmEndpoint) gets(want string) *net.TCPConn {
	r.t.Helper()
	h := receive(r.t, r.heard, "bytes")
	for len(h.text) < len(want) {
		h.text += receive(r.t, r.heard, "bytes").text
	}
	if h.text != want {
		r.t.Fatalf("the backend got %q, want %q", h.text, want)
	}
	return h.conn
}

// want compares the counters, and holds that nobody was told of a failed dial.
func (r *warmEndpoint) want(taken, dead uint64) {
	r.t.Helper()
	if s := r.server.Stats(); s.WarmTaken != taken || s.WarmDead != dead {
		r.t.Errorf("%d taken, %d dead; want %d, %d", s.WarmTaken, s.WarmDead, taken, dead)
	}
}

// What a server says before anybody else is the client's first message, whoever has
// read it, and the connection goes on from there.
func TestWarmEndpointOfAServerThatSpeaksFirst(t *testing.T) {
	long := strings.Repeat("é", 30_000)
	for _, c := range []struct {
		name, words, subprotocol string
		opcode                   ws.OpCode
	}{
		{"text", "220 ready\r\n", "", ws.OpText},
		{"much text", long, "", ws.OpText},
		{"binary", "RFB 003.008\n\xff", "binary", ws.OpBinary},
		{"base64", "RFB 003.008\n\xff", "base64", ws.OpText},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newWarmEndpoint(t, c.words, nil)
			var lines []string
			up, down, words := masked(text("up")), "down", c.words
			if c.subprotocol != "" {
				lines = append(lines, "Sec-WebSocket-Protocol: "+c.subprotocol)
			}
			if c.subprotocol == "base64" {
				encode := base64.StdEncoding.EncodeToString
				up, down, words = masked(text(encode([]byte("up")))), encode([]byte(down)), encode([]byte(words))
			}
			client, backend := r.open(lines...)
			expectMessage(t, client, c.opcode, words)
			send(t, client, up)
			if got := r.gets("up"); got != backend {
				t.Error("the client's bytes went elsewhere")
			}
			write(t, backend, "down")
			expectMessage(t, client, c.opcode, down)
			backend.Close()
			expectClose(t, client, ws.StatusGoingAway)
			r.want(1, 0)
		})
	}
}

// A greeting that ends inside a character waits for the rest, and one that is no
// text is told like later bytes that are none.
func TestWarmEndpointGreetingIsText(t *testing.T) {
	r := newWarmEndpoint(t, "é"[:1], nil)
	client, backend := r.open()
	r.awaitTunnel("the first half", func(t *Tunnel) bool { return t.endpoint != nil && t.down.heard == 1 })
	write(t, backend, "é"[1:])
	expectMessage(t, client, ws.OpText, "é")
	r.want(1, 0)

	r = newWarmEndpoint(t, "ok\xff", nil)
	client, _ = r.open()
	expectMessage(t, client, ws.OpText, "ok")
	expectClose(t, client, ws.StatusInvalidFramePayloadData)
}

var deaths = map[string]func(t testing.TB, conn *net.TCPConn){
	"FIN": func(_ testing.TB, conn *net.TCPConn) { conn.Close() },
	"RST": func(t testing.TB, conn *net.TCPConn) { reset(t, conn) },
}

// While nothing has moved on a warm connection, its end costs a dial, and the
// client sees nothing of it.
func TestWarmEndpointIsDead(t *testing.T) {
	for name, end := range deaths {
		t.Run(name, func(t *testing.T) {
			r := newWarmEndpoint(t, "", nil)
			client, dead := r.open()
			end(t, dead)
			r.took(stateRelaying, stateDialing)
			send(t, client, masked(ws.NewPingFrame([]byte("!"))))
			send(t, client, masked(text("hello")))
			other := r.gets("hello")
			expectFrame(t, client, ws.OpPong, false)
			write(t, other, "world")
			expectMessage(t, client, ws.OpText, "world")
			other.Close() // which is not replaced again
			expectClose(t, client, ws.StatusGoingAway)
			r.want(1, 1)
			if s := r.server.Stats(); s.Opened != 1 || s.DialFailures != 0 {
				t.Errorf("%d tunnels, %d failed dials", s.Opened, s.DialFailures)
			}
		})
	}
}

// A client's first bytes and the end of a connection come in the same instant: the
// bytes are not sent into the dead one, and neither they nor a Close behind them
// are lost.
func TestWarmEndpointDiesAsTheClientSpeaks(t *testing.T) {
	for name, end := range deaths {
		for _, leaves := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newWarmEndpoint(t, "", func(c *Config) { c.Loops = 1 })
				client, dead := r.open()
				r.awaitTunnel("it relays", (*Tunnel).relays)
				stopped, gate := make(chan struct{}), make(chan struct{})
				if err := r.server.workers[0].loop.Post(func() { close(stopped); <-gate }); err != nil {
					t.Fatal(err)
				}
				<-stopped
				message := masked(text("hello"))
				if leaves {
					message = append(message, masked(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "bye")))...)
				}
				send(t, client, message)
				end(t, dead)
				close(gate)
				if r.gets("hello") == dead {
					t.Error("a dead connection got the bytes")
				}
				if leaves {
					f := expectFrame(t, client, ws.OpClose, false)
					if code, _ := ws.ParseCloseFrameData(f.Payload); code != 4000 {
						t.Errorf("code %d, want 4000", code)
					}
				}
				r.want(1, 1)
			})
		}
	}
}

// Once a side has had bytes of the other, an end is an end.
func TestWarmEndpointEndsAfterWords(t *testing.T) {
	codes := map[string]ws.StatusCode{"FIN": ws.StatusGoingAway, "RST": ws.StatusInternalServerError}
	for name, end := range deaths {
		t.Run(name+" after the client's bytes", func(t *testing.T) {
			r := newWarmEndpoint(t, "", nil)
			client, backend := r.open()
			send(t, client, masked(text("do it")))
			r.gets("do it")
			end(t, backend)
			expectClose(t, client, codes[name])
			r.want(1, 0)
		})
		t.Run(name+" after the backend's bytes", func(t *testing.T) {
			r := newWarmEndpoint(t, "", nil)
			client, backend := r.open()
			write(t, backend, "hello")
			expectMessage(t, client, ws.OpText, "hello")
			end(t, backend)
			expectClose(t, client, codes[name])
			r.want(1, 0)
		})
	}
	t.Run("FIN after the client's", func(t *testing.T) {
		r := newWarmEndpoint(t, "", nil)
		client, backend := r.open()
		closeWrite(t, client)
		expect(t, backend, "")
		r.took(stateRelaying, stateDraining)
		backend.Close()
		expectClose(t, client, ws.StatusGoingAway)
		r.want(1, 0)
	})
}

// The server of a dead connection is gone: another one is asked, or the client is
// told.
func TestWarmEndpointServerIsGone(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, servers := range []int{1, 2} {
		r := newWarmEndpoint(t, "", func(c *Config) {
			if all := c.Routes[0].Upstream.Servers(); servers == 2 {
				all = append(all, oneServer(t, "tcp", other.Addr().String()).Servers()...)
				if c.Routes[0].Upstream, err = pool.NewUpstream("two", pool.RoundRobin, all); err != nil {
					t.Fatal(err)
				}
			}
		})
		client, dead := r.open()
		r.backend.Close()
		dead.Close()
		if servers == 1 {
			expectClose(t, client, ws.StatusInternalServerError)
			continue
		}
		go r.serve(other.(*net.TCPListener), "")
		send(t, client, masked(text("hello")))
		write(t, r.gets("hello"), "world")
		expectMessage(t, client, ws.OpText, "world")
	}
}

// What happens while a backend is being replaced happens to an open WebSocket.
func TestWarmEndpointWhileItIsReplaced(t *testing.T) {
	for name, then := range map[string]func(t *testing.T, r *warmEndpoint, client *net.TCPConn){
		"the client leaves": func(t *testing.T, r *warmEndpoint, client *net.TCPConn) {
			reset(t, client)
			r.took(stateDialing, stateClosing)
			testutil.Eventually(t, patience, "it is over", func() bool { return r.server.Stats().Open == 0 })
		},
		"wsplice stops": func(t *testing.T, r *warmEndpoint, client *net.TCPConn) {
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				r.close(50 * time.Millisecond)
			}()
			expectClose(t, client, ws.StatusGoingAway)
			client.Close()
			<-stopped
		},
		"nobody answers": func(t *testing.T, _ *warmEndpoint, client *net.TCPConn) {
			expectClose(t, client, ws.StatusInternalServerError)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newWarmEndpoint(t, "", func(c *Config) { c.Timeouts.Dial = 300 * time.Millisecond })
			client, dead := r.open()
			var blocked sys.Sockaddr
			fillQueue(&blocked)
			defer unblock()
			r.server.config.Routes[0].Upstream.Servers()[0].SetAddresses([]sys.Sockaddr{blocked})
			dead.Close()
			r.took(stateRelaying, stateDialing)
			then(t, r, client)
		})
	}
}

// A client that does not wait for the 101 gives no time to see that a connection
// is dead.
func TestWarmEndpointNotForEarlyBytes(t *testing.T) {
	r := newWarmEndpoint(t, "", nil)
	idle := receive(t, r.conns, "a connection")
	client := r.dial()
	send(t, client, slices.Concat([]byte(upgradeRequest), masked(text("early"))))
	expect(t, client, upgradeAnswer)
	if r.gets("early") == idle {
		t.Error("they went into a warm connection")
	}
	r.want(0, 0)
}

// One upstream serves a tunnel and an endpoint: both take its connections, but a
// tunnel none on which the server has spoken.
func TestWarmUpstreamOfTunnelAndEndpoint(t *testing.T) {
	for _, words := range []string{"", "220 hello\r\n\r\n"} {
		r := newWarmEndpoint(t, words, func(c *Config) {
			tunnel := c.Routes[0]
			tunnel.Name, tunnel.Mode = "tunnel", ModeTunnel
			tunnel.Pattern.Prefix = "/tunnel"
			c.Routes = append([]Route{tunnel}, c.Routes...)
		})
		if words == "" {
			r.open()
			testutil.Eventually(t, patience, "the next one is warm", func() bool { return r.server.Stats().WarmIdle == 1 })
		} else {
			receive(t, r.conns, "a connection")
		}
		client := r.dial()
		write(t, client, strings.Replace(upgradeRequest, "/x", "/tunnel", 1))
		if words == "" {
			backend := receive(t, r.heard, "a request").conn
			write(t, backend, upgradeAnswer)
			expect(t, client, upgradeAnswer)
			r.want(2, 0)
		} else { // what it says to a new connection is no answer either
			expectAnswer(t, client, "502")
			r.want(0, 0)
		}
	}
}

// A client that could not be heard while its backend was replaced is not taken for
// dead. The queue of a unix socket is full for so long.
func TestWarmEndpointIsReplacedLate(t *testing.T) {
	const timeout = 150 * time.Millisecond
	listener, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	raw, err := listener.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 0) }); err != nil {
		t.Fatal(err)
	}
	accept := func() net.Conn {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	r := newRig(t, func(c *Config) {
		endpointRoute(func(r *Route) { r.PingInterval, r.PongTimeout = timeout/3, timeout })(c)
		c.Routes[0].Upstream = oneServer(t, "unix", listener.Addr().String())
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
	})
	warm := func() {
		testutil.Eventually(t, patience, "a connection is warm", func() bool { return r.server.Stats().WarmIdle == 1 })
	}
	warm()
	dead := accept()
	client := r.dial()
	write(t, client, upgradeRequest)
	expect(t, client, upgradeAnswer)
	warm() // which fills the queue
	expectFrame(t, client, ws.OpPing, false)
	dead.Close()
	r.took(stateRelaying, stateDialing)
	<-time.After(2 * timeout)
	accept() // the warm one
	other := accept()
	r.awaitTunnel("it goes on", (*Tunnel).relays)
	for range 5 {
		send(t, client, masked(ws.NewPongFrame(expectFrame(t, client, ws.OpPing, false).Payload)))
	}
	send(t, client, masked(text("hello")))
	expect(t, other, "hello")
}
