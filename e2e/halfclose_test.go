package e2e

import (
	"fmt"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

// TestHalfClose ends one direction, and then uses the other for as much as
// goes through the copy lane and through the splice lane.
func TestHalfClose(t *testing.T) {
	for _, late := range []int64{1, 64 << 10, 8 << 20} {
		t.Run(fmt.Sprintf("%d late bytes", late), func(t *testing.T) {
			bothWays(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, first, second end) {
				first.Put("before")
				first.CloseWrite()
				second.Want("before")
				second.WantEnd()
				transfer(t, second, first, 7, late)
				second.Put("and more")
				first.Want("and more")
				second.CloseWrite()
				first.WantEnd()
				p.WaitTunnels(0)
			})
		})
	}
}

// TestHalfCloseDoesNotOvertake ends a direction while its bytes still lie in
// buffers and pipes: the end must come after them.
func TestHalfCloseDoesNotOvertake(t *testing.T) {
	const size = 64 << 20
	bothWays(t, rig.Config{}, func(t *testing.T, _ *rig.Proxy, first, second end) {
		sendToTheEnd(t, first, second, size)
		second.Put("still open")
		first.Want("still open")
	})
}

// sendToTheEnd has one end send so much, and end its side: all of it arrives, and the
// end behind it.
func sendToTheEnd(t *testing.T, from, to end, size int64) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		err := rig.Pattern(8).Send(from, 0, size, nil)
		from.CloseWrite()
		sent <- err
	}()
	receiveAll(t, to, 8, size)
	to.WantEnd()
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}

// TestHalfCloseTimeoutIsSaid follows frames: the client, which may still read,
// is told why the tunnel ends.
func TestHalfCloseTimeoutIsSaid(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{Tunnel: rig.Settings{"half_close_timeout": "400ms"}})
	client, server := rig.Open(proxy, backend, "/ws/x")
	client.CloseWrite()
	server.WantEnd()
	within(t, shortTimeout-100*time.Millisecond, shortLate, func() { wantCloseAndEnd(t, client, goingAway) })
	_ = server.Close()
	proxy.WaitTunnels(0)
}

// TestHalfCloseBehindParkedBytes has the end arrive while bytes wait in the
// memory of the proxy, instead of in a pipe.
func TestHalfCloseBehindParkedBytes(t *testing.T) {
	const size = 24 << 20 // more than the kernel takes, less than may be parked
	cfg := rig.Config{
		Limits: rig.Settings{"parked_bytes": "64MiB"},
		Tunnel: rig.Settings{"async": "on"}, // a goroutine blocks instead of parking
	}
	bothWaysCopied(t, cfg, func(t *testing.T, _ *rig.Proxy, first, second end) {
		if err := rig.Receive(t, sendAll(first, 27, size), "everything is taken"); err != nil {
			t.Fatal(err)
		}
		first.CloseWrite()
		// The proxy must have seen the end, and has no reason to say so.
		rig.Lapse(quiet)
		receiveAll(t, second, 27, size)
		second.WantEnd()
		second.Put("still open")
		first.Want("still open")
	})
}

// TestHalfCloseWithTheHandshake has the client say that it is done together
// with its request: it still gets the answer, and what the backend has to say.
func TestHalfCloseWithTheHandshake(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	client := rig.Dial(t, proxy.Addr(0))
	client.Put(upgradeTo("/ws/x"))
	client.CloseWrite()
	server := backend.Next()
	server.WantHead()
	rig.Lapse(quiet) // the proxy sees the end before it sees the answer
	if err := server.Upgrade(); err != nil {
		t.Fatal(err)
	}
	if a := client.Answer(); a.Status != 101 {
		t.Fatalf("answer %q, want 101", a.Raw)
	}
	server.WantEnd()
	transfer(t, server, client, 32, 4<<20)
	_ = server.Close()
	client.WantEnd()
}

// TestHalfCloseOfBothEnds lets both ends say that they are done at once.
func TestHalfCloseOfBothEnds(t *testing.T) {
	bothWays(t, rig.Config{}, func(t *testing.T, p *rig.Proxy, first, second end) {
		first.Put("a")
		second.Put("b")
		first.CloseWrite()
		second.CloseWrite()
		first.Want("b")
		second.Want("a")
		first.WantEnd()
		second.WantEnd()
		p.WaitTunnels(0)
	})
}

// TestHalfCloseTimeout does not follow frames, so that a backend's end of
// stream is no more than that; TestSideDies has the other case.
func TestHalfCloseTimeout(t *testing.T) {
	cfg := rig.Config{Tunnel: rig.Settings{"half_close_timeout": "400ms", "frames": "off"}}
	bothWays(t, cfg, func(t *testing.T, p *rig.Proxy, first, second end) {
		first.CloseWrite()
		second.WantEnd()
		within(t, shortTimeout-100*time.Millisecond, shortLate, func() { first.WantGone() })
		p.WaitTunnels(0)
	})
}
