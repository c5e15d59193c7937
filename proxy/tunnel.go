package proxy

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"wsplice/loop"
	"wsplice/pool"
)

// A Tunnel is one client connection, and the backend connection it is joined
// to once there is one.
//
// It is driven only by completions delivered on its loop, so it holds no lock;
// touching it from another goroutine is a bug. It owns both descriptors until
// closing ends.
//
//	state      may go to                                        true while in it
//	free       greeting reading                                 no descriptor, nothing in flight
//	greeting   reading answering closing                        the PROXY header is not complete
//	reading    dialing answering away closing                   the request head is not complete
//	dialing    upgrading relaying answering parting closing     a backend is connecting, or between two
//	upgrading  relaying replying dialing answering closing      the head was sent; no answer yet
//	answering  lingering closing                                an answer of our own is being sent
//	replying   reading lingering closing                        the backend's refusal is being relayed
//	away       reading lingering closing                        goroutines serve an ordinary request
//	relaying   draining sync dialing parting lingering closing  both directions may move bytes
//	draining   sync parting lingering closing                   one direction ended; the other goes on
//	sync       relaying draining                                goroutines move its bytes; the slot stays in its loop
//	parting    closing                                          Close frames of ours end it; what comes is dropped
//	lingering  closing                                          shut down for writing; what comes is dropped
//	closing    free                                             waiting for what is in flight
//
// upgrading, and relaying of an endpoint, go back to dialing once, when a warm
// connection turns out to be dead.
// Every state but free and sync may go to closing. The table is legalMoves; the test
// TestTunnelTable holds this comment to it.
type Tunnel struct {
	worker   *worker
	id       uint64 // of this use of the slot, for the log
	state    tunnelState
	admitted bool // counts towards limits.tunnels and limits.tunnels_per_ip
	served   bool // had a request answered by a backend before this one
	excused  bool // has got more time at a stop, for its TLS handshake
	guarded  bool // the kernel watches whether the backend is still there

	announced bool // peer is from the PROXY header, not the socket's

	syncing  bool  // on the way to synchronous service, once nothing is in flight
	partings uint8 // times that parting was waited for

	// How it ended; the first cause counts.
	endedBy     side
	cause       cause
	sentClose   uint16        // code of a Close frame of ours
	closedFirst atomic.Uint32 // the side whose Close frame came first

	// Who. The lease on server is held from picking until release.
	listener *Listener
	client   loop.Socket
	backend  loop.Socket
	peer     netip.AddrPort // of the client, not of a balancer; invalid for a unix socket
	route    *Route
	server   *pool.Server

	// The phase before relaying; nil before the first byte and while relaying.
	x *exchange

	// Relay. up moves client to backend, down moves backend to client.
	up, down flow
	service  *service  // in synchronous service, or nil
	pings    *pings    // nil unless the route has a ping_interval and frames are followed
	endpoint *endpoint // of a route of ModeEndpoint, from the 101 on; nil otherwise

	// Clocks, as times of the loop. One activity clock serves both directions.
	timer    loop.Timer
	opened   time.Duration // when relaying began; 0 before
	active   time.Duration // last byte in either direction, answers to our pings apart
	lingered int32         // bytes dropped while lingering or parting
	unsent   uint32        // bytes in both send queues when the timer last looked
	counted  uint32        // units of traffic that the server was told of; see traffic.go
}

type tunnelState uint8

const (
	stateFree tunnelState = iota
	stateGreeting
	stateReading
	stateDialing
	stateUpgrading
	stateAnswering
	stateReplying
	stateAway
	stateRelaying
	stateDraining
	stateSync
	stateParting
	stateLingering
	stateClosing
	stateCount
)

var stateNames = [stateCount]string{
	"free", "greeting", "reading", "dialing", "upgrading", "answering", "replying", "away",
	"relaying", "draining", "sync", "parting", "lingering", "closing",
}

