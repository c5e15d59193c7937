package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

// Backends die at random while warm and just after they were taken, and clients come,
// speak and leave at random. Whatever crosses, every client gets its 101, who waits
// for an echo gets it or a Close, and nothing is left in the end (see rig.close).
func TestWarmEndpointsDieAtRandom(t *testing.T) {
	const clients, side = 600, 12
	r := newRig(t, func(c *Config) {
		endpointRoute(binaryFrames)(c)
		c.Routes[0].Upstream.Servers()[0].KeepWarm(8)
	})
	go randomBackends(r)
	var all sync.WaitGroup
	for i := range side {
		random := rand.New(rand.NewPCG(7, uint64(i)))
		all.Go(func() {
			for range clients / side {
				playRandomly(r, random)
			}
		})
	}
	all.Wait()
	testutil.Eventually(t, patience, "all are over", func() bool { return r.server.Stats().Open == 0 })
	s := r.server.Stats()
	t.Logf("%d opened, %d taken, %d of them dead", s.Opened, s.WarmTaken, s.WarmDead)
	if s.Opened != clients {
		t.Errorf("%d tunnels opened, want %d", s.Opened, clients)
	}
	if s.WarmTaken == 0 || s.WarmDead == 0 {
		t.Error("no warm connection was taken, or none was dead")
	}
}

// randomBackends ends with the listener.
func randomBackends(r *rig) {
	random := rand.New(rand.NewPCG(7, 100))
	for {
		conn, err := r.backend.AcceptTCP()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(2 * patience))
		fate, lives := random.IntN(4), time.Duration(random.IntN(20_000))*time.Microsecond
		go func() {
			defer conn.Close()
			switch fate {
			case 0: // dies, having said nothing
				_ = conn.SetReadDeadline(time.Now().Add(lives))
				_, _ = conn.Read(make([]byte, 1))
			case 1:
				_ = conn.SetLinger(0)
				_ = conn.SetReadDeadline(time.Now().Add(lives))
				_, _ = conn.Read(make([]byte, 1))
			default:
				_, _ = io.Copy(conn, conn)
			}
		}()
	}
}

// playRandomly is one client.
func playRandomly(r *rig, random *rand.Rand) {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, upgradeRequest)
	answer := make([]byte, len(upgradeAnswer))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != upgradeAnswer {
		r.t.Errorf("answer %q, %v", answer, err)
		return
	}
	if random.IntN(2) == 0 {
		timer := time.NewTimer(time.Duration(random.IntN(10_000)) * time.Microsecond)
		<-timer.C
	}
	if random.IntN(4) == 0 {
		_, _ = conn.Write(masked(ws.NewPingFrame([]byte("?"))))
	}
	switch random.IntN(8) {
	case 0:
		_ = conn.(*net.TCPConn).SetLinger(0)
		return
	case 1:
		_, _ = conn.Write(masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))
	case 2:
		_ = conn.(*net.TCPConn).CloseWrite()
	default:
		_, _ = conn.Write(masked(ws.NewBinaryFrame([]byte("hello"))))
	}
	for { // a Close, an echo, or the end of who has ended itself
		f, err := ws.ReadFrame(conn)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			r.t.Errorf("no frame: %v", err)
			return
		case f.Header.OpCode == ws.OpBinary && string(f.Payload) == "hello", f.Header.OpCode == ws.OpClose:
			return
		case f.Header.OpCode != ws.OpPong:
			r.t.Errorf("a frame %+v with %q", f.Header, f.Payload)
			return
		}
	}
}
