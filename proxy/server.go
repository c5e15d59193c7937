package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"wsplice/admission"
	"wsplice/gateway"
	"wsplice/h2"
	"wsplice/handshake"
	"wsplice/internal/sys"
	"wsplice/pool"
	"wsplice/route"
	"wsplice/splice"
)

// A Server runs the workers and what they share: the configuration, which is
// immutable, the descriptor budget, and what counts towards the limits.
type Server struct {
	config    Config
	table     *route.Table         // of config.Routes
	require   []*handshake.Refusal // of each route, for what is no upgrade it accepts
	trustUnix bool                 // as Config.Trusted says
	budget    *splice.Budget
	room      int // tunnels that the open-files limit leaves room for
	workers   []*worker
	bound     []*bound
	tunnels   atomic.Int64     // admitted: from the route's choice to the end
	upstreams []*pool.Upstream // of config.Routes, each once
	gateway   *gateway.Gateway // from Start on
	http2     *h2.Lane
	warm      []*pool.Warm // from Start on
	addresses *admission.Addresses
	rate      *admission.Rate
	inSync    atomic.Int32               // tunnels in synchronous service
	starving  atomic.Int32               // workers with a connection that waits for descriptors
	onMove    func(from, to tunnelState) // tests only: told of every transition, on any loop

	running sync.WaitGroup
}

// ErrDescriptors says that the open-files limit leaves no room for a tunnel.
var ErrDescriptors = errors.New("proxy: the open-files limit leaves no room for a tunnel; raise it (ulimit -n)")

// New binds all listeners and prepares the loops. What it opened is closed
// again when it fails.
func New(c Config) (*Server, error) {
	c.ownFields()
	s := &Server{
		config:    c,
		addresses: admission.NewAddresses(c.Limits.TunnelsPerIP),
		rate:      admission.NewRate(c.Limits.HandshakesPerSecond),
		http2:     newLane(&c),
	}
	if err := s.prepare(); err != nil {
		s.Discard()
		return nil, err
	}
	return s, nil
}

func (s *Server) prepare() error {
	if err := s.compileRoutes(); err != nil {
		return err
	}
	limit, err := sys.RaiseDescriptorLimit()
	if err != nil {
		return err
	}
	sockets := limit
	if most := s.config.Limits.Tunnels; most > 0 {
		sockets = min(limit, descriptorsPerTunnel*most)
	}
	for index := range s.config.Loops {
		w, err := newWorker(s, index, sockets/s.config.Loops)
		if err != nil {
			return fmt.Errorf("start loop %d: %w", index, err)
		}
		s.workers = append(s.workers, w)
	}
	for i := range s.config.Listeners {
		b, err := bind(&s.config.Listeners[i], &s.config, len(s.workers))
		if err != nil {
			return &ListenError{Index: i, Address: s.config.Listeners[i].Address, Err: err}
		}
		s.bound = append(s.bound, b)
	}
	open, err := sys.OpenDescriptors()
	if err != nil {
		return err
	}
	acceptors := 0
	for _, b := range s.bound {
		acceptors += len(b.sockets) // each may hold a connection that waits
	}
	room := limit - open - descriptorReserve - acceptors
	if room < descriptorsPerTunnel {
		return ErrDescriptors
	}
	s.room = room / descriptorsPerTunnel
	s.budget = splice.NewBudget(room, s.config.Limits.Pipes)
	for _, w := range s.workers {
		w.pipes = splice.NewPipes(s.budget)
	}
	return nil
}

// Discard closes what New opened, for a server that is never started.
func (s *Server) Discard() {
	for _, b := range s.bound {
		b.discard()
	}
	for _, w := range s.workers {
		w.loop.Release()
	}
}

