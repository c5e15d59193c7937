package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wsplice/internal/testutil"
	"wsplice/splice"
)

// dialUnix connects to the rig's unix listener at path.
func dialUnix(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// alsoUnix adds a unix listener.
func alsoUnix(c *Config, path string) {
	c.Listeners = append(c.Listeners, Listener{Network: "unix", Address: path, UID: -1, GID: -1})
}

// fill writes to conn until nothing more fits.
func fill(t testing.TB, conn *net.TCPConn) {
	t.Helper()
	chunk := make([]byte, 64<<10)
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Write(chunk)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A reader that is slow but never pauses empties megabytes from the kernel's
// queue before the socket is writable again. The loop hears nothing meanwhile,
// and must not take that for silence.
func TestSlowReaderIsNotQuiet(t *testing.T) {
	const limit, total = 300 * time.Millisecond, 8 << 20
	for _, c := range []struct {
		name   string
		change func(*Config)
		half   bool
	}{
		{"idle timeout", func(c *Config) { c.Routes[0].IdleTimeout = limit }, false},
		{"half-close timeout", func(c *Config) { c.Routes[0].HalfCloseTimeout = limit }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.change)
			client, backend := r.tunnel()
			if err := client.SetReadBuffer(32 << 10); err != nil {
				t.Fatal(err)
			}
			if c.half {
				closeWrite(t, client)
			}
			written := make(chan error, 1)
			go func() {
				_, err := backend.Write(make([]byte, total))
				written <- errors.Join(err, backend.CloseWrite())
			}()
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			got := 0
			for begin := time.Now(); time.Since(begin) < 4*limit; <-ticker.C {
				n, err := client.Read(make([]byte, 5<<10))
				if err != nil {
					t.Fatalf("a tunnel that moves bytes ended after %v: %v", time.Since(begin), err)
				}
				got += n
			}
			rest, err := io.Copy(io.Discard, client)
			if got += int(rest); got != total || err != nil {
				t.Errorf("client got %d bytes of %d, then %v", got, total, err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}

// A client that is not read, because its backend takes nothing, can die
// unnoticed. Nothing but half_close_timeout waits for the backend then.
func TestDeadClientOfAStuckBackendFreesTheTunnel(t *testing.T) {
	const limit = 500 * time.Millisecond
	for lane, parked := range map[splice.Lane]int{
		splice.Copy:   16 << 10, // reads too short to count as bulk
		splice.Splice: 64 << 10,
	} {
		t.Run(lane.String(), func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Limits.Parked = parked
				c.Routes[0].HalfCloseTimeout = limit
			})
			client, backend := r.tunnel()
			fill(t, client)
			r.awaitTunnel("back-pressure in that lane", func(t *Tunnel) bool {
				return t.backend.Out.InFlight() && t.up.pump.Held() > 0 && t.up.pump.Lane() == lane
			})
			begin := time.Now()
			reset(t, client)
			// Twice the limit where the stuck backend's kernel still takes a few
			// bytes: the clock counts them from when it looks.
			testutil.Eventually(t, 4*limit, "the dead client's tunnel is gone", func() bool {
				return r.server.Stats().Open == 0
			})
			if took := time.Since(begin); took < limit/2 {
				t.Errorf("gone after %v, before the backend had its half-close timeout", took)
			}
			backend.Close()
		})
	}
}

// A client on a unix socket that shuts down reading makes every write to it
// fail. It is a half-close: what it sends still goes to the backend.
func TestUnixClientThatDoesNotReadCanSend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.sock")
	r := newRig(t, func(c *Config) { alsoUnix(c, path) })
	client := dialUnix(t, path)
	write(t, client, upgradeRequest)
	backend, _ := r.accept()
	if err := client.CloseRead(); err != nil {
		t.Fatal(err)
	}
	write(t, backend, upgradeAnswer)
	r.took(stateUpgrading, stateRelaying)
	write(t, client, "hello")
	if err := backend.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	expect(t, backend, "hello")
	client.Close()
	expectEnd(t, backend)
}

// downReached waits until the client's socket was given n bytes.
func (r *rig) downReached(n int) {
	r.t.Helper()
	r.awaitTunnel("the bytes are on their way", func(t *Tunnel) bool { return t.down.bytes == uint64(n) })
}

// At the end of the drain time a client that sends has bytes unread at the
// proxy. Closing at once would send RST, which destroys what it has yet to read.
func TestCutAtStopLeavesTheClientItsBytes(t *testing.T) {
	const size = 100_000
	r := newRig(t, nil)
	client, backend := r.tunnel()
	fill(t, client)
	write(t, backend, strings.Repeat("z", size))
	r.downReached(size)
	cut := make(chan int)
	go func() { cut <- r.close(10 * time.Millisecond) }()
	r.took(stateRelaying, stateLingering)
	if n, err := io.Copy(io.Discard, client); n != size || err != nil {
		t.Errorf("client read %d bytes of %d, then %v", n, size, err)
	}
	reset(t, client) // its unsent bytes would keep it lingering
	if n := <-cut; n != 1 {
		t.Errorf("%d tunnels cut, want 1", n)
	}
}

// A backend that dies while the client sends leaves the client's bytes unread at
// the proxy, too: what it sent before must reach the client nevertheless.
func TestBackendResetLeavesTheClientItsBytes(t *testing.T) {
	const size, more = 200_000, 2 * lingerBytesMax
	r := newRig(t, nil)
	client, backend := r.tunnel()
	if err := client.SetReadBuffer(16 << 10); err != nil { // most of it has to wait at the proxy
		t.Fatal(err)
	}
	write(t, backend, strings.Repeat("z", size))
	r.downReached(size)
	write(t, client, "unread")
	r.awaitTunnel("bytes at the backend", func(t *Tunnel) bool { return t.up.bytes > 0 })
	reset(t, backend)
	r.awaitTunnel("lingering", func(t *Tunnel) bool { return t.state == stateLingering })
	write(t, client, strings.Repeat("y", more))
	if n, err := io.Copy(io.Discard, client); n != size || err != nil {
		t.Errorf("client read %d bytes of %d, then %v", n, size, err)
	}
	client.Close()
}

// What a burst left parked must not keep a direction from splicing: while the
// sink takes everything, it is not slow, however much may be parked. Nobody
// reads here, so that the loop always has more to read and room to send.
func TestBulkIsSplicedBehindABurst(t *testing.T) {
	const size, tunnels = 2 << 20, 5
	r := newRig(t, func(c *Config) { c.Limits.Parked = 64 << 20 })
	for i := range uint64(tunnels) {
		client, backend := r.tunnel()
		write(t, client, strings.Repeat("x", size))
		testutil.Eventually(t, patience, "the backend's kernel has it all", func() bool { return r.upBytes() == (i+1)*size })
		reset(t, client)
		reset(t, backend)
	}
	if n := r.server.Stats().Splices; n < tunnels {
		t.Errorf("%d directions were spliced, want %d", n, tunnels)
	}
}
