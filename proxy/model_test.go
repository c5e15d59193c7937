package proxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

// The model: random peers behind random settings. Whatever they do, a side gets
// a prefix of what the other one sent, with whole Pings of ours between its
// frames and at most one Close of ours, at the end; and all of it, where nothing
// cut it short. Nothing is left in the end (see rig.close).

const (
	modelRigs    = 8
	modelTunnels = 4
	modelFrames  = 40
)

// An ending of a player's script.
const (
	endNot = iota // goes on listening
	endFIN
	endClose // a Close frame, then FIN
	endReset
	endings
)

// A player is one side of a tunnel.
type player struct {
	conn   *net.TCPConn
	random *rand.Rand // of the writer
	masks  bool
	end    int
	slow   bool // reads little, with pauses
	silent bool // answers no ping of ours

	sent     [][]byte // frames, in order; the last may not be out
	pongs    chan []byte
	played   chan struct{} // the script is over
	received bytes.Buffer
	theirs   atomic.Int64 // bytes of frames that are not ours, in received
	over     chan struct{}
}

func newPlayer(conn *net.TCPConn, masks bool, seed uint64) *player {
	p := &player{
		conn: conn, random: rand.New(rand.NewPCG(seed, 1)), masks: masks, pongs: make(chan []byte, 64),
		played: make(chan struct{}), over: make(chan struct{}),
	}
	if p.random.IntN(3) == 0 {
		p.end = p.random.IntN(endings)
	}
	p.slow, p.silent = p.random.IntN(4) == 0, p.random.IntN(4) == 0
	for i := range p.random.IntN(modelFrames) {
		p.sent = append(p.sent, p.frame(i))
	}
	if p.end == endClose {
		p.sent = append(p.sent, p.compile(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "script"))))
	}
	return p
}

// frame makes a valid frame that is none of ours.
func (p *player) frame(i int) []byte {
	switch n := p.random.IntN(20); {
	case n == 0:
		return p.compile(ws.NewBinaryFrame(make([]byte, 200<<10+p.random.IntN(400<<10))))
	case n < 3:
		return p.compile(ws.NewPingFrame([]byte(strconv.Itoa(i))))
	case n < 5:
		return p.compile(ws.NewPongFrame([]byte("8 bytes!")))
	}
	payload := make([]byte, p.random.IntN(3000))
	for j := range payload {
		payload[j] = byte(i + j)
	}
	return p.compile(ws.NewBinaryFrame(payload))
}

func (p *player) compile(f ws.Frame) []byte {
	if p.masks {
		return masked(f)
	}
	return plain(f)
}

// play writes the script, in pieces, and answers pings between its frames.
func (p *player) play() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := func() {
		timer.Reset(time.Duration(p.random.IntN(3000)) * time.Microsecond)
		<-timer.C
	}
	for _, frame := range p.sent {
		if p.random.IntN(4) == 0 {
			cut := p.random.IntN(len(frame))
			_, _ = p.conn.Write(frame[:cut]) // its end shows in the reader
			frame = frame[cut:]
			pause()
		}
		_, _ = p.conn.Write(frame)
		select {
		case pong := <-p.pongs:
			_, _ = p.conn.Write(pong)
		default:
		}
		if p.random.IntN(4) == 0 {
			pause()
		}
	}
	close(p.played)
	switch p.end {
	case endFIN, endClose:
		_ = p.conn.CloseWrite()
	case endReset:
		_ = p.conn.SetLinger(0)
		_ = p.conn.Close()
	}
	for {
		select {
		case pong := <-p.pongs:
			_, _ = p.conn.Write(pong)
		case <-p.over:
			_ = p.conn.Close()
			return
		}
	}
}

// listen reads to the end, and says what it counts as the other side's.
func (p *player) listen() {
	defer close(p.over)
	var source io.Reader = p.conn
	if p.slow {
		source = &slowReader{conn: p.conn}
	}
	stream := io.TeeReader(source, &p.received)
	for {
		before := p.received.Len()
		f, err := ws.ReadFrame(stream)
		if err != nil {
			return
		}
		if !ours(f, !p.masks) {
			p.theirs.Add(int64(p.received.Len() - before))
		} else if f.Header.OpCode == ws.OpPing && !p.silent {
			select {
			case p.pongs <- p.compile(ws.NewPongFrame(ws.UnmaskFrame(f).Payload)):
			default:
			}
		}
	}
}

// ours reports whether f is the proxy's: those of players are made to differ.
func ours(f ws.Frame, masked bool) bool {
	if f.Header.Masked != masked {
		return false
	}
	if masked {
		f = ws.UnmaskFrame(f)
	}
	code, _ := ws.ParseCloseFrameData(f.Payload)
	return f.Header.OpCode == ws.OpPing && len(f.Payload) == 8 || f.Header.OpCode == ws.OpClose && code != 4000
}

