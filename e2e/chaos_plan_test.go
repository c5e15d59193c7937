package e2e

import (
	"math/rand/v2"
	"time"
)

// backendWay is what a backend does with a request.
type backendWay int

const (
	backendOpens backendWay = iota
	backendSilent
	backendHalfAnswer
	backendRefuses
	backendCloses
	backendResets
	backendWays
)

// clientWay is how far a client gets.
type clientWay int

const (
	clientTunnels clientWay = iota
	clientOnlyConnects
	clientStopsInHead
	clientGoesPending // its backend never answers the connect
	clientGoesDown    // its backend refuses the connect
	clientGoesWaiting // while the backend has not answered
	clientWays
)

// A chaosPlan is everything that happens to one tunnel, so far as it is
// planned. Client and backend read it; only the plan's maker writes it.
type chaosPlan struct {
	id      uint64
	client  clientWay
	backend backendWay

	headBytes int   // what clientStopsInHead sends
	early     int64 // bytes of the up stream that come with the request
	up, down  int64 // lengths of the streams
	pieces    bool  // streams are sent as small messages

	// completes means that nobody is killed: all bytes must arrive, and then
	// the ends of both streams.
	completes bool

	clientLives, backendLives time.Duration // before they are killed
	clientResets              bool          // as opposed to closing
	backendResets             bool
	clientHalfCloses          bool          // after its stream
	readLate                  time.Duration // readers begin late: pipes fill
}

// newChaosPlan draws a plan.
func newChaosPlan(id uint64, r *rand.Rand) *chaosPlan {
	p := &chaosPlan{
		id: id, headBytes: 1 + r.IntN(200),
		up: streamBytes(r), down: streamBytes(r), pieces: r.IntN(2) == 0,
		completes:   r.IntN(4) == 0,
		clientLives: lifetime(r), backendLives: lifetime(r),
		clientResets: r.IntN(2) == 0, backendResets: r.IntN(2) == 0,
		clientHalfCloses: r.IntN(2) == 0,
	}
	if r.IntN(3) == 0 {
		p.early = min(p.up, int64(r.IntN(8<<10)))
	}
	if r.IntN(3) == 0 {
		p.readLate = time.Duration(r.IntN(10)) * time.Millisecond
	}
	// Most tunnels open, and both sides have states of their own besides.
	if !p.completes && r.IntN(3) == 0 {
		p.client = clientWay(r.IntN(int(clientWays)))
	}
	if !p.completes && r.IntN(3) == 0 {
		p.backend = backendWay(r.IntN(int(backendWays)))
	}
	if p.client == clientGoesWaiting {
		p.backend = backendSilent
	}
	return p
}

// streamBytes draws a length: mostly small, sometimes enough to be spliced.
func streamBytes(r *rand.Rand) int64 {
	switch r.IntN(10) {
	case 0:
		return 0
	case 1, 2:
		return r.Int64N(1 << 20)
	case 3:
		return 1<<20 + r.Int64N(7<<20)
	default:
		return r.Int64N(4 << 10)
	}
}

// lifetime draws how long one side lives: often too short for what it wants.
func lifetime(r *rand.Rand) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(8*time.Millisecond))
}

// upStream and downStream are the bytes of a tunnel's two directions.
func (p *chaosPlan) upStream() streamOf   { return streamOf(2 * p.id) }
func (p *chaosPlan) downStream() streamOf { return streamOf(2*p.id + 1) }
