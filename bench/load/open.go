package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"
)

// openAll opens the configured number of tunnels, dialsMax at a time, and
// returns those that opened; the others are counted as problems.
func (r *run) openAll(ctx context.Context) []*tunnel {
	var (
		mu      sync.Mutex
		tunnels []*tunnel
		workers sync.WaitGroup
		ids     = make(chan int)
	)
	for range min(dialsMax, r.config.Tunnels) {
		workers.Go(func() {
			for id := range ids {
				t, err := r.open(id)
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
	for id := range r.config.Tunnels {
		if ctx.Err() != nil {
			break
		}
		ids <- id
	}
	close(ids)
	workers.Wait()
	return tunnels
}

// open dials and upgrades one connection. It has no handler yet, so netpoll
// neither calls it nor frees its buffers.
func (r *run) open(id int) (*tunnel, error) {
	conn, err := netpoll.DialConnection("tcp", r.config.Address, openTimeout)
	if err != nil {
		return nil, err
	}
	early, err := shakeHands(conn, r.config.Address)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newTunnel(r, id, conn, early), nil
}

// shakeHands upgrades conn and returns the bytes that came behind the
// response.
func shakeHands(conn netpoll.Connection, host string) (early []byte, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(openTimeout)); err != nil {
		return nil, err
	}
	dialer := ws.Dialer{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10}
	buffered, _, err := dialer.Upgrade(conn, &url.URL{Scheme: "ws", Host: host, Path: "/"})
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if buffered != nil {
		early, err = takeBuffered(buffered)
		if err != nil {
			return nil, err
		}
	}
	return early, conn.SetReadDeadline(time.Time{})
}

func takeBuffered(b *bufio.Reader) ([]byte, error) {
	early := make([]byte, b.Buffered())
	_, err := io.ReadFull(b, early)
	ws.PutReader(b)
	return early, err
}

func closeAll(tunnels []*tunnel) {
	for _, t := range tunnels {
		_ = t.conn.Close()
	}
}
