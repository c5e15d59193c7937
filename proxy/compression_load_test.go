package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/deflate"
	"wsplice/loop"
)

// A large message passes, piece by piece, through a backend that is slow to read,
// with bounded memory; meanwhile the loop serves others, and pings are answered
// behind it.
func TestDeflateSlowBackend(t *testing.T) {
	r := newRig(t, deflateRoute(func(r *Route) { r.Endpoint.MessageBytes = 64 << 20 }))
	client, backend := r.deflateTunnel()
	const size = 48 << 20
	zeros := make([]byte, size)
	go func() {
		_, _ = client.Write(slices.Concat(compressedMessage(t, ws.OpBinary, zeros, 1), masked(ws.NewPingFrame([]byte("!"))),
			masked(text("behind"))))
	}()
	r.awaitTunnel("the backend is full", func(t *Tunnel) bool { return t.waits() && t.backend.Out.InFlight() })
	if n := r.count(func(t *Tunnel) bool {
		return t.endpoint != nil && (t.up.pump.Parked() > 2*64<<10 || t.client.In.Kind != loop.PollHangup)
	}); n > 0 {
		t.Error("more waits in memory than is allowed, or the client is read")
	}
	others, otherBackend := r.deflateTunnel()
	send(t, others, compressedMessage(t, ws.OpText, []byte("quick"), 1))
	expect(t, otherBackend, "quick")
	expect(t, backend, string(zeros)+"behind")
	if got := expectFrame(t, client, ws.OpPong, false); string(got.Payload) != "!" {
		t.Errorf("the pong has %q", got.Payload)
	}
	if n := r.count(func(t *Tunnel) bool { return t.endpoint != nil && t.endpoint.aside.inflation != nil }); n > 0 {
		t.Error("an inflation is left")
	}
}

// While bombs are expanded, an echo on the same loop takes no longer than a few
// turns.
func TestDeflateBombsLeaveTheLoopToOthers(t *testing.T) {
	r := newRig(t, func(c *Config) {
		deflateRoute(func(r *Route) { r.Endpoint.MessageBytes = 1 << 30 })(c)
		c.Loops = 1
	})
	client, backend := r.deflateTunnel()
	message := compressedMessage(t, ws.OpBinary, make([]byte, 64<<20), 1)
	const bombs = 4
	for range bombs {
		bomber, target := r.deflateTunnel()
		go func() { _, _ = io.Copy(io.Discard, target) }()
		go func() {
			for {
				if _, err := bomber.Write(message); err != nil {
					return
				}
			}
		}()
	}
	r.awaitTunnel("bombs", func(t *Tunnel) bool { return t.waits() })
	var times []time.Duration
	small := rsv1(masked(ws.NewTextFrame(shrunk(t, []byte("hello")))))
	for range 100 {
		begin := time.Now()
		send(t, client, bytes.Clone(small))
		expect(t, backend, "hello")
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	t.Logf("median %v, longest %v", times[50], times[99])
	if median := times[50]; median > 50*time.Millisecond {
		t.Errorf("an echo beside %d bombs takes %v in the median", bombs, median)
	}
}

// Random messages in both directions at once, compressed and not, come out as they
// went in.
func TestDeflateCarriesEverything(t *testing.T) {
	const total = 12 << 20
	r := newRig(t, deflateRoute(func(r *Route) { binaryFrames(r); r.Endpoint.MessageBytes = 32 << 20 }))
	client, backend := r.deflateTunnel()
	random := rand.New(rand.NewPCG(1, 2))
	data := jsonText(total)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(data[total/2 : total/2+total/8])
	var stream []byte
	for rest := data; len(rest) > 0; {
		size := min(len(rest), 1+random.IntN(1<<random.IntN(22)))
		if random.IntN(3) == 0 {
			stream = append(stream, masked(ws.NewBinaryFrame(bytes.Clone(rest[:size])))...)
		} else {
			stream = append(stream, compressedMessage(t, ws.OpBinary, rest[:size], 1+random.IntN(4))...)
		}
		rest = rest[size:]
	}
	go writePieces(client, stream, rand.New(rand.NewPCG(3, 4)))
	go writePieces(backend, data, rand.New(rand.NewPCG(5, 6)))
	done := make(chan error, 1)
	go func() {
		got := make([]byte, total)
		_, err := io.ReadFull(backend, got)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("the backend got other bytes")
		}
		done <- err
	}()
	some := false
	for at := 0; at < total; {
		payload, compressed := expectInflated(t, client, ws.OpBinary)
		if !bytes.HasPrefix(data[at:], payload) || len(payload) == 0 {
			t.Fatalf("the client got other bytes at %d", at)
		}
		at += len(payload)
		some = some || compressed
	}
	if err := <-done; err != nil || !some {
		t.Error(err, some)
	}
}

