package splice

import (
	"math"

	"wsplice/internal/sys"
)

// Lane says how a direction's bytes travel.
type Lane uint8

const (
	// Copy: received into a lent buffer and sent from it.
	Copy Lane = iota
	// Splice: socket → pipe → socket inside the kernel.
	Splice
)

func (l Lane) String() string {
	if l == Splice {
		return "splice"
	}
	return "copy"
}

// Need says what a Pump waits for.
type Need uint8

const (
	// NeedSource: the source is empty and nothing is on its way.
	NeedSource Need = iota
	// NeedSink: the sink is full and the pipe holds bytes.
	NeedSink
	// NeedTurn: there is more, but others are to have their turn.
	NeedTurn
	// NeedCopy: splicing cannot tell what comes now. The copy lane is to look:
	// it is the end of the stream, or a socket that cannot be spliced, or
	// everything that was to be spliced has moved.
	NeedCopy
	// SourceFailed and SinkFailed: the error belongs to that side.
	SourceFailed
	SinkFailed
)

// A Pump is one direction of a tunnel: it chooses the lane as the traffic
// changes and holds the bytes that are between the two sockets.
//
//	lane     becomes  when
//	Copy     Splice   2 reads in a row of ≥ 32 KiB, nothing parked, a pipe to be had
//	Splice   Copy     4 moves in a row of < 8 KiB, the end of the stream or of what
//	                  was to be spliced, urgent data, or no pipe to be had
//
// The zero value is an idle pump in the Copy lane.
type Pump struct {
	parked *parking // what a slow sink did not take; nil when nothing
	pipe   *Pipe    // nil unless bytes are inside it
	lane   Lane
	streak uint8 // reads or moves in a row that speak for the other lane
}

// Lane returns the lane the direction is in.
func (p *Pump) Lane() Lane { return p.lane }

// Held returns how many bytes are between the sockets.
func (p *Pump) Held() int {
	held := p.Parked()
	if p.pipe != nil {
		held += p.pipe.held
	}
	return held
}

// Saw tells the pump of a read of n bytes in the Copy lane and reports whether
// the direction has turned bulk.
func (p *Pump) Saw(n int) bool {
	if n < bulkReadBytes {
		p.streak = 0
		return false
	}
	if p.streak < bulkReads {
		p.streak++
	}
	return p.streak >= bulkReads
}

// StartSplice moves the direction to the Splice lane if pipes has a pipe. The
// caller has no read in flight on the source. Nothing may be parked: parked
// bytes are older than those in the source.
func (p *Pump) StartSplice(pipes *Pipes) bool {
	if p.parked != nil {
		return false
	}
	p.streak = 0
	pipe := pipes.Get()
	if pipe == nil {
		return false
	}
	p.pipe, p.lane = pipe, Splice
	return true
}

// Unlimited lets Move splice whatever the source has.
const Unlimited = math.MaxInt

// Move splices from source to sink until one of them blocks, limit bytes were
// taken from the source, or a turn's worth (1 MiB) has moved, and returns how
// many bytes reached the sink. What was taken and is still in the pipe is in
// Held.
//
// Invariant: the pipe is filled only when it is empty. So EAGAIN from filling
// can only mean that the source is empty, never that the pipe is full, and a
// sender of 1-byte segments, which fill a pipe's 16 slots with 16 bytes, cannot
// hang the direction (TestPumpTinySegments).
func (p *Pump) Move(source, sink sys.FD, pipes *Pipes, limit int) (moved int, need Need, errno sys.Errno) {
	for {
		if p.pipe == nil {
			if p.pipe = pipes.Get(); p.pipe == nil {
				p.lane = Copy
				return moved, NeedCopy, 0
			}
		}
		if p.pipe.held == 0 {
			if moved >= turnBytes {
				p.detach(pipes)
				return moved, NeedTurn, 0
			}
			if need, errno := p.fill(source, min(limit, spliceMost)); need != NeedSink {
				p.detach(pipes)
				p.settle(moved, need)
				return moved, need, errno
			}
			limit -= p.pipe.held
		}
		n, errno := p.flush(sink)
		moved += n
		if errno == sys.EAGAIN {
			p.streak = 0 // a slow sink says nothing about the source
			return moved, NeedSink, 0
		}
		if errno != 0 {
			return moved, SinkFailed, errno
		}
	}
}

// fill takes what the source has into the empty pipe, at most so many bytes;
// NeedSink says that bytes are inside now.
func (p *Pump) fill(source sys.FD, most int) (Need, sys.Errno) {
	if most == 0 {
		return NeedCopy, 0
	}
	n, errno := sys.Splice(source, p.pipe.write, most, false)
	switch {
	case errno == sys.EAGAIN:
		return NeedSource, 0
	case errno == sys.EINVAL || errno == sys.ENOSYS || errno == 0 && n == 0:
		// 0 should be the end of the stream, but kernels have answered it without
		// a FIN: recv(2) is to confirm it.
		return NeedCopy, 0
	case errno != 0:
		return SourceFailed, errno
	}
	p.pipe.held = n
	return NeedSink, 0
}

// flush sends what the pipe holds.
func (p *Pump) flush(sink sys.FD) (int, sys.Errno) {
	sent := 0
	for p.pipe.held > 0 {
		n, errno := sys.Splice(p.pipe.read, sink, p.pipe.held, false)
		if errno != 0 {
			return sent, errno
		}
		if n == 0 {
			// The pipe's both ends are ours and it holds bytes: 0 cannot be.
			return sent, sys.EPIPE
		}
		sent += n
		p.pipe.held -= n
	}
	return sent, 0
}

// settle counts what speaks for going back to copying.
func (p *Pump) settle(moved int, need Need) {
	switch {
	case need == NeedCopy:
		p.lane, p.streak = Copy, 0
	case moved >= smallMoveBytes:
		p.streak = 0
	default:
		p.streak++
	}
}

// Calm reports whether the bulk is over and moves the direction back to the
// Copy lane if so. Nothing may be in the pipe.
func (p *Pump) Calm() bool {
	if p.lane != Splice || p.pipe != nil || p.streak < smallMoves {
		return false
	}
	p.lane, p.streak = Copy, 0
	return true
}

// StopSplice moves the direction back to the Copy lane after NeedSource. It is
// for urgent data: at its mark splice(2) answers EAGAIN for ever, while
// recv(2) passes it by (TestPumpUrgentDataIsForTheCopyLane).
func (p *Pump) StopSplice() { p.lane, p.streak = Copy, 0 }

// Drop gives up what is between the sockets and returns how many bytes were
// lost. The pump is idle afterwards.
func (p *Pump) Drop(pipes *Pipes) int {
	lost := p.Held()
	if p.pipe != nil {
		p.detach(pipes)
	}
	p.releaseParked()
	*p = Pump{}
	return lost
}

func (p *Pump) detach(pipes *Pipes) {
	pipes.Put(p.pipe)
	p.pipe = nil
}
