package pool

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/internal/sys"
)

// A Budget counts descriptors. A warm connection takes one.
type Budget interface {
	Take(n int) bool
	Give(n int)
	Left() int
}

// WarmConfig is what keeping connections warm needs to know of the process.
type WarmConfig struct {
	Dial   time.Duration // one address
	Budget Budget
	Log    *slog.Logger

	// SpeaksFirst says that a server may send before it is sent anything, as VNC
	// and SMTP do: what has come, up to warmEarlyMax, stays with its connection.
	// Otherwise a connection on which something came is closed.
	SpeaksFirst bool

	// Secure makes the layer of a connection to a server that has TLS, within the
	// deadline of the connection. Without such servers it may be nil.
	Secure func(conn net.Conn, config *tls.Config) (Layer, error)
}

// A Warm keeps connections to one server open ahead of need, so that a tunnel
// that takes one spares the round trip of connecting.
//
// A connection waits on netpoll, without a goroutine, until it is taken, the
// server hangs up, or warmAgeMax has passed. One goroutine keeps the number up,
// with some more while it dials. Take is for loops and never waits; the other
// methods may be called from any goroutine.
type Warm struct {
	server *Server
	size   int

	config  WarmConfig
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{} // tells the goroutine to look
	idle    atomic.Int32  // len(ready)
	yield   atomic.Bool   // GiveWay was called
	endless bool          // the server says more than is kept; of the goroutine

	// mu is held for a few instructions, or a few records of TLS, and never across a
	// system call.
	mu        sync.Mutex
	ready     []*warmConn // the latest last
	dialing   int
	closed    bool
	failures  int // in a row; see noteFailure
	notBefore time.Time
	because   error // why the last one failed, if it was for TLS and was not told yet
	told      bool  // that TLS fails, since a connection has lasted
}

// KeepWarm makes the server hold size connections ready, from Warm.Start on. It
// must be called before the server is shared.
func (s *Server) KeepWarm(size int) {
	if size > 0 {
		s.warm = &Warm{server: s, size: size, wake: make(chan struct{}, 1)}
	}
}

// Warm returns the server's warm connections, or nil if none are kept.
func (s *Server) Warm() *Warm { return s.warm }

// Start begins to connect. Close must follow.
func (w *Warm) Start(c WarmConfig) {
	w.config = c
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.running.Add(1)
	go w.run()
}

// Close closes all connections that were not taken, and returns when no
// goroutine is left.
func (w *Warm) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
}

// Idle returns how many connections are ready.
func (w *Warm) Idle() int { return int(w.idle.Load()) }

// GiveWay asks for the descriptors of all connections that are not taken. They
// are given back soon, and not asked for again for warmYieldPause.
func (w *Warm) GiveWay() {
	w.yield.Store(true)
	w.poke()
}

// A Taken is a connection that was warm.
type Taken struct {
	FD    sys.FD
	Early []byte // what the server has said; the taker's to keep
	Layer Layer  // that WarmConfig.Secure has made, if the server has TLS
}

// Take gives the latest connection into the ownership of the caller, who has
// reserved a descriptor for it. It reports false when none is ready, and never
// waits.
//
// The connection is connected, and nothing was sent on it. The server may have
// closed it in the last instant: a caller that is told so before anything was
// answered dials anew (RFC 9112 section 9.3.1 allows that for a GET).
//
// plain says that the caller expects no answer of HTTP, and takes connections on
// which the server has spoken: Early is that, at most warmEarlyMax (64 KiB) and
// what one read has brought, and there may be more in the socket. Without plain,
// such connections are closed.
func (w *Warm) Take(plain bool) (taken Taken, ok bool) {
	if w.idle.Load() == 0 {
		return Taken{FD: sys.NoFD}, false
	}
	for range warmTriesMax {
		c := w.pop()
		if c == nil {
			break
		}
		taken.FD, ok = c.detach()
		w.config.Budget.Give(1)
		if ok && c.promised(taken.FD, plain) {
			w.poke()
			taken.Early, taken.Layer = c.early, c.layer
			return taken, true
		}
		c.part(taken.FD)
		taken.FD.Close()
	}
	w.poke()
	return Taken{FD: sys.NoFD}, false
}

