package uring

import (
	"testing"
	"time"
	"unsafe"

	"wsplice/internal/sys"
)

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// A group is a ring with buffers and a socket to receive from.
type group struct {
	*Buffers
	ring      *Ring
	t         *testing.T
	near, far sys.FD
}

func newGroup(t *testing.T, count, size int) *group {
	t.Helper()
	g := &group{t: t}
	t.Cleanup(func() { // after the ring was closed
		if g.Buffers != nil {
			g.Free()
		}
	})
	g.ring = newRing(t, 8, 16)
	var err error
	if g.Buffers, err = g.ring.Register(5, count, size, 16); err != nil {
		t.Fatal(err)
	}
	if g.near, g.far, err = sys.SocketPair(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.near.Close(); g.far.Close() })
	return g
}

// receive sends text through the socket and returns the completion.
func (g *group) receive(text string) CQE {
	g.t.Helper()
	g.far.Send([]byte(text))
	e := g.ring.Next()
	e.Opcode, e.Flags, e.FD, e.Group = OpRecv, BufferSelect, int32(g.near), 5
	if errno := g.ring.Wait(time.Second, false); errno != 0 {
		g.t.Fatal(errno)
	}
	list := g.ring.Take(nil)
	if len(list) != 1 {
		g.t.Fatalf("%d completions", len(list))
	}
	return list[0]
}

func (g *group) id(c CQE) uint16 {
	g.t.Helper()
	if c.Flags&HasBuffer == 0 || c.Res <= 0 {
		g.t.Fatalf("no buffer in %+v", c)
	}
	return uint16(c.Flags >> 16)
}

func TestBuffersHaveTheirSize(t *testing.T) {
	g := newGroup(t, 4, 100)
	if g.Size() != 100 || g.Total() < 4*100 {
		t.Errorf("size %d, total %d", g.Size(), g.Total())
	}
	for id := range uint16(4) {
		b := g.Bytes(id, 100)
		if len(b) != 100 || cap(b) != 100 {
			t.Errorf("buffer %d: len %d, cap %d", id, len(b), cap(b))
		}
		for i := range b {
			b[i] = byte(id)
		}
	}
	for id := range uint16(4) {
		if b := g.Bytes(id, 100); b[0] != byte(id) || b[99] != byte(id) {
			t.Errorf("buffer %d shares its bytes", id)
		}
	}
	long := make([]byte, 250)
	c := g.receive(string(long))
	if c.Res != 100 {
		t.Errorf("%d bytes in a buffer of 100", c.Res)
	}
	g.id(c)
}

// Each buffer is given out once, and then there are none until one is back.
func TestBuffersRunOutAndComeBack(t *testing.T) {
	g := newGroup(t, 4, 64)
	seen := map[uint16]bool{}
	for _, text := range []string{"one", "two", "three", "four"} {
		c := g.receive(text)
		id := g.id(c)
		if seen[id] {
			t.Fatalf("buffer %d was given out twice", id)
		}
		seen[id] = true
		if got := string(g.Bytes(id, int(c.Res))); got != text {
			t.Errorf("buffer %d holds %q, want %q", id, got, text)
		}
	}
	if c := g.receive("five"); sys.Errno(-c.Res) != sys.ENOBUFS || c.Flags&HasBuffer != 0 {
		t.Errorf("without buffers: %+v", c)
	}
	g.Return(2)
	if c := g.receive(""); sys.Errno(-c.Res) != sys.ENOBUFS {
		t.Errorf("a buffer that was not published: %+v", c)
	}
	g.Publish()
	if c := g.receive(""); g.id(c) != 2 || string(g.Bytes(2, int(c.Res))) != "five" {
		t.Errorf("after the return: %+v", c)
	}
}

// The end of a stream and an error take no buffer.
func TestEndTakesNoBuffer(t *testing.T) {
	g := newGroup(t, 1, 64)
	g.far.ShutdownWrite()
	for range 10 {
		if c := g.receive(""); c.Res != 0 || c.Flags&HasBuffer != 0 {
			t.Fatalf("the end: %+v", c)
		}
	}
}

// The tail has 16 bits: it goes round, and the ids stay right.
func TestBufferTailGoesRound(t *testing.T) {
	g := newGroup(t, 4, 16)
	var held []uint16
	message := []byte{0, 0, 0}
	for i := range 70000 {
		message[0], message[1], message[2] = byte(i), byte(i>>8), byte(i>>16)
		c := g.receive(string(message))
		id := g.id(c)
		if got := g.Bytes(id, int(c.Res)); string(got) != string(message) {
			t.Fatalf("round %d: buffer %d holds % x, want % x", i, id, got, message)
		}
		if held = append(held, id); len(held) == 1+i%3 || len(held) == 3 {
			for _, id := range held {
				g.Return(id)
			}
			g.Publish()
			held = held[:0]
		}
	}
}