// With little room for parked bytes, pieces are small, and a message passes all the
// same.
func TestDeflateLittleRoom(t *testing.T) {
	r := newRig(t, func(c *Config) {
		deflateRoute(nil)(c)
		c.Limits.Parked = 1 << 10
	})
	client, backend := r.deflateTunnel()
	text := jsonText(300_000)
	go func() { _, _ = client.Write(compressedMessage(t, ws.OpText, text, 3)) }()
	r.awaitTunnel("a message", func(t *Tunnel) bool { return t.endpoint != nil && t.up.heard > 0 })
	if n := r.count(func(t *Tunnel) bool { return t.endpoint != nil && t.up.pump.Parked() > 4<<10 }); n > 0 {
		t.Error("more waits in memory than is allowed")
	}
	expect(t, backend, string(text))
}

// However a tunnel ends while a message waits, nothing is left (see rig.close).
func TestDeflateEnds(t *testing.T) {
	const size = 40 << 20
	message := compressedMessage(t, ws.OpBinary, make([]byte, size), 1)
	for _, name := range []string{"client resets", "client closes", "backend resets", "backend ends", "stop"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deflateRoute(func(r *Route) { r.Endpoint.MessageBytes = 1 << 30 }))
			client, backend := r.deflateTunnel()
			send(t, client, message)
			r.awaitTunnel("the backend is full", func(t *Tunnel) bool { return t.waits() && t.backend.Out.InFlight() })
			switch name {
			case "client resets":
				reset(t, client)
				backend.Close()
			case "client closes":
				client.Close()
				if n, err := io.Copy(io.Discard, backend); err != nil || n != size {
					t.Errorf("the backend got %d bytes: %v", n, err)
				}
				backend.Close()
			case "backend resets":
				reset(t, backend)
				expectClose(t, client, ws.StatusInternalServerError)
			case "backend ends":
				closeWrite(t, backend)
				expectClose(t, client, ws.StatusGoingAway)
				backend.Close()
			case "stop":
				r.close(0)
			}
			client.Close()
			r.took(stateClosing, stateFree)
		})
	}
}

// Nothing is allocated for a message, compressed in both directions.
func TestDeflateDoesNotAllocate(t *testing.T) {
	r := newRig(t, deflateRoute(nil))
	client, backend := r.deflateTunnel()
	payload := jsonText(1000)
	up := compressedMessage(t, ws.OpText, payload, 1)
	room := make([]byte, 4000)
	var d deflate.Deflater
	small, _ := d.Append(nil, payload)
	down := rsv1(plain(ws.NewTextFrame(small)))
	runtime.GC()
	allocs := testing.AllocsPerRun(300, func() {
		if _, err := client.Write(up); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(backend, room[:len(payload)]); err != nil || !bytes.Equal(room[:len(payload)], payload) {
			t.Fatal("other bytes", err)
		}
		if _, err := backend.Write(payload); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, room[:len(down)]); err != nil || !bytes.Equal(room[:len(down)], down) {
			t.Fatal("other bytes", err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per echo, want 0", allocs)
	}
}

// However a bomb is cut into frames, a turn does not become longer: what is left
// of a read waits.
func TestDeflateTurnsAreBounded(t *testing.T) {
	bomb := compressedMessage(t, ws.OpBinary, make([]byte, 8<<20), 1)
	parts := compressedMessage(t, ws.OpBinary, make([]byte, 8<<20), 400)
	small := bytes.Repeat(compressedMessage(t, ws.OpBinary, make([]byte, 20<<10), 1), 400)
	for name, message := range map[string][]byte{"one frame": bomb, "fragments": parts, "messages": small} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deflateRoute(nil))
			client, backend := r.deflateTunnel()
			var waited, long atomic.Int64 // turns
			stop := r.everyTurn(func(t *Tunnel) {
				if t.waits() {
					waited.Add(1)
				}
				if t.endpoint == nil {
					return
				}
				if i := t.endpoint.aside.inflation; i != nil && i.spent > inflateTurnBytes+inflatePieceBytes+(64+1)*inflateTableCost {
					long.Add(1)
				}
			})
			send(t, client, message)
			done := make(chan int64, 1)
			go func() {
				n, _ := io.Copy(io.Discard, backend)
				done <- n
			}()
			closeWrite(t, client)
			want := int64(8 << 20)
			if name == "messages" {
				want = 400 * 20 << 10
			}
			if n := <-done; n != want {
				t.Errorf("the backend got %d bytes, want %d", n, want)
			}
			stop()
			if waited.Load() == 0 || long.Load() > 0 {
				t.Errorf("the rest of a read waited at the end of %d turns, and %d were too long", waited.Load(), long.Load())
			}
			backend.Close()
		})
	}
}