func (s tunnelState) String() string { return stateNames[s] }

type stateSet uint16

func states(list ...tunnelState) (set stateSet) {
	for _, s := range list {
		set |= 1 << s
	}
	return set
}

func (set stateSet) has(s tunnelState) bool { return set&(1<<s) != 0 }

// legalMoves is the table above.
var legalMoves = [stateCount]stateSet{
	stateFree:      states(stateGreeting, stateReading),
	stateGreeting:  states(stateReading, stateAnswering, stateClosing),
	stateReading:   states(stateDialing, stateAnswering, stateAway, stateClosing),
	stateDialing:   states(stateUpgrading, stateRelaying, stateAnswering, stateParting, stateClosing),
	stateUpgrading: states(stateRelaying, stateReplying, stateDialing, stateAnswering, stateClosing),
	stateAnswering: states(stateLingering, stateClosing),
	stateReplying:  states(stateReading, stateLingering, stateClosing),
	stateAway:      states(stateReading, stateLingering, stateClosing),
	stateRelaying:  states(stateDraining, stateSync, stateDialing, stateParting, stateLingering, stateClosing),
	stateDraining:  states(stateSync, stateParting, stateLingering, stateClosing),
	stateSync:      states(stateRelaying, stateDraining),
	stateParting:   states(stateClosing),
	stateLingering: states(stateClosing),
	stateClosing:   states(stateFree),
}

// setState is the only writer of state.
func (t *Tunnel) setState(next tunnelState) {
	if !legalMoves[t.state].has(next) {
		panic(fmt.Sprintf("proxy: tunnel may not go from %v to %v: %s", t.state, next, t.dump()))
	}
	if told := t.worker.server.onMove; told != nil {
		told(t.state, next)
	}
	t.state = next
}

// Complete sends a completion to where the state wants it.
func (t *Tunnel) Complete(s *loop.Socket, op *loop.Op, kind loop.Kind) {
	if kind == loop.Close {
		t.onClosed(s)
		return
	}
	switch t.state {
	case stateGreeting:
		t.onGreeting(op)
	case stateReading:
		t.onRequest(op)
	case stateDialing:
		t.onDialing(s, op, kind)
	case stateUpgrading:
		t.onUpgrading(s, op, kind)
	case stateAnswering:
		t.onAnswering(op, kind)
	case stateReplying:
		t.onReplying(s, op, kind)
	case stateAway:
		t.onLeaving(op)
	case stateRelaying, stateDraining:
		t.onRelaying(s, op, kind)
	case stateParting:
		t.onParting(s, op, kind)
	case stateLingering:
		t.onLingering(op, kind)
	default:
		// free and closing have nothing in flight that could complete.
		panic("proxy: completion for a tunnel that has none in flight: " + t.dump())
	}
}

// OnTimer is called when the deadline of the current state has come.
func (t *Tunnel) OnTimer(*loop.Timer) {
	switch t.state {
	case stateGreeting, stateReading:
		t.headTimeout()
	case stateDialing:
		t.dialTimeout()
	case stateUpgrading:
		t.upgradeTimeout()
	case stateReplying, stateRelaying, stateDraining:
		t.onClocks()
	case stateSync:
		t.onSyncClocks()
	case stateParting:
		t.partTimeout()
	default:
		t.end(sideProxy, causeLinger)
	}
}

// dump is one line about t for panics and tests.
func (t *Tunnel) dump() string {
	return fmt.Sprintf("tunnel %d %v client=%v in=%v out=%v backend=%v in=%v out=%v up=%d/%v held=%d down=%d/%v held=%d",
		t.id, t.state, t.client.FD, t.client.In.Kind, t.client.Out.Kind,
		t.backend.FD, t.backend.In.Kind, t.backend.Out.Kind,
		t.up.bytes, t.up.pump.Lane(), t.up.pump.Held(),
		t.down.bytes, t.down.pump.Lane(), t.down.pump.Held())
}
