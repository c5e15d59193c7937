package e2e

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

const (
	// pressureBytes is what an end tries to send to one that does not read.
	pressureBytes = 256 << 20
	// kernelBytesMax bounds what the sockets and pipes of one direction may
	// hold: two send and two receive buffers of at most 6 MiB, and a pipe.
	kernelBytesMax = 48 << 20
	// idleCPUMax is the part of a CPU that a proxy with nothing to do may use.
	idleCPUMax = 0.2
)

// rssGrowthMax bounds what a tunnel under pressure may cost the proxy in memory
// of its own, the noise of its garbage collector included. The race detector
// multiplies memory (go.dev/doc/articles/race_detector).
var rssGrowthMax = func() int64 {
	const plain, raceFactor = 8 << 20, 8
	if os.Getenv("WSPLICE_RACE") == "1" {
		return raceFactor * plain
	}
	return plain
}()

// TestBackPressure has one end send while the other does not read: the sender
// must be made to wait, at no cost, and afterwards nothing may be missing.
func TestBackPressure(t *testing.T) {
	t.Run("spliced", func(t *testing.T) { bothWays(t, rig.Config{}, pressure) })
	t.Run("copied", func(t *testing.T) { bothWaysCopied(t, rig.Config{}, pressure) })
}

func pressure(t *testing.T, p *rig.Proxy, source, sink end) {
	total := int64(pressureBytes)
	if testing.Short() {
		total = 2 * kernelBytesMax
	}
	start := p.RSS()
	var moved atomic.Int64
	sent := make(chan error, 1)
	go func() { sent <- rig.Pattern(9).Send(source, 0, total, &moved) }()
	waitStalled(t, &moved)
	if n := moved.Load(); n > kernelBytesMax {
		t.Errorf("the sender was stopped after %d bytes, want at most %d", n, kernelBytesMax)
	}
	if share := p.CPUShare(time.Second); share > idleCPUMax {
		t.Errorf("the proxy uses %.0f%% of a CPU while nothing can move", 100*share)
	}
	growth := p.RSS() - start
	receiveAll(t, sink, 9, total)
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
	growth = max(growth, p.RSS()-start)
	t.Logf("stalled at %d bytes, memory grew by %d", moved.Load(), growth)
	if growth > rssGrowthMax {
		t.Errorf("the proxy grew by %d bytes, want at most %d", growth, rssGrowthMax)
	}
	sink.Put("the other direction")
	source.Want("the other direction")
}

// waitStalled returns when moved has stood still for a while.
func waitStalled(t *testing.T, moved *atomic.Int64) {
	t.Helper()
	const still = 300 * time.Millisecond
	last, since := int64(-1), time.Now()
	rig.Eventually(t, 3*rig.Soon, "the sender is made to wait", func() bool {
		if n := moved.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > still
	})
}

// TestSlowReader takes bulk in sips, so that the proxy meets a full socket
// again and again, in every phase of its own work.
func TestSlowReader(t *testing.T) {
	slowly := func(t *testing.T, _ *rig.Proxy, source, sink end) {
		const size, sip = 24 << 20, 96 << 10
		sent := sendAll(source, 28, size)
		for offset := int64(0); offset < size; offset += sip {
			if err := rig.Pattern(28).Receive(sink, offset, min(sip, size-offset)); err != nil {
				t.Fatal(err)
			}
			rig.Lapse(time.Millisecond)
		}
		if err := rig.Receive(t, sent, "the end of sending"); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("spliced", func(t *testing.T) { bothWays(t, rig.Config{}, slowly) })
	t.Run("copied", func(t *testing.T) { bothWaysCopied(t, rig.Config{}, slowly) })
}

// TestSlowReaderDoesNotSlowOthers has a stalled tunnel beside a busy one.
func TestSlowReaderDoesNotSlowOthers(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, rig.Config{})
	for i := range 4 { // at least two on each of two loops, most likely
		_, server := rig.Open(proxy, backend, "/ws/stalled")
		var moved atomic.Int64
		go func() { _ = rig.Pattern(i).Send(server, 0, pressureBytes, &moved) }()
		waitStalled(t, &moved)
	}
	for range 4 {
		client, server := rig.Open(proxy, backend, "/ws/busy")
		transfer(t, server, client, 10, 16<<20)
		transfer(t, client, server, 11, 16<<20)
	}
}

// TestOneByteSegments fills a pipe by its slots instead of its bytes, which
// reports EAGAIN as an empty socket does; a tunnel that mixes them up hangs.
func TestOneByteSegments(t *testing.T) {
	const bulk, single = 32 << 20, 5000
	bothWays(t, rig.Config{}, func(t *testing.T, _ *rig.Proxy, source, sink end) {
		transfer(t, source, sink, 12, bulk) // so that the direction is spliced
		stream := rig.Pattern(13)
		sent := make(chan error, 1)
		go func() {
			for i := range int64(single) {
				if err := stream.Send(source, i, 1, nil); err != nil {
					sent <- err
					return
				}
			}
			sent <- stream.Send(source, single, bulk, nil)
		}()
		// Nothing is read until the sender has met resistance or is through
		// with the single bytes.
		rig.Lapse(200 * time.Millisecond)
		receiveAll(t, sink, stream, single+bulk)
		if err := rig.Receive(t, sent, "the end of sending"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLanesChange alternates between small messages and bulk in both
// directions at once: no byte may be lost or overtaken where the lane changes.
func TestLanesChange(t *testing.T) {
	bothWays(t, rig.Config{}, func(t *testing.T, _ *rig.Proxy, first, second end) {
		for i := range 6 {
			back := make(chan error, 1)
			go func() { back <- rig.Pattern(21).Send(second, 0, 8<<20, nil) }()
			there := make(chan error, 1)
			go func() { there <- rig.Pattern(20).Receive(second, 0, 8<<20) }()
			sent := sendAll(first, 20, 8<<20)
			receiveAll(t, first, 21, 8<<20)
			for _, done := range []<-chan error{back, there, sent} {
				if err := rig.Receive(t, done, "the end of a transfer"); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
			}
			for range 200 {
				first.Put("small")
				second.Want("small")
				second.Put("answer")
				first.Want("answer")
			}
		}
	})
}
