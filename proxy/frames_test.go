package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// masked is a frame as a client sends it.
func masked(f ws.Frame) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4}))
}

func plain(f ws.Frame) []byte { return ws.MustCompileFrame(f) }

func send(t testing.TB, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// expectFrame reads one frame and checks that it is masked as its way demands.
func expectFrame(t testing.TB, conn net.Conn, opcode ws.OpCode, fromProxyToBackend bool) ws.Frame {
	t.Helper()
	f, err := ws.ReadFrame(conn)
	if err != nil {
		t.Fatalf("no frame: %v", err)
	}
	if f.Header.Masked != fromProxyToBackend || f.Header.OpCode != opcode {
		t.Fatalf("got %+v, want opcode %d, masked %v", f.Header, opcode, fromProxyToBackend)
	}
	return ws.UnmaskFrameInPlace(f)
}

// expectClose reads a Close frame with code, pings of ours before it, and the
// end of the stream.
func expectClose(t testing.TB, conn net.Conn, code ws.StatusCode) {
	t.Helper()
	f, err := ws.ReadFrame(conn)
	for err == nil && f.Header.OpCode == ws.OpPing {
		f, err = ws.ReadFrame(conn)
	}
	if err != nil {
		t.Fatalf("no frame: %v", err)
	}
	f = ws.UnmaskFrameInPlace(f)
	got, reason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || got != code || reason == "" {
		t.Fatalf("got %+v with code %d, reason %q; want a Close with %d", f.Header, got, reason, code)
	}
	if text := expectEnd(t, conn); text != "" {
		t.Fatalf("%q behind the Close", text)
	}
}

func text(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }

// What ends a tunnel says so to both sides, in a Close frame behind what was on
// its way.
func TestClosesSayWhy(t *testing.T) { testClosesSayWhy(t, func(*Config) {}) }

func testClosesSayWhy(t *testing.T, change func(*Config)) {
	type tunnel struct {
		*rig
		client, backend *net.TCPConn
	}
	for _, c := range []struct {
		name            string
		change          func(*Route)
		end             func(t *testing.T, v tunnel)
		client, backend ws.StatusCode // 0 = that side has ended by itself
	}{
		{"idle timeout", func(r *Route) { r.IdleTimeout = 100 * time.Millisecond }, nil, 1001, 1001},
		{"lifetime", func(r *Route) { r.Lifetime = 100 * time.Millisecond }, nil, 1001, 1001},
		{"drain", nil, func(_ *testing.T, v tunnel) { v.close(0) }, 1001, 1001},
		{"pong timeout", func(r *Route) {
			r.PingInterval, r.PongTimeout = 50*time.Millisecond, 150*time.Millisecond
		}, func(t *testing.T, v tunnel) {
			expectFrame(t, v.client, ws.OpPing, false)
			expectFrame(t, v.backend, ws.OpPing, true)
		}, 1011, 1011},
		{"backend reset", nil, func(t *testing.T, v tunnel) { reset(t, v.backend) }, 1011, 0},
		{"backend ends without a Close", nil, func(_ *testing.T, v tunnel) { v.backend.Close() }, 1011, 0},
		{"client reset", nil, func(t *testing.T, v tunnel) { reset(t, v.client) }, 0, 1011},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := tunnel{rig: newRig(t, func(config *Config) {
				change(config)
				if c.change != nil {
					c.change(&config.Routes[0])
				}
			})}
			v.client, v.backend = v.tunnel()
			send(t, v.client, masked(text("hello")))
			expect(t, v.backend, string(masked(text("hello"))))
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c.end != nil {
					c.end(t, v)
				}
			}()
			if c.name == "pong timeout" {
				<-done
			}
			if c.client != 0 {
				expectClose(t, v.client, c.client)
				v.client.Close()
			}
			if c.backend != 0 {
				expectClose(t, v.backend, c.backend)
				v.backend.Close()
			}
			<-done
		})
	}
}

// A client's half-close is no death: what the backend still sends arrives, and
// nothing of ours follows it.
func TestHalfCloseIsNoDeath(t *testing.T) {
	r := newRig(t, nil)
	client, backend := r.tunnel()
	closeWrite(t, client)
	if got := expectEnd(t, backend); got != "" {
		t.Errorf("the backend got %q", got)
	}
	late := plain(text("late"))
	send(t, backend, late)
	backend.Close()
	if got := expectEnd(t, client); got != string(late) {
		t.Errorf("the client got %q", got)
	}
}

// In the middle of a frame no Close can be sent: the side sees an end that is
// none.
func TestNoCloseInsideAFrame(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Routes[0].IdleTimeout = 100 * time.Millisecond })
	client, backend := r.tunnel()
	part := plain(text("a message that breaks off"))[:9]
	send(t, backend, part)
	if got := expectEnd(t, client); got != string(part) {
		t.Errorf("the client got %q", got)
	}
	expectClose(t, backend, ws.StatusGoingAway)
}

