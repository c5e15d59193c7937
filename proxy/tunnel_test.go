package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/sys"
	"wsplice/internal/testutil"
)

// The comment on Tunnel and the table in the code say the same.
func TestTunnelTable(t *testing.T) {
	source, err := os.ReadFile("tunnel.go")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^//\t(\w+) +((?:\w+ )*\w+)  `)
	documented := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(string(source), -1) {
		documented[m[1]] = m[2]
	}
	for state := range stateCount {
		var moves []string
		for next := range stateCount {
			if legalMoves[state].has(next) {
				moves = append(moves, next.String())
			}
		}
		got := strings.Fields(documented[state.String()])
		if !sameSet(got, moves) {
			t.Errorf("%v: the comment says %v, the code %v", state, got, moves)
		}
	}
}

func sameSet(a, b []string) bool {
	seen := make(map[string]int)
	for _, s := range a {
		seen[s]++
	}
	for _, s := range b {
		seen[s]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestIllegalMovePanics(t *testing.T) {
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "may not go from free to relaying") {
			t.Errorf("panic says %q", text)
		}
	}()
	tunnel := Tunnel{worker: &worker{server: &Server{}}}
	tunnel.setState(stateRelaying)
}

// Every edge of the table can be taken, and leads where it should.
func TestEveryTransition(t *testing.T) {
	taken := make(map[[2]tunnelState]bool)
	for _, c := range transitionCases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.change)
			c.play(t, r)
			r.close(patience)
			for move := range r.moves {
				taken[move] = true
			}
		})
	}
	for from := range stateCount {
		for to := range stateCount {
			if legalMoves[from].has(to) && !taken[[2]tunnelState{from, to}] {
				t.Errorf("no case goes from %v to %v", from, to)
			}
		}
	}
}

func bigPage(c *Config) {
	c.Pages = []Page{{Path: "/big", ContentType: "text/plain", Body: make([]byte, 64<<20)}}
}

func modeHTTP(c *Config) { c.Routes[0].Mode = ModeHTTP }

func shortUpgrade(c *Config) { c.Timeouts.Upgrade = 50 * time.Millisecond }