// Start begins to accept on all loops.
func (s *Server) Start() {
	s.gateway = gateway.New(gateway.Config{
		Dial: s.config.Timeouts.Dial, Answer: s.config.Timeouts.Upgrade, Stall: s.config.Timeouts.Stall,
		Head: s.config.Limits.Head, Keepalive: s.config.TCP.Keepalive, UserTimeout: s.config.TCP.UserTimeout,
		Budget: s.budget, Log: s.config.Log,
	})
	for _, u := range s.upstreams {
		u.Start(s.config.Log)
	}
	if gate := s.config.Handshakes; gate != nil {
		gate.StandBack(s.busy)
	}
	s.startWarm()
	for _, w := range s.workers {
		s.running.Add(1)
		go w.run()
	}
	for _, b := range s.bound {
		b.start(s.workers)
	}
}

// Addresses returns what the server listens on, in the order of the
// configuration, with ports that the kernel chose.
func (s *Server) Addresses() []string {
	var list []string
	for _, b := range s.bound {
		list = append(list, b.address)
	}
	return list
}

// Budget returns the descriptors of the process, which whoever opens sockets
// beside the server shares with it.
func (s *Server) Budget() *splice.Budget { return s.budget }

// Loops returns how many loops there are.
func (s *Server) Loops() int { return len(s.workers) }

// TunnelsMax returns how many tunnels the limits leave room for.
func (s *Server) TunnelsMax() int {
	if limit := s.config.Limits.Tunnels; limit > 0 {
		return min(limit, s.room)
	}
	return s.room
}

// Engine names the engine of the loops, and how many bytes of memory its
// queues and buffers may take, of all loops together. refused says why it is
// not io_uring although the choice was left to the loops. Each loop chooses for
// itself; the first one that was refused speaks for all.
func (s *Server) Engine() (name string, memory int, refused error) {
	for _, w := range s.workers {
		memory += w.loop.EngineMemory()
		if n, err := w.loop.Engine(); name == "" || err != nil && refused == nil {
			name, refused = n, err
		}
	}
	return name, memory, refused
}

// Stop accepts what waits in the queues, stops listening, and lets open tunnels
// go on until they end or ctx does; those still open then are closed. It
// returns how many that were, after all loops have ended.
func (s *Server) Stop(ctx context.Context) (cut int) {
	s.gateway.Drain()
	s.http2.Drain()
	s.closeWarm()
	// First all queues, then the tunnels: a loop may hand connections to others.
	s.onEach((*worker).closeAcceptors).Wait()
	drained := s.onEach((*worker).drain)
	done := make(chan struct{})
	go func() { drained.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		cut = s.Stats().Open
		for _, w := range s.workers {
			w.post(w.cutAll)
		}
		<-done
	}
	for _, w := range s.workers {
		w.loop.Stop()
	}
	s.running.Wait()
	s.http2.Close()
	s.closeGateway()
	for _, u := range s.upstreams {
		u.Close()
	}
	s.flushJournals()
	for _, b := range s.bound {
		b.unlink()
	}
	return cut
}

// closeGateway ends the gateway, which has no job any more.
func (s *Server) closeGateway() {
	ctx, cancel := context.WithTimeout(context.Background(), gatewayEndMax)
	defer cancel()
	s.gateway.Close(ctx)
}

// onEach runs f on every loop; the group is done when every f has called done.
func (s *Server) onEach(f func(w *worker, done func())) *sync.WaitGroup {
	var group sync.WaitGroup
	for _, w := range s.workers {
		group.Add(1)
		w.post(func() { f(w, group.Done) })
	}
	return &group
}

func (s *Server) flushJournals() {
	deadline := time.NewTimer(journalFlushMax)
	defer deadline.Stop()
	for _, w := range s.workers {
		close(w.journal.lines)
	}
	for _, w := range s.workers {
		select {
		case <-w.journal.done:
		case <-deadline.C:
			return // the log is blocked; the lines in it are lost
		}
	}
}

// admit counts a tunnel towards limits.tunnels, or reports that it is reached.
func (s *Server) admit() bool {
	limit := int64(s.config.Limits.Tunnels)
	if n := s.tunnels.Add(1); limit > 0 && n > limit {
		s.tunnels.Add(-1)
		return false
	}
	return true
}

func (s *Server) release() { s.tunnels.Add(-1) }
