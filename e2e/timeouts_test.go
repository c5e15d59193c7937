package e2e

import (
	"testing"
	"time"

	"wsplice/e2e/internal/rig"
)

const idleTimeout = 600 * time.Millisecond

var idleConfig = rig.Config{Tunnel: rig.Settings{"idle_timeout": "600ms"}}

func TestIdleTimeout(t *testing.T) {
	bothWays(t, idleConfig, func(t *testing.T, p *rig.Proxy, first, second end) {
		mark := p.Logs.Mark()
		first.Put("one byte of life")
		second.Want("one byte of life")
		within(t, idleTimeout-50*time.Millisecond, shortLate, func() {
			second.WantGone()
			first.WantGone()
		})
		p.WaitTunnels(0)
		line := p.WaitLog(mark, "the tunnel is closed", isMsg("tunnel closed"))
		t.Logf("closed: ended_by=%q why=%q", line.Text("ended_by"), line.Text("why"))
	})
}

// TestOneWayTrafficIsNotIdle streams in one direction only, for several times
// the timeout.
func TestOneWayTrafficIsNotIdle(t *testing.T) {
	bothWays(t, idleConfig, func(t *testing.T, _ *rig.Proxy, first, second end) {
		pace := time.NewTicker(idleTimeout / 3)
		defer pace.Stop()
		for range 9 {
			<-pace.C
			first.Put("tick")
			second.Want("tick")
		}
		second.Put("still here")
		first.Want("still here")
	})
}

// TestOneWayBulkIsNotIdle is the same for bytes that are spliced.
func TestOneWayBulkIsNotIdle(t *testing.T) {
	const piece = 8 << 20
	bothWays(t, idleConfig, func(t *testing.T, p *rig.Proxy, first, second end) {
		spliced := laneBytes(p.Metrics(), "splice")
		pace := time.NewTicker(idleTimeout / 3)
		defer pace.Stop()
		for range 9 {
			<-pace.C
			transfer(t, first, second, 29, piece)
		}
		if n := laneBytes(p.Metrics(), "splice") - spliced; n < piece && rig.Splices() {
			t.Errorf("%.0f bytes were spliced, so this tests nothing", n)
		}
		second.Put("still here")
		first.Want("still here")
	})
}

// TestIdleTimeoutWhileStalled has bytes wait for a reader: a tunnel where
// nothing moves is idle, however much it holds.
func TestIdleTimeoutWhileStalled(t *testing.T) {
	bothWays(t, idleConfig, func(t *testing.T, p *rig.Proxy, first, second end) {
		sent := sendAll(first, 14, pressureBytes)
		if err := rig.Receive(t, sent, "the sender is cut off"); err == nil {
			t.Fatal("all bytes were taken although nobody reads")
		}
		p.WaitTunnels(0)
		second.WantGone()
	})
}

// TestNoIdleTimeoutByDefault keeps quiet for longer than the other tests'
// timeouts.
func TestNoIdleTimeoutByDefault(t *testing.T) {
	bothWays(t, rig.Config{}, func(_ *testing.T, _ *rig.Proxy, first, second end) {
		rig.Lapse(2 * idleTimeout)
		first.Put("still here")
		second.Want("still here")
	})
}

func isMsg(want string) func(rig.Line) bool {
	return func(l rig.Line) bool { return l.Msg() == want }
}
