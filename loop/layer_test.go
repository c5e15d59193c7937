package loop

import (
	"errors"
	"io"
	"strings"
	"testing"

	"wsplice/internal/sys"
)

// A toyLayer is a layer whose records are a length and bytes that were inverted.
// Its handshake is a greeting of either side; its end is an empty record.
type toyLayer struct {
	wake    func()
	shaken  bool // its peer has greeted
	ready   bool // and the loop was told
	failure error
	said    bool
	in, out []byte
	closed  bool
}

const toyGreeting = "hello"

var errToy = errors.New("not a greeting")

func (y *toyLayer) Start(wake func()) { y.wake = wake }

func (y *toyLayer) Settle() (bool, error) {
	if !y.said {
		y.said = true
		y.out = append(y.out, toyGreeting...)
	}
	y.ready = y.shaken
	return y.ready, y.failure
}

func (y *toyLayer) Full() bool { return false }

func (y *toyLayer) Room(n int) int { return len(y.in) + n }

func (y *toyLayer) Open(dst, received []byte) ([]byte, error) {
	y.in = append(y.in, received...)
	if !y.ready {
		if len(y.in) >= len(toyGreeting) && y.failure == nil && !y.shaken {
			if y.shaken = strings.HasPrefix(string(y.in), toyGreeting); !y.shaken {
				y.failure = errToy
				y.out = append(y.out, "sorry"...)
			}
			y.in = y.in[len(toyGreeting):]
			go y.wake()
		}
		return dst, nil
	}
	for len(y.in) > 0 && len(y.in) > int(y.in[0]) {
		n := int(y.in[0])
		if n == 0 {
			return dst, io.EOF
		}
		dst = append(dst, invert(y.in[1:1+n])...)
		y.in = y.in[1+n:]
	}
	return dst, nil
}

func (y *toyLayer) Seal(dst, b []byte) []byte {
	dst = y.Output(dst)
	for len(b) > 0 {
		n := min(len(b), 200)
		dst = append(append(dst, byte(n)), invert(b[:n])...)
		b = b[n:]
	}
	return dst
}

func (y *toyLayer) Output(dst []byte) []byte {
	dst = append(dst, y.out...)
	y.out = nil
	return dst
}

func (y *toyLayer) Finish(dst []byte) []byte { return append(y.Output(dst), 0) }

func (y *toyLayer) Close() { y.closed = true }

func invert(b []byte) []byte {
	inverted := make([]byte, len(b))
	for i := range b {
		inverted[i] = ^b[i]
	}
	return inverted
}

func sealToy(text string) string { return string((&toyLayer{}).Seal(nil, []byte(text))) }

// The handshake goes on without the owner, which then receives what was sealed,
// however it comes, and sends what is sealed.
func TestLayerStandsBetween(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		for _, step := range []int{1, 3, 1000} {
			owner := &recorder{t: t}
			s, raw := r.pair(owner, true)
			r.Layer(s, &toyLayer{}, nil)
			r.Recv(s)
			if s.layered().ready {
				t.Fatal("ready before the handshake")
			}
			wire := toyGreeting + sealToy("first") + sealToy(strings.Repeat("second", 100)) + "\x00"
			for len(wire) > 0 {
				n := min(step, len(wire))
				raw.Send([]byte(wire[:n]))
				wire = wire[n:]
				r.step(0)
			}
			want := "first" + strings.Repeat("second", 100)
			r.until("the end is told", func() bool { return len(owner.events) > 0 && owner.events[len(owner.events)-1].n == 0 })
			if got := owner.received(s); got != want || s.In.InFlight() {
				t.Fatalf("in steps of %d: got %q", step, got)
			}
			text := strings.Repeat("answer", 1000)
			done := r.Send(s, []byte(text), true)
			r.until("it is sent", func() bool { return done || owner.count(s, Send) > 0 })
			if s.Out.N != int32(len(text)) || len(s.Out.Buf()) != 0 {
				t.Errorf("sent %d bytes of %d, %d left", s.Out.N, len(text), len(s.Out.Buf()))
			}
			r.ShutdownWrite(s)
			got := ""
			r.until("the peer has all", func() bool {
				got += readAll(raw)
				return len(got) >= len(toyGreeting)+len(sealToy(text))+1
			})
			if got != toyGreeting+sealToy(text)+"\x00" {
				t.Errorf("the peer got %d bytes that are not those", len(got))
			}
			raw.Close()
			r.Close(s)
			r.settle()
		}
	})
}

