package frame

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gobwas/ws"
)

// TestExpectAnywhere holds that pongs may be expected from any byte on: from
// the next frame at the latest, they are dropped.
func TestExpectAnywhere(t *testing.T) {
	for _, masked := range []bool{false, true} {
		pong := write(masked, ws.OpPong, true, binary.BigEndian.AppendUint64(nil, own))
		stream := bytes.Join([][]byte{
			write(masked, ws.OpText, false, []byte("one")), write(masked, ws.OpPing, true, []byte("ping")),
			write(masked, ws.OpPong, true, []byte("pong")), write(masked, ws.OpContinuation, true, make([]byte, 200)),
		}, nil)
		for i := range len(stream) + 1 {
			var s Scanner
			s.Init(Rules{Masked: masked})
			next(&s, stream[:i])
			s.Expect(own)
			if n, step := s.Next(stream[i:]); i < len(stream) && (n == 0 || step.Do == Release) {
				t.Fatalf("from %d on: n %d, %+v", i, n, step)
			}
			s.Init(Rules{Masked: masked})
			next(&s, stream[:i])
			s.Expect(own)
			next(&s, stream[i:])
			if n, step := s.Next(pong); n != len(pong) || step != (Step{Drop, OwnPong}) {
				t.Fatalf("from %d on: n %d, %+v", i, n, step)
			}
		}
	}
}

// TestExpectAnotherWhileKept holds that what was kept for one payload is
// released for another.
func TestExpectAnotherWhileKept(t *testing.T) {
	pong := write(true, ws.OpPong, true, binary.BigEndian.AppendUint64(nil, own))
	var s Scanner
	s.Init(Rules{Masked: true, Swallow: true, Own: own})
	if n, step := s.Next(pong[:10]); n != 10 || step.Do != Keep {
		t.Fatalf("n %d, %+v", n, step)
	}
	s.Expect(own + 1<<40)
	if n, step := s.Next(pong[10:]); n != 0 || step.Do != Release || !bytes.Equal(s.Kept(), pong[:10]) {
		t.Fatalf("n %d, %+v, kept %x", n, step, s.Kept())
	}
	if n, step := s.Next(pong[10:]); n != 4 || step != (Step{Forward, Pong}) {
		t.Fatalf("n %d, %+v", n, step)
	}
}

// TestOwnPongBehindOthers holds what a chunk with more than a pong says.
func TestOwnPongBehindOthers(t *testing.T) {
	text := write(false, ws.OpText, true, []byte("Hello"))
	pong := write(false, ws.OpPong, true, binary.BigEndian.AppendUint64(nil, own))
	b := bytes.Join([][]byte{text, pong, text, pong[:5]}, nil)
	var s Scanner
	s.Init(Rules{Swallow: true, Own: own})
	want := []struct {
		n    int
		step Step
	}{{7, Step{}}, {10, Step{Drop, OwnPong}}, {7, Step{}}, {5, Step{Do: Keep}}}
	for i, w := range want {
		n, step := s.Next(b)
		if n != w.n || step != w.step {
			t.Fatalf("step %d: n %d, %+v; want %d, %+v", i, n, step, w.n, w.step)
		}
		b = b[n:]
	}
	if len(b) != 0 || !bytes.Equal(s.Kept(), pong[:5]) {
		t.Errorf("%d bytes left, kept %x", len(b), s.Kept())
	}
}
