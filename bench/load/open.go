package load

import (
	"context"
	"fmt"
	"sync"

	"github.com/cloudwego/netpoll"
)

// openAll opens that many tunnels, dialsMax at a time, and returns those that
// opened; the others are counted as problems.
func (r *run) openAll(ctx context.Context, count int, does Scenario) []*tunnel {
	var (
		mu      sync.Mutex
		tunnels []*tunnel
		workers sync.WaitGroup
		ids     = make(chan int)
	)
	for range min(dialsMax, count) {
		workers.Go(func() {
			var l leash
			for id := range ids {
				t, err := r.open(id, does, &l)
				if err != nil {
					r.problems.add(fmt.Errorf("open: %w", err))
					continue
				}
				mu.Lock()
				tunnels = append(tunnels, t)
				mu.Unlock()
			}
		})
	}
	for id := range count {
		if ctx.Err() != nil {
			break
		}
		ids <- id
	}
	close(ids)
	workers.Wait()
	return tunnels
}

// open connects and upgrades one tunnel, within openTimeout.
func (r *run) open(id int, does Scenario, l *leash) (*tunnel, error) {
	conn, to, err := r.connect()
	if err != nil {
		return nil, err
	}
	l.hold(descriptor(conn), openTimeout)
	early, err := shakeHands(conn, to.host, r.config.protocol())
	if l.release() {
		err = fmt.Errorf("no tunnel within %v", openTimeout)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newTunnel(r, id, does, conn, early), nil
}

// connect dials and hands the socket to netpoll, or to TLS.
func (r *run) connect() (netpoll.Connection, *remote, error) {
	fd, to, err := r.dialer.dial()
	if err != nil {
		return nil, nil, err
	}
	if r.security != nil {
		return r.security.secure(fd), to, nil
	}
	conn, err := netpoll.NewFDConnection(fd)
	return conn, to, err
}

// descriptor returns the socket of a connection, which stays the connection's.
func descriptor(conn netpoll.Connection) int { return conn.(netpoll.Conn).Fd() }

func closeAll(tunnels []*tunnel) {
	for _, t := range tunnels {
		_ = t.conn.Close()
	}
}