// After a Close of theirs we add none, and their Close passes unchanged.
func TestPeersCloseByThemselves(t *testing.T) {
	r := newRig(t, nil)
	client, backend := r.tunnel()
	bye := func() ws.Frame { return ws.NewCloseFrame(ws.NewCloseFrameBody(4321, "bye")) }
	send(t, backend, plain(bye()))
	expect(t, client, string(plain(bye())))
	send(t, client, masked(bye()))
	expect(t, backend, string(masked(bye())))
	backend.Close()
	if got := expectEnd(t, client); got != "" {
		t.Errorf("the client got %q behind the Close", got)
	}
}

// Pongs to our pings are swallowed, wherever their bytes are cut; the peers' own
// pings and pongs pass.
func TestPongsToOurPingsAreSwallowed(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].PingInterval = 50 * time.Millisecond
	})
	client, backend := r.tunnel()
	theirs := [][]byte{plain(ws.NewPingFrame([]byte("own"))), plain(ws.NewPongFrame([]byte("unasked"))), plain(text("m"))}
	for cut := 1; cut < 10; cut++ {
		ping := expectFrame(t, backend, ws.OpPing, true)
		pong := plain(ws.NewPongFrame(ping.Payload))
		all := bytes.Join([][]byte{theirs[0], pong, theirs[1], theirs[2]}, nil)
		at := len(theirs[0]) + cut
		send(t, backend, all[:at])
		expectSkippingPings(t, client, theirs[0])
		send(t, backend, all[at:])
		expectSkippingPings(t, client, theirs[1])
		expectSkippingPings(t, client, theirs[2])
		// The client's answer to the backend's ping, or the backend owes us none.
		answer := masked(ws.NewPongFrame([]byte("own")))
		send(t, client, answer)
		expectSkippingPings(t, backend, answer)
	}
}

// expectSkippingPings reads frames until one that is no ping of ours, which
// must be want.
func expectSkippingPings(t testing.TB, conn net.Conn, want []byte) {
	t.Helper()
	for {
		f, err := ws.ReadFrame(conn)
		if err != nil {
			t.Fatal(err)
		}
		got := ws.MustCompileFrame(f)
		if bytes.Equal(got, want) {
			return
		}
		if f.Header.OpCode != ws.OpPing || len(f.Payload) != 8 {
			t.Fatalf("got %x, want %x", got, want)
		}
	}
}

// A peer may answer only the latest of several pings. While it owes an answer
// to the other side's ping, it gets none of ours; and where its answer to the
// other's is the only one it gives, it is alive all the same.
func TestPeerAnswersOnlyTheLatestPing(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].PingInterval, c.Routes[0].PongTimeout = 100*time.Millisecond, 300*time.Millisecond
	})
	client, backend := r.tunnel()
	go func() { // the client answers everything
		for {
			f, err := ws.ReadFrame(client)
			if err != nil {
				return
			}
			if f.Header.OpCode == ws.OpPing {
				_, _ = client.Write(masked(ws.NewPongFrame(f.Payload)))
			}
		}
	}()
	theirs := masked(ws.NewPingFrame([]byte("from the client")))
	for range 8 {
		// Ours first, then the client's before the backend has answered.
		expectFrame(t, backend, ws.OpPing, true)
		send(t, client, theirs)
		expect(t, backend, string(theirs))
		// The next of ours would come now, if it were not owed an answer.
		_ = backend.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
		var timeout net.Error
		if f, err := ws.ReadFrame(backend); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("got %+v, %v while the client's ping is unanswered", f.Header, err)
		}
		_ = backend.SetReadDeadline(time.Now().Add(patience))
		send(t, backend, plain(ws.NewPongFrame([]byte("from the client")))) // only the latest
	}
}

// A peer that owes the other side an answer and says nothing is found dead too.
func TestOwedPongCountsAsOurs(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].PingInterval, c.Routes[0].PongTimeout = 100*time.Millisecond, 200*time.Millisecond
	})
	client, backend := r.tunnel()
	theirs := masked(ws.NewPingFrame([]byte("x")))
	send(t, client, theirs)
	expect(t, backend, string(theirs))
	for {
		f, err := ws.ReadFrame(client)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpPing {
			send(t, client, masked(ws.NewPongFrame(f.Payload)))
			continue
		}
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 1011 {
			t.Fatalf("got %+v, code %d", f.Header, code)
		}
		break
	}
	expectClose(t, backend, ws.StatusInternalServerError)
}

// Pings and their pongs are no activity.
func TestPingsDoNotKeepATunnel(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Routes[0].PingInterval, c.Routes[0].IdleTimeout = 50*time.Millisecond, 400*time.Millisecond
	})
	client, backend := r.tunnel()
	for _, conn := range []*net.TCPConn{client, backend} {
		fromProxy := conn == backend
		pings := 0
		for ended := false; !ended; {
			f, err := ws.ReadFrame(conn)
			if err != nil {
				t.Fatal(err)
			}
			f = ws.UnmaskFrameInPlace(f)
			switch {
			case f.Header.OpCode == ws.OpClose:
				ended = true
			case f.Header.OpCode == ws.OpPing && fromProxy:
				pings++
				_, _ = conn.Write(plain(ws.NewPongFrame(f.Payload)))
			case f.Header.OpCode == ws.OpPing:
				pings++
				_, _ = conn.Write(masked(ws.NewPongFrame(f.Payload)))
			}
		}
		if pings < 3 {
			t.Errorf("%d pings before the idle timeout", pings)
		}
	}
}

