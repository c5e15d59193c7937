package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/net/http2"

	"wsplice/e2e/internal/rig"
)

var _ end = (*rig.H2Stream)(nil)

// h2WindowMax bounds what wsplice lets a client send on a stream whose backend does
// not read, what the kernel and wsplice itself hold of it included.
const h2WindowMax = kernelBytesMax

// startH2 starts a wsplice whose listener has TLS, and returns what clients need to
// trust it. The routes are those of cfg, or one that leads to backend.
func startH2(t *testing.T, backend *rig.Backend, cfg rig.Config) (*rig.Proxy, *tls.Config) {
	t.Helper()
	needsWsplice(t)
	authority := newAuthority(t)
	authority.MustIssue(t, "server", []string{"example.test"}, nil)
	cfg.ListenerX = listenerTLS(authority, cfg.ListenerX, "server")
	if cfg.Routes == "" {
		cfg.Routes = fmt.Sprintf(`- {path: /ws/, to: "%s/"}`, backend.URL())
	}
	return rig.Start(t, cfg), &tls.Config{RootCAs: authority.Roots(), ServerName: "example.test"}
}

// dialH2 starts one for a backend and connects to it.
func dialH2(t *testing.T, backend *rig.Backend, cfg rig.Config) (*rig.Proxy, *rig.H2) {
	t.Helper()
	proxy, config := startH2(t, backend, cfg)
	return proxy, rig.DialH2(t, proxy.Addr(0), config, rig.H2Options{})
}

// bothWaysH2 is bothWays for tunnels whose clients are streams of one connection.
func bothWaysH2(t *testing.T, cfg rig.Config, test endsTest) {
	t.Helper()
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, cfg)
	t.Run("from the client", func(t *testing.T) {
		client, server := rig.OpenH2(c.In(t), backend.In(t), "/ws/x")
		test(t, proxy.In(t), client, server)
	})
	t.Run("from the backend", func(t *testing.T) {
		client, server := rig.OpenH2(c.In(t), backend.In(t), "/ws/x")
		test(t, proxy.In(t), server, client)
	})
	if err := c.Err(); err != nil {
		t.Errorf("the connection is over: %v", err)
	}
}