var transitionCases = []struct {
	name   string
	change func(*Config)
	play   func(t *testing.T, r *rig)
}{
	{"client leaves before its head is complete", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, "GET / HT")
		client.Close()
		r.took(stateReading, stateClosing)
	}},
	{"PROXY header and request", proxied(GreetingRequired), func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, announced+upgradeRequest)
		r.accept()
		r.took(stateFree, stateGreeting)
		r.took(stateGreeting, stateReading)
		client.Close()
	}},
	{"client leaves before its PROXY header is complete", proxied(GreetingRequired), func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, announced[:20])
		client.Close()
		r.took(stateGreeting, stateClosing)
	}},
	{"PROXY header missing", proxied(GreetingRequired), func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, "G")
		expectAnswer(t, client, "400")
		r.took(stateGreeting, stateAnswering)
	}},
	{"malformed head", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, "GET / HTTP/1.1\nHost: h\n\n")
		expectAnswer(t, client, "400")
		r.took(stateReading, stateAnswering)
	}},
	{"head never complete", func(c *Config) { c.Timeouts.Head = 50 * time.Millisecond }, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, "GET / HT")
		expectAnswer(t, client, "408")
	}},
	{"client does not take the answer", bigPage, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
		r.took(stateAnswering, stateClosing)
	}},
	{"backend down", func(c *Config) {
		c.Routes[0].Upstream.Servers()[0].Addresses()[0] = sys.TCPAddr(closedPort(), 0)
	}, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		expectAnswer(t, client, "503")
		r.took(stateDialing, stateAnswering)
	}},
	{"client resets while the backend is dialed", fullBacklog, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		r.took(stateReading, stateDialing)
		reset(t, client)
		r.took(stateDialing, stateClosing)
		unblock()
	}},
	{"client resets while the backend thinks", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		r.accept()
		reset(t, client)
		r.took(stateUpgrading, stateClosing)
	}},
	{"backend never answers", shortUpgrade, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		r.accept()
		expectAnswer(t, client, "504")
		r.took(stateUpgrading, stateAnswering)
	}},
	{"endpoint", endpointRoute(nil), func(t *testing.T, r *rig) {
		client, backend := r.endpointTunnel()
		r.took(stateDialing, stateRelaying)
		client.Close()
		backend.Close()
	}},
	{"a warm connection is dead", func(c *Config) {
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
	}, func(t *testing.T, r *rig) {
		testutil.Eventually(t, patience, "a connection is warm", func() bool { return r.server.Stats().WarmIdle == 1 })
		client := r.dial()
		write(t, client, upgradeRequest)
		backend, _ := r.accept()
		backend.Close()
		r.took(stateUpgrading, stateDialing)
		reset(t, client)
	}},
	{"an endpoint's warm connection is dead, and its server gone", func(c *Config) {
		endpointRoute(nil)(c)
		c.Routes[0].Upstream.Servers()[0].KeepWarm(1)
	}, func(t *testing.T, r *rig) {
		testutil.Eventually(t, patience, "a connection is warm", func() bool { return r.server.Stats().WarmIdle == 1 })
		client, backend := r.endpointTunnel()
		r.backend.Close()
		backend.Close()
		r.took(stateRelaying, stateDialing)
		r.took(stateDialing, stateParting)
		client.Close()
	}},
	{"backend refuses, client asks again", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		for range 3 {
			write(t, client, upgradeRequest)
			backend, _ := r.accept()
			write(t, backend, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
			expect(t, client, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno")
		}
		r.took(stateReplying, stateReading)
		client.Close()
	}},
	{"backend refuses without a length", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		backend, _ := r.accept()
		write(t, backend, "HTTP/1.1 404 Not Found\r\n\r\nno")
		write(t, backend, " such thing")
		backend.Close()
		if text := expectEnd(t, client); !strings.HasSuffix(text, "\r\n\r\nno such thing") {
			t.Errorf("got %q", text)
		}
		r.took(stateReplying, stateLingering)
	}},
	{"backend breaks its refusal's framing", nil, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, upgradeRequest)
		backend, _ := r.accept()
		write(t, backend, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n")
		expectEnd(t, client)
		r.took(stateReplying, stateClosing)
	}},
	{"ordinary requests, the last of which closes", modeHTTP, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, get("/"))
		backend, _ := r.accept()
		write(t, backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		expect(t, client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		r.took(stateReading, stateAway)
		r.took(stateAway, stateReading)
		write(t, client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if _, err := http.ReadRequest(bufio.NewReader(backend)); err != nil {
			t.Fatal(err)
		}
		write(t, backend, "HTTP/1.1 204 No Content\r\n\r\n")
		expectAnswer(t, client, "204")
		r.took(stateAway, stateLingering)
	}},
	{"backend dies in the middle of an answer", modeHTTP, func(t *testing.T, r *rig) {
		client := r.dial()
		write(t, client, get("/"))
		backend, _ := r.accept()
		write(t, backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		backend.Close()
		r.took(stateAway, stateClosing)
	}},
	{"both sides end in turn", nil, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		write(t, client, "last from client")
		closeWrite(t, client)
		if text := expectEnd(t, backend); text != "last from client" {
			t.Errorf("backend got %q", text)
		}
		r.took(stateRelaying, stateDraining)
		write(t, backend, "late bytes")
		backend.Close()
		if text := expectEnd(t, client); text != "late bytes" {
			t.Errorf("client got %q", text)
		}
		r.took(stateDraining, stateClosing)
	}},
	{"backend dies in a tunnel", withoutFrames, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		reset(t, backend)
		expectEnd(t, client)
		r.took(stateRelaying, stateLingering)
		r.took(stateLingering, stateClosing)
	}},
	{"backend dies after the client's half-close", withoutFrames, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		closeWrite(t, client)
		expectEnd(t, backend)
		reset(t, backend)
		expectEnd(t, client)
		r.took(stateDraining, stateLingering)
	}},
	{"idle", func(c *Config) { withoutFrames(c); c.Routes[0].IdleTimeout = 50 * time.Millisecond }, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		expectEnd(t, client)
		expectEnd(t, backend)
		r.took(stateRelaying, stateLingering)
	}},
	{"idle with bytes that the client does not take", func(c *Config) {
		withoutFrames(c)
		c.Routes[0].IdleTimeout = 300 * time.Millisecond
	}, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		for err := error(nil); err == nil; {
			_, err = backend.Write(make([]byte, 1<<20))
		}
		if got, err := io.Copy(io.Discard, client); err == nil {
			t.Errorf("after %d bytes of more the client sees an orderly end", got)
		}
		r.took(stateRelaying, stateClosing)
	}},
	{"idle between frames", func(c *Config) { c.Routes[0].IdleTimeout = 50 * time.Millisecond }, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		expectClose(t, client, ws.StatusGoingAway)
		expectClose(t, backend, ws.StatusGoingAway)
		r.took(stateRelaying, stateParting)
		client.Close()
		backend.Close()
		r.took(stateParting, stateClosing)
	}},
	{"goroutines serve both directions, then one", func(c *Config) { c.Routes[0].Sync = true }, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		r.took(stateRelaying, stateSync)
		send(t, client, masked(text("x")))
		closeWrite(t, client)
		expectEnd(t, backend)
		r.took(stateDraining, stateSync)
		backend.Close()
		expectEnd(t, client)
		r.took(stateSync, stateDraining)
	}},
	{"backend dies between frames, after the client's half-close", nil, func(t *testing.T, r *rig) {
		client, backend := r.tunnel()
		closeWrite(t, client)
		expectEnd(t, backend)
		reset(t, backend)
		expectClose(t, client, ws.StatusInternalServerError)
		r.took(stateDraining, stateParting)
	}},
}

