package e2e

import (
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"wsplice/e2e/internal/rig"
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

	upFrames, downFrames rig.Frames // zero: the streams have no frames

	pieces bool // streams are sent as small messages

	// completes means that nobody is killed: all bytes must arrive, and then
	// the ends of both streams.
	completes bool

	clientLives, backendLives time.Duration // before they are killed
	clientResets              bool          // as opposed to closing
	backendResets             bool
	clientHalfCloses          bool          // after its stream
	readLate                  time.Duration // readers begin late: pipes fill
}

// newChaosPlan draws a plan, whose streams may be framed.
func newChaosPlan(id uint64, framed bool, r *rand.Rand) *chaosPlan {
	p := &chaosPlan{
		id: id, headBytes: 1 + r.IntN(200),
		up: streamBytes(r), down: streamBytes(r), pieces: r.IntN(2) == 0,
		completes:   r.IntN(4) == 0,
		clientLives: lifetime(r), backendLives: lifetime(r),
		clientResets: r.IntN(2) == 0, backendResets: r.IntN(2) == 0,
		clientHalfCloses: r.IntN(2) == 0,
	}
	if framed {
		p.frame(r)
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

// A stream is the bytes of one direction of one tunnel.
type stream interface {
	Fill(dst []byte, offset int64)
	Send(w io.Writer, offset, n int64, moved *atomic.Int64) error
	ReceiveUpTo(r net.Conn, offset, n int64) (int64, error)
}

// upStream and downStream are the bytes of a tunnel's two directions.
func (p *chaosPlan) upStream() stream   { return p.stream(rig.Pattern(2*p.id), p.upFrames) }
func (p *chaosPlan) downStream() stream { return p.stream(rig.Pattern(2*p.id+1), p.downFrames) }

func (p *chaosPlan) stream(bytes rig.Pattern, f rig.Frames) stream {
	if f.Span == 0 {
		return bytes
	}
	f.Pattern = bytes
	return f
}

// frameSpans cross each border of the frame length's encoding, and the last one
// that of what is spliced.
var frameSpans = []int64{50, 1000, 100_000, 4 << 20}

// frame makes frames of both streams. Sides that complete say so by a Close.
func (p *chaosPlan) frame(r *rand.Rand) {
	draw := func(payload int64, masked bool) rig.Frames {
		return rig.Frames{
			Payload: payload, Span: frameSpans[r.IntN(len(frameSpans))], Masked: masked,
			Close: p.completes || r.IntN(2) == 0,
		}
	}
	p.upFrames, p.downFrames = draw(p.up, true), draw(p.down, false)
	p.up, p.down = p.upFrames.Bytes(), p.downFrames.Bytes()
}
