package pool

import (
	"context"
	"log/slog"
	"time"
)

// wakeWatch has the watch look at the servers. It never waits.
func (u *Upstream) wakeWatch() {
	select {
	case u.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// A said is what the log knows of a server.
type said struct {
	down   bool
	downAt time.Duration // of the last line that it is down; 0 = none yet
}

// watch writes a line when a server goes down, and one when it is back. What is
// logged is the state that is found, not each change of it: a server that goes
// up and down has two lines each downLinePause at most, and the last one is true.
func (u *Upstream) watch(ctx context.Context, log *slog.Logger) {
	known := make([]said, len(u.servers))
	timer := time.NewTimer(downLinePause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.wake:
		case <-timer.C:
		}
		next := downLinePause
		for i, s := range u.servers {
			if wait := u.tell(log, s, &known[i]); wait > 0 {
				next = min(next, wait)
			}
		}
		timer.Reset(next)
	}
}

// tell writes the line for s that is due. A wait says when to look again.
func (u *Upstream) tell(log *slog.Logger, s *Server, known *said) (wait time.Duration) {
	down := s.out.Load() != 0
	if down == known.down {
		return 0
	}
	now := u.clock()
	if again := known.downAt + downLinePause; down && known.downAt != 0 && again > now {
		return again - now
	}
	known.down = down
	if !down {
		log.Warn("server is back", "upstream", u.name, "server", s.name)
		return 0
	}
	known.downAt = now
	attrs := []any{"upstream", u.name, "server", s.name, "left_out_for", u.disableTime.String()}
	if cause := s.cause.Load(); cause != nil && *cause != nil {
		attrs = append(attrs, "error", *cause)
	}
	log.Warn("server is down", attrs...)
	return 0
}