type slowReader struct {
	conn net.Conn
	n    int
}

func (s *slowReader) Read(b []byte) (int, error) {
	if s.n++; s.n%16 == 0 {
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
	return s.conn.Read(b[:min(len(b), 16<<10)])
}

// check compares what p received with what other sent.
func (p *player) check(other *player, framed bool) error {
	got, sent, closed := p.received.Bytes(), other.sent, false
	for len(got) > 0 {
		if closed {
			return fmt.Errorf("%d bytes behind the Close", len(got))
		}
		if len(sent) > 0 {
			if n := min(len(got), len(sent[0])); bytes.Equal(got[:n], sent[0][:n]) {
				got, sent = got[n:], sent[1:]
				continue
			}
		}
		reader := bytes.NewReader(got)
		f, err := ws.ReadFrame(reader)
		if err != nil && p.end == endReset {
			return nil // cut anywhere
		}
		if err != nil || !framed || !ours(f, !p.masks) {
			return fmt.Errorf("at %d of %d: got %x, %d frames still to come",
				p.received.Len()-len(got), p.received.Len(), got[:min(len(got), 40)], len(sent))
		}
		closed = f.Header.OpCode == ws.OpClose
		got = got[len(got)-reader.Len():]
	}
	return nil
}

func (p *player) total() (n int64) {
	for _, frame := range p.sent {
		n += int64(len(frame))
	}
	return n
}

// modelSettings are those of a route; cut says that a clock may end the tunnel.
func modelSettings(c *Config, random *rand.Rand) (cut bool) {
	ms := func(list ...int) time.Duration { return time.Duration(list[random.IntN(len(list))]) * time.Millisecond }
	v := &c.Routes[0]
	v.Frames = Frames(random.IntN(3))
	if v.Frames != FramesOff {
		v.PingInterval = ms(0, 2, 15)
	}
	if v.PingInterval > 0 {
		v.PongTimeout = ms(0, 0, 20)
	}
	v.Sync = random.IntN(3) == 0
	v.AsyncDelay = ms(0, 0, 1, 4)
	v.IdleTimeout = ms(0, 0, 10)
	v.HalfCloseTimeout = ms(0, 10, 1000)
	v.Lifetime = ms(0, 0, 0, 30)
	c.Limits.Parked = []int{4 << 10, 64 << 10, 256 << 10}[random.IntN(3)]
	return v.IdleTimeout > 0 || v.PongTimeout > 0 || v.Lifetime > 0
}

func TestModel(t *testing.T) {
	first := uint64(1)
	if text := os.Getenv("WSPLICE_MODEL_SEED"); text != "" {
		first, _ = strconv.ParseUint(text, 10, 64)
	}
	for seed := first; seed < first+modelRigs; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			model(t, seed)
		})
	}
}

func model(t *testing.T, seed uint64) {
	cut, framed := false, false
	r := newRig(t, func(c *Config) {
		cut = modelSettings(c, rand.New(rand.NewPCG(seed, 2)))
		framed = c.Routes[0].Frames != FramesOff
	})
	defer func() {
		if t.Failed() {
			t.Logf("settings: %+v", r.server.config.Routes[0])
		}
	}()
	type pair struct{ client, backend *player }
	var pairs []pair
	var all sync.WaitGroup
	for i := range uint64(modelTunnels) {
		client, backend := r.tunnel()
		v := pair{newPlayer(client, true, seed<<8+2*i), newPlayer(backend, false, seed<<8+2*i+1)}
		pairs = append(pairs, v)
		for _, p := range []*player{v.client, v.backend} {
			all.Go(p.play)
			all.Go(p.listen)
		}
	}
	for i, v := range pairs {
		<-v.client.played
		<-v.backend.played
		for _, way := range [][2]*player{{v.client, v.backend}, {v.backend, v.client}} {
			from, to := way[0], way[1]
			if cut || from.end == endReset || to.end != endNot {
				continue
			}
			testutil.Eventually(t, patience, fmt.Sprintf("tunnel %d: all of the %d bytes that the client (%v) sent",
				i, from.total(), from.masks), func() bool { return to.theirs.Load() == from.total() })
		}
	}
	violations := r.server.Stats().Violations
	r.close(0)
	all.Wait()
	if violations != 0 {
		t.Errorf("%d violations", violations)
	}
	for i, v := range pairs {
		if err := v.client.check(v.backend, framed); err != nil {
			t.Errorf("tunnel %d, down: %v", i, err)
		}
		if err := v.backend.check(v.client, framed); err != nil {
			t.Errorf("tunnel %d, up: %v", i, err)
		}
	}
}
