package proxy

import "wsplice/loop"

// Where an upstream balances by traffic, the bytes of open tunnels count while
// they flow. A message pays nothing for that: each worker goes through its
// tunnels once a second, a part of them at a time, and adds to their servers what
// came since. What a goroutine moves in synchronous service, it adds itself.

// A trafficClock goes through the tunnels of a worker.
type trafficClock struct {
	worker *worker
	timer  loop.Timer
	chunk  int // the next one
}

func (c *trafficClock) start(w *worker) {
	for _, u := range w.server.upstreams {
		if u.ByTraffic() {
			c.worker = w
			w.loop.Arm(&c.timer, c, trafficTick)
			return
		}
	}
}

// OnTimer counts what a part of the tunnels has moved.
func (c *trafficClock) OnTimer(*loop.Timer) {
	w := c.worker
	for range (len(w.chunks) + trafficParts - 1) / trafficParts {
		c.chunk = (c.chunk + 1) % len(w.chunks)
		for i := range w.chunks[c.chunk] {
			if t := &w.chunks[c.chunk][i]; t.relays() && t.server != nil && t.route.Upstream.ByTraffic() {
				t.countTraffic()
			}
		}
	}
	w.loop.Arm(&c.timer, c, trafficTick)
}

// countTraffic adds to the server what the tunnel has moved since it was last
// counted, in whole units.
func (t *Tunnel) countTraffic() {
	units := t.trafficUnits()
	t.server.AddTraffic(uint64(units-t.counted) * trafficUnit)
	t.counted = units
}

// trafficUnits returns what the tunnel has moved. The number may wrap: what
// counts is how much it grew.
func (t *Tunnel) trafficUnits() uint32 { return uint32((t.up.bytes + t.down.bytes) / trafficUnit) }
