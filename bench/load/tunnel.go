package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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
	does  Scenario // Idle for an idler of another scenario
	conn  netpoll.Connection
	early []byte // came with the response; fed first

	// Reading, by the handler or the one goroutine that has the tunnel.
	frames   frameReader
	bytes    byteStream // of an endpoint
	answered uint32     // the number of the last message whose echo is whole
	sentAt   time.Time
	ended    bool // the peer's Close is here

	// Sending. Of Up and Both, out is the sender's alone, which also sends
	// what others leave in answers; of the rest, mu protects it.
	mu        sync.Mutex // protects what follows
	out       netpoll.Writer
	masks     *rand.PCG
	sequence  atomic.Uint32 // of the last message sent, from 1; written under mu
	due       uint32        // Open: of the last message whose time has come
	confirmed uint32        // Open: answered, for the pacer to see
	answers   []byte        // Up, Both: control frames to send

	// Ending. finished is set once, when the tunnel has nothing under way.
	finished  atomic.Bool
	closeSent atomic.Bool
	sender    chan struct{} // Up, Both: closed when the sender is gone

	echoed chan struct{} // of a burst: gets one for each echo
}

func newTunnel(r *run, id int, does Scenario, conn netpoll.Connection, early []byte) *tunnel {
	t := &tunnel{
		run: r, id: uint32(id), does: does, conn: conn, out: conn.Writer(), early: early,
		masks: rand.NewPCG(rand.Uint64(), rand.Uint64()),
	}
	if does == burst {
		t.echoed = make(chan struct{}, 1)
	}
	return t
}

var errEnded = errors.New("connection ended")

// start sets the tunnel to work.
func (t *tunnel) start() {
	_ = t.conn.AddCloseCallback(func(netpoll.Connection) error {
		t.finish(errEnded)
		return nil
	})
	sends := t.does == Up || t.does == Both
	if sends {
		t.startSender()
	}
	if t.senderReads() {
		return
	}
	// What happens before SetOnRequest has no handler beside it.
	err := t.feed(t.early)
	switch {
	case err != nil:
	case t.does == Echo:
		t.sentAt = time.Now()
		err = t.sendMessage()
	case t.does == Down && t.run.config.Endpoint:
		err = t.sendWakeUp()
	}
	if err != nil {
		t.finish(err)
		_ = t.conn.Close()
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
	t.run.end()
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
	if t.does == Down && t.run.in(stopping) && !t.closeSent.Load() {
		if err := t.sendClose(); err != nil {
			return err
		}
		t.finish(nil)
	}
	return nil
}

// sendMessage sends the next echo message.
func (t *tunnel) sendMessage() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sendMessageLocked()
}

func (t *tunnel) sendMessageLocked() error {
	size := t.run.config.MessageBytes
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: int64(size), Mask: t.mask()}
	sequence := t.sequence.Add(1)
	stamp := t.stamp(sequence)
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
	if size != int64(t.run.config.MessageBytes) {
		return fmt.Errorf("echo of %d bytes, want %d", size, t.run.config.MessageBytes)
	}
	switch t.does {
	case Open:
		return t.onOpenEcho(size)
	case Echo:
	case burst:
		t.answered++
		t.echoed <- struct{}{}
		return nil
	default: // whoever waits for it counts it
		t.answered++
		return nil
	}
	t.answered++
	now := time.Now()
	if t.run.in(measuring) {
		t.run.latencies.record(t.id, now.Sub(t.sentAt))
		t.run.count(1, size)
	}
	if !t.run.in(stopping) {
		t.sentAt = now
		return t.sendMessage()
	}
	err := t.sendClose()
	t.finish(err)
	return err
}

// checkEcho compares a piece of an echo at offset with what was sent.
func (t *tunnel) checkEcho(piece []byte, offset int64) error {
	number := t.answered + 1
	if t.sequence.Load() == t.answered {
		return errors.New("message that answers nothing")
	}
	stamp := t.stamp(number)
	for len(piece) > 0 && offset < stampBytes {
		if piece[0] != stamp[offset] {
			return errors.New("echo belongs to another message")
		}
		piece = piece[1:]
		offset++
	}
	if number%contentEvery == 1 && !wire.IsPattern(piece, offset) {
		return errors.New("echo differs from what was sent")
	}
	return nil
}

func (t *tunnel) stamp(number uint32) (s [stampBytes]byte) {
	binary.BigEndian.PutUint32(s[:], t.id)
	binary.BigEndian.PutUint32(s[4:], number)
	return s
}

func (t *tunnel) mask() (m [4]byte) {
	binary.NativeEndian.PutUint32(m[:], uint32(t.masks.Uint64()))
	return m
}

// sendControl sends one masked control frame, or leaves it to the sender.
func (t *tunnel) sendControl(op ws.OpCode, body []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sendControlLocked(op, body)
}

func (t *tunnel) sendControlLocked(op ws.OpCode, body []byte) error {
	h := ws.Header{Fin: true, OpCode: op, Masked: true, Length: int64(len(body)), Mask: t.mask()}
	var frame [ws.MaxHeaderSize + ws.MaxControlFramePayloadSize]byte
	head := wire.PutHeader(frame[:], &h)
	n := head + copy(frame[head:], body)
	ws.Cipher(frame[head:n], h.Mask, 0)
	if t.does == Up || t.does == Both {
		t.answers = append(t.answers, frame[:n]...)
		return nil
	}
	buf, err := t.out.Malloc(n)
	if err != nil {
		return err
	}
	copy(buf, frame[:n])
	return t.out.Flush()
}

// sendClose says goodbye with 1000.
func (t *tunnel) sendClose() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sendCloseLocked()
}

// goodbye is the body of the Close that ends a tunnel.
var goodbye = ws.NewCloseFrameBody(ws.StatusNormalClosure, "")

func (t *tunnel) sendCloseLocked() error {
	t.closeSent.Store(true)
	return t.sendControlLocked(ws.OpClose, goodbye)
}
