package pool

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"

	"wsplice/internal/sys"
)

// netpoll writes to stderr, past the log, what it cannot return. All of it is
// about a connection that ends, which is seen by other means.
func init() { _ = netpoll.Configure(netpoll.Config{LoggerOutput: io.Discard}) }

// refill begins to dial what is missing, and returns when to look again.
func (w *Warm) refill(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	look := warmLook
	if last := len(w.ready) - 1; last >= 0 && now.Sub(w.ready[last].since) < warmShortLife {
		look = warmLookYoung
	}
	if w.endless {
		return look
	}
	if now.Before(w.notBefore) {
		return min(w.notBefore.Sub(now), look)
	}
	atOnce := warmDialsMax
	if w.failures > 0 {
		atOnce = 1 // first see whether it serves again
	}
	for w.dialing < atOnce && len(w.ready)+w.dialing < w.size {
		w.dialing++
		w.running.Add(1)
		go w.dial()
	}
	return look
}

// dial adds one connection.
func (w *Warm) dial() {
	defer w.running.Done()
	c, err := w.connect()
	now := time.Now()
	w.mu.Lock()
	w.dialing--
	kept := err == nil && !w.closed
	switch {
	case kept:
		c.since, c.until = now, now.Add(warmAgeMax-rand.N(warmAgeMax/4))
		w.ready = append(w.ready, c)
		w.idle.Store(int32(len(w.ready)))
	case err != nil:
		w.noteFailure(now)
		w.noteCause(err)
	}
	w.mu.Unlock()
	if err == nil {
		w.server.Connected()
	}
	switch {
	case err == nil && !kept:
		w.discard([]*warmConn{c})
	case kept && !c.conn.IsActive():
		w.hungUp(c) // before it could be told of
	}
	w.poke()
}

// errNoDescriptor says that the budget has none to spare.
var errNoDescriptor = errors.New("pool: no descriptor to spare for a warm connection")

// connect makes a connection that waits on netpoll, to the first address that
// lets it, with a descriptor of the budget.
//
// net.Dialer connects: netpoll's own ignores IPv6 zones.
func (w *Warm) connect() (*warmConn, error) {
	budget := w.config.Budget
	if budget.Left() <= warmHeadroom || !budget.Take(1) {
		return nil, errNoDescriptor
	}
	dialer := net.Dialer{Timeout: w.config.Dial, KeepAlive: -1, Control: w.control}
	err := ErrNoAddress
	addresses := w.server.Addresses()
	for i := range addresses {
		network, address := addresses[i].Dial()
		var conn net.Conn
		deadline := time.Now().Add(w.config.Dial)
		if conn, err = dialer.DialContext(w.ctx, network, address); err != nil {
			continue
		}
		var layer Layer
		if layer, err = w.secure(conn, deadline); err != nil {
			conn.Close()
			continue
		}
		var c *warmConn
		if c, err = w.adopt(conn, layer); err == nil {
			return c, nil
		}
		break
	}
	budget.Give(1)
	return nil, err
}

func (w *Warm) control(network, _ string, raw syscall.RawConn) error {
	if w.server.upstream == nil {
		return nil
	}
	return w.server.upstream.BindSource(network, raw)
}

// adopt moves a connection from Go's poller to netpoll's.
func (w *Warm) adopt(conn net.Conn, layer Layer) (*warmConn, error) {
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := sys.NoFD
	var errno sys.Errno
	if err := raw.Control(func(number uintptr) { fd, errno = sys.FD(number).Dup() }); err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, errno
	}
	c := &warmConn{layer: layer}
	c.hear(nil) // what has come with the end of the handshake
	if c.conn, err = netpoll.NewFDConnection(int(fd)); err != nil {
		return nil, err // it has closed fd
	}
	err = c.conn.(disconnecter).SetOnDisconnect(func(context.Context, netpoll.Connection) { w.hungUp(c) })
	return c, err
}

// A warmConn is a connection on netpoll. Whoever has removed it from the ready
// ones, and nobody else, detaches or closes it, once.
//
// It has no OnRequest handler, for two reasons. With one, netpoll closes the
// connection by itself when the server hangs up, which may cross a Detach, and
// then nobody can tell whose the descriptor is. And a Detach is put off while
// the handler runs. Without, Detach is over when it returns.
type warmConn struct {
	conn  netpoll.Connection
	since time.Time
	until time.Time // its time to go
	early []byte    // what the server has said, as far as it was taken from netpoll
	layer Layer     // nil where there is none; see warm_layer.go
	err   error     // why layer is of no more use
}

// These are methods of netpoll's connections that its interface lacks.
type (
	disconnecter interface {
		SetOnDisconnect(callback netpoll.OnDisconnect) error
	}
	detacher interface{ Detach() error }
)

// detach takes the descriptor off netpoll, and what netpoll has read from it to
// early. ok is false where that is more than is kept, or of no use.
func (c *warmConn) detach() (fd sys.FD, ok bool) {
	fd = sys.FD(c.conn.(netpoll.Conn).Fd())
	_ = c.conn.(detacher).Detach() // it has no error to report
	// netpoll keeps its buffer where something is left in it.
	n := c.conn.Reader().Len()
	if n > warmEarlyMax {
		return fd, false
	}
	if n > 0 {
		b, _ := c.conn.Reader().Next(n) // it is there
		c.hear(b)
	}
	return fd, c.err == nil && len(c.early) <= warmEarlyMax
}

// promised reports whether fd, which was detached, is as Take promises.
func (c *warmConn) promised(fd sys.FD, plain bool) bool {
	n, errno := fd.Peek()
	if c.layer != nil && errno == 0 && n > 0 {
		errno = c.drain(fd)
		n = len(c.early)
	}
	quiet := errno == sys.EAGAIN
	if plain {
		return quiet || errno == 0 && n > 0
	}
	return quiet && len(c.early) == 0
}

func (c *warmConn) close() {
	c.part(sys.FD(c.conn.(netpoll.Conn).Fd()))
	_ = c.conn.Close() // a socket has nothing to flush
}