func withoutFrames(c *Config) { c.Routes[0].Frames = FramesOff }

// fullBacklog points the route at a listener that answers no SYN any more.
func fullBacklog(c *Config) {
	fillQueue(&c.Routes[0].Upstream.Servers()[0].Addresses()[0])
}

// fillQueue makes addr that of a listener whose queue is full until unblock.
func fillQueue(addr *sys.Sockaddr) {
	*addr = sys.TCPAddr(closedPort(), 0)
	listener, err := sys.ListenTCP(addr, sys.ListenOptions{Backlog: 0})
	if err != nil {
		panic(err)
	}
	blockers = append(blockers, listener)
	for range 4 {
		fd, _ := sys.StreamSocket(addr.Family())
		fd.Connect(addr)
		blockers = append(blockers, fd)
	}
}

// One-way traffic is not idle: the clock serves both directions.
func TestOneWayTrafficIsNotIdle(t *testing.T) {
	for _, from := range []string{"client", "backend"} {
		t.Run(from, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Routes[0].IdleTimeout = 200 * time.Millisecond })
			source, sink := r.tunnel()
			if from == "backend" {
				source, sink = sink, source
			}
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for begin := time.Now(); time.Since(begin) < time.Second; <-ticker.C {
				write(t, source, "x")
				expect(t, sink, "x")
			}
			begin := time.Now()
			expectEnd(t, source)
			if quiet := time.Since(begin); quiet < 150*time.Millisecond || quiet > 5*time.Second {
				t.Errorf("closed after %v of silence, want 200ms", quiet)
			}
		})
	}
}

// A client that does not read stops the backend, and gets every byte later.
func TestSlowReader(t *testing.T) {
	for _, size := range []int{1000, 100 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, nil)
			client, backend := r.tunnel()
			message := bytes.Repeat([]byte{7}, size)
			written := make(chan int)
			go func() {
				total := 0
				defer func() { written <- total }()
				for {
					_ = backend.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // a failure shows in Write
					n, err := backend.Write(message)
					total += n
					if err != nil {
						_ = backend.CloseWrite() // a failure shows at the client
						return
					}
				}
			}()
			total := <-written
			got, err := io.Copy(io.Discard, client)
			if err != nil || int(got) != total {
				t.Errorf("client got %d bytes of %d: %v", got, total, err)
			}
			client.Close()
		})
	}
}

// Nothing is allocated for a relayed message.
func TestRelayDoesNotAllocate(t *testing.T) {
	r := newRig(t, nil)
	client, backend := r.tunnel()
	up, down := masked(ws.NewBinaryFrame(make([]byte, 128))), plain(ws.NewBinaryFrame(make([]byte, 128)))
	room := make([]byte, len(up))
	pass := func(from, to *net.TCPConn, message []byte) {
		if _, err := from.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, room[:len(message)]); err != nil {
			t.Fatal(err)
		}
	}
	// It takes all processors but one away, so that a loop's wait holds the others up.
	allocs := testing.AllocsPerRun(300, func() {
		pass(client, backend, up)
		pass(backend, client, down)
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per echo, want 0", allocs)
	}
}

// With async on, tunnels are no goroutines.
func TestNoGoroutinePerTunnel(t *testing.T) {
	r := newRig(t, nil)
	r.tunnel()
	before := runtime.NumGoroutine()
	for range 200 {
		r.tunnel()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines with 200 further tunnels, %d without", after, before)
	}
}

// At the end of the drain time open tunnels are cut and counted.
func TestStopCutsAfterTheDrainTime(t *testing.T) {
	r := newRig(t, nil)
	client, backend := r.tunnel()
	if cut := r.close(100 * time.Millisecond); cut != 1 {
		t.Errorf("%d tunnels cut, want 1", cut)
	}
	expectEnd(t, client)
	expectEnd(t, backend)
}

// The limit on tunnels refuses, and admits again after one has ended.
func TestTunnelLimit(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Tunnels = 1 })
	client, backend := r.tunnel()
	second := r.dial()
	write(t, second, upgradeRequest)
	expectAnswer(t, second, "503")
	client.Close()
	expectEnd(t, backend)
	backend.Close()
	testutil.Eventually(t, patience, "room for another", func() bool { return r.server.tunnels.Load() == 0 })
	r.tunnel()
}
