package e2e

import (
	"net"
	"testing"

	"wsplice/e2e/internal/rig"
)

// An end is either end of a tunnel, so that what holds in both directions can
// be tested by one function.
type end interface {
	net.Conn
	Put(string)
	Want(string)
	WantEnd()
	WantGone()
	CloseWrite()
	Reset()
}

var (
	_ end = (*rig.Client)(nil)
	_ end = (*rig.BackendConn)(nil)
)

// An endsTest is a test of a new tunnel, whose ends may be either way round.
type endsTest func(t *testing.T, p *rig.Proxy, first, second end)

// bothWays runs test for tunnels of a proxy, once with the client as the
// first end and once with the backend.
func bothWays(t *testing.T, cfg rig.Config, test endsTest) {
	t.Helper()
	backend := rig.NewBackend(t, nil)
	eachWay(t, startToBackend(t, backend, cfg), backend, test)
}

// bothWaysCopied is bothWays for tunnels that have to copy: the proxy may have
// one pipe, and a stalled tunnel holds it.
func bothWaysCopied(t *testing.T, cfg rig.Config, test endsTest) {
	t.Helper()
	limits := rig.Settings{"pipes": "1"}
	for name, value := range cfg.Limits {
		limits[name] = value
	}
	cfg.Limits = limits
	backend := rig.NewBackend(t, nil)
	proxy := startToBackend(t, backend, cfg)
	_, holder := rig.Open(proxy, backend, "/ws/holder")
	fill(t, holder)
	spliced := laneBytes(proxy.Metrics(), "splice")
	eachWay(t, proxy, backend, test)
	// A goroutine that waits for its sink goes home with its pipe after a while.
	if now := laneBytes(proxy.Metrics(), "splice"); now != spliced && rig.Async() {
		t.Errorf("%.0f bytes were spliced, and all were to be copied", now-spliced)
	}
}

func eachWay(t *testing.T, proxy *rig.Proxy, backend *rig.Backend, test endsTest) {
	t.Helper()
	t.Run("from the client", func(t *testing.T) {
		p := proxy.In(t)
		client, server := rig.Open(p, backend.In(t), "/ws/x")
		test(t, p, client, server)
	})
	t.Run("from the backend", func(t *testing.T) {
		p := proxy.In(t)
		client, server := rig.Open(p, backend.In(t), "/ws/x")
		test(t, p, server, client)
	})
}

// sendAll sends n bytes of a stream in the background. The result comes when
// they have left this process.
func sendAll(w net.Conn, stream rig.Pattern, n int64) <-chan error {
	done := make(chan error, 1)
	go func() { done <- stream.Send(w, 0, n, nil) }()
	return done
}

// receiveAll ends the test unless the next n bytes are those of the stream.
func receiveAll(t *testing.T, r net.Conn, stream rig.Pattern, n int64) {
	t.Helper()
	if err := stream.Receive(r, 0, n); err != nil {
		t.Fatal(err)
	}
}

// transfer moves n bytes from one end to the other and checks them all.
func transfer(t *testing.T, from, to net.Conn, stream rig.Pattern, n int64) {
	t.Helper()
	sent := sendAll(from, stream, n)
	receiveAll(t, to, stream, n)
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}
