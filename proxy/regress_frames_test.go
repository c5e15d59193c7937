package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

// Bytes that come with the 101, or with the request, may end in what could be
// the beginning of a pong of ours. They arrive once.
func TestEarlyBytesThatMayBeAPong(t *testing.T) {
	for cut := 1; cut < 6; cut++ {
		r := newRig(t, func(c *Config) { c.Routes[0].PingInterval = time.Hour })
		up, down := masked(ws.NewPongFrame([]byte("eight by"))), plain(ws.NewPongFrame([]byte("eight by")))
		client := r.dial()
		write(t, client, upgradeRequest+string(up[:cut]))
		backend, _ := r.accept()
		write(t, backend, upgradeAnswer+string(down[:cut]))
		expect(t, client, upgradeAnswer)
		send(t, backend, down[cut:])
		send(t, client, up[cut:])
		expect(t, client, string(down))
		expect(t, backend, string(up))
		closeWrite(t, client)
		if got := expectEnd(t, backend); got != "" {
			t.Errorf("cut at %d: the backend got %q more", cut, got)
		}
		backend.Close()
		if got := expectEnd(t, client); got != "" {
			t.Errorf("cut at %d: the client got %q more", cut, got)
		}
		r.close(patience)
	}
}

// fillWith writes messages until the tunnel takes no more.
func fillWith(t *testing.T, conn *net.TCPConn, message []byte) {
	t.Helper()
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // a failure shows in Write
		if _, err := conn.Write(message); err != nil {
			break
		}
	}
}

// A side that is reset while it is being sent to has died, whether the proxy
// learns that by sending or by receiving.
func TestResetWhileBeingSentTo(t *testing.T) { testResetWhileBeingSentTo(t, func(*Config) {}) }

func TestResetWhileBeingSentToInSync(t *testing.T) { testResetWhileBeingSentTo(t, synchronous) }

func testResetWhileBeingSentTo(t *testing.T, change func(*Config)) {
	r := newRig(t, change)
	for range 2 {
		client, backend := r.tunnel()
		fillWith(t, client, masked(ws.NewBinaryFrame(make([]byte, 1000))))
		reset(t, backend)
		expectClose(t, client, ws.StatusInternalServerError)
		client.Close()

		client, backend = r.tunnel()
		fillWith(t, backend, plain(ws.NewBinaryFrame(make([]byte, 1000))))
		reset(t, client)
		expectClose(t, backend, ws.StatusInternalServerError)
		backend.Close()
	}
}

// A side that is in the middle of a large frame cannot answer a ping, and what
// it sends shows that it lives, spliced or not.
func TestLargeFrameSatisfiesPongTimeout(t *testing.T) { testLargeFramePongs(t, func(*Config) {}) }

func TestLargeFrameSatisfiesPongTimeoutInSync(t *testing.T) { testLargeFramePongs(t, synchronous) }

func testLargeFramePongs(t *testing.T, change func(*Config)) {
	r := newRig(t, func(c *Config) {
		change(c)
		c.Routes[0].PingInterval, c.Routes[0].PongTimeout = 50*time.Millisecond, 200*time.Millisecond
	})
	const chunk, chunks = 64 << 10, 800
	frame := masked(ws.NewBinaryFrame(make([]byte, chunk*chunks)))
	client, backend := r.tunnel()
	go func() {
		_, _ = io.Copy(io.Discard, client) // pings, which it does not answer
	}()
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for rest := frame; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			if _, err := client.Write(rest[:min(chunk, len(rest))]); err != nil {
				return
			}
			<-ticker.C
		}
	}()
	if n, err := io.CopyN(io.Discard, backend, int64(len(frame))); err != nil {
		t.Errorf("%d bytes of %d: %v", n, len(frame), err)
	}
}

// A half-close after a long silence has its time from then on.
func TestHalfCloseAfterSilence(t *testing.T) { testHalfCloseAfterSilence(t, func(*Config) {}) }

func TestHalfCloseAfterSilenceInSync(t *testing.T) { testHalfCloseAfterSilence(t, synchronous) }

func testHalfCloseAfterSilence(t *testing.T, change func(*Config)) {
	r := newRig(t, func(c *Config) {
		change(c)
		c.Routes[0].PingInterval, c.Routes[0].HalfCloseTimeout = 100*time.Millisecond, 500*time.Millisecond
	})
	client, backend := r.tunnel()
	for range 8 {
		expectFrame(t, client, ws.OpPing, false)
	}
	closeWrite(t, client)
	for range 8 { // those before the end
		expectFrame(t, backend, ws.OpPing, true)
	}
	_, _ = io.Copy(io.Discard, backend)
	timer := time.NewTimer(250 * time.Millisecond) // longer than a ping takes
	defer timer.Stop()
	<-timer.C
	send(t, backend, plain(text("late")))
	backend.Close()
	for {
		f, err := ws.ReadFrame(client)
		if err != nil {
			t.Fatalf("no late message: %v", err)
		}
		if f.Header.OpCode == ws.OpText {
			break
		}
		if f.Header.OpCode != ws.OpPing {
			t.Fatalf("got %+v before the late message", f.Header)
		}
	}
}

// A client that dies while the backend takes nothing does not go unnoticed.
func TestDeathOfHeldBackClient(t *testing.T) { testDeathOfHeldBackClient(t, func(*Config) {}) }

func TestDeathOfHeldBackClientInSync(t *testing.T) { testDeathOfHeldBackClient(t, synchronous) }

func testDeathOfHeldBackClient(t *testing.T, change func(*Config)) {
	for _, size := range []int{1000, 16 << 20} {
		r := newRig(t, func(c *Config) {
			change(c)
			c.Routes[0].HalfCloseTimeout = 100 * time.Millisecond
		})
		client, _ := r.tunnel()
		fillWith(t, client, masked(ws.NewBinaryFrame(make([]byte, size))))
		reset(t, client)
		testutil.Eventually(t, patience, "the end of the tunnel", func() bool { return r.server.Stats().Open == 0 })
		r.close(patience)
	}
}

// A side whose stream is no frames any more is not pinged: its answers would
// pass to the other one.
func TestNoPingsAfterAViolation(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].PingInterval, c.Routes[0].Lifetime = 300*time.Millisecond, time.Second
	})
	client, backend := r.tunnel()
	write(t, client, "no frame at all")
	expect(t, backend, "no frame at all")
	expectClose(t, client, ws.StatusGoingAway)
	if got := expectEnd(t, backend); got != "" {
		t.Errorf("the backend got %q", got)
	}
}

// Answers to our pings are nothing that a tunnel goes to its goroutines for.
func TestPongsLeaveAnIdleTunnelParked(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].AsyncDelay, c.Routes[0].PingInterval = 10*time.Millisecond, 50*time.Millisecond
	})
	client, backend := r.tunnel()
	for range 6 {
		send(t, backend, plain(ws.NewPongFrame(expectFrame(t, backend, ws.OpPing, true).Payload)))
		send(t, client, masked(ws.NewPongFrame(expectFrame(t, client, ws.OpPing, false).Payload)))
	}
	if n := r.times(stateRelaying, stateSync); n != 1 {
		t.Errorf("went to goroutines %d times", n)
	}
}
