package configs

import "time"

// tunnel reads the defaults, or what one route overrides.
func (d *decoder) tunnel(n *node, t *Tunnel) {
	d.mapping(n, map[string]decode{
		"async":              d.boolean(&t.Async),
		"async_delay":        d.duration(&t.AsyncDelay, 0, durationMax, 1),
		"idle_timeout":       d.duration(&t.IdleTimeout, 0, durationMax, 1),
		"lifetime":           d.duration(&t.Lifetime, 0, durationMax, 1),
		"half_close_timeout": d.duration(&t.HalfCloseTimeout, 0, durationMax, 1),
		"frames":             d.enum(&t.Frames, []string{"auto", "always", "off"}),
		"ping_interval":      d.pingInterval(&t.PingInterval),
		"pong_timeout":       d.duration(&t.PongTimeout, 0, durationMax, 1),
		"message_bytes":      d.size(&t.MessageBytes, 0, messageBytesMax, 0),
		"frame_bytes":        d.size(&t.FrameBytes, 0, messageBytesMax, 0),
	})
	d.tunnelShape(n, t)
}

// pingInterval takes 0 or a duration that is not a flood.
func (d *decoder) pingInterval(to *time.Duration) decode {
	return func(n *node) {
		value := *to
		d.duration(&value, 0, durationMax, 1)(n)
		if value != 0 && value < pingIntervalMin {
			d.wrong(n, "must be at least %v, or 0 for no pings, but this is %s", pingIntervalMin, n.text)
			return
		}
		*to = value
	}
}

// tunnelShape reports settings that cannot work together. What a route only
// inherits was reported where it stands, so an error needs one of the two keys
// in n. A route that turns something off need not turn off what belongs to it.
func (d *decoder) tunnelShape(n *node, t *Tunnel) {
	at := n.get("ping_interval")
	if at == nil {
		at = n.get("frames")
	}
	if at != nil && t.PingInterval > 0 && t.Frames == "off" {
		d.wrong(at, "pings go between two frames, which frames: off does not look for; "+
			"write frames: auto, or ping_interval: 0s")
	}
	if at := n.get("pong_timeout"); at != nil && t.PongTimeout > 0 && t.PingInterval == 0 {
		d.warn(at.Pos, "%s: pong_timeout without ping_interval has no effect: there is no ping to answer", at.path())
	}
	if at := n.get("async_delay"); at != nil && t.AsyncDelay > 0 && !t.Async {
		d.warn(at.Pos, "%s: async_delay has no effect with async: off, which never goes back to the poller", at.path())
	}
}
