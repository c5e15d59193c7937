package proxy

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wsplice/internal/testutil"
)

// However both sides end, at whatever moment, every tunnel ends and nothing is
// left (see rig.close).
func TestEndpointEndsOfAllKinds(t *testing.T) {
	const tunnels, atOnce = 400, 20
	r := newRig(t, endpointRoute(func(r *Route) {
		r.PingInterval, r.PongTimeout, r.IdleTimeout = 20*time.Millisecond, 300*time.Millisecond, 500*time.Millisecond
	}))
	go func() {
		for seed := uint64(0); ; seed++ {
			conn, err := r.backend.AcceptTCP()
			if err != nil {
				return
			}
			go playBackend(conn, rand.New(rand.NewPCG(seed, 1)))
		}
	}()
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for seed := range uint64(tunnels) {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				t.Error(err)
				return
			}
			playClient(withDeadline(t, conn.(*net.TCPConn)), rand.New(rand.NewPCG(seed, 2)))
		})
	}
	all.Wait()
	testutil.Eventually(t, patience, "all tunnels end", func() bool { return r.server.Stats().Open == 0 })
	r.backend.Close()
}

// playBackend echoes for a while and then ends in one way or the other; failures
// are the client's doing.
func playBackend(conn *net.TCPConn, random *rand.Rand) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.CopyN(conn, conn, int64(random.IntN(200_000)))
	switch random.IntN(5) {
	case 0:
		_ = conn.SetLinger(0) // RST
	case 1:
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	case 2:
		_, _ = conn.Write([]byte("no \xff text"))
		_, _ = io.Copy(io.Discard, conn)
	case 3:
		_, _ = io.Copy(conn, conn)
	}
}

// playClient sends frames, valid and not, and ends in one way or the other.
func playClient(conn *net.TCPConn, random *rand.Rand) {
	defer conn.Close()
	_, _ = io.WriteString(conn, upgradeRequest)
	reader, reads := make(chan struct{}), random.IntN(4) > 0
	go func() {
		defer close(reader)
		if reads {
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	for range random.IntN(30) {
		frame := masked(text(string(make([]byte, random.IntN(1<<random.IntN(17))))))
		switch random.IntN(8) {
		case 0:
			frame = masked(ws.NewPingFrame([]byte("ping")))
		case 1:
			_, _ = conn.Write(frame[:len(frame)/2])
			frame = frame[len(frame)/2:]
		}
		_, _ = conn.Write(frame)
	}
	switch random.IntN(6) {
	case 0:
		_ = conn.SetLinger(0)
		return
	case 1:
		_ = conn.CloseWrite()
	case 2:
		_, _ = conn.Write(masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))
	case 3:
		_, _ = conn.Write([]byte{0xff, 0xff})
	case 4:
		return
	}
	<-reader
}
