package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/gobwas/ws"

	"wsplice/bench/wire"
)

// stampBytes at the start of an echo message name its tunnel and its number,
// so that an echo that belongs elsewhere is noticed.
const stampBytes = 8

// copyBytesMax is the largest message built in the output buffer at once.
const copyBytesMax = 64 << 10

// A tunnel is one open WebSocket of a run.
type tunnel struct {
	run   *run
	id    uint32
	conn  netpoll.Connection
	out   netpoll.Writer
	early []byte // came with the response; fed first

	frames frameReader
	masks  *rand.PCG

	// Echo. waiting is true from a message's sending until its echo is whole.
	waiting  bool
	sequence uint32
	sentAt   time.Time

	// Ending. finished is set once, when the tunnel has nothing under way.
	finished  atomic.Bool
	closeSent bool
}

func newTunnel(r *run, id int, conn netpoll.Connection, early []byte) *tunnel {
	return &tunnel{
		run: r, id: uint32(id), conn: conn, out: conn.Writer(), early: early,
		masks: rand.NewPCG(rand.Uint64(), rand.Uint64()),
	}
}

var errEnded = errors.New("connection ended")

// start sets the tunnel to work.
func (t *tunnel) start() {
	_ = t.conn.AddCloseCallback(func(netpoll.Connection) error {
		t.finish(errEnded)
		return nil
	})
	if t.run.config.Scenario == Up {
		go t.sendBulk()
		return
	}
	// What happens before SetOnRequest has no handler beside it.
	err := t.feed(t.early)
	if err == nil && t.run.config.Scenario == Echo {
		err = t.sendEcho()
	}
	if err != nil {
		t.finish(err)
		return
	}
	_ = t.conn.SetOnRequest(t.onRequest)
	if !t.conn.IsActive() {
		t.finish(errEnded) // it ended before there was a handler to tell
	}
}

// finish marks the tunnel as having nothing under way. Before the run stops
// that is an error.
func (t *tunnel) finish(err error) {
	if !t.finished.CompareAndSwap(false, true) {
		return
	}
	if err != nil && !t.run.in(stopping) {
		t.run.problems.add(err)
	}
	t.run.busy.Done()
}

// onRequest is the netpoll handler.
func (t *tunnel) onRequest(_ context.Context, conn netpoll.Connection) error {
	if err := t.take(); err != nil {
		t.finish(err)
		return conn.Close()
	}
	return nil
}

// take feeds what has been received and flushes what that produced.
func (t *tunnel) take() error {
	in := t.conn.Reader()
	data, err := in.Next(min(in.Len(), readBytesMax))
	if err != nil {
		return err
	}
	if err := t.feed(data); err != nil {
		return err
	}
	if err := in.Release(); err != nil {
		return err
	}
	if t.run.config.Scenario == Down && t.run.in(stopping) && !t.closeSent {
		if err := t.sendClose(); err != nil {
			return err
		}
		t.finish(nil)
	}
	return nil
}

// sendEcho sends the next echo message.
func (t *tunnel) sendEcho() error {
	size := t.run.config.MessageBytes
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: int64(size), Mask: t.mask()}
	t.waiting = true
	t.sequence++
	t.sentAt = time.Now()
	stamp := t.stamp()
	head := ws.HeaderSize(h)
	for offset := 0; offset < size; {
		n := min(size-offset, copyBytesMax)
		buf, err := t.out.Malloc(head + n)
		if err != nil {
			return err
		}
		if offset == 0 {
			wire.PutHeader(buf, &h)
		}
		piece := buf[head:]
		copy(piece, wire.Pattern(int64(offset), n))
		if offset == 0 {
			copy(piece, stamp[:])
		}
		ws.Cipher(piece, h.Mask, offset)
		head = 0
		offset += n
	}
	return t.out.Flush()
}

// onEcho is called when a whole message has come back.
func (t *tunnel) onEcho(size int64) error {
	t.waiting = false
	if size != int64(t.run.config.MessageBytes) {
		return fmt.Errorf("echo of %d bytes, want %d", size, t.run.config.MessageBytes)
	}
	if t.run.in(measuring) {
		t.run.latencies.record(time.Since(t.sentAt))
		t.run.count(1, size)
	}
	if !t.run.in(stopping) {
		return t.sendEcho()
	}
	err := t.sendClose()
	t.finish(err)
	return err
}

// checkEcho compares a piece of an echo at offset with what was sent.
func (t *tunnel) checkEcho(piece []byte, offset int64) error {
	if !t.waiting {
		return errors.New("message that answers nothing")
	}
	stamp := t.stamp()
	for len(piece) > 0 && offset < stampBytes {
		if piece[0] != stamp[offset] {
			return errors.New("echo belongs to another message")
		}
		piece = piece[1:]
		offset++
	}
	if t.sequence%contentEvery == 1 && !wire.IsPattern(piece, offset) {
		return errors.New("echo differs from what was sent")
	}
	return nil
}

func (t *tunnel) stamp() (s [stampBytes]byte) {
	binary.BigEndian.PutUint32(s[:], t.id)
	binary.BigEndian.PutUint32(s[4:], t.sequence)
	return s
}

func (t *tunnel) mask() (m [4]byte) {
	binary.NativeEndian.PutUint32(m[:], uint32(t.masks.Uint64()))
	return m
}

// sendControl sends one masked control frame.
func (t *tunnel) sendControl(op ws.OpCode, body []byte) error {
	h := ws.Header{Fin: true, OpCode: op, Masked: true, Length: int64(len(body)), Mask: t.mask()}
	size := ws.HeaderSize(h)
	buf, err := t.out.Malloc(size + len(body))
	if err != nil {
		return err
	}
	wire.PutHeader(buf, &h)
	copy(buf[size:], body)
	ws.Cipher(buf[size:], h.Mask, 0)
	return t.out.Flush()
}

// sendClose says goodbye with 1000.
func (t *tunnel) sendClose() error {
	t.closeSent = true
	return t.sendControl(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
}