// TestH2Settings offers extended CONNECT where a route takes WebSockets, and only
// there (RFC 8441 section 3).
func TestH2Settings(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	for name, test := range map[string]struct {
		route string
		want  uint32
	}{
		"a tunnel":            {`- {path: /, to: "` + backend.URL() + `/"}`, 1},
		"an endpoint":         {`- {path: /, mode: endpoint, to: "tcp://` + backend.Addr() + `"}`, 1},
		"ordinary HTTP too":   {`- {path: /, mode: http, to: "http://` + backend.Addr() + `/"}`, 1},
		"ordinary HTTP alone": {`- {path: /, mode: http, upgrade: [], to: "http://` + backend.Addr() + `/"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := dialH2(t, backend, rig.Config{Routes: test.route})
			if got, _ := c.Setting(http2.SettingEnableConnectProtocol); got != test.want {
				t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d, want %d", got, test.want)
			}
			c.WantPong()
		})
	}
}

// TestH2Off does not offer what is turned off.
func TestH2Off(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy, config := startH2(t, backend, rig.Config{ListenerX: ", http2: false"})
	if c, err := rig.DialH2Err(proxy.Addr(0), config, rig.H2Options{}); err == nil {
		c.Close()
		t.Error("HTTP/2 was agreed on")
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	conn, err := dialTLS(t, proxy.Addr(0), config)
	if err != nil {
		t.Fatal(err)
	}
	if agreed := conn.ConnectionState().NegotiatedProtocol; agreed == "h2" {
		t.Error("HTTP/2 was agreed on")
	}
	upgradeTLSAt(t, conn, "/ws/x")
	echoTLS(t, conn, "by HTTP/1.1")
}

// TestH2Bytes checks bulk byte for byte, both ways at once.
func TestH2Bytes(t *testing.T) {
	const size = 16 << 20
	bothWaysH2(t, rig.Config{}, func(t *testing.T, _ *rig.Proxy, first, second end) {
		there, back := sendAll(first, 51, size), sendAll(second, 52, size)
		received := make(chan error, 1)
		go func() { received <- rig.Pattern(51).Receive(second, 0, size) }()
		receiveAll(t, first, 52, size)
		for _, done := range []<-chan error{received, there, back} {
			if err := rig.Receive(t, done, "the end of a transfer"); err != nil {
				t.Fatal(err)
			}
		}
		first.Put("and a little more")
		second.Want("and a little more")
	})
}

// h2Connection is what a connection counts for among the tunnels.
const h2Connection = 1

// TestH2HalfClose ends one direction, by END_STREAM or by the backend's FIN, and
// then uses the other.
func TestH2HalfClose(t *testing.T) {
	for _, late := range []int64{1, 64 << 10, 8 << 20} {
		t.Run(fmt.Sprintf("%d late bytes", late), func(t *testing.T) {
			bothWaysH2(t, rig.Config{Tunnel: rig.Settings{"frames": "off"}}, func(t *testing.T, p *rig.Proxy, first, second end) {
				first.Put("before")
				first.CloseWrite()
				second.Want("before")
				second.WantEnd()
				transfer(t, second, first, 7, late)
				second.Put("and more")
				first.Want("and more")
				second.CloseWrite()
				first.WantEnd()
				p.WaitTunnels(h2Connection)
			})
		})
	}
}

// TestH2EndOfTheBackend has the backend end its side behind bulk: the client gets all
// of it, and END_STREAM.
func TestH2EndOfTheBackend(t *testing.T) {
	const size = 8 << 20
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{Tunnel: rig.Settings{"frames": "off"}})
	client, server := rig.OpenH2(c, backend, "/ws/x")
	sendToTheEnd(t, server, client, size)
	client.CloseWrite()
	server.WantGone()
	proxy.WaitTunnels(h2Connection)
}

// TestH2Resets has either side vanish: the other learns that what it has got is not
// all, and other streams go on.
func TestH2Resets(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	cfg := rig.Config{Tunnel: rig.Settings{"frames": "off"}}
	proxy, c := dialH2(t, backend, cfg)
	other, otherEnd := rig.OpenH2(c, backend, "/ws/other")
	t.Run("the client resets", func(t *testing.T) {
		client, server := rig.OpenH2(c.In(t), backend.In(t), "/ws/x")
		client.Put("before")
		server.Want("before")
		client.Reset()
		server.WantGone()
	})
	t.Run("the client resets while the backend sends", func(t *testing.T) {
		client, server := rig.OpenH2(c.In(t), backend.In(t), "/ws/x")
		var moved atomic.Int64
		sent := make(chan error, 1)
		go func() { sent <- rig.Pattern(5).Send(server, 0, pressureBytes, &moved) }()
		waitStalled(t, &moved)
		client.Reset()
		if err := rig.Receive(t, sent, "the backend cannot go on"); err == nil {
			t.Error("the backend could send it all")
		}
	})
	t.Run("the backend resets", func(t *testing.T) {
		client, server := rig.OpenH2(c.In(t), backend.In(t), "/ws/x")
		server.Put("before")
		client.Want("before")
		server.Reset()
		client.WantGone()
	})
	t.Run("before the backend has answered", func(t *testing.T) {
		client := c.In(t).Connect("/ws/x")
		server := backend.In(t).Next()
		server.WantHead()
		client.Reset()
		server.WantGone()
	})
	t.Run("the connection is reset", func(t *testing.T) {
		_, config := startH2(t, backend, cfg) // another authority: it must not be trusted
		if _, err := rig.DialH2Err(proxy.Addr(0), config, rig.H2Options{}); err == nil {
			t.Error("the certificate of another wsplice was trusted")
		}
	})
	other.Put("still here")
	otherEnd.Want("still here")
	c.Abort()
	otherEnd.WantGone()
	proxy.WaitTunnels(0)
}

// TestH2ResetIsSaid follows frames: the backend of a client that resets its stream is
// told so as it is when a client of HTTP/1.1 dies.
func TestH2ResetIsSaid(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	proxy, c := dialH2(t, backend, rig.Config{})
	for _, code := range []http2.ErrCode{http2.ErrCodeCancel, http2.ErrCodeNo, http2.ErrCodeInternal} {
		mark := proxy.Logs.Mark()
		client, server := rig.OpenH2(c, backend, "/ws/x")
		hello := frameOf(server, ws.OpText, "hello")
		server.Put(hello)
		client.Want(hello)
		client.ResetWith(code)
		wantClose(t, server, ws.StatusInternalServerError)
		server.WantEnd()
		_ = server.Close()
		wantFields(t, closedLine(proxy, mark), map[string]any{"ended_by": "client", "why": "connection reset", "http": "2"})
	}
	proxy.WaitTunnels(h2Connection)
}

// TestH2BackPressure is TestBackPressure for streams: a client that gives no room
// back, and a backend that does not read.
func TestH2BackPressure(t *testing.T) {
	bothWaysH2(t, rig.Config{}, pressure)
}

// TestH2WindowOfTheClient counts what a client gets that never gives room back.
func TestH2WindowOfTheClient(t *testing.T) {
	const window = 100_000
	backend := rig.NewBackend(t, nil)
	proxy, config := startH2(t, backend, rig.Config{})
	c := rig.DialH2(t, proxy.Addr(0), config, rig.H2Options{Window: window})
	client, server := rig.OpenH2(c, backend, "/ws/x")
	sent := sendAll(server, 6, 3*window)
	rig.Eventually(t, rig.Soon, "the window is used up", func() bool { return client.Received() == window })
	other, otherEnd := rig.OpenH2(c, backend, "/ws/other")
	otherEnd.Put("others go on")
	other.Want("others go on")
	if err := client.Grant(window / 2); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, rig.Soon, "what was added is used up", func() bool { return client.Received() == window*3/2 })
	receiveAll(t, client, 6, 3*window)
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}

// TestH2WindowOfTheBackend has a backend that does not read: its stream gets no more
// room, and others do.
func TestH2WindowOfTheBackend(t *testing.T) {
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{})
	client, server := rig.OpenH2(c, backend, "/ws/x")
	var moved atomic.Int64
	sent := make(chan error, 1)
	go func() { sent <- rig.Pattern(7).Send(client, 0, 2*h2WindowMax, &moved) }()
	waitStalled(t, &moved)
	if n := moved.Load(); n > h2WindowMax {
		t.Errorf("%d bytes were taken that nobody reads", n)
	}
	t.Logf("stalled after %d bytes", moved.Load())
	for i := range 3 {
		other, otherEnd := rig.OpenH2(c, backend, "/ws/other")
		transfer(t, other, otherEnd, rig.Pattern(60+i), 4<<20)
	}
	receiveAll(t, server, 7, 2*h2WindowMax)
	if err := rig.Receive(t, sent, "the end of sending"); err != nil {
		t.Fatal(err)
	}
}

// TestH2EarlyBytes sends DATA behind the CONNECT, before it is answered: the backend
// gets it behind its 101 and not before the request is complete.
func TestH2EarlyBytes(t *testing.T) {
	const early = 40_000 // fits into the first window of a stream
	backend := rig.NewBackend(t, nil)
	_, c := dialH2(t, backend, rig.Config{})
	client := c.Connect("/ws/x")
	if err := rig.Pattern(8).Send(client, 0, early, nil); err != nil {
		t.Fatal(err)
	}
	server := backend.Next()
	server.WantHead()
	if err := server.Upgrade(); err != nil {
		t.Fatal(err)
	}
	server.Put("with the 101")
	if a := client.Answer(); a.Status != http.StatusOK {
		t.Fatalf("answered %q", a.Raw)
	}
	client.Want("with the 101")
	receiveAll(t, server, 8, early)
}

// TestH2ManyStreams opens a thousand tunnels one after the other on one connection,
// and then a hundred at once.
func TestH2ManyStreams(t *testing.T) {
	backend := rig.EchoBackend(t)
	proxy, config := startH2(t, backend, rig.Config{LogTunnel: "off"})
	c := rig.DialH2(t, proxy.Addr(0), config, rig.H2Options{})
	echo := func(i int, size int64) (err error) {
		s, err := c.Send(false, rig.ConnectFields(fmt.Sprintf("/ws/%d", i))...)
		if err != nil {
			return err
		}
		if a, err := s.AnswerErr(); err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("tunnel %d: %v, %w", i, a, err)
		}
		sent := sendAll(s, rig.Pattern(i), size)
		if err = rig.Pattern(i).Receive(s, 0, size); err == nil {
			err = errors.Join(<-sent, s.CloseWriteErr())
		}
		_ = s.SetReadDeadline(time.Now().Add(rig.Soon))
		if n, _ := s.Read(make([]byte, 1)); n != 0 {
			err = errors.Join(err, fmt.Errorf("tunnel %d: a byte too many", i))
		}
		return err
	}
	before := proxy.SettledUsage()
	for i := range 1000 {
		if err := echo(i, 100); err != nil {
			t.Fatal(err)
		}
	}
	var streams sync.WaitGroup
	failed := make([]error, 100)
	for i := range failed {
		streams.Go(func() { failed[i] = echo(2000+i, 1<<20) })
	}
	streams.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Error(err)
	}
	proxy.WaitTunnels(h2Connection)
	proxy.WaitUsage(rig.Soon, before)
	if err := c.Err(); err != nil {
		t.Errorf("the connection is over: %v", err)
	}
}