// A large frame is spliced to its last byte, and the scanner goes on behind it:
// the Close comes at the right place.
func TestLargeFrameIsSplicedExactly(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Routes[0].IdleTimeout = 500 * time.Millisecond })
	client, backend := r.tunnel()
	payload := make([]byte, 8<<20)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	stream := plain(ws.NewBinaryFrame(payload))
	go func() {
		for range 3 {
			_, _ = backend.Write(stream)
			_, _ = backend.Write(plain(text("small")))
		}
	}()
	got := make([]byte, len(stream)+7)
	for range 3 {
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:len(stream)], stream) || string(got[len(stream)+2:]) != "small" {
			t.Fatal("the bytes are not those that were sent")
		}
	}
	expectClose(t, client, ws.StatusGoingAway)
	stats := r.server.Stats()
	if stats.Splices == 0 || stats.Blind != 0 {
		t.Errorf("%d splices, %d blind directions", stats.Splices, stats.Blind)
	}
}

// Frames of all sizes back to back, most of them spliced, pass unchanged in both
// directions, and the Close comes behind the last one. Pings forbid to go blind.
func TestLargeFramesInARow(t *testing.T) {
	sizes := []int{frameSpliceMin, 1 << 20, 5, frameSpliceMin - 1, frameSpliceMin + 1, 4 << 20, 70_000, 1 << 20, 1 << 20, 0}
	noise := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(noise)
	frames := func(encode func(ws.Frame) []byte) (stream []byte) {
		for _, size := range sizes {
			stream = append(stream, encode(ws.NewBinaryFrame(bytes.Clone(noise[:size])))...)
		}
		return bytes.Repeat(stream, 5)
	}
	up, down := frames(masked), frames(plain)
	r := newRig(t, func(c *Config) {
		c.Routes[0].IdleTimeout, c.Routes[0].PingInterval = 2*time.Second, time.Hour
	})
	client, backend := r.tunnel()
	done := make(chan error, 2)
	pass := func(from, to net.Conn, stream []byte) {
		go func() { _, _ = from.Write(stream) }()
		go func() {
			got := make([]byte, len(stream))
			_, err := io.ReadFull(to, got)
			if err == nil && !bytes.Equal(got, stream) {
				err = errors.New("the bytes are not those that were sent")
			}
			done <- err
		}()
	}
	pass(client, backend, up)
	pass(backend, client, down)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	expectClose(t, client, ws.StatusGoingAway)
	expectClose(t, backend, ws.StatusGoingAway)
	lanes := map[string]uint64{}
	for _, b := range r.server.Stats().Bytes {
		lanes[b.Lane] += b.Bytes
	}
	if lanes["splice"] < 2*lanes["copy"] {
		t.Errorf("bytes by lane: %v", lanes)
	}
}

// Bulk in small frames is spliced blind after 16 MiB, unless frames: always or
// pings forbid it.
func TestBulkInSmallFramesGoesBlind(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Route)
		blind  uint64
	}{
		{"auto", func(*Route) {}, 1},
		{"always", func(r *Route) { r.Frames = FramesAlways }, 0},
		{"pings", func(r *Route) { r.PingInterval = time.Hour }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(config *Config) { c.change(&config.Routes[0]) })
			client, backend := r.tunnel()
			stream := bytes.Repeat(plain(ws.NewBinaryFrame(make([]byte, 8<<10))), 128)
			go func() {
				for range 64 {
					_, _ = backend.Write(stream)
				}
				backend.Close()
			}()
			got, err := io.Copy(io.Discard, client)
			if err != nil || int(got) < 64*len(stream) {
				t.Errorf("%d bytes, %v", got, err)
			}
			if blind := r.server.Stats().Blind; blind != c.blind {
				t.Errorf("%d blind directions, want %d", blind, c.blind)
			}
		})
	}
}

// Bytes that are no frames pass unchanged, and are counted as a violation.
func TestViolationMakesOpaque(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Routes[0].IdleTimeout = 100 * time.Millisecond })
	client, backend := r.tunnel()
	write(t, client, "no frame at all")
	expect(t, backend, "no frame at all")
	if got := expectEnd(t, backend); got != "" {
		t.Errorf("the backend got %q", got)
	}
	expectClose(t, client, ws.StatusGoingAway)
	client.Close()
	backend.Close()
	r.took(stateParting, stateClosing)
	if n := r.server.Stats().Violations; n != 1 {
		t.Errorf("%d violations", n)
	}
}