// A Connect is over when the handshake is and the first bytes were sent; what came
// with the handshake is what the first Recv delivers.
func TestLayerConnects(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		listener, addr := listenTCP(t)
		defer listener.Close()
		owner := &recorder{t: t}
		var s Socket
		fd, errno := sys.StreamSocket(addr.Family())
		if errno != 0 {
			t.Fatal(errno)
		}
		r.Attach(&s, fd, owner)
		r.Layer(&s, &toyLayer{}, nil)
		if r.Connect(&s, &addr, []byte("request")) {
			t.Fatalf("over at once: %v", s.Out.Err())
		}
		var peer sys.Sockaddr
		var raw sys.FD
		r.until("it connects", func() bool { raw, errno = listener.Accept(&peer); return errno == 0 })
		defer raw.Close()
		raw.Send([]byte(toyGreeting + sealToy("answer")))
		r.until("the connect is over", func() bool { return owner.count(&s, Connect) == 1 })
		if e := owner.events[len(owner.events)-1]; e.err != 0 || e.n != len("request") {
			t.Fatalf("connect: %+v", e)
		}
		r.Recv(&s)
		r.until("the answer comes", func() bool { return owner.received(&s) == "answer" })
		if got := readAll(raw); got != toyGreeting+sealToy("request") {
			t.Errorf("the peer got %q", got)
		}
		r.Close(&s)
		r.settle()
	})
}

// A handshake that fails is told to both: to the peer in the layer's words.
func TestLayerFails(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner, layer := &recorder{t: t}, &toyLayer{}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Layer(s, layer, []byte("HE"))
		r.Recv(s)
		raw.Send([]byte("LLO and more"))
		r.until("it fails", func() bool { return owner.count(s, Recv) == 1 })
		if e := owner.events[0]; e.err != sys.EPROTO || e.more {
			t.Errorf("the owner was told %+v", e)
		}
		if done := r.Send(s, []byte("x"), false); !done || s.Out.Err() != sys.EPROTO {
			t.Errorf("a send goes on: %v", s.Out.Err())
		}
		r.Close(s)
		r.settle()
		if got := readAll(raw); !strings.Contains(got, "sorry") || !layer.closed {
			t.Errorf("the peer got %q; closed is %v", got, layer.closed)
		}
	})
}

// What comes while the owner has paused is delivered when it goes on.
func TestLayerPauses(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner := &recorder{t: t}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Layer(s, &toyLayer{}, nil)
		r.Recv(s)
		raw.Send([]byte(toyGreeting))
		r.until("it is ready", func() bool { return s.layered().ready })
		for _, text := range []string{"one", "two", "three"} {
			r.Pause(s)
			raw.Send([]byte(sealToy(text)))
			r.settle()
			if strings.Contains(owner.received(s), text) {
				t.Error("delivered although paused")
			}
			r.Recv(s)
			r.until("it comes", func() bool { return strings.HasSuffix(owner.received(s), text) })
		}
		r.StopIn(s)
		r.settle()
		if s.In.InFlight() {
			t.Error("still receiving")
		}
		r.Close(s)
		r.settle()
	})
}

// A layer that comes ready is neither started nor asked whether it is.
func TestLayerResumes(t *testing.T) {
	overEngines(t, func(t *testing.T, r *rig) {
		owner, layer := &recorder{t: t}, &toyLayer{ready: true, in: []byte(sealToy("whole")[:3])}
		s, raw := r.pair(owner, true)
		defer raw.Close()
		r.Resume(s, layer)
		done := r.Send(s, []byte("request"), false)
		r.until("it is sent", func() bool { return done || owner.count(s, Send) > 0 })
		r.Recv(s)
		raw.Send([]byte(sealToy("whole")[3:] + "\x00"))
		r.until("the end is told", func() bool { return len(owner.events) > 0 && owner.events[len(owner.events)-1].n == 0 })
		if got := owner.received(s); got != "whole" {
			t.Errorf("the owner got %q", got)
		}
		r.Close(s)
		r.settle()
		if got := readAll(raw); got != sealToy("request") || layer.wake != nil || !layer.closed {
			t.Errorf("the peer got %q; started is %v, closed %v", got, layer.wake != nil, layer.closed)
		}
	})
}