// pop takes the latest connection off, unless somebody else looks at them just
// now: a loop does not wait for that.
func (w *Warm) pop() *warmConn {
	if !w.mu.TryLock() {
		return nil
	}
	defer w.mu.Unlock()
	last := len(w.ready) - 1
	if last < 0 {
		return nil
	}
	c := w.ready[last]
	w.ready[last] = nil
	w.ready = w.ready[:last]
	w.idle.Store(int32(last))
	return c
}

// poke makes the goroutine look, soon.
func (w *Warm) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run keeps the connections until Close.
func (w *Warm) run() {
	defer w.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			w.discard(w.removeIf(func(*warmConn) bool { return true }))
			return
		case <-w.wake:
		case <-timer.C:
		}
		now := time.Now()
		w.discard(w.weed(now))
		w.complain()
		timer.Reset(w.refill(now))
	}
}

// weed removes the connections that are not to be kept. A server that sends on
// and on is not for keeping: netpoll would read all of it, and whoever took the
// connection would get what is long past.
func (w *Warm) weed(now time.Time) []*warmConn {
	if w.yield.Swap(false) {
		w.mu.Lock()
		w.notBefore = now.Add(warmYieldPause)
		w.mu.Unlock()
		return w.removeIf(func(*warmConn) bool { return true })
	}
	before := w.endless
	removed := w.removeIf(func(c *warmConn) bool {
		switch said, err := c.listen(); {
		case said > warmEarlyMax:
			w.endless = true
			return true
		case err != nil || said > 0 && !w.config.SpeaksFirst:
			w.noteEnd(c, now)
			return true
		}
		if now.Sub(c.since) >= warmShortLife {
			w.failures, w.told = 0, false
			c.settle()
		}
		return now.After(c.until)
	})
	if w.endless && !before {
		w.config.Log.Warn("no more connections to a server are kept warm: it sends too much unasked; set warm: 0",
			"server", w.server.name, "bytes_max", warmEarlyMax)
	}
	return removed
}

// removeIf removes what bad says from the ready connections. bad is called with
// mu held.
func (w *Warm) removeIf(bad func(*warmConn) bool) (removed []*warmConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.ready[:0]
	for _, c := range w.ready {
		if bad(c) {
			removed = append(removed, c)
		} else {
			kept = append(kept, c)
		}
	}
	clear(w.ready[len(kept):])
	w.ready = kept
	w.idle.Store(int32(len(kept)))
	return removed
}

// discard closes connections that were removed.
func (w *Warm) discard(list []*warmConn) {
	for _, c := range list {
		c.close()
		w.config.Budget.Give(1)
	}
}

// hungUp ends a connection that the server has closed, unless it was taken.
func (w *Warm) hungUp(gone *warmConn) {
	removed := w.removeIf(func(c *warmConn) bool {
		if c != gone {
			return false
		}
		w.running.Add(1) // Close waits; run is there as long as anything is ready
		w.noteEnd(c, time.Now())
		return true
	})
	if len(removed) > 0 {
		w.discard(removed)
		w.running.Done()
	}
	w.poke()
}

// noteEnd takes note, with mu held, that the server did not keep c. One that
// closes what it has just accepted is not to be dialed without end.
func (w *Warm) noteEnd(c *warmConn, now time.Time) {
	if now.Sub(c.since) < warmShortLife {
		w.noteFailure(now)
		w.noteCause(c.failed())
	}
}

// noteFailure puts off, with mu held, the next dial: longer each time in a row,
// up to warmRetryMax. Failures of dials that ran side by side count once.
func (w *Warm) noteFailure(now time.Time) {
	if now.Before(w.notBefore) {
		return
	}
	pause := warmRetryMax
	if w.failures < warmRetryDoublings {
		pause = min(warmRetry<<w.failures, warmRetryMax)
	}
	w.failures++
	w.notBefore = now.Add(pause/2 + rand.N(pause/2))
}
