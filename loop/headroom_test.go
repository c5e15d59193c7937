package loop

import (
	"strings"
	"testing"
)

// Contract line 13: what is written before lent bytes goes out with them, and
// spoils nobody else's, whether they are lent as they come or were kept first.
func TestHeadroomGoesOutWithLentBytes(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		sources, raws := make([]*Socket, 2), make([]func(string), 2)
		sink, rawSink := r.pair(owner, true)
		defer rawSink.Close()
		header := strings.Repeat("h", Headroom)
		parked := ""
		owner.on = func(s *Socket, op *Op, kind Kind) {
			if kind != Recv || op.N == 0 {
				return
			}
			whole := op.WithRoom(Headroom)
			copy(whole, header)
			switch {
			case sink.Out.InFlight():
				parked += string(whole)
				r.Await(sink)
			case r.Send(sink, whole, true):
				parked += string(whole[sink.Out.N:])
			}
		}
		for i := range sources {
			s, raw := r.pair(owner, true)
			defer raw.Close()
			sources[i], raws[i] = s, func(text string) { raw.Send([]byte(text)) }
			r.Recv(s)
		}
		want, got := "", ""
		for round := range 20 {
			for i, s := range sources {
				if round%2 == 1 {
					r.Pause(s) // what comes now is kept, or waits in the kernel
				}
				text := strings.Repeat(string(rune('a'+i)), 1+100*round)
				raws[i](text)
				r.settle()
				if round%2 == 1 {
					r.Recv(s)
				}
				want += header + text
				r.until("it arrives", func() bool {
					if !sink.Out.InFlight() && parked != "" {
						rest := parked
						parked = ""
						r.Send(sink, []byte(rest), false)
					}
					got += readAll(rawSink)
					return len(got) >= len(want) && !sink.Out.InFlight()
				})
			}
		}
		if got != want {
			t.Error("the bytes are not those that were sent")
		}
	})
}
