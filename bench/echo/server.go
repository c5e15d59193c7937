package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

// A Mode says what a backend does with an open tunnel.
type Mode uint8

// The modes.
const (
	Echo   Mode = iota // sends every message back, fragments as they came
	Sink               // reads and discards messages
	Source             // sends binary messages, see Options
	Duplex             // a Sink and a Source at once
)

var modeNames = [...]string{Echo: "echo", Sink: "sink", Source: "source", Duplex: "duplex"}

// String returns the mode's name as ParseMode reads it.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode returns the mode called echo, sink, source or duplex.
func ParseMode(name string) (Mode, error) {
	for m, n := range modeNames {
		if n == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("echo: mode %q is none of echo, sink, source, duplex", name)
}

// Options say what a backend does. The zero value echoes.
type Options struct {
	Mode Mode

	// Raw says that there is no WebSocket: the backend of an endpoint takes and
	// sends plain bytes. An Echo sends them back as they came, a Source begins with
	// the first that comes and does not end by itself, and there is no Duplex.
	Raw bool

	// FrameBytes is the payload of each frame a Source or Duplex sends; 0
	// means 16 KiB, the most is 16 MiB. Each frame is one binary message that
	// holds wire.Pattern from offset 0.
	FrameBytes int

	// TotalBytes is the payload after which a Source or Duplex closes with 1000,
	// rounded up to whole frames; 0 means that it sends until the client
	// closes.
	TotalBytes int64
}

// A Server is a running backend. Its methods may be called from any
// goroutine.
type Server struct {
	options  Options
	listener *listener
	loop     netpoll.EventLoop
	served   chan struct{} // closed when loop.Serve has returned
	stop     chan struct{} // closed by Close

	mu       sync.Mutex // protects what follows
	sessions map[*session]struct{}
	closing  bool
}

// Start listens on network (tcp, tcp4, tcp6 or unix) and address and serves
// until Close. Port 0 asks for a free one; see [Server.Addr].
func Start(network, address string, o Options) (*Server, error) {
	if o.FrameBytes == 0 {
		o.FrameBytes = 16 << 10
	}
	if o.Raw && (o.Mode == Duplex || o.TotalBytes > 0) {
		return nil, fmt.Errorf("echo: %s has no raw mode with a total of %d", o.Mode, o.TotalBytes)
	}
	if o.FrameBytes < 0 || o.FrameBytes > frameBytesMax || o.TotalBytes < 0 || int(o.Mode) >= len(modeNames) {
		return nil, fmt.Errorf("echo: options out of range: %+v", o)
	}
	ln, err := listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("echo: listen: %w", err)
	}
	s := &Server{
		options:  o,
		listener: ln,
		served:   make(chan struct{}),
		stop:     make(chan struct{}),
		sessions: map[*session]struct{}{},
	}
	s.loop, err = netpoll.NewEventLoop(onRequest, netpoll.WithOnPrepare(s.onPrepare))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("echo: create event loop: %w", err), ln.Close())
	}
	go func() {
		defer close(s.served)
		_ = s.loop.Serve(ln) // ends with what Close did
	}()
	go s.watchBacklogs()
	return s, nil
}

// Addr returns the address the backend listens on.
func (s *Server) Addr() net.Addr { return s.listener.addr }

// Open returns the number of connections, upgraded or not.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Close stops listening and cuts every connection. It returns when all are
// gone, or after 5 s with an error.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	close(s.stop)
	conns := make([]netpoll.Connection, 0, len(s.sessions))
	for sess := range s.sessions {
		conns = append(conns, sess.conn)
	}
	s.mu.Unlock()

	for _, c := range conns {
		_ = c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := s.loop.Shutdown(ctx); err != nil {
		return fmt.Errorf("echo: shut down: %w", err)
	}
	select {
	case <-s.served:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("echo: shut down: %w", ctx.Err())
	}
}

// onPrepare gives each accepted connection its session, which travels as the
// connection's context.
func (s *Server) onPrepare(conn netpoll.Connection) context.Context {
	sess := newSession(&s.options, conn)
	sess.headTimer = time.AfterFunc(headTimeout, func() { _ = conn.Close() })
	if s.options.Raw {
		sess.headTimer.Stop() // no head will come
	}
	s.mu.Lock()
	refuse := s.closing
	if !refuse {
		s.sessions[sess] = struct{}{}
	}
	s.mu.Unlock()
	_ = conn.AddCloseCallback(func(netpoll.Connection) error {
		sess.closed()
		s.mu.Lock()
		delete(s.sessions, sess)
		s.mu.Unlock()
		return nil
	})
	if refuse {
		_ = conn.Close()
	}
	return sess
}

// watchBacklogs cuts the connections whose input outgrows backlogBytesMax.
func (s *Server) watchBacklogs() {
	ticker := time.NewTicker(backlogWatchPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		var over []netpoll.Connection
		s.mu.Lock()
		for sess := range s.sessions {
			if sess.conn.Reader().Len() > backlogBytesMax {
				over = append(over, sess.conn)
			}
		}
		s.mu.Unlock()
		for _, c := range over {
			_ = c.Close()
		}
	}
}
