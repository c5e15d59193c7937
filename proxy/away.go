package proxy

import (
	"wsplice/internal/sys"
	"wsplice/loop"
)

// A tunnel is away while goroutines serve its descriptors, and its slot waits in
// the loop: its limits, its place in the list and its end stay the loop's.
//
// A socket leaves in two steps. First the loop stops to receive from it and joins
// what is in flight; what that still brings belongs behind what came before. Then
// the loop forgets the descriptor, and goroutines have a duplicate of it to
// themselves, until they have closed that and say so by a post. The loop takes no
// duplicate back: it keeps the original, and looks at it anew.

// leave begins the first step. It reports whether that is over already;
// otherwise completions of s follow, and the last one carries no More.
func (w *worker) leave(s *loop.Socket) (over bool) {
	if !s.In.InFlight() {
		w.loop.Recv(s) // a pause may have left bytes with the engine
	}
	return w.loop.StopIn(s)
}

// onLeaving takes what the client's socket still brings.
func (t *Tunnel) onLeaving(op *loop.Op) {
	if errno := op.Err(); errno != 0 && errno != sys.ECANCELED {
		t.end(sideClient, causeOf(errno))
		return
	}
	// The end of the stream is not lost: whoever reads next finds it again.
	t.x.request = append(t.x.request, op.Buf()...)
	if !op.More {
		t.depart()
	}
}

// recall ends the tunnel while it is away, or on its way.
func (t *Tunnel) recall() {
	if t.x.cut != nil {
		t.x.cut() // comeBack goes on
		return
	}
	t.x.lent.Close()
	t.close()
}
