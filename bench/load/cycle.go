package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudwego/netpoll"
)

// runChurn keeps Config.Tunnels cycles under way.
func (r *run) runChurn(ctx context.Context) (*Result, error) {
	if err := r.prime(); err != nil {
		return nil, err
	}
	for id := range r.config.Tunnels {
		r.begin()
		go r.churn(id)
	}
	spent, err := r.measure(ctx)
	r.settle()
	if err != nil {
		return nil, err
	}
	return r.resultWith(spent), nil
}

// churn makes one cycle after the other until the run stops.
func (r *run) churn(id int) {
	defer r.end()
	var l leash
	for !r.in(stopping) {
		began := time.Now()
		upgraded, err := r.cycle(id, &l)
		if err != nil {
			r.problems.add(fmt.Errorf("cycle: %w", err))
			time.Sleep(retryPause)
			continue
		}
		if r.in(measuring) {
			r.latencies.record(uint32(id), time.Since(began))
			r.upgrades.record(uint32(id), upgraded.Sub(began))
			r.connections.Add(1)
			if r.security.resumes() {
				r.resumed.Add(1)
			}
			if r.config.MessageBytes > 0 {
				r.count(1, int64(r.config.MessageBytes))
			}
		}
	}
}

// cycle connects, upgrades, echoes once (unless messages have no bytes) and
// closes, and returns when it was upgraded.
//
// Here the peer ends the connection first, as RFC 6455 section 7.1.1 has it,
// so the port of this side is free again at once and it is the listening side
// that remembers the connection in TIME_WAIT.
func (r *run) cycle(id int, l *leash) (upgraded time.Time, err error) {
	t, upgraded, err := r.visit(id, Churn, l)
	if err != nil {
		return upgraded, err
	}
	err = t.sayGoodbye()
	return upgraded, t.leave(l, err)
}

// visit connects, upgrades and echoes once, within cycleTimeout on the
// leash, which goes on to hold the tunnel that is returned.
func (r *run) visit(id int, does Scenario, l *leash) (t *tunnel, upgraded time.Time, err error) {
	conn, to, err := r.connect()
	if err != nil {
		return nil, upgraded, err
	}
	l.hold(descriptor(conn), r.config.patience)
	early, err := shakeHands(conn, to.host, r.config.protocol())
	upgraded = time.Now()
	t = newTunnel(r, id, does, conn, early)
	if err == nil {
		err = t.feed(early)
	}
	if err == nil && r.config.MessageBytes > 0 {
		err = t.sendMessage()
	}
	if err == nil {
		err = t.await(func() bool { return t.answered == t.sequence.Load() })
	}
	if err != nil {
		return nil, upgraded, t.leave(l, err)
	}
	return t, upgraded, nil
}

// leave closes the connection of a tunnel that has no handler. It returns
// err, or what explains it.
func (t *tunnel) leave(l *leash, err error) error {
	if cut := l.release(); cut && err != nil {
		err = fmt.Errorf("no end within %v: %w", t.run.config.patience, err)
	}
	_ = t.conn.Close()
	return err
}

// await takes what comes, in the calling goroutine, until it was enough.
func (t *tunnel) await(enough func() bool) error {
	for !enough() {
		if _, err := t.conn.Reader().Peek(1); err != nil {
			return err
		}
		if err := t.take(); err != nil {
			return err
		}
	}
	return nil
}

// sayGoodbye sends a Close and waits for the peer's and for the end of its
// stream.
func (t *tunnel) sayGoodbye() error {
	if err := t.sendClose(); err != nil {
		return err
	}
	if err := t.await(func() bool { return t.ended }); err != nil {
		return fmt.Errorf("await Close: %w", err)
	}
	_, err := t.conn.Reader().Peek(1)
	switch {
	case err == nil:
		return errors.New("bytes behind a Close")
	case errors.Is(err, netpoll.ErrEOF):
		return nil
	}
	return fmt.Errorf("await end: %w", err)
}
