package load

import (
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"wsplice/bench/echo"
)

// serveStalling echoes, but stops for a while before it answers message
// number at of a connection.
func serveStalling(t *testing.T, at int, stall time.Duration) string {
	return serveUpgraded(t, func(c net.Conn) {
		for i := 1; ; i++ {
			p, err := wsutil.ReadClientBinary(c)
			if err != nil {
				return
			}
			if i == at {
				<-time.After(stall)
			}
			if wsutil.WriteServerBinary(c, p) != nil {
				return
			}
		}
	})
}

// TestOpenCountsFromTheIntendedTime has a backend stall once. A closed loop
// would see one slow message among hundreds; here every message that should
// have been sent meanwhile is as late as it really is.
func TestOpenCountsFromTheIntendedTime(t *testing.T) {
	const stall = 200 * time.Millisecond
	res, err := Run(t.Context(), Config{
		Scenario: Open, Address: serveStalling(t, 100, stall), Tunnels: 1, MessageBytes: 16, Rate: 250,
		Window: 800 * time.Millisecond,
	})
	if err != nil || res.Errors != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	// A quarter of the window's messages fell into the stall: those due at
	// its beginning waited through all of it.
	l := res.Latency
	if l.Max < stall-10*time.Millisecond || l.P99 < stall*3/4 || l.P50 > stall/2 {
		t.Errorf("latency %+v around a stall of %v", l, stall)
	}
	if res.Late != 0 {
		t.Errorf("%d late, with 50 messages unanswered at most", res.Late)
	}
	if res.Messages < 100 || res.Messages > 210 {
		t.Errorf("%d messages, want 800 ms of 250 per second", res.Messages)
	}
}

// TestOpenCountsLateMessages stalls for longer than may be unanswered. The
// end of the window comes within the stall: what is owed then still counts.
func TestOpenCountsLateMessages(t *testing.T) {
	const stall, rate = 300 * time.Millisecond, 2000
	res, err := Run(t.Context(), Config{
		Scenario: Open, Address: serveStalling(t, 100, stall), Tunnels: 1, MessageBytes: 16, Rate: rate,
		Window: 250 * time.Millisecond,
	})
	if err != nil || res.Errors != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if res.Late < 50 || res.Late > 500-inflightMax {
		t.Errorf("%d late, want most of those due after message %d", res.Late, 100+inflightMax)
	}
	if res.Latency.P50 < stall/3 || res.Latency.Max < stall-10*time.Millisecond {
		t.Errorf("latency %+v: what was owed at the end is missing", res.Latency)
	}
}

func TestOpenAgainstTheEcho(t *testing.T) {
	for _, c := range []Config{
		{Tunnels: 1, MessageBytes: 1, Rate: 1},
		{Tunnels: 100, MessageBytes: 16, Rate: 5000},
		{Tunnels: 7, MessageBytes: 64 << 10, Rate: 700},
		{Tunnels: 2, MessageBytes: 1 << 20, Rate: 20},
	} {
		c.Scenario = Open
		c.Address = mustBackend(t, echo.Options{}).Addr().String()
		c.Window = 200 * time.Millisecond
		res := runWithout(t, c)
		// How much a busy machine gets done of it is not for this test.
		if most := int64(c.Rate)*3/10 + 100; res.Messages > most || c.Rate > 20 && res.Messages == 0 {
			t.Errorf("%d messages at %d per second", res.Messages, c.Rate)
		}
		if c.Rate > 20 && (res.Latency.P50 <= 0 || res.Pacer.Max < res.Pacer.P50) {
			t.Errorf("latency %+v, pacer %+v", res.Latency, res.Pacer)
		}
	}
}

// TestPacerSpreadsTunnels holds the order of intended times: evenly over the
// second, and over the tunnels.
func TestPacerSpreadsTunnels(t *testing.T) {
	p := &pacer{r: &run{config: Config{Rate: 3}}, tunnels: make([]*tunnel, 2), begin: time.Minute}
	for n, want := range []time.Duration{0, 333333333, 666666666, time.Second, 1333333333} {
		id, number := uint32(n%2), uint32(n/2+1)
		if got := p.intended(id, number); got != time.Minute+want {
			t.Errorf("message %d of tunnel %d is due at %v, want %v", number, id, got, time.Minute+want)
		}
	}
}
